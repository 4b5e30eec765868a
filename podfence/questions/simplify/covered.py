"""simplifications(policies): what can be removed from NetworkPolicies in every cluster.

Rule: rules add up (NP-7), and so do the peers and the ports of a rule. An item is removed where
others that stay allow all of it by what is written, so that it holds for all pods, labels and
namespaces. The last item of a list stays: without it the list would match everything, or nothing. A
policy without rules, such as a default deny, is left alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from enum import Enum
from typing import Final, TypeVar

from msgspec import Struct

from podfence.model.networkpolicy import NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort
from podfence.policy.flow import AS_WRITTEN, Direction
from podfence.policy.networkpolicies import rule_ports
from podfence.policy.origin import Origin
from podfence.questions.describe import peer_path
from podfence.questions.lint.note import rule_path
from podfence.questions.lint.note_neighbours import implies, wider

T = TypeVar("T")
_COMPARED: Final = 100_000
"""Most pairs that are compared for one list."""


class RemovedPart(Enum):
    """What goes."""

    RULE = "rule"
    PEER = "peer"
    PORT = "port"


class CoverScope(Enum):
    """The clusters in which the rest allows the same: every one, or only this one."""

    ALWAYS = "always"
    TODAY = "today"


class Simplification(Struct, frozen=True):
    """One item that can be removed. ``by``: the rules that allow all of it; for a ``joined`` rule
    the rule of the same policy that gets its ``moved`` items, positions in the list ``field``."""

    origin: Origin
    part: RemovedPart
    strength: CoverScope
    by: tuple[Origin, ...]
    field: str = ""
    moved: tuple[int, ...] = ()

    @property
    def joined(self) -> bool:
        """Whether its items move to another rule."""
        return bool(self.field)


class _ReducedRule:
    """A rule while items are removed from it. ``peers``, ``ports``: by position. A list that was
    empty in the text matches everything; no list becomes empty."""

    def __init__(self, policy: NetworkPolicy, direction: Direction, number: int) -> None:
        rule = policy.rules_of(direction.policy_type)[number]
        self.policy = policy
        self.direction = direction
        self.number = number
        self.peers = dict(enumerate(rule.peers))
        self.ports = dict(enumerate(rule.ports))

    @property
    def origin(self) -> Origin:
        return Origin(self.policy.ref, rule_path(self.direction, self.number), self.policy.source)

    def peer_origin(self, at: int) -> Origin:
        path = peer_path(self.direction, self.number, at)
        return Origin(self.policy.ref, path, self.policy.source)

    def port_origin(self, at: int) -> Origin:
        path = f"{rule_path(self.direction, self.number)}.ports[{at}]"
        return Origin(self.policy.ref, path, self.policy.source)

    def allows(self, peer: NetworkPolicyPeer | None, ports: Iterable[NetworkPolicyPort]) -> bool:
        """Whether all of a peer is allowed on these ports; ``peer`` None: everything."""
        if self.peers and (peer is None or not any(_holds(p, peer) for p in self.peers.values())):
            return False
        return not self.ports or _held(tuple(ports), tuple(self.ports.values()))


def simplifications(
    policies: Iterable[NetworkPolicy], namespaces: Collection[str] = (), *, join: bool = False
) -> Iterator[Simplification]:
    """What can be removed, by policy. ``namespaces``: only policies of these; none for all.
    ``join``: also join rules. Audited policies enforce nothing and are ignored."""
    by_namespace: dict[str, list[NetworkPolicy]] = defaultdict(list)
    for policy in policies:
        wanted = not namespaces or policy.ref.namespace in namespaces
        if wanted and policy.source is not None and not policy.audited:
            by_namespace[policy.ref.namespace].append(policy)
    for _, members in sorted(by_namespace.items()):
        yield from _of_namespace(sorted(members, key=lambda policy: policy.ref), join=join)


def _of_namespace(policies: Sequence[NetworkPolicy], *, join: bool) -> Iterator[Simplification]:
    rules = {
        (policy.ref, direction): [
            _ReducedRule(policy, direction, number)
            for number in range(len(policy.rules_of(direction.policy_type)))
        ]
        for policy in policies
        for direction in AS_WRITTEN
        if direction.policy_type in policy.policy_types
    }
    for members in rules.values():
        for rule in members:
            yield from _idle_peers(rule)
            yield from _idle_ports(rule)
    selectors = {policy.ref: policy.pod_selector for policy in policies}
    for (ref, direction), members in reversed(rules.items()):
        beside = [
            rule
            for (other, towards), found in rules.items()
            if towards is direction and other != ref and implies(selectors[ref], selectors[other])
            for rule in found
        ]
        gone = []
        for rule in reversed(members):
            left = [each for each in members if each is not rule and each not in gone]
            by = _covering(rule, [*left, *beside]) if left else ()
            if by:
                gone.append(rule)
                yield Simplification(rule.origin, RemovedPart.RULE, CoverScope.ALWAYS, by)
        members[:] = [each for each in members if each not in gone]
    for members in rules.values() if join else ():
        yield from _joined(members)


def _idle_peers(rule: _ReducedRule) -> Iterator[Simplification]:
    if len(rule.peers) ** 2 > _COMPARED:
        return
    for at, peer in reversed(list(rule.peers.items())):
        for other, wide in rule.peers.items():
            if other != at and _holds(wide, peer):
                del rule.peers[at]
                by = (rule.peer_origin(other),)
                yield Simplification(rule.peer_origin(at), RemovedPart.PEER, CoverScope.ALWAYS, by)
                break


def _idle_ports(rule: _ReducedRule) -> Iterator[Simplification]:
    if len(rule.ports) ** 2 > _COMPARED:
        return
    for at, port in reversed(list(rule.ports.items())):
        others = {other: each for other, each in rule.ports.items() if other != at}
        if others and _held((port,), tuple(others.values())):
            del rule.ports[at]
            by = tuple(
                rule.port_origin(other) for other, each in others.items() if _meet(each, port)
            )
            yield Simplification(rule.port_origin(at), RemovedPart.PORT, CoverScope.ALWAYS, by)


def _covering(rule: _ReducedRule, others: Sequence[_ReducedRule]) -> tuple[Origin, ...]:
    """The rules that allow everything that a rule does, each peer by one of them; () if there are
    none."""
    if len(others) * max(len(rule.peers), 1) > _COMPARED:
        return ()
    ports = tuple(rule.ports.values())
    found: dict[Origin, None] = {}
    for peer in rule.peers.values() or (None,):
        by = next((each for each in others if each.allows(peer, ports)), None)
        if by is None:
            return ()
        found[by.origin] = None
    return tuple(found)


def _joined(rules: list[_ReducedRule]) -> Iterator[Simplification]:
    """Two rules with the same peers become one with the ports of both; two with the same ports
    become one with the peers of both."""
    for first in rules:
        for second in [each for each in rules if each.number > first.number]:
            if second.ports and first.ports and _same(first.peers, second.peers):
                field, new = "ports", _append(first.ports, second.ports)
            elif second.peers and first.peers and _same(first.ports, second.ports):
                field, new = first.direction.peer_field, _append(first.peers, second.peers)
            else:
                continue
            rules.remove(second)
            yield Simplification(
                second.origin, RemovedPart.RULE, CoverScope.ALWAYS, (first.origin,), field, new
            )


def _same(one: dict[int, T], other: dict[int, T]) -> bool:
    return set(one.values()) == set(other.values())


def _append(into: dict[int, T], items: dict[int, T]) -> tuple[int, ...]:
    """Add what is not there yet; the indices of these items in their own list."""
    moved = tuple(at for at, each in items.items() if each not in into.values())
    for at in moved:
        into[max(into) + 1] = items[at]
    return moved


def _holds(wide: NetworkPolicyPeer, peer: NetworkPolicyPeer) -> bool:
    return wide == peer or wider(wide, peer)


def _held(ports: tuple[NetworkPolicyPort, ...], others: tuple[NetworkPolicyPort, ...]) -> bool:
    (numbers, names), (more, known) = rule_ports(ports), rule_ports(others)
    return numbers <= more and set(names) <= set(known)


def _meet(one: NetworkPolicyPort, other: NetworkPolicyPort) -> bool:
    (numbers, names), (more, known) = rule_ports((one,)), rule_ports((other,))
    return bool(numbers & more) or bool(set(names) & set(known))
