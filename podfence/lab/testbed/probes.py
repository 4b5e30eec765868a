"""Probes of a plan by their numbers, what is sent for each, and its outcome. Pure.

Rule: a hundred pods make hundreds of thousands of probes, but only a few different lists of ports.
So a pair refers to its list, and the facts about probes are bytes, one for each number.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice
from typing import NamedTuple, Self, overload

Port = tuple[str, int]
"""Protocol and number; 0 for protocols without ports."""


class ProbeKind(IntEnum):
    """What to send for a probe, as one byte.

    SYN and CONNECT differ only for TCP. Any answer to a lone SYN counts, so one packet shows a
    leak; on a connection the target's name is read.
    """

    SKIP = 0
    SYN = 1
    CONNECT = 2


class Probe(NamedTuple):
    """One connection attempt between two parties, by their index in ``ProbePlan.parties``."""

    source: int
    target: int
    family: int
    protocol: str
    port: int


class Pair(NamedTuple):
    """The probes from one party to another over one IP version. ``first``: the number of the first
    one; the others follow in the order of ``ports``."""

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


Listener = tuple[int, int, str, int]
"""Target, IP version, protocol, port: the destination of a probe, ``probe[1:]``."""


def around(probes: Sequence[Probe], kinds: bytes, held: Set[Listener]) -> bytes:
    """The kinds for ports that programs in the pods hold. A program does not tell the pod's name,
    so a lone SYN replaces a connection, and a datagram is not sent at all."""
    if not held:
        return kinds
    changed = bytearray(kinds)
    for number, probe in enumerate(probes):
        if changed[number] and probe[1:] in held:
            changed[number] = ProbeKind.SYN if probe.protocol == "TCP" else ProbeKind.SKIP
    return bytes(changed)


def kinds_of(count: int, numbers: Iterable[int], kind: ProbeKind = ProbeKind.CONNECT) -> bytes:
    """The same kind for some of ``count`` probes, none for the others."""
    made = bytearray(count)
    for number in numbers:
        made[number] = kind
    return bytes(made)


# -- what became of one


class ProbeOutcome(IntEnum):
    """An outcome as a small integer, so that a hundred thousand of them travel as bytes."""

    OPEN = 0  # the right party answered
    TIMEOUT = 1  # nothing came back
    REFUSED = 2  # the target itself, or a filter that rejects, said no
    RESET = 3  # the connection came about and was broken
    UNREACHABLE = 4  # no route, by the own kernel or by an ICMP error
    PROHIBITED = 5  # the own kernel would not let the packet out
    WRONG_PEER = 6  # somebody else answered
    ONE_WAY = 7  # it came to a pod, but no answer came back
    HELD = 8  # of a control: a program in the pod has the port, and its answer would prove nothing

    @property
    def words(self) -> str:
        """For a table."""
        return _WORDS[self]


_WORDS = {
    ProbeOutcome.OPEN: "open",
    ProbeOutcome.TIMEOUT: "no answer",
    ProbeOutcome.REFUSED: "refused",
    ProbeOutcome.RESET: "reset",
    ProbeOutcome.UNREACHABLE: "unreachable",
    ProbeOutcome.PROHIBITED: "prohibited",
    ProbeOutcome.WRONG_PEER: "answered by another pod",
    ProbeOutcome.ONE_WAY: "arrived, but its answer did not",
    ProbeOutcome.HELD: "held by a program in the pod",
}


# -- many at once: bytes of 0 and 1, one for each probe


def both(a: bytes, b: bytes) -> bytes:
    """1 where both are 1."""
    return (int.from_bytes(a, "big") & int.from_bytes(b, "big")).to_bytes(len(a), "big")


def ones(flags: bytes) -> Iterator[int]:
    """Where the 1s are: quick where there are few."""
    at = flags.find(1)
    while at >= 0:
        yield at
        at = flags.find(1, at + 1)
