"""A map as a graph for other programs: DOT for Graphviz, Mermaid for pages.

Rule: a namespace is a cluster of nodes. Many groups of outside addresses become one node, whose
edges say how many groups they stand for. Text is made row by row; every name is escaped for its
language.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from podfence.questions.connectivity import Connectivity, Group
from podfence.render.map_table import ports_text, shown
from podfence.text import printable

MOST_OUTSIDE: Final = 8
"""Groups of outside addresses that have a node each."""
MOST_EDGES: Final = 150
"""Edges with which a graph can be read."""
MERMAID_EDGES: Final = 500
"""The most edges that Mermaid draws by default."""


class Graph:
    """``edges``: how many were written so far."""

    def __init__(self, connectivity: Connectivity) -> None:
        self._map = connectivity
        self._shown = shown(connectivity)
        outside = [group for group in self._shown if group.workload is None]
        self._folded = len(outside) if len(outside) > MOST_OUTSIDE else 0
        self.edges = 0

    def dot(self) -> Iterator[str]:
        """A Graphviz digraph."""
        yield "digraph podfence {\n  rankdir=LR;\n  node [shape=box];\n"
        for number, (title, groups) in enumerate(self._clusters()):
            yield f"  subgraph cluster_{number} {{\n    label={_dot(title)};\n"
            yield from (f"    n{each.number} [label={_dot(_name(each))}];\n" for each in groups)
            yield "  }\n"
        for node, label in self._outside():
            yield f"  {node} [label={_dot(label)}, style=dashed];\n"
        for edge in self._edges():
            yield f"  {edge.source} -> {edge.to} [label={_dot(edge.words)}];\n"
        yield "}\n"

    def mermaid(self) -> Iterator[str]:
        """A Mermaid flowchart."""
        yield "flowchart LR\n"
        for number, (title, groups) in enumerate(self._clusters()):
            yield f"  subgraph s{number}[{_mermaid(title)}]\n"
            yield from (f"    n{each.number}[{_mermaid(_name(each))}]\n" for each in groups)
            yield "  end\n"
        for node, label in self._outside():
            yield f"  {node}([{_mermaid(label)}])\n"
        for edge in self._edges():
            yield f"  {edge.source} -->|{_mermaid(edge.words)}| {edge.to}\n"

    def _clusters(self) -> Iterator[tuple[str, list[Group]]]:
        found: dict[str, list[Group]] = defaultdict(list)
        for group in self._shown:
            if group.workload is not None:
                found[group.workload.namespace].append(group)
        yield from sorted(found.items())

    def _outside(self) -> Iterator[tuple[str, str]]:
        if self._folded:
            yield "outside", f"outside: {self._folded} groups of addresses"
            return
        for group in self._shown:
            if group.workload is None:
                yield f"n{group.number}", group.name

    def _edges(self) -> Iterator[_Edge]:
        """One for each pair, and for each set of ports with what is folded."""
        to_outside: Counter[tuple[str, str]] = Counter()
        for row in self._map.rows():
            words = ports_text(row)
            if self._is_folded(row.destination):
                to_outside.update((f"n{source.number}", words) for source in row.sources)
                continue
            to, folded = f"n{row.destination.number}", 0
            for source in row.sources:
                if self._is_folded(source):
                    folded += 1
                    continue
                self.edges += 1
                yield _Edge(f"n{source.number}", to, words)
            if folded:
                self.edges += 1
                yield _Edge("outside", to, self._share(words, folded))
        for (source_node, words), number in to_outside.items():
            self.edges += 1
            yield _Edge(source_node, "outside", self._share(words, number))

    def _is_folded(self, group: Group) -> bool:
        return self._folded > 0 and group.workload is None

    def _share(self, words: str, number: int) -> str:
        return words if number == self._folded else f"{words}, {number} of {self._folded}"


class _Edge(Struct, frozen=True):
    """Node names, and the text between them."""

    source: str
    to: str
    words: str


def _name(group: Group) -> str:
    """The cluster says the namespace."""
    assert group.workload is not None
    return group.name.removeprefix(f"{group.workload.namespace}/")


def advice(edges: int, *, mermaid: bool) -> str:
    """What to do about a graph that is too large to be read, "" for one that is not."""
    if edges <= MOST_EDGES:
        return ""
    limit = f"; Mermaid draws {MERMAID_EDGES} at most" if mermaid and edges > MERMAID_EDGES else ""
    return (
        f"a graph of {edges} connections can hardly be read{limit}. -n, --from, --to and --port "
        "narrow it; -o svg folds it; podfence report shows all of it as a matrix"
    )


def _dot(text: str) -> str:
    escaped = printable(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _mermaid(text: str) -> str:
    """Only letters, digits and harmless signs stay; the rest becomes character entities."""
    plain = "".join(
        c if c.isascii() and (c.isalnum() or c in " ./-_:,") else f"#{ord(c)};" for c in text
    )
    return f'"{plain}"'
