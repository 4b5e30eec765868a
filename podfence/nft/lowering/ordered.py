"""Many rules of several verdicts -> short lists by protocol and port, in which the order stays.

Rule: a packet's list holds every rule that its port can meet, in the order of the tier: those of
its port, and between them those of wide ranges and of all ports (as far as they hold the port). So
what other ports are about costs it nothing. Rules of all ports stand in every list; where that
would be too much, some ports share a list.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from podfence.nft.lowering.ports import (
    PROTOCOL_NUMBERS,
    RuleMatch,
    Run,
    in_runs,
    split_ports,
    until,
)
from podfence.nft.objects import ChainVerdict, Key
from podfence.policy.index import Everyone
from podfence.sets import PortSet
from podfence.sets.ports import EVERYTHING, OTHER

SHARED = 16
"""Ports that share a list when each having its own would be too much."""
MAX_COPIES = 16
"""Lists that may hold a rule, on average."""

Numbered = tuple[ChainVerdict, RuleMatch]


class PortList(Struct, frozen=True):
    """What packets to one of ``keys`` are asked; without runs, nothing."""

    keys: tuple[Key, ...]
    runs: tuple[Run, ...]


class PortLists(Struct, frozen=True):
    """``lists``: by port. ``others``: what packets to all other ports, or to none, are asked."""

    lists: tuple[PortList, ...]
    others: tuple[Run, ...]


def by_port(runs: Sequence[Run], default: ChainVerdict) -> PortLists | None:
    """The lists of a tier that says ``default`` in the end; None where they would be too long."""
    entries = [(run.verdict, entry) for run in runs for entry in run.entries]
    holders, others = _holders(entries)
    for keys in (_each_alone(holders), _some_together(holders)):
        lists = [(group, _joint(holders, group)) for group in keys]
        if sum(len(found) for _, found in lists) <= MAX_COPIES * len(entries):
            made = (_list(entries, group, found, default) for group, found in lists)
            rest = until(in_runs(others), default)
            return PortLists(tuple(made), tuple(rest))
    return None


def _holders(entries: Sequence[Numbered]) -> tuple[dict[Key, list[int]], list[Numbered]]:
    """By port, the indices of the entries that hold it; and the entries without such ports."""
    holders: defaultdict[Key, list[int]] = defaultdict(list)
    wide: list[tuple[int, PortSet]] = []
    for at, (_, entry) in enumerate(entries):
        keys, ports = split_ports(entry.ports)
        for key in keys:
            holders[key].append(at)
        if ports:
            wide.append((at, ports))
    ordered = sorted(holders)
    for at, ports in wide:
        for key in _within(ports, ordered):
            holders[key].append(at)
    others = [(entries[at][0], replace(entries[at][1], ports=ports)) for at, ports in wide]
    return {key: sorted(found) for key, found in holders.items()}, others


def _within(ports: PortSet, keys: Sequence[Key]) -> Iterator[Key]:
    """Those of sorted ``keys`` that are in ``ports``."""
    if ports.is_everything:
        yield from keys
        return
    for protocol, low, high in ports.ranges():
        if protocol != OTHER:
            number = PROTOCOL_NUMBERS[protocol]
            first, last = bisect_left(keys, (number, low)), bisect_right(keys, (number, high))
            yield from keys[first:last]


def _each_alone(holders: Mapping[Key, list[int]]) -> list[tuple[Key, ...]]:
    return [(key,) for key in sorted(holders)]


def _some_together(holders: Mapping[Key, list[int]]) -> list[tuple[Key, ...]]:
    """Ports that are named near each other share a list."""
    near = sorted(holders, key=lambda key: (holders[key], key))
    return [tuple(near[at : at + SHARED]) for at in range(0, len(near), SHARED)]


def _joint(holders: Mapping[Key, list[int]], keys: Iterable[Key]) -> list[int]:
    return sorted({at for key in keys for at in holders[key]})


def _list(
    entries: Sequence[Numbered],
    keys: tuple[Key, ...],
    holders: Iterable[int],
    default: ChainVerdict,
) -> PortList:
    """One port: nothing is asked about ports any more, and who is asked twice is asked once."""
    found = [entries[at] for at in holders]
    if len(keys) == 1:
        found = list(_first_of_each(found))
    return PortList(keys, tuple(until(in_runs(found), default)))


def _first_of_each(entries: Iterable[Numbered]) -> Iterator[Numbered]:
    known: set[str] = set()
    for verdict, entry in entries:
        if entry.peers.key not in known:
            known.add(entry.peers.key)
            yield verdict, replace(entry, ports=EVERYTHING)
        if isinstance(entry.peers, Everyone):
            return
