"""Sets of (protocol, destination port) pairs, and of everything that has no port.

The members lie on one line of integers: TCP, UDP and SCTP take 65,536 integers each (port 0
included, so that "every port of TCP" is exact), and one last integer stands for every other
protocol (ICMP, GRE, ...), which has no ports. So union, intersection and difference are one
interval operation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain

from msgspec import Struct

from podfence.sets.intervals import Interval, IntervalSet

PROTOCOLS = ("TCP", "UDP", "SCTP")
OTHER = "OTHER"
"""Stands for every protocol without ports."""
MAX_PORT = 65535
_WIDTH = MAX_PORT + 1
_OTHER_AT = len(PROTOCOLS) * _WIDTH
_BASE = {name: at * _WIDTH for at, name in enumerate(PROTOCOLS)}


class PortSet(Struct, frozen=True, cache_hash=True):
    """An immutable set of (protocol, port) pairs plus, maybe, "any other protocol".

    :meth:`port`, :meth:`protocol` and :meth:`union` are the only doors; ``line`` is of this module.
    ``EVERYTHING`` of this module is what a rule without ``ports`` allows: every port of every
    protocol and every protocol without ports (NP-13, NP-39).
    """

    line: IntervalSet = IntervalSet()

    @classmethod
    def port(cls, protocol: str, low: int, high: int | None = None) -> PortSet:
        """Ports ``low..high`` (inclusive; one port without ``high``) of one protocol. Raises
        ValueError where there are none."""
        return _port(protocol, low, low if high is None else high)

    @classmethod
    def protocol(cls, protocol: str) -> PortSet:
        """Every port of one protocol; ``OTHER`` for all protocols without ports."""
        return _OTHER_SET if protocol == OTHER else _port(protocol, 0, MAX_PORT)

    @classmethod
    def union(cls, parts: Iterable[PortSet]) -> PortSet:
        """The union of many sets at once: one by one, each step would copy all that came before."""
        return cls(IntervalSet.of(*chain.from_iterable(part.line for part in parts)))

    def __contains__(self, item: tuple[str, int]) -> bool:
        """``(protocol, port)``; the port of ``OTHER`` is ignored."""
        protocol, port = item
        return (_OTHER_AT if protocol == OTHER else _BASE[protocol] + port) in self.line

    def __bool__(self) -> bool:
        return bool(self.line)

    def __or__(self, other: PortSet) -> PortSet:
        return self if self is other else PortSet(self.line | other.line)

    def __and__(self, other: PortSet) -> PortSet:
        return self if self is other else PortSet(self.line & other.line)

    def __sub__(self, other: PortSet) -> PortSet:
        return PortSet(self.line - other.line)

    def __le__(self, other: PortSet) -> bool:
        """Subset."""
        return self.line <= other.line

    @property
    def is_everything(self) -> bool:
        """Whether every port of every protocol is in the set."""
        return self.line == _EVERYTHING_LINE

    def ranges(self) -> Iterator[tuple[str, int, int]]:
        """``(protocol, low, high)`` in order; ``OTHER`` comes last as ``("OTHER", 0, 0)``."""
        for low, high in self.line:
            for name, base in _BASE.items():
                first, last = max(low, base), min(high, base + MAX_PORT)
                if first <= last:
                    yield name, first - base, last - base
            if high >= _OTHER_AT:
                yield OTHER, 0, 0

    def __str__(self) -> str:
        """``all``, ``none``, or words such as ``TCP/80,443 UDP SCTP/1-9``."""
        if not self:
            return "none"
        if self.is_everything:
            return "all"
        words: dict[str, list[str]] = {}
        for protocol, low, high in self.ranges():
            spans = words.setdefault(protocol, [])
            if (low, high) != (0, MAX_PORT) and protocol != OTHER:
                spans.append(str(low) if low == high else f"{low}-{high}")
        return " ".join(
            f"{'other' if name == OTHER else name}{'/' + ','.join(spans) if spans else ''}"
            for name, spans in words.items()
        )


@lru_cache(maxsize=65536)
def _port(protocol: str, low: int, high: int) -> PortSet:
    if not 0 <= low <= high <= MAX_PORT:  # others lie in the places of the next protocol
        raise ValueError(f"no range of ports: {low}-{high}")
    base = _BASE[protocol]
    return PortSet(IntervalSet.of((base + low, base + high)))


_EVERYTHING_LINE = IntervalSet.of((0, _OTHER_AT))
_OTHER_SET = PortSet(IntervalSet.of((_OTHER_AT, _OTHER_AT)))
EVERYTHING = PortSet(_EVERYTHING_LINE)
NOTHING = PortSet()


class PortPieces:
    """The line of all ports, cut where one of the ``known`` sets begins or ends. Whatever comes of
    these sets is some of the pieces: an integer with a bit for each."""

    def __init__(self, known: Iterable[PortSet] = ()) -> None:
        lines = [each.line for each in (EVERYTHING, *known)]
        self._edges = sorted(
            {edge for line in lines for low, high in line for edge in (low, high + 1)}
        )
        self._numbers = {edge: number for number, edge in enumerate(self._edges)}

    def bits(self, ports: PortSet) -> int | None:
        """The pieces of a set, None where it begins or ends inside of one."""
        bits = 0
        for low, high in ports.line:
            first, behind = self._numbers.get(low), self._numbers.get(high + 1)
            if first is None or behind is None:
                return None
            bits |= (1 << behind) - (1 << first)
        return bits

    def ports(self, bits: int) -> PortSet:
        """The set of some pieces."""
        return PortSet(IntervalSet.of(*self._intervals(bits)))

    def _intervals(self, bits: int) -> Iterator[Interval]:
        """One for each run of bits that are set."""
        while bits:
            first = (bits & -bits).bit_length() - 1
            behind = (~(bits >> first) & ((bits >> first) + 1)).bit_length() - 1 + first
            yield self._edges[first], self._edges[behind] - 1
            bits &= -1 << behind
