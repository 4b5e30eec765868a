"""What is sent: every probe of a plan by its number, kept pair by pair. Pure.

Rule: a hundred pods make hundreds of thousands of probes, but only a few different lists of ports;
so a pair refers to its list, and what is known of probes is bytes, one for each number.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice
from typing import NamedTuple, Self, overload

Port = tuple[str, int]
"""Protocol and number; 0 for protocols without ports."""


class Effort(IntEnum):
    """What to do about a probe, as one byte.

    The two differ for TCP alone: a KNOCK is a SYN, and whatever comes back is its answer, so it
    shows a leak with one packet; CONNECT is a connection on which the target's name is read.
    """

    SKIP = 0
    KNOCK = 1
    CONNECT = 2


class Probe(NamedTuple):
    """One connection attempt between two parties, by their place in ``LabPlan.parties``."""

    source: int
    target: int
    family: int
    protocol: str
    port: int


class Pair(NamedTuple):
    """The probes from one party to another over one IP version. ``first``: the number of the first
    of them; the others follow in the order of ``ports``."""

    source: int
    target: int
    family: int
    ports: tuple[Port, ...]
    first: int

    @property
    def end(self) -> int:
        """The number after the last."""
        return self.first + len(self.ports)


@dataclass(frozen=True, slots=True)
class Probes(Sequence[Probe]):
    """Every probe, in the order of its number."""

    pairs: tuple[Pair, ...]

    @classmethod
    def of_pairs(cls, pairs: Iterable[tuple[tuple[int, int, int], tuple[Port, ...]]]) -> Self:
        """``(source, target, family)`` and ports of each pair."""
        found: list[Pair] = []
        first = 0
        for (source, target, family), ports in pairs:
            found.append(Pair(source, target, family, ports, first))
            first += len(ports)
        return cls(tuple(found))

    @classmethod
    def of(cls, probes: Iterable[Probe]) -> Self:
        """Some probes, numbered as they come."""
        return cls.of_pairs((probe[:3], (probe[3:],)) for probe in probes)

    def __len__(self) -> int:
        return self.pairs[-1].end if self.pairs else 0

    def __iter__(self) -> Iterator[Probe]:
        for source, target, family, ports, _ in self.pairs:
            for protocol, port in ports:
                yield Probe(source, target, family, protocol, port)

    @overload
    def __getitem__(self, number: int) -> Probe: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Probe]: ...
    def __getitem__(self, number: int | slice) -> Probe | Sequence[Probe]:
        if isinstance(number, slice):
            return list(islice(self, *number.indices(len(self))))
        if number < 0:
            number += len(self)
        if not 0 <= number < len(self):
            raise IndexError(number)
        pair = self.pairs[bisect_right(self.pairs, number, key=_first) - 1]
        return Probe(*pair[:3], *pair.ports[number - pair.first])


def _first(pair: Pair) -> int:
    return pair.first


def efforts(count: int, numbers: Iterable[int], effort: Effort = Effort.CONNECT) -> bytes:
    """The same effort for some of ``count`` probes, none for the others."""
    made = bytearray(count)
    for number in numbers:
        made[number] = effort
    return bytes(made)
