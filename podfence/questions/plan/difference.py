"""The set difference of two maps: who may reach whom on what, before and after.

Rule: never pair by pair. A direction of a pod is looked at only if its compiled form differs, and
what changes comes out as rectangles: sets of sources, sets of destinations. It equals the
difference of two ``all_pairs`` (a law that tests hold it to).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace
from pyroaring import BitMap, FrozenBitMap

from podfence.engine.partition import Partitions
from podfence.engine.porttable import EVERYTHING_ID, NOTHING_ID, PortTable
from podfence.policy.flow import Direction
from podfence.policy.index import (
    CompiledRule,
    CompiledTier,
    DirectionPolicy,
    Everyone,
    Peers,
    PolicyIndex,
)
from podfence.questions.plan.ends import JointClasses, Lift
from podfence.sets import PortSet


class ReachChange(Struct, frozen=True):
    """Each of ``sources`` may reach each of ``destinations`` on other ports than before.

    Both are joint classes. ``family``: 4 or 6 where it holds for that IP version only, None where
    it holds for every one that the two share. ``egress``, ``ingress``: whether that direction
    itself says something else than before.
    """

    sources: FrozenBitMap
    destinations: FrozenBitMap
    before: PortSet
    after: PortSet
    family: int | None
    egress: bool
    ingress: bool

    @property
    def opened(self) -> PortSet:
        """What may pass now and might not before."""
        return self.after - self.before

    @property
    def closed(self) -> PortSet:
        """What might pass before and may not now."""
        return self.before - self.after


def difference(old: PolicyIndex, new: PolicyIndex, ends: JointClasses) -> tuple[ReachChange, ...]:
    """Every pair whose verdict differs, in exactly one change for each IP version."""
    forms = _Forms(old, new, ends)
    families = [
        _Family(old, new, ends, forms, family)
        for family in sorted({a.version for a in new.by_address})
    ]
    return across([(each.family, each.everyone, each.changes()) for each in families])


_OfFamily = tuple[int, FrozenBitMap, Iterable[ReachChange]]
"""An IP version, the joint classes that speak it, and the changes in it."""


def across(families: Sequence[_OfFamily]) -> tuple[ReachChange, ...]:
    """The changes of all IP versions; changes that are equal in all of them are merged."""
    found: dict[ReachChange, list[int]] = defaultdict(list)
    for family, _, changes in families:
        for change in changes:
            found[change].append(family)
    return tuple(
        replace(change, family=_only_in(families, change, versions))
        for change, versions in found.items()
    )


def _only_in(
    families: Iterable[_OfFamily], change: ReachChange, versions: Sequence[int]
) -> int | None:
    """The family of a change that was found in ``versions``; None where no pair of it speaks
    another."""
    for family, everyone, _ in families:
        speaks = change.sources.intersect(everyone) and change.destinations.intersect(everyone)
        if family not in versions and speaks:
            return versions[0]
    return None


# -- which directions differ at all


class _Forms:
    """Compiled directions of both sides in joint classes: equal forms, equal verdicts."""

    def __init__(self, old: PolicyIndex, new: PolicyIndex, ends: JointClasses) -> None:
        self._sides = (
            _SideForms(Lift((j.before, j.number) for j in ends.joint)),
            _SideForms(Lift((j.after, j.number) for j in ends.joint)),
        )

    def differ(self, old: DirectionPolicy, new: DirectionPolicy) -> bool:
        """Whether the two may say different things to or of some joint class."""
        return self._sides[0].of(old) != self._sides[1].of(new)


class _SideForms:
    """The forms of one side."""

    def __init__(self, lift: Lift) -> None:
        self._lift = lift
        self._peers: dict[tuple[str, int | None], Hashable] = {}
        self._rules: dict[int, tuple[Hashable, ...]] = {}
        self._tiers: dict[int, Hashable] = {}
        self._directions: dict[int, Hashable] = {}

    def of(self, policy: DirectionPolicy) -> Hashable:
        found = self._directions.get(policy.number)
        if found is None:
            found = tuple(map(self._tier, policy.tiers))
            self._directions[policy.number] = found
        return found

    def _tier(self, tier: CompiledTier) -> Hashable:
        found = self._tiers.get(tier.number)
        if found is None:
            rules = tuple((rule.action, self._matches(rule)) for rule in tier.rules)
            if tier.ordered:
                found = tier.default, tuple(rule for rule in rules if rule[1])
            else:  # NP-7: the union of all matches, whatever rule they stand in
                found = tier.default, frozenset(m for _, matches in rules for m in matches)
            self._tiers[tier.number] = found
        return found

    def _matches(self, rule: CompiledRule) -> tuple[Hashable, ...]:
        found = self._rules.get(rule.number)
        if found is None:
            pairs = ((match.ports, self._among(match.peers)) for match in rule.matches)
            found = tuple(pair for pair in pairs if pair[1] is not None)
            self._rules[rule.number] = found
        return found

    def _among(self, peers: Peers) -> Hashable:
        """The joint classes that peers match; None where they match none."""
        if isinstance(peers, Everyone):
            return peers.key
        key = peers.key, peers.family
        if key not in self._peers:
            joint = self._lift.of(peers.classes)
            self._peers[key] = (peers.family, joint) if joint else None
        return self._peers[key]


# -- what they say


_Profile = tuple[int, int]
"""The numbers of a direction's policies before and after."""
_UNJUDGED: _Profile = (-1, -1)
"""Of outside addresses: no policy judges them (NP-1)."""


class _Block(Struct, frozen=True):
    """``remotes`` may use the ports ``before``, and now ``after``, as numbers of a table."""

    before: int
    after: int
    remotes: FrozenBitMap


