"""Tiers in words, and parts of a ClusterNetworkPolicy rule that compiling drops.

Rule: nothing is decided here; only ``policy.admin`` knows what a rule means. Domain names that are
in no table are unknown, which differs from names without an address.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from podfence.model.clusternetworkpolicy import (
    BASELINE_ADMIN_PRIORITY,
    ClusterNetworkPolicy,
    Peer,
    ProtocolMatch,
    RuleAction,
    TierRule,
)
from podfence.model.meta import ObjectRef
from podfence.policy.admin import rule_ports
from podfence.policy.domains import DomainTable
from podfence.policy.flow import Direction
from podfence.policy.index import PolicyIndex
from podfence.policy.origin import Origin
from podfence.sets import PortSet

_COMMON_KIND = "NetworkPolicy"


def policy_name(ref: ObjectRef) -> str:
    """``shop/db`` for a NetworkPolicy; other kinds are named: ``ClusterNetworkPolicy base``."""
    return str(ref) if ref.kind == _COMMON_KIND else f"{ref.kind} {ref}"


def origin_name(origin: Origin, beside: ObjectRef | None = None) -> str:
    """``ClusterNetworkPolicy base spec.ingress[0]``; only the path within the same policy."""
    if origin.policy == beside:
        return origin.path
    return f"{policy_name(origin.policy)} {origin.path}"


def written_rules(index: PolicyIndex) -> Mapping[tuple[ObjectRef, str], TierRule]:
    """Every rule of every tier beyond NetworkPolicy, by policy and field path."""
    return {
        (policy.ref, f"spec.{direction.value}[{at}]"): rule
        for policy in index.cluster.admin_policies
        for direction in Direction
        for at, rule in enumerate(policy.rules_of(direction.policy_type))
    }


def priority_of(policy: ClusterNetworkPolicy) -> int | None:
    """The priority that is written; a BaselineAdminNetworkPolicy has none."""
    return None if policy.priority == BASELINE_ADMIN_PRIORITY else policy.priority


def in_order(policies: Iterable[ClusterNetworkPolicy]) -> list[ClusterNetworkPolicy]:
    """In the order of evaluation inside a tier (CNP-6, CNP-9)."""
    return sorted(policies, key=lambda p: (p.priority, p.ref.name, p.ref.kind))


def policy_words(policy: ClusterNetworkPolicy) -> str:
    """``ClusterNetworkPolicy base (priority 50)``."""
    priority = priority_of(policy)
    return policy_name(policy.ref) + ("" if priority is None else f" (priority {priority})")


def unreadable(rule: TierRule) -> str:
    """Why a rule fails closed (CNP-25): the first element that cannot be read; "" if none."""
    elements: Iterable[Peer | ProtocolMatch] = (*rule.peers, *rule.protocols)
    return next((each.unknown for each in elements if each.unknown), "")


def numbered_ports(rule: TierRule) -> PortSet:
    """Ports that a rule gives as numbers, all if it has no ``protocols`` (CNP-21, CNP-22). Named
    ports are left out: an address behind a domain name has none (CNP-23)."""
    return rule_ports(rule.protocols)[0]


def unknown_names(rule: TierRule, names: DomainTable) -> tuple[str, ...]:
    """Domain names of an Accept rule about which the table says nothing (CNP-19)."""
    if rule.action is not RuleAction.ACCEPT or unreadable(rule):
        return ()
    asked = dict.fromkeys(name for peer in rule.peers for name in peer.domain_names)
    return tuple(name for name in asked if not _is_known(name, names))


def _is_known(name: str, names: DomainTable) -> bool:
    if name.startswith("*."):
        return any(known.endswith(name[1:]) for known in names)
    return name in names
