"""NetworkPolicy manifests without findings, part by part from a cache -> values.

Rule: this decoder answers only if strict decoding and validation have no finding for any part, and
then with the value of ``decode_policy``; for anything else it declines. Policies of a cluster
repeat their selectors, peers and ports: each distinct spelling of a part is judged and decoded once
(decision 16).
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Iterable
from typing import Any, Final, Generic, TypeVar

from podfence.admission.policy_values import (
    peers_of,
    policy_types_of,
    ports_of,
    selector_of,
    text_labels,
)
from podfence.admission.schema import (
    LABEL_SELECTOR,
    NOTHING,
    OBJECT_META,
    PEERS,
    POLICY_TYPES,
    PORTS,
    Json,
    WireType,
)
from podfence.admission.validate import (
    cidr_warnings,
    peer_refusals,
    policy_type_refusals,
    port_refusals,
)
from podfence.admission.validate_metadata import metadata_refusals, selector_refusals
from podfence.errors import Problem, Source
from podfence.model.meta import ObjectRef, is_audited
from podfence.model.networkpolicy import NetworkPolicy, NetworkPolicyRule, PolicyType
from podfence.model.selectors import LabelSelector

Value = TypeVar("Value")

_MAX_KNOWN: Final = 1 << 14
_UNMET: Final = object()


class _Parts(Generic[Value]):
    """One kind of part. ``remarks``: the findings for a part of the ``wire`` type; ``made``: the
    value of a part without findings."""

    def __init__(
        self,
        wire: WireType,
        remarks: Callable[[Any], Iterable[Problem]],
        made: Callable[[Any], Value],
    ) -> None:
        self._wire = wire
        self._remarks = remarks
        self._made = made
        self._known: dict[bytes, Any] = {}

    def value(self, part: Any) -> Value | None:
        """None for a part with findings."""
        try:
            # Told apart by type as well as by value: true is not 1. Version 2 of the format says
            # nothing of how often a text is shared, so equal parts are written alike.
            spelling = marshal.dumps(part, 2)
        except ValueError:
            return None
        found = self._known.get(spelling, _UNMET)
        if found is _UNMET:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            found = self._known[spelling] = self._read(part)
        return found  # type: ignore[no-any-return]  # _read made it

    def _read(self, part: Any) -> Value | None:
        if not self._wire.conforms(part) or any(True for _ in self._remarks(part)):
            return None
        return self._made(part)


def _selector(selector: Json) -> LabelSelector:
    return selector_of(selector) or LabelSelector()


def _peer_remarks(peers: list[Json]) -> Iterable[Problem]:
    # A text that servers since 1.36 accept has no remark of those before.
    yield from peer_refusals(peers, "")
    yield from cidr_warnings({"spec": {"ingress": [{"from": peers}]}})


_SELECTORS = _Parts(LABEL_SELECTOR, lambda part: selector_refusals(part, ""), _selector)
_PEERS = _Parts(PEERS, _peer_remarks, peers_of)
_PORTS = _Parts(PORTS, lambda part: port_refusals(part, ""), ports_of)
_TYPES = _Parts(POLICY_TYPES, policy_type_refusals, lambda part: policy_types_of(part, False))

_KEYS = frozenset({"apiVersion", "kind", "metadata", "spec"})
_SPEC_KEYS = frozenset({"podSelector", "policyTypes", "ingress", "egress"})


def decode_known(manifest: Json, source: Source) -> NetworkPolicy | None:
    """The policy, if it has no findings, a name and a namespace."""
    metadata, spec = manifest.get("metadata"), manifest.get("spec")
    if type(metadata) is not dict or type(spec) is not dict:
        return None
    if not (_KEYS.issuperset(manifest) and _SPEC_KEYS.issuperset(spec) and _texts(manifest)):
        return None
    ingress = _rules(spec.get("ingress"), "from")
    egress = _rules(spec.get("egress"), "to")
    declared, chosen = spec.get("policyTypes"), spec.get("podSelector")
    if declared is None or declared == []:
        types: frozenset[PolicyType] | None = policy_types_of(None, bool(egress))
    else:
        types = _TYPES.value(declared)
    selector = _SELECTORS.value(NOTHING if chosen is None else chosen)
    if ingress is None or egress is None or types is None or selector is None:
        return None
    if not (metadata.get("name") and metadata.get("namespace") and OBJECT_META.conforms(metadata)):
        return None
    if metadata_refusals(metadata, namespaced=True, built_in=True):
        return None
    return NetworkPolicy(
        ref=ObjectRef("NetworkPolicy", metadata["namespace"], metadata["name"]),
        pod_selector=selector,
        policy_types=types,
        ingress=ingress,
        egress=egress,
        labels=text_labels(metadata.get("labels")),
        declared_types=bool(declared),
        source=source,
        audited=is_audited(metadata.get("annotations")),
    )


def _texts(manifest: Json) -> bool:
    return type(manifest.get("apiVersion")) is str and type(manifest.get("kind")) is str


def _rules(rules: Any, peers_field: str) -> tuple[NetworkPolicyRule, ...] | None:
    """None where there is a remark."""
    if rules is None:
        return ()
    if type(rules) is not list:
        return None
    made = []
    for rule in rules:
        if type(rule) is not dict:
            return None
        peers: tuple[Any, ...] | None = ()
        ports: tuple[Any, ...] | None = ()
        for key, part in rule.items():
            if key == peers_field:
                peers = _PEERS.value(part) if part is not None else ()
            elif key == "ports":
                ports = _PORTS.value(part) if part is not None else ()
            else:
                return None
        if peers is None or ports is None:
            return None
        made.append(NetworkPolicyRule(peers, ports))
    return tuple(made)
