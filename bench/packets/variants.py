"""Rules to compare ours with, made from the same compiled cluster.

Rule: every variant answers as ours does; what differs is only how the answer is found. The
variants have no fail-closed part, no log and no answer to replies of unknown connections: they are
the least that somebody else would need, and never slower than the real thing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from bench.packets.scenario import local_node
from podfence.model.cluster import Cluster
from podfence.nft.lowering.identifiers import Namer
from podfence.nft.lowering.lower import TABLE, lower
from podfence.nft.lowering.peers import ClassMembers, PeerSets
from podfence.nft.lowering.ports import PortMatches
from podfence.nft.lowering.views import DirectionView
from podfence.nft.objects import (
    ACCEPT,
    DROP,
    RETURN,
    BaseChain,
    Chain,
    CtState,
    CtStateBit,
    DataType,
    Expression,
    Hook,
    Lookup,
    MemberSet,
    NamedObject,
    Rule,
    Table,
    jump,
)
from podfence.nft.ruleset import Ruleset
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Direction
from podfence.policy.index import Match, PolicyIndex
from podfence.sets.addresses import IPAddress
from podfence.sets.members import Members

PRIORITY = 0
V4 = 4
_V4_KEY = (DataType.IPV4_ADDR,)
ESTABLISHED = Rule((CtState(CtStateBit.ESTABLISHED), ACCEPT))


def ours(measured: Cluster) -> Ruleset:
    """What podfence programs."""
    return lower(compile_cluster(measured), local_node(measured))


def conntrack_only() -> Ruleset:
    """Connections are tracked, and nothing is ever denied."""
    return Ruleset.of(Table(TABLE), [_forward(ESTABLISHED)])


def _forward(*rules: Rule) -> Chain:
    return Chain("forward", rules, BaseChain(Hook.FORWARD, PRIORITY))


@dataclass
class Allowance:
    """One peer item of one policy: whom it is about, whom and which ports it allows."""

    policy: str
    direction: Direction
    match: Match
    subjects: set[IPAddress] = field(default_factory=set)


def allowances(index: PolicyIndex, local: dict[IPAddress, int]) -> list[Allowance]:
    """Every peer item that a node has to know, in the order of the policies' names.

    ``local``: the classes of the node's pods by address.
    """
    found: dict[tuple[str, Direction, str], Allowance] = {}
    for address, number in local.items():
        for direction in Direction:
            for tier in index.policies[number].of(direction).tiers:
                for rule in tier.rules:
                    name = str(rule.origin.policy)
                    for match in rule.matches:
                        key = (name, direction, match.path)
                        one = found.setdefault(key, Allowance(name, direction, match))
                        one.subjects.add(address)
    return [found[key] for key in sorted(found, key=lambda key: (key[0], key[1].value, key[2]))]


class Questions:
    """Expressions for subjects, peers and ports, and the sets that these need."""

    def __init__(self, index: PolicyIndex) -> None:
        self._namer = Namer()
        self._peers = PeerSets(ClassMembers(index), self._namer, [V4])
        self._ports = PortMatches(self._namer)
        self._subjects: dict[str, MemberSet] = {}

    @property
    def sets(self) -> list[NamedObject]:
        """The sets asked for so far."""
        return [*self._subjects.values(), *self._peers.sets, *self._ports.sets]

    def subjects(self, addresses: set[IPAddress], view: DirectionView) -> Lookup:
        """The judged pod is one of these."""
        members = Members.of(V4, map(int, addresses))
        name = self._namer.name("s4_", repr(sorted(members)))
        self._subjects.setdefault(name, MemberSet(name, members))
        return Lookup((view.subject[V4],), name)

    def peers(self, match: Match, view: DirectionView) -> Iterator[tuple[Expression, ...]]:
        """The remote end is a peer."""
        return self._peers.alternatives(match.peers, view.peer)

    def ports(self, match: Match, view: DirectionView) -> list[tuple[Expression, ...]]:
        """The port is one of the rule's."""
        return self._ports.alternatives(match.ports, view.port)


def local_classes(measured: Cluster, index: PolicyIndex) -> dict[IPAddress, int]:
    """The classes of the measured node's pods by address."""
    here = local_node(measured)
    return {a: e.endpoint_class for a, e in index.by_address.items() if here.runs(e)}


def linear(measured: Cluster) -> Ruleset:
    """One rule a policy and peer, one after the other; egress, then ingress."""
    index = compile_cluster(measured)
    questions = Questions(index)
    local = local_classes(measured, index)
    lists: dict[Direction, list[Rule]] = {direction: [] for direction in Direction}
    isolated: dict[Direction, set[IPAddress]] = {direction: set() for direction in Direction}
    for one in allowances(index, local):
        view = DirectionView(one.direction, reply=False)
        isolated[one.direction] |= one.subjects
        for peers in questions.peers(one.match, view):
            for ports in questions.ports(one.match, view):
                parts = (questions.subjects(one.subjects, view), *peers, *ports, RETURN)
                lists[one.direction].append(Rule(parts))
    for direction, addresses in isolated.items():
        denied = questions.subjects(addresses, DirectionView(direction, reply=False))
        lists[direction].append(Rule((denied, DROP)))
    chains = [Chain(direction.value, tuple(rules)) for direction, rules in lists.items()]
    ways = (Rule((jump(direction.value),)) for direction in (Direction.EGRESS, Direction.INGRESS))
    objects = [*questions.sets, *chains, _forward(ESTABLISHED, *ways)]
    return Ruleset.of(Table(TABLE), objects)
