"""A connectivity map as data: JSON, CSV.

Rule: text is made row by row, so that a large map is never held in memory; every name is escaped
for the format that it is written in.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator, Sequence

from podfence.questions.connectivity import Connectivity, Group, Row, Sources, ports_words
from podfence.render.jsontext import json_bytes
from podfence.render.map_table import shown
from podfence.sets import PortSet
from podfence.text import printable

MAP_SCHEMA = "podfence.map/v1"


def map_json(
    connectivity: Connectivity, entries: Sequence[object] | None = None
) -> Iterator[bytes]:
    """One JSON object, in pieces; its schema is docs/schemas/map.schema.json."""
    yield b'{"schema":"' + MAP_SCHEMA.encode() + b'",\n"endpoints":[\n'
    for at, group in enumerate(shown(connectivity)):
        yield (b",\n" if at else b"") + json_bytes(_group_data(group))
    yield b'\n],\n"connections":[\n'
    names = _EncodedNames(connectivity.groups)
    ports: dict[PortSet, bytes] = {}
    for at, row in enumerate(connectivity.rows()):
        words = ports.get(row.ports)
        if words is None:
            words = ports[row.ports] = json_bytes(ports_words(row.ports).split(" "))
        yield (b",\n" if at else b"") + _row_text(row, words, names)
    if entries is not None:
        yield b'\n],\n"entries":' + json_bytes(entries) + b',\n"leftOut":'
    else:
        yield b'\n],\n"leftOut":'
    yield json_bytes(connectivity.left_out) + b"}\n"


def _group_data(group: Group) -> dict[str, object]:
    if group.workload is None:
        addresses = group.addresses.networks() if group.addresses else ()
        return {"name": group.name, "kind": "Outside", "addresses": [str(n) for n in addresses]}
    unjudged = {"unjudged": group.unjudged} if group.unjudged else {}
    return unjudged | {
        "name": group.name,
        "kind": group.workload.kind,
        "namespace": group.workload.namespace,
        "workload": group.workload.name,
        "pods": group.pods,
        "isolated": {"ingress": group.isolated_ingress, "egress": group.isolated_egress},
    }


class _EncodedNames:
    """Names that are encoded once: a large map repeats them by the million."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self.of_group = [json_bytes(group.name) for group in groups]
        by_class: dict[int, list[bytes]] = {}
        for group in groups:
            by_class.setdefault(group.endpoint_class, []).append(self.of_group[group.number])
        self._of_class = [
            b",".join(by_class.get(n, ())) for n in range(max(by_class, default=0) + 1)
        ]

    def joined(self, sources: Collection[Group]) -> bytes:
        """With commas between."""
        if isinstance(sources, Sources):
            return sources.joined(self.of_group, self._of_class)
        return b",".join([self.of_group[source.number] for source in sources])


def _row_text(row: Row, ports: bytes, names: _EncodedNames) -> bytes:
    """One connection, put together from parts."""
    family = b',"family":"IPv%d"' % row.family if row.family is not None else b""
    return b'{"to":%b,"ports":%b,"from":[%b]%b}' % (
        names.of_group[row.destination.number],
        ports,
        names.joined(row.sources),
        family,
    )


def map_csv(connectivity: Connectivity) -> Iterator[str]:
    """``from,to,ports,family``, one line a pair. Names are as on a terminal: one that holds a
    newline stays on its line."""
    yield _csv_line("from", "to", "ports", "family")
    for row in connectivity.rows():
        family = f"IPv{row.family}" if row.family else ""
        for source in row.sources:
            yield _csv_line(source.name, row.destination.name, ports_words(row.ports), family)


def _csv_line(*cells: str) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(map(_inert, cells))
    return out.getvalue()


def _inert(cell: str) -> str:
    """A spreadsheet must not take a name for a formula, nor a terminal for a command."""
    cell = printable(cell)
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "'")) else cell
