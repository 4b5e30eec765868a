"""Policies with one small mistake each, which a test file should notice.

Rule: a mutant differs from its policy in one place, which it names. Whether the difference shows in
any verdict is checked later.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from podfence.live.clusterevents import ClusterEvent, gone, put
from podfence.model.cluster import Cluster
from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy, RuleAction, TierRule
from podfence.model.networkpolicy import (
    NetworkPolicy,
    NetworkPolicyPeer,
    NetworkPolicyRule,
    PolicyType,
)
from podfence.model.selectors import LabelSelector
from podfence.policy.origin import Origin

T = TypeVar("T")
_EVERYBODY = LabelSelector()
_FIELDS = ((PolicyType.INGRESS, "ingress", "from"), (PolicyType.EGRESS, "egress", "to"))


class MutationOperator(Enum):
    """What is done to a policy."""

    POLICY = "policy removed"
    TYPE = "direction dropped"
    RULE = "rule removed"
    PEER = "peer removed"
    PORT = "port removed"
    EXCEPT = "except removed"
    SUBJECT = "podSelector widened to all pods"
    PEER_PODS = "podSelector widened to all"
    PEER_SPACES = "namespaceSelector widened to all"
    PORTS = "ports widened to all"
    ACTION = "Accept and Deny swapped"


class Mutant(Struct, frozen=True):
    """``origin``: the position; ``event``: makes it from the cluster."""

    origin: Origin
    operator: MutationOperator
    event: ClusterEvent


def mutants(cluster: Cluster) -> Iterator[Mutant]:
    """Every mutant of every policy."""
    for policy in cluster.policies:
        for path, operator, changed in _network_policy(policy):
            yield Mutant(Origin(policy.ref, path, policy.source), operator, put(changed))
        yield Mutant(
            Origin(policy.ref, "", policy.source), MutationOperator.POLICY, gone(policy.ref)
        )
    for tier_policy in cluster.admin_policies:
        source = tier_policy.source
        for path, operator, mutated in _tier_policy(tier_policy):
            yield Mutant(Origin(tier_policy.ref, path, source), operator, put(mutated))
        origin = Origin(tier_policy.ref, "", source)
        yield Mutant(origin, MutationOperator.POLICY, gone(tier_policy.ref))


def rule_origins(cluster: Cluster) -> Iterator[Origin]:
    """Every rule that counts, as mutants name them."""
    every: tuple[NetworkPolicy | ClusterNetworkPolicy, ...]
    every = *cluster.policies, *cluster.admin_policies
    for policy in every:
        for kind, field, _ in _FIELDS:
            counts = not isinstance(policy, NetworkPolicy) or kind in policy.policy_types
            for number in range(len(policy.rules_of(kind)) if counts else 0):
                yield Origin(policy.ref, f"spec.{field}[{number}]", policy.source)


def _network_policy(policy: NetworkPolicy) -> Iterator[tuple[str, MutationOperator, NetworkPolicy]]:
    if not policy.pod_selector.selects_everything:
        wider = replace(policy, pod_selector=_EVERYBODY)
        yield "spec.podSelector", MutationOperator.SUBJECT, wider
    for kind, field, peers in _FIELDS:
        if kind not in policy.policy_types:
            continue
        if len(policy.policy_types) > 1:
            types = policy.policy_types - {kind}
            yield "spec.policyTypes", MutationOperator.TYPE, replace(policy, policy_types=types)
        rules: tuple[NetworkPolicyRule, ...] = getattr(policy, field)
        for number, rule in enumerate(rules):
            path = f"spec.{field}[{number}]"
            yield path, MutationOperator.RULE, replace(policy, **{field: _less(rules, number)})
            for where, operator, changed in _rule(rule, path, peers):
                mutated = replace(policy, **{field: _with(rules, number, changed)})
                yield where, operator, mutated


def _rule(
    rule: NetworkPolicyRule, path: str, field: str
) -> Iterator[tuple[str, MutationOperator, NetworkPolicyRule]]:
    for number, peer in enumerate(rule.peers):
        where = f"{path}.{field}[{number}]"
        if len(rule.peers) > 1:  # without any, everybody would be a peer
            yield where, MutationOperator.PEER, replace(rule, peers=_less(rule.peers, number))
        for below, operator, changed in _peer(peer):
            mutated = replace(rule, peers=_with(rule.peers, number, changed))
            yield f"{where}{below}", operator, mutated
    if rule.ports:
        yield f"{path}.ports", MutationOperator.PORTS, replace(rule, ports=())
    if len(rule.ports) > 1:
        for number in range(len(rule.ports)):
            where = f"{path}.ports[{number}]"
            yield where, MutationOperator.PORT, replace(rule, ports=_less(rule.ports, number))


def _peer(peer: NetworkPolicyPeer) -> Iterator[tuple[str, MutationOperator, NetworkPolicyPeer]]:
    if peer.pod_selector is not None and not peer.pod_selector.selects_everything:
        wider = replace(peer, pod_selector=_EVERYBODY)
        yield ".podSelector", MutationOperator.PEER_PODS, wider
    if peer.namespace_selector is not None and not peer.namespace_selector.selects_everything:
        wider = replace(peer, namespace_selector=_EVERYBODY)
        yield ".namespaceSelector", MutationOperator.PEER_SPACES, wider
    if peer.ip_block is not None:
        for number in range(len(peer.ip_block.except_)):
            block = replace(peer.ip_block, except_=_less(peer.ip_block.except_, number))
            yield (
                f".ipBlock.except[{number}]",
                MutationOperator.EXCEPT,
                replace(peer, ip_block=block),
            )


def _tier_policy(
    policy: ClusterNetworkPolicy,
) -> Iterator[tuple[str, MutationOperator, ClusterNetworkPolicy]]:
    swapped = {RuleAction.ACCEPT: RuleAction.DENY, RuleAction.DENY: RuleAction.ACCEPT}
    for _, field, _ in _FIELDS:
        rules: tuple[TierRule, ...] = getattr(policy, field)
        for number, rule in enumerate(rules):
            path = f"spec.{field}[{number}]"
            yield path, MutationOperator.RULE, replace(policy, **{field: _less(rules, number)})
            if rule.action in swapped:
                changed = replace(rule, action=swapped[rule.action])
                mutated = replace(policy, **{field: _with(rules, number, changed)})
                yield f"{path}.action", MutationOperator.ACTION, mutated


def _less(items: Sequence[T], number: int) -> tuple[T, ...]:
    return (*items[:number], *items[number + 1 :])


def _with(items: Sequence[T], number: int, item: T) -> tuple[T, ...]:
    return (*items[:number], item, *items[number + 1 :])