class _Family:
    """The difference in one IP version."""

    def __init__(
        self, old: PolicyIndex, new: PolicyIndex, ends: JointClasses, forms: _Forms, family: int
    ) -> None:
        self.family = family
        self._sides = (old, new)
        self._directions = (old.direction_policies, new.direction_policies)  # made when asked for
        self._forms = forms
        self._table = PortTable()
        self._partitions = tuple(Partitions(index, family, self._table) for index in self._sides)
        speaking = [
            j
            for j in ends.joint
            if j.before in self._partitions[0].everyone and j.after in self._partitions[1].everyone
        ]
        self.everyone = FrozenBitMap(j.number for j in speaking)
        self._outside = self.everyone & ends.outside
        self._lifts = (
            Lift((j.before, j.number) for j in speaking),
            Lift((j.after, j.number) for j in speaking),
        )
        self._subjects = {direction: self._grouped(ends, direction) for direction in Direction}
        self._blocks: dict[tuple[Direction, _Profile], tuple[_Block, ...]] = {}

    def changes(self) -> Iterator[ReachChange]:
        """All changes of this family, which they do not name."""
        yield from self._by_egress()
        yield from self._by_ingress()

    def _by_egress(self) -> Iterator[ReachChange]:
        """Pairs whose source's side says something else, whatever the destination's says."""
        ingress = self._subjects[Direction.INGRESS]
        for sources, changed in self._changed(Direction.EGRESS):
            reached = FrozenBitMap().union(*(block.remotes for block in changed))
            for profile, pods in ingress.items():
                if not pods.intersect(reached):
                    continue
                for near in changed:
                    destinations = pods & near.remotes
                    if destinations:
                        for far in self._of(Direction.INGRESS, profile):
                            yield from self._cell(near, far, sources & far.remotes, destinations)

    def _by_ingress(self) -> Iterator[ReachChange]:
        """Pairs that differ only on the destination's side."""
        egress = self._subjects[Direction.EGRESS]
        for destinations, changed in self._changed(Direction.INGRESS):
            senders = FrozenBitMap().union(*(block.remotes for block in changed))
            for profile, pods in egress.items():
                if not pods.intersect(senders):
                    continue
                for far in changed:
                    sources = pods & far.remotes
                    if sources:
                        for near in self._of(Direction.EGRESS, profile):
                            if near.before == near.after:
                                yield from self._cell(
                                    near, far, sources, destinations & near.remotes
                                )

    def _cell(
        self, near: _Block, far: _Block, sources: FrozenBitMap, destinations: FrozenBitMap
    ) -> Iterator[ReachChange]:
        """What both sides say together (NP-6)."""
        if not sources or not destinations:
            return
        before = self._table.intersection(near.before, far.before)
        after = self._table.intersection(near.after, far.after)
        if before != after:
            sets = self._table.sets
            yield ReachChange(
                sources,
                destinations,
                sets[before],
                sets[after],
                None,
                near.before != near.after,
                far.before != far.after,
            )

    def _changed(self, direction: Direction) -> Iterator[tuple[FrozenBitMap, list[_Block]]]:
        """Pods with what changes for them in a direction."""
        for profile, subjects in self._subjects[direction].items():
            if profile != _UNJUDGED and self._differ(profile):
                blocks = self._of(direction, profile)
                changed = [block for block in blocks if block.before != block.after]
                if changed:
                    yield subjects, changed

    def _grouped(self, ends: JointClasses, direction: Direction) -> Mapping[_Profile, FrozenBitMap]:
        """Joint classes by what applies to them on both sides."""
        old, new = self._sides
        found: dict[_Profile, BitMap] = defaultdict(BitMap)
        for number in self.everyone - self._outside:
            joint = ends.joint[number]
            before = old.policies[joint.before].of(direction)
            after = new.policies[joint.after].of(direction)
            found[before.number, after.number].add(number)
        if self._outside:
            found[_UNJUDGED] |= self._outside
        return {profile: FrozenBitMap(members) for profile, members in found.items()}

    def _differ(self, profile: _Profile) -> bool:
        old, new = self._policies(profile)
        return self._forms.differ(old, new)

    def _policies(self, profile: _Profile) -> tuple[DirectionPolicy, DirectionPolicy]:
        old, new = self._directions
        return old[profile[0]], new[profile[1]]

    def _of(self, direction: Direction, profile: _Profile) -> tuple[_Block, ...]:
        """All that a direction permits before or after, or both."""
        found = self._blocks.get((direction, profile))
        if found is None:
            found = self._blocks[direction, profile] = tuple(self._made(profile))
        return found

    def _made(self, profile: _Profile) -> Iterator[_Block]:
        if profile == _UNJUDGED:
            yield _Block(EVERYTHING_ID, EVERYTHING_ID, self.everyone)
            return
        if not self._differ(profile):
            for ports, remotes in self._permits(1, profile[1]).items():
                yield _Block(ports, ports, remotes)
            return
        rest = {NOTHING_ID: self.everyone}
        before = self._permits(0, profile[0])
        after = self._permits(1, profile[1])
        for blocks in (before, after):
            said = FrozenBitMap().union(*blocks.values())
            blocks |= {ports: who - said for ports, who in rest.items()}
        for was, members in before.items():
            for now, others in after.items():
                both = members & others
                if both and (was, now) != (NOTHING_ID, NOTHING_ID):
                    yield _Block(was, now, both)

    def _permits(self, side: int, number: int) -> dict[int, FrozenBitMap]:
        """What one side permits, in joint classes."""
        policy = self._directions[side][number]
        if not policy.tiers:
            return {EVERYTHING_ID: self.everyone}
        blocks = self._partitions[side].of(policy)
        lifted = ((ports, self._lifts[side].of(who)) for ports, who in blocks.items())
        return {ports: who for ports, who in lifted if who}
