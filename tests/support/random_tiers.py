"""Random ClusterNetworkPolicies for the clusters of ``tests/random_clusters.py``.

Rule: what the server stores, faulty parts included, and two kinds of one name; equal priorities,
names whose order is not the order of making, and rules that hide one another are common.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from random import Random
from types import MappingProxyType

from msgspec.structs import replace

from podfence.model.clusternetworkpolicy import (
    BASELINE_ADMIN_PRIORITY,
    ClusterNetworkPolicy,
    NamespacedPod,
    Peer,
    ProtocolMatch,
    RuleAction,
    Subject,
    Tier,
    TierRule,
)
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import Protocol
from podfence.model.selectors import LabelSelector
from podfence.sets.addresses import IPAddress, IPNetwork

PRIORITIES = (0, 10, 10, 1000)
UNKNOWN = "unknown field future"
UNKNOWN_SHARE = 0.03
"""Share of subjects, peers and protocols that cannot be read."""
NAMES: Mapping[str, frozenset[IPAddress]] = MappingProxyType(
    {
        name: frozenset(map(ip_address, texts.split()))
        for name, texts in {
            "example": "192.0.2.1 2001:db8::1",
            "a.example": "10.0.0.1 10.0.0.2 fd00::1",
            "b.a.example": "10.0.0.3 fd00::3 172.18.0.3",
            "badexample": "10.0.0.4 fd00::2",
            "gone.example": "",
        }.items()
    }
)
"""Pods, a node and outside addresses by name; two names end alike without a dot between."""
PATTERNS = ("a.example", "b.a.example", "*.example", "*.a.example", "example", "nobody.test")
PROTOCOLS = (Protocol.TCP, Protocol.TCP, Protocol.UDP, Protocol.SCTP)
_ACTIONS = tuple(RuleAction)


@dataclass(frozen=True)
class Parts:
    """What these policies share with the others: selectors, networks, ports and their names."""

    selector: Callable[[Random], LabelSelector]
    namespace_selector: Callable[[Random], LabelSelector]
    network: Callable[[Random, int, int], IPNetwork]
    ports: tuple[int, ...]
    port_names: tuple[str, ...]


def random_admin_policies(
    rng: Random, parts: Parts, count: int, rules: int, items: int
) -> list[ClusterNetworkPolicy]:
    """``count`` policies of both tiers, with up to ``rules`` rules a direction and ``items`` a
    list."""
    made = [_policy(rng, parts, number, rules, items) for number in range(count)]
    return _as_older_kinds(rng, made)


def _policy(rng: Random, parts: Parts, number: int, rules: int, items: int) -> ClusterNetworkPolicy:
    return ClusterNetworkPolicy(
        ref=ObjectRef("ClusterNetworkPolicy", "", f"{rng.choice('abc')}{number}"),
        tier=rng.choice(tuple(Tier)),
        priority=rng.choice(PRIORITIES),
        subject=_subject(rng, parts),
        ingress=tuple(_rule(rng, parts, items, False) for _ in range(_count(rng, rules))),
        egress=tuple(_rule(rng, parts, items, True) for _ in range(_count(rng, rules))),
    )


def _count(rng: Random, most: int) -> int:
    """Leans towards ``most``, so that rules hide one another."""
    return max(rng.randint(0, most), rng.randint(0, most))


def _as_older_kinds(
    rng: Random, policies: list[ClusterNetworkPolicy]
) -> list[ClusterNetworkPolicy]:
    """Some as AdminNetworkPolicy, by the name of the one before; one as the kind without
    priority."""
    result: list[ClusterNetworkPolicy] = []
    baseline_is_free = True
    for policy in policies:
        older = rng.random() < 0.2
        if older and policy.tier is Tier.ADMIN:
            name = result[-1].ref.name if result else policy.ref.name
            policy = replace(policy, ref=ObjectRef("AdminNetworkPolicy", "", name))
        elif older and baseline_is_free:
            baseline_is_free = False
            ref = ObjectRef("BaselineAdminNetworkPolicy", "", "default")
            policy = replace(policy, ref=ref, priority=BASELINE_ADMIN_PRIORITY)
        result.append(policy)
    return result


def _subject(rng: Random, parts: Parts) -> Subject:
    if rng.random() < UNKNOWN_SHARE:
        return Subject(unknown=UNKNOWN)
    kind = rng.choice(("everyone", "everyone", "namespaces", "pods", "pods"))
    if kind == "everyone":
        return Subject(LabelSelector())
    if kind == "namespaces":
        return Subject(parts.namespace_selector(rng))
    return Subject(pods=_pods(rng, parts))


def _pods(rng: Random, parts: Parts) -> NamespacedPod:
    everywhere = rng.random() < 0.4
    return NamespacedPod(parts.selector(rng), None if everywhere else parts.namespace_selector(rng))


def _rule(rng: Random, parts: Parts, items: int, egress: bool) -> TierRule:
    protocols = rng.randint(1, items) if rng.random() < 0.5 else 0
    return TierRule(
        action=rng.choice(_ACTIONS),
        peers=tuple(_peer(rng, parts, egress) for _ in range(max(1, _count(rng, items)))),
        protocols=tuple(_protocol(rng, parts) for _ in range(protocols)),
    )


def _peer(rng: Random, parts: Parts, egress: bool) -> Peer:
    if rng.random() < UNKNOWN_SHARE:
        return Peer(unknown=UNKNOWN)
    only_egress = ("nodes", "networks", "networks", "names", "names") if egress else ()
    kind = rng.choice(("everyone", "namespaces", "pods", "pods", *only_egress))
    if kind == "everyone":
        return Peer(LabelSelector())
    if kind == "namespaces":
        return Peer(parts.namespace_selector(rng))
    if kind == "pods":
        return Peer(pods=_pods(rng, parts))
    if kind == "nodes":
        return Peer(nodes=parts.selector(rng))
    if kind == "names":
        return Peer(domain_names=tuple(rng.sample(PATTERNS, rng.randint(1, 2))))
    return Peer(networks=tuple(_network(rng, parts) for _ in range(rng.randint(1, 2))))


def _network(rng: Random, parts: Parts) -> IPNetwork:
    family = rng.choice((4, 4, 6))
    bits = 32 if family == 4 else 128
    lengths = (0, bits - 8, bits - 3, bits - 2, bits - 1, bits)
    return parts.network(rng, family, rng.choice(lengths))


def _protocol(rng: Random, parts: Parts) -> ProtocolMatch:
    if rng.random() < UNKNOWN_SHARE:
        return ProtocolMatch(unknown=UNKNOWN)
    kind = rng.choice(("number", "number", "number", "range", "name", "name", "any"))
    if kind == "name":
        return ProtocolMatch(named_port=rng.choice(parts.port_names))
    protocol = rng.choice(PROTOCOLS)
    if kind == "number":
        return ProtocolMatch(protocol, rng.choice(parts.ports))
    if kind == "any":
        return ProtocolMatch(protocol)
    low, high = sorted(rng.sample(parts.ports, 2))
    return ProtocolMatch(protocol, low, high)
