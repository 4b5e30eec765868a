"""The plan from one state of a cluster to the next, found by what an event touched.

Rule: says of every pair what ``plan_of_indexes`` of the same two states says (a law that tests hold
it to); over two IP versions the pairs may be grouped in another way. An edit of
NetworkPolicies that parts no class and joins none costs what it touches, however large the rest is;
any other edit costs a whole comparison.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property

from msgspec import Struct
from pyroaring import BitMap, FrozenBitMap

from podfence.engine.clusterpairs import ClusterPairs
from podfence.engine.partition import Blocks
from podfence.engine.porttable import NOTHING_ID
from podfence.live.clusterevents import ClusterEvent
from podfence.live.clusterindex import Affected, ClusterIndex
from podfence.model.cluster import Cluster
from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy
from podfence.model.networkpolicy import NetworkPolicy
from podfence.policy.index import PolicyIndex
from podfence.questions.plan.blame import USUAL, blamed
from podfence.questions.plan.difference import ReachChange, across
from podfence.questions.plan.edits import edits_between
from podfence.questions.plan.ends import JointClasses, Lift, joint_ends
from podfence.questions.plan.outcomes import outcomes
from podfence.questions.plan.plan import Plan, plan_of_indexes

_Profile = tuple[int, int]
"""The numbers of a direction's policies before and after."""


class FollowedState:
    """A state that edits start from. Its cluster holds the newcomers that the plan shall name."""

    def __init__(self, state: ClusterIndex) -> None:
        self.state = state

    @cached_property
    def pairs(self) -> tuple[tuple[int, ClusterPairs], ...]:
        """All pairs in this state, by IP version."""
        index = self.state.index
        families = sorted({address.version for address in index.by_address})
        return tuple((family, ClusterPairs.of(index, family)) for family in families)

    @cached_property
    def ends(self) -> JointClasses:
        """Each class by itself: until it is split, it is one class before and after."""
        return joint_ends(self.state.index, self.state.index, {})

    @cached_property
    def _lift(self) -> Lift:
        return Lift((joint.before, joint.number) for joint in self.ends.joint)

    def prepare(self) -> None:
        """Work out now what the first plan would have to wait for."""
        _ = self._lift
        for _, pairs in self.pairs:
            pairs.prepare()

    def plan(self, events: tuple[ClusterEvent, ...]) -> Plan:
        """What these events open and close."""
        new, affected = self.state.apply(events)
        old = self.state
        doubts = old.index.cluster.doubts or new.index.cluster.doubts
        if affected.classes or doubts or not _are_policies(old, events):
            return plan_of_indexes(old.index, new.index)
        edits = edits_between(_only(old, events), _only(new, events))
        changes = self.changes(new.index, affected)
        parts = blamed(changes, edits, old.index, new.index, self.ends, USUAL)
        everything = outcomes(parts, self.ends)
        return Plan(
            edits,
            tuple(each for each in everything if not each.newcomers),
            tuple(each for each in everything if each.newcomers),
            (),
            (),
            (),
        )

    def changes(self, new: PolicyIndex, affected: Affected) -> tuple[ReachChange, ...]:
        """What ``difference`` finds between this state and one that has the same classes."""
        return across([self._changed(*each, new, affected) for each in self.pairs])

    def _changed(
        self, family: int, pairs: ClusterPairs, new: PolicyIndex, affected: Affected
    ) -> tuple[int, FrozenBitMap, Iterator[ReachChange]]:
        after = pairs.after(new, affected)
        changes = _RowComparison(
            self.state.index, new, affected, pairs, after, self._lift
        ).changes()
        return family, self._lift.of(pairs.partitions.everyone), changes


def _are_policies(state: ClusterIndex, events: tuple[ClusterEvent, ...]) -> bool:
    """Whether the events are about policies of namespaces that are there before and after."""
    namespaces = state.index.cluster.namespaces
    return all(
        each.ref.kind == "NetworkPolicy" and not each.doubts and each.ref.namespace in namespaces
        for each in events
    )


def _only(state: ClusterIndex, events: tuple[ClusterEvent, ...]) -> Cluster:
    """The cluster with only the objects of these events."""
    known = state.objects.known
    things = (known[each.ref].thing for each in events if each.ref in known)
    policies = (t for t in things if isinstance(t, NetworkPolicy | ClusterNetworkPolicy))
    return Cluster.of(policies)


class _RowComparison(Struct, frozen=True):
    """The rows of two states, compared where they differ."""

    old: PolicyIndex
    new: PolicyIndex
    affected: Affected
    before: ClusterPairs
    after: ClusterPairs
    lift: Lift

    def changes(self) -> Iterator[ReachChange]:
        """Sources and destinations whose own policies are the same on both sides are together, as
        blame expects it."""
        found: dict[tuple[int, int, FrozenBitMap, bool, _Profile], BitMap] = defaultdict(BitMap)
        for destination in self.after.changed:
            of_destination = self._profile(destination, ingress=True)
            rows = self.before.row(destination), self.after.row(destination)
            for was, now, sources in _differing(*rows):
                for members, sends in self._by_profile(sources):
                    found[was, now, members, sends, of_destination].add(destination)
        sets = self.after.partitions.table.sets
        for (was, now, members, sends, _), destinations in found.items():
            yield ReachChange(
                self.lift.of(members),
                self.lift.of(destinations),
                sets[was],
                sets[now],
                None,
                sends,
                destinations[0] in self.affected.ingress,
            )

    def _by_profile(self, sources: BitMap) -> Iterator[tuple[FrozenBitMap, bool]]:
        """Sources whose own egress says something else, by what it says; and the others."""
        groups: dict[_Profile, BitMap] = defaultdict(BitMap)
        sending = FrozenBitMap(sources & self.affected.egress)
        for source in sending:
            groups[self._profile(source, ingress=False)].add(source)
        for members in groups.values():
            yield FrozenBitMap(members), True
        if others := FrozenBitMap(sources - sending):
            yield others, False

    def _profile(self, number: int, *, ingress: bool) -> _Profile:
        sides = (self.old.policies[number], self.new.policies[number])
        policies = (each.ingress if ingress else each.egress for each in sides)
        before, after = (each.number for each in policies)
        return before, after


def _differing(before: Blocks, after: Blocks) -> Iterator[tuple[int, int, BitMap]]:
    """The sources of one destination whose ports differ, by the numbers of both.

    A row may have hundreds of blocks on either side; source by source its cost is that of what
    differs, where block by block it is that of all pairs of blocks.
    """
    was_of: dict[int, int] = {}
    for was, members in before.items():
        same = after.get(was)
        moved = members if same is None else members - same
        was_of |= dict.fromkeys(moved, was)
    found: dict[tuple[int, int], BitMap] = defaultdict(BitMap)
    for now, members in after.items():
        same = before.get(now)
        for source in members if same is None else members - same:
            found[was_of.pop(source, NOTHING_ID), now].add(source)
    for source, was in was_of.items():
        found[was, NOTHING_ID].add(source)
    for (was, now), sources in found.items():
        yield was, now, sources
