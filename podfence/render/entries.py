"""Ways in from outside as a table and as data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from podfence.errors import Locate
from podfence.questions.entrynames import entry_name
from podfence.questions.entryrows import EntryRow
from podfence.questions.phrases.words import some
from podfence.questions.unjudged import UNTOUCHED, TouchedPods
from podfence.render.map_table import UNJUDGED
from podfence.render.tables import table
from podfence.render.verdicts import VerdictEncoder, origin_text
from podfence.text import printable

_RULES = 2
_HEADER = ("ENTRY", "FROM", "TO", "PORT", "STATE", "BY")


def entries_text(rows: Iterable[EntryRow], locate: Locate, touched: TouchedPods = UNTOUCHED) -> str:
    """A row an entry, its sources and the workload behind it."""
    lines = [
        (
            printable(entry_name(row.entry)),
            printable(row.sources) or "-",
            printable(row.to) + (UNJUDGED if touched.any(row.pods) else ""),
            printable(row.port) or "-",
            row.state.value,
            _by(row, locate),
        )
        for row in rows
    ]
    return table(_HEADER, lines)


def _by(row: EntryRow, locate: Locate) -> str:
    rules = some([origin_text(origin, locate) for origin in row.by], _RULES, ", ")
    if row.because:
        return f"{printable(row.because)}{f': {rules}' if rules else ''}"
    return rules or "no policy closes it"


def entry_lines(rows: Iterable[EntryRow]) -> Iterator[str]:
    """A sentence a row."""
    for row in rows:
        source = f" from {row.sources}" if row.sources else ""
        because = f" ({row.because})" if row.because else ""
        port = f" {row.port}" if row.port else ""
        yield f"{entry_name(row.entry)}{source} to {row.to}{port}: {row.state.value}{because}"


def entries_data(rows: Iterable[EntryRow], locate: Locate) -> list[dict[str, object]]:
    """The same as data; ``entry`` in the schemas."""
    encoder = VerdictEncoder(locate)
    return [_data(row, encoder) for row in rows]


def _data(row: EntryRow, encoder: VerdictEncoder) -> dict[str, object]:
    entry = row.entry
    service = entry.service
    return {
        "kind": entry.ref.kind,
        "namespace": entry.ref.namespace,
        "name": entry.ref.name,
        "asked": entry.asked,
        "controller": row.controller or None,
        "service": None if service is None else f"{service.namespace}/{service.name}",
        "from": row.sources,
        "to": row.to,
        "pods": row.pods,
        "port": row.port,
        "state": row.state.value,
        "by": [encoder.origin(origin) for origin in row.by],
        **({"because": row.because} if row.because else {}),
    }
