"""Changes as people count them: workloads and outside addresses, grouped by cause.

Rule: exact. An outcome is a rectangle: every one of its sources, to every one of its destinations,
opens and closes the same ports for the same reason.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum

from msgspec import Struct
from msgspec.structs import replace
from pyroaring import BitMap, FrozenBitMap

from podfence.questions.phrases.outside import name_outside
from podfence.questions.plan.blame import Blame, BlamedChange, rectangles
from podfence.questions.plan.ends import JointClasses, WorkloadPods
from podfence.sets import AddressSet, PortSet


class OutcomeScope(Enum):
    """Where the two ends of an outcome are."""

    IN = "in"
    """From outside addresses to pods."""
    OUT = "out"
    """From pods to outside addresses."""
    PODS = "pods"
    """Between pods."""


class OutcomeEnd(Struct, frozen=True):
    """The sources or the destinations of an outcome: pods, or addresses outside."""

    lines: tuple[WorkloadPods, ...] = ()
    outside: AddressSet | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What they are called. Text of the API: never print it raw."""
        if self.outside is not None:
            return (f"outside {name_outside(self.outside)}",)
        return tuple(line.name for line in self.lines)


class Outcome(Struct, frozen=True):
    """What opens and closes between all of ``sources`` and all of ``destinations``, and why.

    ``pairs``: of workloads; of outside addresses one a workload. A single pod and itself are no
    pair. ``family``: as in ``Change``. ``newcomers``: an end is an imaginary pod.
    """

    scope: OutcomeScope
    sources: OutcomeEnd
    destinations: OutcomeEnd
    opened: PortSet
    closed: PortSet
    family: int | None
    blame: Blame
    pairs: int
    newcomers: bool = False
    meetings: tuple[tuple[str, str], ...] = ()
    """Tenants whose pods may connect, each with the tenant whose pods they reach: something opens
    between them."""

    @property
    def subjects(self) -> tuple[WorkloadPods, ...]:
        """The workloads that get a way in or out; of pods both ends."""
        return (*self.sources.lines, *self.destinations.lines)


def with_meetings(found: Iterable[Outcome], tenants: Mapping[str, str]) -> tuple[Outcome, ...]:
    """The outcomes with the tenants that meet in them. ``tenants``: by namespace."""
    return tuple(
        replace(each, meetings=pairs) if (pairs := _meetings(each, tenants)) else each
        for each in found
    )


def _meetings(outcome: Outcome, tenants: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    if not outcome.opened or not tenants:
        return ()
    spaces = (
        {line.workload.namespace for line in who.lines}
        for who in (outcome.sources, outcome.destinations)
    )
    near, far = ({tenants[each] for each in names & tenants.keys()} for names in spaces)
    return tuple(sorted((one, other) for one in near for other in far if one != other))


def outcomes(parts: Iterable[BlamedChange], ends: JointClasses) -> tuple[Outcome, ...]:
    """All outcomes: ways in and out first, then by name."""
    found = sorted(_outcomes(parts, ends), key=_order)
    return tuple(found)


def _order(outcome: Outcome) -> tuple[object, ...]:
    rank = {OutcomeScope.IN: 0, OutcomeScope.OUT: 1, OutcomeScope.PODS: 2}[outcome.scope]
    return (
        rank,
        not outcome.opened,
        outcome.destinations.names,
        outcome.sources.names,
        str(outcome.opened),
        str(outcome.closed),
        outcome.family or 0,
    )


_Key = tuple[PortSet, PortSet, Blame]
_Rows = dict[int, BitMap]
"""The sources of each destination."""


def _outcomes(parts: Iterable[BlamedChange], ends: JointClasses) -> Iterator[Outcome]:
    by_key: dict[_Key, dict[int | None, list[BlamedChange]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for part in parts:
        by_key[part.opened, part.closed, part.blame][part.family].append(part)
    outside, newcomers = ends.outside, ends.newcomers
    people = FrozenBitMap(range(len(ends.joint))) - outside - newcomers
    kinds = (
        (OutcomeScope.PODS, people, people, False),
        (OutcomeScope.IN, outside, people, False),
        (OutcomeScope.OUT, people, outside, False),
        (OutcomeScope.IN, outside, newcomers, True),
        (OutcomeScope.OUT, newcomers, outside, True),
        (OutcomeScope.PODS, newcomers, people, True),
        (OutcomeScope.PODS, people | newcomers, newcomers, True),
    )
    for (opened, closed, blame), families in by_key.items():
        for scope, near, far, imaginary in kinds:
            found = {each: _rows(families[each], near, far, ends) for each in families}
            every = (
                (family, *rectangle)
                for family, rows in _said_once(found).items()
                for rectangle in rectangles(rows)
            )
            for family, sources, destinations in every:
                yield Outcome(
                    scope,
                    _who(sources, ends),
                    _who(destinations, ends),
                    opened,
                    closed,
                    family,
                    blame,
                    _pairs(sources, destinations, ends),
                    imaginary,
                )


def _rows(
    parts: Iterable[BlamedChange], near: FrozenBitMap, far: FrozenBitMap, ends: JointClasses
) -> _Rows:
    """The sources of each destination, without a single pod from itself."""
    rows: _Rows = {}
    for part in parts:
        sources = part.sources & near
        for destination in part.destinations & far if sources else ():
            rows[destination] = rows.get(destination, BitMap()) | sources
    for destination in list(rows):
        lines = ends.joint[destination].lines
        if len(lines) == 1 and lines[0].is_single_pod:
            rows[destination].discard(destination)
            if not rows[destination]:
                del rows[destination]
    return rows


def _said_once(found: dict[int | None, _Rows]) -> dict[int | None, _Rows]:
    """What happens to a pair in both IP versions is no matter of either. They come apart where
    something else happens to the same pods in one of them, which another edit may have done."""
    if 4 not in found or 6 not in found:
        return found
    both = {
        destination: common
        for destination, sources in found[4].items()
        if (common := sources & found[6].get(destination, BitMap()))
    }
    left: dict[int | None, _Rows] = {
        family: {to: rest for to, row in rows.items() if (rest := row - both.get(to, BitMap()))}
        for family, rows in found.items()
        if family is not None
    }
    every = dict(found.get(None, {}))
    for destination, common in both.items():
        every[destination] = every.get(destination, BitMap()) | common
    return {None: every, **left}


def _who(joint: FrozenBitMap, ends: JointClasses) -> OutcomeEnd:
    members = [ends.joint[number] for number in joint]
    if members[0].outside is not None:
        return OutcomeEnd(outside=AddressSet.union(m.outside for m in members if m.outside))
    lines = (line for member in members for line in member.lines)
    return OutcomeEnd(tuple(sorted(lines, key=lambda line: line.name)))


def _pairs(sources: FrozenBitMap, destinations: FrozenBitMap, ends: JointClasses) -> int:
    near, far = _count(sources, ends), _count(destinations, ends)
    both = (ends.joint[number] for number in sources & destinations)
    return near * far - sum(line.is_single_pod for end in both for line in end.lines)


def _count(joint: FrozenBitMap, ends: JointClasses) -> int:
    """Workloads; all outside addresses together count once."""
    return max(1, sum(len(ends.joint[number].lines) for number in joint))
