"""Policies that cannot be read as a whole, and what holds instead: never more than they allow.

Rule: pure. A NetworkPolicy closes the pods that it may select. Of a policy of the cluster each rule
is read alone, so that one from a newer API takes away no other; a rule that cannot be read fails
closed (CNP-25). One that is audited closes nobody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from podfence.admission.decode import decode
from podfence.errors import Source
from podfence.model.cluster import Policy
from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy, Peer, RuleAction, TierRule
from podfence.model.meta import ObjectRef, is_audited
from podfence.model.networkpolicy import NetworkPolicy, PolicyType
from podfence.model.selectors import LabelSelector

NETWORK_POLICY = "NetworkPolicy"
SOURCE = Source("the cluster")
_TO_WHOM = ("tier", "priority", "subject")
_ACCEPTING = ("Accept", "Allow")
_UNKNOWN = (Peer(unknown="a rule that cannot be read"),)


class Fallback(Enum):
    """What holds in place of a policy that cannot be read as a whole, in words for people."""

    CLOSED = "the pods that it may select are closed"
    RULES = "a rule that cannot be read denies everything, or accepts nothing; the others hold"
    DENIALS = "what it denies is denied, and nothing is accepted or passed because of it"
    NOTHING = "it is not enforced"


class UnreadPolicy(Struct, frozen=True):
    """A policy that could not be read: where, why, and what holds instead."""

    ref: ObjectRef
    path: str
    reason: str
    instead: Fallback


def instead_of(ref: ObjectRef, document: Mapping[str, Any]) -> tuple[Policy | None, Fallback]:
    """What holds in place of a policy. ``document``: as much of the object as is JSON."""
    if ref.kind != NETWORK_POLICY:
        return _of_cluster(ref, document)
    metadata = document.get("metadata")
    if isinstance(metadata, Mapping) and is_audited(metadata.get("annotations")):
        return None, Fallback.NOTHING
    spec = document.get("spec")
    known = selector(ref, spec.get("podSelector")) if isinstance(spec, dict) else None
    closing = NetworkPolicy(ref, known or LabelSelector(), frozenset(PolicyType))
    return closing, Fallback.CLOSED


def selector(ref: ObjectRef, value: Any) -> LabelSelector | None:
    """The ``podSelector`` of a NetworkPolicy, None for what is none."""
    part = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": NETWORK_POLICY,
        "metadata": {"namespace": ref.namespace, "name": ref.name},
        "spec": {"podSelector": value},
    }
    for found in decode(part, SOURCE).objects:
        if isinstance(found, NetworkPolicy):
            return found.pod_selector
    return None


def _of_cluster(ref: ObjectRef, document: Mapping[str, Any]) -> tuple[Policy | None, Fallback]:
    spec = document.get("spec")
    if not isinstance(spec, dict):
        return None, Fallback.NOTHING
    bare = {name: spec[name] for name in _TO_WHOM if name in spec}
    policy = _decoded(ref, document, bare)
    if policy is None:
        return None, Fallback.NOTHING
    ingress, egress = (
        tuple(_rules(ref, document, bare, direction, spec.get(direction)))
        for direction in ("ingress", "egress")
    )
    if spec.keys() <= {*_TO_WHOM, "ingress", "egress"}:
        return replace(policy, ingress=ingress, egress=egress), Fallback.RULES
    found = replace(policy, ingress=_denials(ingress), egress=_denials(egress))
    return found, Fallback.DENIALS


def _decoded(
    ref: ObjectRef, document: Mapping[str, Any], spec: Mapping[str, Any]
) -> ClusterNetworkPolicy | None:
    for found in decode({**document, "spec": spec}, SOURCE).objects:
        if isinstance(found, ClusterNetworkPolicy) and found.ref == ref:
            return found
    return None


def _rules(
    ref: ObjectRef, document: Mapping[str, Any], bare: Mapping[str, Any], direction: str, said: Any
) -> Iterator[TierRule]:
    """Every rule at its index, since the first that matches decides."""
    if said is None:
        return
    for item in said if isinstance(said, list) else [said]:
        alone = _decoded(ref, document, {**bare, direction: [item]})
        if alone is not None:
            yield from getattr(alone, direction)
        else:
            accepts = isinstance(item, dict) and item.get("action") in _ACCEPTING
            yield TierRule(RuleAction.ACCEPT if accepts else RuleAction.DENY, _UNKNOWN)


def _denials(rules: tuple[TierRule, ...]) -> tuple[TierRule, ...]:
    """At their indices: a rule that accepts or passes matches nothing."""
    nothing = TierRule(RuleAction.ACCEPT, _UNKNOWN)
    return tuple(rule if rule.action is RuleAction.DENY else nothing for rule in rules)
