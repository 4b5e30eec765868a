"""What a soak says: a line a minute, a summary, and whether it went well. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

MIB = 1 << 20
WARM_MINUTES = 5
"""Of a process: what it comes to hold in its first minutes is no leak."""
LEAST_MINUTES = 15
"""Minutes after which its memory can be judged."""
GROWTH, SLACK = 1.05, 2 * MIB
"""Of memory that is flat, the last third holds no more than the first, times and plus these."""
WELL, NOT_WELL, NOT_JUDGED = "well", "NOT well", "not judged"
"""How it went. Not judged: nothing was wrong, and too little was looked at to call it well."""
_WRONG = ("leaked", "lost", "answer lost")


class Minute(Struct, frozen=True):
    """What was looked at after a minute. By node: ``rss`` (bytes of the agent), ``elements`` (in
    the table), ``connections`` (that the kernel tracks), ``same`` (whether the table was that of a
    compile from nothing)."""

    number: int
    packets: int
    wrong: int
    changes: int
    faults: int
    tried: int
    """Pairs of ends and ports that were all tried once, over TCP."""
    tried_wrong: int
    slowest: float
    """Seconds until a change was in force on all nodes, the longest of this minute."""
    rss: Mapping[str, int]
    elements: Mapping[str, int]
    connections: Mapping[str, int]
    same: Mapping[str, bool]


class Soak(Struct, frozen=True):
    """All of a run. ``lasting``: the nodes whose agent was never started again. ``done``: faults by
    name. ``late``: changes that were not in force in time."""

    minutes: Sequence[Minute]
    packets: Mapping[str, int]
    done: Mapping[str, int]
    late: Sequence[str]
    lasting: frozenset[str]
    wrong: Sequence[str] = ()
    """Of wrong packets, the last ones in words."""
    failure: str = ""
    """Why it ended early."""

    @property
    def said(self) -> str:
        """How it went: WELL, NOT_WELL or NOT_JUDGED."""
        if self._is_wrong:
            return NOT_WELL
        return NOT_JUDGED if [*self.gaps] else WELL

    @property
    def _is_wrong(self) -> bool:
        """Something was wrong, late or lost, or memory grew."""
        return bool(
            self.failure
            or self.late
            or any(self.packets.get(what) for what in _WRONG)
            or any(each.tried_wrong or not all(each.same.values()) for each in self.minutes)
            or any(is_flat(self.memory(node)) is False for node in self.lasting)
        )

    @property
    def gaps(self) -> Iterator[str]:
        """What nobody has looked at, or not for long enough."""
        if not self.packets.get("right"):
            yield "no packet"
        if not any(each.tried for each in self.minutes):
            yield "no pair"
        if not any(each.same for each in self.minutes):
            yield "no table"
        if not self.lasting:
            yield "the memory of no agent"
        for node in sorted(self.lasting):
            if is_flat(self.memory(node)) is None:
                yield f"the memory of {node}"

    def memory(self, node: str) -> list[int]:
        """Of the agent of a node, minute by minute."""
        return [each.rss[node] for each in self.minutes if each.rss.get(node)]


def is_flat(series: Sequence[int]) -> bool | None:
    """Whether memory stayed as it was; None: there are too few minutes to say."""
    if len(series) < LEAST_MINUTES:
        return None
    warm = series[WARM_MINUTES:]
    third = len(warm) // 3
    return max(warm[-third:]) <= max(warm[:third]) * GROWTH + SLACK


def line(minute: Minute) -> str:
    """Of a minute."""
    same = "yes" if all(minute.same.values()) else "NO"
    return (
        f"minute {minute.number}: {minute.packets:,} packets, {minute.wrong} wrong; "
        f"{minute.tried:,} pairs tried, {minute.tried_wrong} wrong; {minute.changes} changes, the "
        f"slowest {minute.slowest:.1f} s; {minute.faults} faults; "
        f"memory {_each(minute.rss, MIB)} MiB; elements {_each(minute.elements)}; "
        f"connections {_each(minute.connections)}; table as from nothing: {same}"
    )


def _each(values: Mapping[str, int], unit: int = 0) -> str:
    return " / ".join(f"{each / unit:.1f}" if unit else f"{each:,}" for each in values.values())


def summary(soak: Soak, seed: int) -> Iterator[str]:
    """Of a run."""
    minutes = soak.minutes
    yield f"{minutes[-1].number if minutes else 0} minutes, seed {seed}"
    for name, number in sorted(Counter(soak.done).items()):
        yield f"{number:6} {name}"
    yield f"{sum(each.changes for each in minutes):6} changes"
    wrong = sum(soak.packets.get(what, 0) for what in _WRONG)
    total = wrong + soak.packets.get("right", 0)
    left = soak.packets.get("not judged", 0)
    yield f"{total:,} packets judged, {wrong} wrong; {left:,} sent while something changed"
    yield from (f"  {soak.packets[what]} {what}" for what in _WRONG if soak.packets.get(what))
    yield from (f"  {each}" for each in soak.wrong)
    tried, missed = (sum(each.tried for each in minutes), sum(e.tried_wrong for e in minutes))
    yield f"{tried:,} pairs tried over TCP, {missed} wrong"
    checks = [is_same for each in minutes for is_same in each.same.values()]
    yield f"table as from nothing: {sum(checks)} of {len(checks)} times"
    slowest = max((each.slowest for each in minutes), default=0.0)
    yield f"slowest change: {slowest:.1f} s; {len(soak.late)} late"
    yield from (f"  late: {each}" for each in soak.late)
    for node in minutes[-1].rss if minutes else ():
        yield _memory(soak, node)
    if soak.failure:
        yield f"ended early: {soak.failure}"
    gaps = ", ".join(soak.gaps)
    yield f"{NOT_JUDGED}: {gaps}" if soak.said == NOT_JUDGED else soak.said


def _memory(soak: Soak, node: str) -> str:
    series = soak.memory(node)
    if not series:
        return f"memory of {node}: not known"
    flat = {True: "flat", False: "NOT FLAT", None: "too short a time to say whether it is flat"}
    said = flat[is_flat(series)] if node in soak.lasting else "started again now and then"
    first = series[min(WARM_MINUTES, len(series) - 1)]
    text = f"{first / MIB:.1f} MiB after the first minutes, {series[-1] / MIB:.1f} at the end"
    return f"memory of {node}: {text}, {max(series) / MIB:.1f} at most: {said}"
