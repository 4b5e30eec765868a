"""A compiled index as plain values that do not depend on its numbers.

Rule: two indexes have equal descriptions exactly if every answer that can be read from them is the
same. Classes are named by what is in them; rules, tiers and policies are written out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from podfence.policy.flow import Direction
from podfence.policy.index import (
    AddressPeers,
    CompiledTier,
    Endpoint,
    PodPeers,
    PolicyIndex,
)

Name = Callable[[int], Any]


def described(index: PolicyIndex) -> dict[str, Any]:
    """The parts by name, so that a difference says where it is."""
    cluster = index.cluster
    name = names_of_classes(index)
    return {
        "namespaces": dict(cluster.namespaces),
        "nodes": dict(cluster.nodes),
        "objects": [
            sorted(map(repr, things))
            for things in (cluster.pods, cluster.services, cluster.endpoint_slices, cluster.doubts)
        ],
        "policies in order": (cluster.policies, cluster.admin_policies),
        "endpoints": {
            key: (found.pod, found.doubtful, name(found.endpoint_class))
            for key, found in index.endpoints.items()
        },
        "addresses": {address: _pod(found) for address, found in index.by_address.items()},
        "contested": {
            address: (name(found.endpoint_class), [_pod(holder) for holder in found.holders])
            for address, found in index.contested.items()
        },
        "nodes by address": dict(index.by_node_address),
        "further nodes by address": dict(index.shared_node_addresses),
        "classes": {
            name(c.number): (c.namespace, c.labels, set(c.named_ports), c.outside)
            for c in index.classes
            if name(c.number) is not None
        },
        "selected": {ref: _classes(found, name) for ref, found in index.selected.items()},
        "rules": {
            name(c.number): tuple(
                (index.policies[c.number].of(d).key, _tiers(index, c.number, d, name))
                for d in Direction
            )
            for c in index.classes
            if name(c.number) is not None and c.outside is None
        },
        "names": dict(index.names),
    }


def names_of_classes(index: PolicyIndex) -> Name:
    """What is in a class; None for a number that nothing has."""
    found: dict[int, Any] = {
        number: frozenset(map(_pod, members))
        for number, members in enumerate(index.members)
        if members
    }
    for address, contested in index.contested.items():
        found[contested.endpoint_class] = f"contested {address}"
    segments: dict[int, list[tuple[int, int, int]]] = {}
    for family, starts in index.outside_lookup.starts.items():
        numbers = index.outside_lookup.numbers[family]
        ends = (*starts[1:], 2 ** (32 if family == 4 else 128))
        for start, end, number in zip(starts, ends, numbers, strict=True):
            known = segments.setdefault(number, [])
            if known and known[-1][:1] == (family,) and known[-1][2] == start:
                known[-1] = (family, known[-1][1], end)
            else:
                known.append((family, start, end))
    found.update((number, tuple(known)) for number, known in segments.items())
    return found.get


def _pod(endpoint: Endpoint) -> str:
    return f"{endpoint.pod.namespace}/{endpoint.pod.name}"


def _classes(numbers: Iterable[int], name: Name) -> frozenset[Any]:
    return frozenset(map(name, numbers))


def _tiers(index: PolicyIndex, number: int, direction: Direction, name: Name) -> Any:
    policy = index.policies[number].of(direction)
    assert index.direction_policies[policy.number] is policy
    return [_tier(tier, name) for tier in policy.tiers]


def _tier(tier: CompiledTier, name: Name) -> Any:
    return (
        tier.name,
        tier.key,
        tier.default,
        tier.isolated_by,
        [
            (
                rule.action,
                rule.origin,
                [(match.ports, match.path, _peers(match.peers, name)) for match in rule.matches],
            )
            for rule in tier.rules
        ],
    )


def _peers(peers: object, name: Name) -> Any:
    if isinstance(peers, PodPeers):
        return peers.key, peers.family, _classes(peers.classes, name)
    if isinstance(peers, AddressPeers):
        classes = _classes(peers.classes, name)
        return peers.key, peers.family, peers.addresses, peers.volatile, classes
    return "everyone"
