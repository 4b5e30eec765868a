"""Sets of integers as sorted, disjoint, non-adjacent closed intervals.

Rule: canonical by construction, so ``==`` and ``hash`` mean "the same members".
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from msgspec import Struct

Interval = tuple[int, int]


def _canonical(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """Sort, drop empty intervals, join those that touch or overlap."""
    out: list[Interval] = []
    for low, high in sorted(intervals):
        if low > high:
            continue
        if out and low <= out[-1][1] + 1:
            if high > out[-1][1]:
                out[-1] = (out[-1][0], high)
        else:
            out.append((low, high))
    return tuple(out)


class IntervalSet(Struct, frozen=True, cache_hash=True):
    """A finite set of integers."""

    intervals: tuple[Interval, ...] = ()
    """In order, none empty, none that touches another: :meth:`of` makes them so."""

    def __post_init__(self) -> None:
        """Raises ValueError for other intervals: equal sets would not be equal values."""
        intervals = self.intervals
        if len(intervals) == 1:  # most sets; they are made by the million
            if intervals[0][0] > intervals[0][1]:
                raise ValueError(f"no interval: {intervals[0]}")
        elif intervals:
            before = intervals[0][0] - 2
            for low, high in intervals:
                if not before + 1 < low <= high:
                    raise ValueError(f"intervals that are empty, touch or are out of order: {low}")
                before = high

    @classmethod
    def of(cls, *intervals: Interval) -> IntervalSet:
        """The union of closed intervals ``(low, high)``; those with ``low > high`` are empty."""
        return cls(_canonical(intervals))

    def __contains__(self, value: int) -> bool:
        at = bisect_right(self.intervals, (value, float("inf")))
        return at > 0 and value <= self.intervals[at - 1][1]

    def __bool__(self) -> bool:
        return bool(self.intervals)

    def __iter__(self) -> Iterator[Interval]:
        """The intervals, in order (not the members: there may be 2**128)."""
        return iter(self.intervals)

    def __len__(self) -> int:
        """Number of intervals."""
        return len(self.intervals)

    @property
    def size(self) -> int:
        """Number of members."""
        return sum(high - low + 1 for low, high in self.intervals)

    def __or__(self, other: IntervalSet) -> IntervalSet:
        if not other.intervals:
            return self
        if not self.intervals:
            return other
        return IntervalSet(_canonical((*self.intervals, *other.intervals)))

    def __and__(self, other: IntervalSet) -> IntervalSet:
        a, b = self.intervals, other.intervals
        if not a or not b or a[-1][1] < b[0][0] or b[-1][1] < a[0][0]:
            return _EMPTY
        out: list[Interval] = []
        i = j = 0
        while i < len(a) and j < len(b):
            low, high = a[i]
            other_low, other_high = b[j]
            if high < other_high:
                i += 1
            else:
                j += 1
                high = other_high
            if low < other_low:
                low = other_low
            if low <= high:
                out.append((low, high))
        return IntervalSet(tuple(out))

    def __sub__(self, other: IntervalSet) -> IntervalSet:
        out: list[Interval] = []
        cuts = other.intervals
        at = 0
        for low, high in self.intervals:
            while at < len(cuts) and cuts[at][1] < low:
                at += 1
            k = at
            while k < len(cuts) and cuts[k][0] <= high:
                if cuts[k][0] > low:
                    out.append((low, cuts[k][0] - 1))
                low = cuts[k][1] + 1
                k += 1
            if low <= high:
                out.append((low, high))
        return IntervalSet(tuple(out))

    def __le__(self, other: IntervalSet) -> bool:
        """Subset."""
        return not (self - other)


_EMPTY = IntervalSet()
