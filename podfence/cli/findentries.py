"""Rows of ``find`` about entries from outside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from podfence.cli.beside import entry_rows
from podfence.manifests.load import Loaded
from podfence.model.entries import Entries
from podfence.questions.entrynames import called
from podfence.questions.entryrows import EntryRow, EntryState
from podfence.questions.find.entries import leading_to, near
from podfence.questions.tests.ends import ResolvedEnd, ResolvedTarget
from podfence.questions.tests.form import ALL_PORTS, PortSpec
from podfence.questions.tests.world import ClusterWorld


def rows_to(
    loaded: Loaded, world: ClusterWorld, aims: Sequence[ResolvedTarget]
) -> tuple[EntryRow, ...]:
    """The entries that lead to some pods and are not closed."""
    every = entry_rows(loaded, world.index, lambda entries: near(entries, aims, world))
    rows = leading_to(every, aims, world)
    return tuple(row for row in rows if row.state is not EntryState.CLOSED)


def rows_from(
    loaded: Loaded, world: ClusterWorld, word: str, namespace: str, ports: PortSpec
) -> tuple[EntryRow, ...]:
    """What an entry leads to, on some ports. Raises UnknownObject where there is no such entry."""

    def only(every: Entries) -> Entries:
        return replace(every, entries=called(every.entries, word, namespace))

    rows = entry_rows(loaded, world.index, only)
    if ports == ALL_PORTS:
        return rows
    return tuple(leading_to(rows, (ResolvedTarget(ResolvedEnd.of_pods(world.real), ports),), world))


def status_of(rows: Iterable[EntryRow]) -> int:
    """Exit status 0 where one is open; 2 where none is, and one is unknown, which is no answer."""
    states = {row.state for row in rows}
    if EntryState.OPEN in states:
        return 0
    return 2 if EntryState.UNKNOWN in states else 1
