"""Connections -> the least NetworkPolicies that allow them.

Rule: a policy is written for a direction of a group of workloads only if it can allow everything
that was seen there; otherwise the direction stays as it is, and the reason is reported. Each peer
and each port of a rule comes from a connection. The only exception is DNS, which needs TCP beside
UDP.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

from msgspec import Struct

from podfence.model.meta import METADATA_NAME_LABEL, ObjectRef
from podfence.model.networkpolicy import (
    IPBlock,
    NetworkPolicy,
    NetworkPolicyPeer,
    NetworkPolicyPort,
    NetworkPolicyRule,
    Protocol,
)
from podfence.model.selectors import LabelSelector
from podfence.policy.flow import AS_WRITTEN, Direction
from podfence.questions.phrases.outside import lines_of
from podfence.questions.suggest.blocks import Widening, blocks_of
from podfence.questions.suggest.evidence import ObservedConnection
from podfence.questions.suggest.groups import PodGroups, SharedLabels
from podfence.questions.suggest.judging import ConnectionJudge
from podfence.questions.suggest.resolver import KnownEnd
from podfence.sets import AddressSet
from podfence.sets.addresses import IPNetwork

MAX_BLOCKS: Final = 64
"""The most addresses in one rule; a longer list cannot be reviewed."""
_DNS: Final = ("UDP", 53)
DNS_OVER_TCP: Final = ("TCP", 53)
_EVERYWHERE: Final[Mapping[int, IPNetwork]] = {
    4: IPv4Network("0.0.0.0/0"),
    6: IPv6Network("::/0"),
}
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
"""Values of labels that may begin the name of an object."""
SUFFIX: Final = "-from-flows"
OF_TESTS: Final = "-from-tests"
"""Ends the name of a policy for which no flow is evidence."""


class OutsidePeers(Enum):
    """What is written for addresses outside the cluster, and for nodes."""

    LEAVE = "leave"
    """Nothing: a direction that has some stays open."""
    ADDRESSES = "addresses"
    """Those that were seen."""
    ANY = "any"
    """Every address, those of pods included (NP-27)."""


class SuggestOptions(Struct, frozen=True):
    """The options. ``workloads``: policies only for these, None: for all."""

    directions: frozenset[Direction] = frozenset(Direction)
    outside: OutsidePeers = OutsidePeers.LEAVE
    workloads: frozenset[ObjectRef] | None = None
    group: str = ""
    least: int = 1
    widths: Mapping[int, int] | None = None
    against: bool = False


EVERYTHING_SEEN: Final = SuggestOptions()


class LeftOpen(Struct, frozen=True):
    """A direction for which nothing is suggested, though something was seen. ``names``: of the
    workloads; text of the API."""

    names: tuple[str, ...]
    direction: Direction
    because: str


class SuggestedPolicy(Struct, frozen=True):
    """A policy, and its purpose by direction. ``group``: the workloads that it isolates.
    ``closes``: directions in which no policy isolated all of them before."""

    policy: NetworkPolicy
    group: SharedLabels
    basis: Mapping[Direction, tuple[ObservedConnection, ...]]
    closes: frozenset[Direction]

    @property
    def wider(self) -> tuple[tuple[Direction, IPNetwork, int, NetworkPolicyRule], ...]:
        """Its rules about blocks that hold more than was seen, and how many of their addresses
        were."""
        return tuple(
            (direction, block, seen, rule)
            for direction, needed in self.basis.items()
            for rule in self.policy.rules_of(direction.policy_type)
            for peer in rule.peers
            if peer.ip_block is not None and (block := peer.ip_block.cidr).prefixlen
            if (seen := _seen_in(peer.ip_block, needed, direction)) < _size_of(peer.ip_block)
        )

    @property
    def everywhere(self) -> tuple[tuple[Direction, IPNetwork, NetworkPolicyRule], ...]:
        """Its rules about every address of an IP version, which includes those of pods (NP-27)."""
        return tuple(
            (direction, peer.ip_block.cidr, rule)
            for direction in AS_WRITTEN
            for rule in self.policy.rules_of(direction.policy_type)
            for peer in rule.peers
            if peer.ip_block is not None and peer.ip_block.cidr.prefixlen == 0
            if not peer.ip_block.except_
        )


def _seen_in(block: IPBlock, needed: Sequence[ObservedConnection], direction: Direction) -> int:
    far = (ends_of(each, direction)[1] for each in needed)
    seen = AddressSet.of(each for party in far for each in _blocks(party))
    return _number(seen & _addresses(block))


def _addresses(block: IPBlock) -> AddressSet:
    return AddressSet.of([block.cidr]) - AddressSet.of(block.except_)


def _size_of(block: IPBlock) -> int:
    return _number(_addresses(block))


def _number(addresses: AddressSet) -> int:
    return sum(part.num_addresses for part in addresses.networks())


class SuggestedPolicies(Struct, frozen=True):
    """``settled``: directions of workloads that existing policies isolate, and that allow all that
    was seen there."""

    policies: tuple[SuggestedPolicy, ...]
    left_open: tuple[LeftOpen, ...]
    settled: int


_Ports = frozenset[tuple[str, int]]
_Key = SharedLabels | IPNetwork


class PolicyWriter:
    """Writes policies for connections. ``taken``: names of existing policies. ``names``: names of
    workloads."""

    def __init__(
        self,
        groups: PodGroups,
        judging: ConnectionJudge,
        names: Mapping[ObjectRef, str],
        taken: Iterable[ObjectRef],
        wish: SuggestOptions,
        wider: Widening | None = None,
    ) -> None:
        self._wider = wider
        self._groups = groups
        self._judging = judging
        self._names = names
        self._taken = set(taken)
        self._wish = wish
        self._left: list[LeftOpen] = []
        self._settled = 0

    def write(self, connections: Sequence[ObservedConnection]) -> SuggestedPolicies:
        """The policies, by namespace and name."""
        found: dict[SharedLabels, dict[Direction, tuple[ObservedConnection, ...]]] = defaultdict(
            dict
        )
        for direction in AS_WRITTEN:
            if direction in self._wish.directions:
                for group, needed in self._needed(connections, direction):
                    found[group][direction] = needed
        order = sorted(found, key=lambda group: (group.namespace, self._members(group)))
        policies = tuple(self._policy(group, found[group]) for group in order)
        return SuggestedPolicies(policies, tuple(self._left), self._settled)

    # -- what needs a policy

    def _needed(
        self, connections: Sequence[ObservedConnection], direction: Direction
    ) -> Iterator[tuple[SharedLabels, tuple[ObservedConnection, ...]]]:
        """Groups that need a policy in a direction, with what it has to allow."""
        by_workload: dict[ObjectRef, list[ObservedConnection]] = defaultdict(list)
        for each in connections:
            near, _ = ends_of(each, direction)
            if near.workload is not None:
                by_workload[near.workload].append(each)
        wanted = self._wish.workloads
        groups = {self._groups.of(ref) for ref in by_workload if wanted is None or ref in wanted}
        written: set[ObjectRef] = set()
        for group in sorted(groups, key=lambda group: (-len(group.members), self._members(group))):
            members = sorted(group.members - written)
            seen = [each for ref in members for each in by_workload.get(ref, ())]
            needed = self._of_group(group, seen, direction)
            if needed:
                written |= group.members
                yield group, needed

    def _of_group(
        self, group: SharedLabels, seen: Sequence[ObservedConnection], direction: Direction
    ) -> tuple[ObservedConnection, ...]:
        """What a policy has to allow; nothing where none is needed, or none can."""
        needed = [each for each in seen if not self._is_settled(each, direction)]
        if not needed:
            self._settled += bool(seen)
            return ()
        far = [ends_of(each, direction)[1] for each in needed]
        because = self._beyond(group, [party for party in far if party.workload is None])
        if not because:
            return tuple(needed)
        near = sorted({ends_of(each, direction)[0].name for each in needed})
        self._left.append(LeftOpen(tuple(near), direction, because))
        return ()

    def _is_settled(self, each: ObservedConnection, direction: Direction) -> bool:
        """Whether policies that exist isolate the pods and allow it already."""
        near = ends_of(each, direction)[0].workload
        assert near is not None
        return self._judging.isolates(near, direction) and self._judging.allows(each, direction)

    def _beyond(self, group: SharedLabels, outside: Sequence[KnownEnd]) -> str:
        """Why no policy can allow all of it; "" if one can."""
        if not group.labels:
            return "no lasting label distinguishes these pods from the others of their namespace"
        mode = self._wish.outside
        if not outside or mode is OutsidePeers.ANY:
            return ""
        named = sorted({party.name for party in outside})
        some = ", ".join(named[:3]) + (f" and {len(named) - 3} more" if len(named) > 3 else "")
        if mode is OutsidePeers.LEAVE:
            return f"the other end is outside ({some}); --outside writes ipBlocks"
        if any(party.address is None for party in outside):
            return f"some outside ends have no known address ({some}); --outside any allows all"
        written = blocks_of((key for party in outside for key in _blocks(party)), self._wider)
        lines = lines_of(written)
        if lines > MAX_BLOCKS:
            more = "" if self._wider else "--wide-outside joins them to blocks, "
            return f"{lines} blocks outside are too many; {more}--outside any allows all"
        return ""

    # -- policies

    def _policy(
        self, group: SharedLabels, basis: Mapping[Direction, tuple[ObservedConnection, ...]]
    ) -> SuggestedPolicy:
        rules = {
            direction: tuple(self._rules(group.namespace, needed, direction))
            for direction, needed in basis.items()
        }
        policy = NetworkPolicy(
            self._name(group, basis),
            LabelSelector(group.labels),
            frozenset(direction.policy_type for direction in basis),
            rules.get(Direction.INGRESS, ()),
            rules.get(Direction.EGRESS, ()),
        )
        closes = frozenset(
            direction
            for direction in basis
            if not all(self._judging.isolates(ref, direction) for ref in group.members)
        )
        return SuggestedPolicy(policy, group, basis, closes)

    def _name(
        self, group: SharedLabels, basis: Mapping[Direction, Sequence[ObservedConnection]]
    ) -> ObjectRef:
        seen = any(each.count for needed in basis.values() for each in needed)
        suffix = SUFFIX if seen else OF_TESTS
        called = min(ref.name for ref in group.members)
        values = [value for key, value in group.labels if key == self._wish.group]
        if values and _NAME.fullmatch(values[0]):
            called = values[0]
        stem = called[: 253 - len(suffix) - 4] + suffix
        number, name = 1, stem
        while (ref := ObjectRef("NetworkPolicy", group.namespace, name)) in self._taken:
            number += 1
            name = f"{stem}-{number}"
        self._taken.add(ref)
        return ref

    def _rules(
        self, namespace: str, needed: Sequence[ObservedConnection], direction: Direction
    ) -> Iterator[NetworkPolicyRule]:
        """Peers with the same ports share a rule."""
        by_ports: dict[_Ports, list[_Key]] = defaultdict(list)
        for key, ports in self._ports(needed, direction).items():
            by_ports[ports].append(key)
        for ports in sorted(by_ports, key=sorted):
            keys = by_ports[ports]
            groups = [key for key in keys if isinstance(key, SharedLabels)]
            groups.sort(key=lambda group: (group.namespace, self._members(group)))
            peers = [_peer(group, namespace) for group in groups]
            outside = [key for key in keys if not isinstance(key, SharedLabels)]
            blocks = blocks_of(outside, self._wider)
            peers += [NetworkPolicyPeer(ip_block=block) for block in blocks]
            yield NetworkPolicyRule(tuple(peers), tuple(_ranges(ports)))

    def _ports(
        self, needed: Sequence[ObservedConnection], direction: Direction
    ) -> dict[_Key, frozenset[tuple[str, int]]]:
        """The ports of each peer. Where the labels of one peer match another as well, a port is
        written only for the larger one."""
        found: dict[_Key, dict[tuple[str, int], set[ObjectRef]]] = defaultdict(dict)
        for each in needed:
            far = ends_of(each, direction)[1]
            ports = [(each.protocol, each.port)]
            if direction is Direction.EGRESS and is_dns(far, each):
                ports.append(DNS_OVER_TCP)
            for key in self._keys(far):
                for port in ports:
                    users = found[key].setdefault(port, set())
                    users |= {far.workload} if far.workload is not None else set()
        groups = sorted((key for key in found if isinstance(key, SharedLabels)), key=_size)
        for key in groups if any(_size(key) > 1 for key in groups) else ():
            larger = [other for other in groups if other is not key and _size(other) > 1]
            for port, users in list(found[key].items()):
                held = {ref for other in larger if port in found[other] for ref in other.members}
                if users <= held:
                    del found[key][port]
        return {key: frozenset(ports) for key, ports in found.items() if ports}

    def _keys(self, far: KnownEnd) -> Iterator[_Key]:
        if far.workload is not None:
            yield self._groups.of(far.workload)
        elif self._wish.outside is OutsidePeers.ANY:
            yield from (
                block
                for version, block in _EVERYWHERE.items()
                if far.address is None or far.address.version == version
            )
        else:
            yield from _blocks(far)

    def _members(self, group: SharedLabels) -> tuple[str, ...]:
        return tuple(sorted(self._names[ref] for ref in group.members))


def ends_of(each: ObservedConnection, direction: Direction) -> tuple[KnownEnd, KnownEnd]:
    """The end whose policies decide, and the other one."""
    if direction is Direction.INGRESS:
        return each.destination, each.source
    return each.source, each.destination


def is_dns(far: KnownEnd, each: ObservedConnection) -> bool:
    """Whether it is a question to the cluster's DNS: long answers come over TCP."""
    return far.workload is not None and (each.protocol, each.port) == _DNS


