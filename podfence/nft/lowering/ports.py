"""PortSet -> what a rule must ask about protocol and port.

Rule: few and cheap questions. One port or range stands in the rule itself. Several share a hash
set; the name of such a set follows from its members, which never change. Only a wide range among
several entries needs an interval set, which costs about twice as much a packet.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from msgspec import Struct

from podfence.nft.lowering.identifiers import Namer
from podfence.nft.objects import (
    SCTP,
    TCP,
    UDP,
    Between,
    ChainVerdict,
    Compare,
    DataType,
    Expression,
    Field,
    Key,
    Lookup,
    RangeSet,
    Set,
)
from podfence.policy.index import Peers
from podfence.sets import PortSet
from podfence.sets.ports import MAX_PORT, OTHER

Parts = tuple[Expression, ...]
PORT_KEY = (DataType.INET_PROTO, DataType.INET_SERVICE)
PROTOCOL_NUMBERS = {"TCP": TCP, "UDP": UDP, "SCTP": SCTP}
MAX_HASHED = 64
"""Ranges are written out into a hash set up to this many ports."""

MAX_KEYED = 16
"""Ranges of up to so many ports can be looked up port by port."""

_Span = tuple[int, int, int]
"""Protocol number, lowest and highest port."""


class PortMatches:
    """Turns port sets into alternatives, and collects the sets that they refer to."""

    def __init__(self, namer: Namer) -> None:
        self._namer = namer
        self._sets: dict[str, Set | RangeSet] = {}

    @property
    def sets(self) -> tuple[Set | RangeSet, ...]:
        """The sets that the answers so far refer to, in the order of first use."""
        return tuple(self._sets.values())

    def alternatives(self, ports: PortSet, field: Field) -> list[Parts]:
        """Expressions that together hold for exactly ``ports``; it is enough that one of them
        holds.

        ``field``: the field of the port, TH_DPORT or TH_SPORT. Everything: one alternative that
        asks nothing, so that ICMP and its like pass, too (NP-39). Nothing: no alternative.
        """
        if ports.is_everything:
            return [()]
        found: list[Parts] = []
        spans: list[_Span] = []
        for protocol, low, high in ports.ranges():
            if protocol == OTHER:
                found.append(tuple(Compare(Field.L4PROTO, n, True) for n in (TCP, UDP, SCTP)))
            elif (low, high) == (0, MAX_PORT):
                found.append((Compare(Field.L4PROTO, PROTOCOL_NUMBERS[protocol]),))
            else:
                spans.append((PROTOCOL_NUMBERS[protocol], low, high))
        if len(spans) == 1:
            found.append(_inline(spans[0], field))
        elif spans:
            found.append((Lookup((Field.L4PROTO, field), self._set(spans)),))
        return found

    def _set(self, spans: list[_Span]) -> str:
        name = self._namer.name("q_", repr(spans))
        if name not in self._sets:
            self._sets[name] = _port_set(name, spans)
        return name


def split_ports(ports: PortSet) -> tuple[list[Key], PortSet]:
    """The (protocol number, port) pairs of single ports and short ranges, and all the rest."""
    keys: list[Key] = []
    if ports.is_everything:
        return keys, ports
    rest: list[PortSet] = []
    for protocol, low, high in ports.ranges():
        if protocol == OTHER:
            rest.append(PortSet.protocol(OTHER))
        elif high - low < MAX_KEYED:
            keys += ((PROTOCOL_NUMBERS[protocol], port) for port in range(low, high + 1))
        else:
            rest.append(PortSet.port(protocol, low, high))
    return keys, PortSet.union(rest)


def _inline(span: _Span, field: Field) -> Parts:
    protocol, low, high = span
    ports = Compare(field, low) if low == high else Between(field, low, high)
    return (Compare(Field.L4PROTO, protocol), ports)


def _port_set(name: str, spans: list[_Span]) -> Set | RangeSet:
    if sum(high - low + 1 for _, low, high in spans) > MAX_HASHED:
        ranges = tuple(((p, low), (p, high)) for p, low, high in sorted(spans))
        return RangeSet(name, PORT_KEY, ranges)
    keys = ((p, port) for p, low, high in spans for port in range(low, high + 1))
    return Set(name, PORT_KEY, frozenset(keys))


# -- Rules of a tier as entries with verdicts, before they become chains
# Rule: neighbours of one verdict are a run. The order inside a run means nothing; the order of runs
# stays.


class RuleMatch(Struct, frozen=True):
    """One match of one rule. ``comment``: which rule it is."""

    peers: Peers
    ports: PortSet
    comment: str


class Run(Struct, frozen=True):
    """Neighbouring entries of one verdict."""

    entries: tuple[RuleMatch, ...]
    verdict: ChainVerdict


def in_runs(entries: Iterable[tuple[ChainVerdict, RuleMatch]]) -> list[Run]:
    """Entries in their order; neighbours of one verdict together."""
    return [
        Run(tuple(entry for _, entry in alike), verdict)
        for verdict, alike in groupby(entries, key=lambda found: found[0])
    ]


def until(runs: Sequence[Run], default: ChainVerdict) -> list[Run]:
    """The runs without those at the end that only say what is said anyway after them."""
    left = list(runs)
    while left and left[-1].verdict == default:
        left.pop()
    return left
