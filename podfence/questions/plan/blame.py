"""Which edit opened or closed what, proved by undoing that edit.

Rule: a policy that selects neither end cannot change a verdict, nor can labels that neither end
has; the remaining edits are the candidates of a change. A single candidate is the cause, because
without it nothing differs. Of several, each is undone; where that changes nothing, each is tried
alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import cached_property
from itertools import product

from msgspec import Struct
from pyroaring import BitMap, FrozenBitMap

from podfence.model.meta import ObjectRef
from podfence.policy.flow import Direction
from podfence.policy.index import DirectionPolicy, PolicyIndex
from podfence.questions.plan.counterfactual import SmallCluster, Worlds
from podfence.questions.plan.difference import ReachChange
from podfence.questions.plan.edits import Edit
from podfence.questions.plan.ends import JointClasses
from podfence.sets import PortSet
from podfence.sets.ports import NOTHING


class BlameMode(Enum):
    """How edits cause a change together."""

    ALONE = "alone"
    """Taking this one edit back undoes the change."""
    ALL = "all"
    """Each of them is needed: taking any one back undoes the change."""
    ANY = "any"
    """Each of them is enough: taking one back leaves the change to the others."""
    TOGETHER = "together"
    """Not separated: undoing all of them undoes the change."""


class Blame(Struct, frozen=True):
    """The edits (by number) that cause a change. ``proved``: an edit was undone, or tried alone,
    and the verdict changed; or nothing else touches the change."""

    edits: tuple[int, ...]
    mode: BlameMode
    proved: bool


class BlamedChange(Struct, frozen=True):
    """Part of a change with one cause."""

    sources: FrozenBitMap
    destinations: FrozenBitMap
    opened: PortSet
    closed: PortSet
    family: int | None
    blame: Blame


class BlameLimits(Struct, frozen=True):
    """The limits of the search. ``worlds``: small clusters to compile; ``verdicts``: questions to
    ask them."""

    worlds: int = 300
    verdicts: int = 400_000


USUAL = BlameLimits()


def blamed(
    changes: Iterable[ReachChange],
    edits: Sequence[Edit],
    old: PolicyIndex,
    new: PolicyIndex,
    ends: JointClasses,
    limits: BlameLimits = USUAL,
) -> tuple[BlamedChange, ...]:
    """All changes, in parts that have one cause each."""
    return tuple(_Blamer(edits, old, new, ends, limits).run(changes))


_Candidates = tuple[int, ...]


class _Blamer:
    def __init__(
        self,
        edits: Sequence[Edit],
        old: PolicyIndex,
        new: PolicyIndex,
        ends: JointClasses,
        limits: BlameLimits,
    ) -> None:
        self._edits = edits
        self._sides = (old, new)
        self._ends = ends
        self._limits = limits
        self._by_ref = {edit.ref: edit.number for edit in edits if not edit.is_of_pods}
        self._nodes = tuple(edit.number for edit in edits if edit.ref.kind == "Node")
        self._policies: dict[tuple[int, int], frozenset[int]] = {}
        self._worlds = Worlds(old, new)
        self._made: dict[tuple[str, int], SmallCluster | None] = {}
        self._asked_of: dict[int, BitMap] = defaultdict(BitMap)
        self._verdicts = 0

    def run(self, changes: Iterable[ReachChange]) -> Iterator[BlamedChange]:
        several: list[tuple[ReachChange, _Candidates]] = []
        for change in changes:
            for part, candidates in self._by_candidates(change):
                if len(candidates) == 1:
                    yield self._whole(part, Blame(candidates, BlameMode.ALONE, proved=True))
                else:
                    several.append((part, candidates))
                    for number in candidates:
                        self._asked_of[number] |= part.sources | part.destinations
        for part, candidates in several:
            yield from self._tried(part, candidates)

    def _whole(self, change: ReachChange, blame: Blame) -> BlamedChange:
        return BlamedChange(
            change.sources,
            change.destinations,
            change.opened,
            change.closed,
            change.family,
            blame,
        )

    # -- candidates

    def _by_candidates(self, change: ReachChange) -> Iterator[tuple[ReachChange, _Candidates]]:
        """The change in parts, each with every edit that could have caused it. Sources of one
        change have the same policies, and so have its destinations."""
        found: frozenset[int] = frozenset()
        if change.egress:
            found |= self._of_policies(change.sources[0], Direction.EGRESS)
            found |= frozenset(self._nodes)
        if change.ingress:
            found |= self._of_policies(change.destinations[0], Direction.INGRESS)
        pairs = product(self._by_edits(change.sources), self._by_edits(change.destinations))
        for (sources, near), (destinations, far) in pairs:
            candidates = tuple(sorted(found | near | far))
            part = ReachChange(
                sources,
                destinations,
                change.before,
                change.after,
                change.family,
                change.egress,
                change.ingress,
            )
            yield part, candidates or tuple(edit.number for edit in self._edits)

    def _of_policies(self, joint: int, direction: Direction) -> frozenset[int]:
        """The edits of policies that apply to a pod before or after."""
        end = self._ends.joint[joint]
        policies = [
            side.policies[number].of(direction)
            for side, number in zip(self._sides, (end.before, end.after), strict=True)
        ]
        key = policies[0].number, policies[1].number
        found = self._policies.get(key)
        if found is None:
            refs = {ref for policy in policies for ref in applying(policy)}
            found = frozenset(self._by_ref[ref] for ref in refs if ref in self._by_ref)
            self._policies[key] = found
        return found

    def _by_edits(self, joint: FrozenBitMap) -> list[tuple[FrozenBitMap, frozenset[int]]]:
        """Ends by the edits of themselves and of their namespaces."""
        found: dict[frozenset[int], BitMap] = defaultdict(BitMap)
        for number in joint:
            found[self._of_end[number]].add(number)
        return [(FrozenBitMap(members), edits) for edits, members in found.items()]

    @cached_property
    def _of_end(self) -> tuple[frozenset[int], ...]:
        spaces = {e.ref.name: e.number for e in self._edits if e.ref.kind == "Namespace"}
        return tuple(
            frozenset(
                number
                for number in (end.edit, spaces.get(end.namespace) if end.lines else None)
                if number is not None
            )
            for end in self._ends.joint
        )

    # -- taking back

    def _tried(self, change: ReachChange, candidates: _Candidates) -> Iterator[BlamedChange]:
        """Parts of a change that has several candidates."""
        pairs = len(change.sources) * len(change.destinations) * len(candidates)
        together = Blame(candidates, BlameMode.TOGETHER, proved=False)
        if self._verdicts + pairs > self._limits.verdicts:
            yield self._whole(change, together)
            return
        self._verdicts += pairs
        found: dict[tuple[PortSet, PortSet, int | None, Blame], dict[int, BitMap]] = defaultdict(
            lambda: defaultdict(BitMap)
        )
        for source, destination in product(change.sources, change.destinations):
            for family, ports, blame in self._of_pair(change, source, destination, candidates):
                key = ports & change.opened, ports & change.closed, family, blame or together
                found[key][destination].add(source)
        for (opened, closed, family, blame), rows in found.items():
            for sources, destinations in rectangles(rows):
                yield BlamedChange(sources, destinations, opened, closed, family, blame)

    def _of_pair(
        self, change: ReachChange, source: int, destination: int, candidates: _Candidates
    ) -> Iterator[tuple[int | None, PortSet, Blame | None]]:
        """The causes of one pair. What holds over both IP versions may have a cause in each."""
        families = (change.family,) if change.family else self._families(source, destination)
        causes: dict[int | None, dict[PortSet, Blame | None]] = {
            family: dict(self._causes(change, source, destination, family, candidates))
            for family in families
        }
        said = list(causes.values())
        if all(each == said[0] for each in said):
            causes = {change.family: said[0]}
        for family, of_family in causes.items():
            for ports, blame in of_family.items():
                yield family, ports, blame

    def _causes(
        self,
        change: ReachChange,
        source: int,
        destination: int,
        family: int,
        candidates: _Candidates,
    ) -> Iterator[tuple[PortSet, Blame | None]]:
        """The ports of one pair that changed, by their cause; None where it was not found."""
        left = change.opened | change.closed
        back: dict[int, PortSet] = {}
        for number in candidates:
            verdict = self._ports("without", number, source, destination, family)
            back[number] = NOTHING if verdict is None else _differs(verdict, change.after) & left
        for ports, needed in _by_members(left, back):
            if needed:
                mode = BlameMode.ALONE if len(needed) == 1 else BlameMode.ALL
                yield ports, Blame(needed, mode, proved=True)
                left -= ports
        if not left:
            return
        done: dict[int, PortSet] = {}
        for number in candidates:
            verdict = self._ports("alone", number, source, destination, family)
            done[number] = NOTHING if verdict is None else _differs(verdict, change.before) & left
        for ports, enough in _by_members(left, done):
            yield ports, Blame(enough, BlameMode.ANY, proved=True) if enough else None

    def _ports(
        self, kind: str, number: int, source: int, destination: int, family: int
    ) -> PortSet | None:
        if (kind, number) not in self._made:
            self._made[kind, number] = self._make(kind, number)
        world = self._made[kind, number]
        return None if world is None else world.ports(source, destination, family)

    def _make(self, kind: str, number: int) -> SmallCluster | None:
        if len(self._made) >= self._limits.worlds:
            return None
        make = self._worlds.without if kind == "without" else self._worlds.alone
        return make(self._edits[number], [self._ends.joint[j] for j in self._asked_of[number]])

    def _families(self, source: int, destination: int) -> tuple[int, ...]:
        """The IP versions that both ends speak on both sides."""
        spoken = {4, 6}
        for number in (source, destination):
            end = self._ends.joint[number]
            if end.outside is not None:
                spoken &= {4} if end.outside.v4 else {6}
                continue
            for side, of_side in zip(self._sides, (end.before, end.after), strict=True):
                spoken &= {a.version for a in side.members[of_side][0].addresses}
        return tuple(sorted(spoken))


def applying(policy: DirectionPolicy) -> Iterator[ObjectRef]:
    """The policies that a direction is made of."""
    for tier in policy.tiers:
        yield from (origin.policy for origin in tier.isolated_by)
        yield from (rule.origin.policy for rule in tier.rules)


def _differs(one: PortSet, other: PortSet) -> PortSet:
    return (one - other) | (other - one)


def _by_members(
    whole: PortSet, sets: Mapping[int, PortSet]
) -> list[tuple[PortSet, tuple[int, ...]]]:
    """``whole`` in parts, each with the numbers of the sets that hold it."""
    parts: list[tuple[PortSet, tuple[int, ...]]] = [(whole, ())]
    for number, ports in sets.items():
        split: list[tuple[PortSet, tuple[int, ...]]] = []
        for part, members in parts:
            inside = part & ports
            outside = part - ports
            split += [(inside, (*members, number))] if inside else []
            split += [(outside, members)] if outside else []
        parts = split
    return parts


def rectangles(
    rows: Mapping[int, BitMap],
) -> Iterator[tuple[FrozenBitMap, FrozenBitMap]]:
    """Sources and destinations from the sources of each destination."""
    found: dict[FrozenBitMap, BitMap] = defaultdict(BitMap)
    for destination, sources in rows.items():
        found[FrozenBitMap(sources)].add(destination)
    for who, destinations in found.items():
        yield who, FrozenBitMap(destinations)