def _size(group: SharedLabels) -> int:
    return len(group.members)


def _peer(group: SharedLabels, namespace: str) -> NetworkPolicyPeer:
    pods = LabelSelector(group.labels)
    if group.namespace == namespace:
        return NetworkPolicyPeer(pods)
    space = LabelSelector(((METADATA_NAME_LABEL, group.namespace),))
    return NetworkPolicyPeer(pods, space)


def _blocks(far: KnownEnd) -> Iterator[IPNetwork]:
    """What a rule names for an end outside."""
    if far.block is not None:
        yield from far.block.networks()
    elif far.address is not None:
        yield ip_network(far.address)


def _ranges(ports: Iterable[tuple[str, int]]) -> Iterator[NetworkPolicyPort]:
    """Ports; three and more that follow one another are one range."""
    runs: list[tuple[str, int, int]] = []
    for protocol, port in sorted(ports):
        if runs and runs[-1][0] == protocol and runs[-1][2] == port - 1:
            runs[-1] = protocol, runs[-1][1], port
        else:
            runs.append((protocol, port, port))
    for protocol, low, high in runs:
        if high - low >= 2:
            yield NetworkPolicyPort(Protocol(protocol), low, high)
        else:
            yield from (NetworkPolicyPort(Protocol(protocol), p) for p in range(low, high + 1))
