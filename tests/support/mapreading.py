"""Reads every form of a map back into pairs, by what docs/cli.md says that its words mean.

Rule: shares nothing with the writers but the escapes of ``podfence.text``. A pair is (source,
destination, ports, IP family or "").
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from podfence.text import printable

Pair = tuple[str, str, str, str]


@dataclass(frozen=True)
class MapData:
    """``-o json``: what all other forms must say too."""

    endpoints: dict[str, dict[str, Any]]
    pairs: frozenset[Pair]

    @classmethod
    def of(cls, text: str) -> MapData:
        data = json.loads(text)
        endpoints = {endpoint["name"]: endpoint for endpoint in data["endpoints"]}
        assert len(endpoints) == len(data["endpoints"]), "a name means one endpoint"
        pairs = [
            (source, row["to"], " ".join(row["ports"]), row.get("family", ""))
            for row in data["connections"]
            for source in row["from"]
        ]
        assert len(set(pairs)) == len(pairs), "a pair is said once"
        return cls(endpoints, frozenset(pairs))

    def is_outside(self, name: str) -> bool:
        return str(self.endpoints[name]["kind"]) == "Outside"

    def is_single_pod(self, name: str) -> bool:
        return len(self.endpoints[name].get("pods", ())) == 1

    def namespace(self, name: str) -> str | None:
        return self.endpoints[name].get("namespace")

    def shown(self) -> dict[str, str]:
        """Every name by how tables write it."""
        return {
            printable(name) if self.is_outside(name) else quoted(name): name
            for name in self.endpoints
        }

    def sources(self, destination: str) -> frozenset[str]:
        """Every endpoint that can be a source of another: a single pod is not its own, and outside
        addresses are not asked about one another."""
        return frozenset(
            name
            for name in self.endpoints
            if not (name == destination and self.is_single_pod(name))
            and not (self.is_outside(name) and self.is_outside(destination))
        )


def quoted(name: str) -> str:
    """A name of the API as tables write it."""
    safe = printable(name)
    return '"' + safe.replace('"', '\\"') + '"' if re.search('[ "]', safe) else safe


# -- table


def table_lines(text: str) -> Iterator[tuple[str, str, str]]:
    """Cells of the table, up to the empty line behind it."""
    header, *lines = text.split("\n")
    at = [header.index(word) for word in ("TO", "PORTS", "FROM")]
    for line in lines:
        if not line:
            return
        yield line[: at[1]].rstrip(), line[at[1] : at[2]].rstrip(), line[at[2] :]


def split_words(text: str, known: Sequence[str]) -> list[str]:
    """The longest known words that a list is made of."""
    words: list[str] = []
    ordered = sorted(known, key=len, reverse=True)
    while text:
        word = next(w for w in ordered if text == w or text.startswith(f"{w}, "))
        words.append(word)
        text = text[len(word) + 2 :]
    return words


def collective_words(data: MapData) -> dict[str, str | None]:
    """ "all of ..." -> namespace."""
    namespaces = {data.namespace(name) for name in data.endpoints} - {None}
    return {f"all of {quoted(namespace or '')}": namespace for namespace in namespaces}


def words_of(data: MapData, cell: str) -> list[str]:
    """The items of a FROM cell of ``-o wide``."""
    general = ("everyone", "all pods", "all outside addresses", "nobody")
    return split_words(cell, [*data.shown(), *collective_words(data), *general])


def read_table(data: MapData, text: str) -> list[Pair]:
    """Pairs of ``-o wide``; one that two lines or two words say is there twice."""
    shown = data.shown()
    pairs: list[Pair] = []
    for to, ports, cell in table_lines(text):
        destination = shown[to]
        ports, family = split_ports(ports)
        for word in words_of(data, cell):
            pairs += [(s, destination, ports, family) for s in meant(data, word, destination)]
    return pairs


def meant(data: MapData, word: str, destination: str) -> frozenset[str]:
    """The endpoints that one word in a line of ``destination`` stands for."""
    sources = data.sources(destination)
    outside = frozenset(filter(data.is_outside, sources))
    if word == "everyone":
        return sources
    if word == "nobody":
        return frozenset()
    if word == "all pods":
        return sources - outside
    if word == "all outside addresses":
        return outside
    collective = collective_words(data)
    if word in collective:
        return frozenset(n for n in sources if data.namespace(n) == collective[word])
    return frozenset((data.shown()[word],))


def split_ports(text: str) -> tuple[str, str]:
    """``TCP/80 (IPv4 only)`` -> the ports, the family."""
    found = re.fullmatch(r"(.*?)(?: \((IPv[46]) only\))?", text)
    assert found is not None
    return found[1], found[2] or ""


# -- matrix


def read_matrix(data: MapData, text: str) -> tuple[list[Pair], set[tuple[str, str]]]:
    """The pairs, and those (source, destination) that are left blank."""
    above, below = text.split("\n\n")[:2]
    header, *lines = above.split("\n")
    columns = list(re.finditer(r"\d+", header))
    starts = [c.start() for c in columns]
    shown = data.shown()
    names = [shown[line[: starts[0]].strip().partition(" ")[2]] for line in lines]
    by_number = {int(line.split(" ")[0]): n for line, n in zip(lines, names, strict=True)}
    destinations = [by_number[int(c[0])] for c in columns]
    legend = dict(line.split(maxsplit=1) for line in below.splitlines())
    pairs: list[Pair] = []
    blank: set[tuple[str, str]] = set()
    for source, line in zip(names, lines, strict=True):
        for destination, start, end in zip(
            destinations, starts, [*starts[1:], len(line) + 1], strict=True
        ):
            cell = line[start:end].strip()
            if not cell:
                blank.add((source, destination))
            for mark in re.findall(r"[A-Za-z]\d*|\*", cell):
                ports, _, family = legend[mark].partition(" over ")
                pairs.append((source, destination, ports, family))
    return pairs, blank


# -- data


def read_csv(data: MapData, text: str) -> list[Pair]:
    names = {printable(name): name for name in data.endpoints}

    def cell(written: str) -> str:
        return names[re.sub(r"^'(?=[=+\-@'])", "", written)]

    header, *rows = csv.reader(io.StringIO(text))
    assert header == ["from", "to", "ports", "family"]
    return [(cell(source), cell(to), ports, family) for source, to, ports, family in rows]


# -- graphs


@dataclass(frozen=True)
class GraphText:
    """Nodes with the names that they stand for, and edges as pairs."""

    nodes: dict[str, str]
    pairs: list[Pair]


_SHARE = re.compile(r"(.*), (\d+) of (\d+)")


def read_dot(data: MapData, text: str) -> list[Pair]:
    def plain(label: str) -> str:
        return re.sub(r"\\(.)", r"\1", label)

    names = {printable(name): name for name in data.endpoints}
    spaces = {
        printable(data.namespace(name) or ""): data.namespace(name) for name in data.endpoints
    }
    quoted_text = r'"((?:[^"\\]|\\.)*)"'
    nodes, edges = dict[str, str](), list[tuple[str, str, str]]()
    namespace: str | None = None
    lines = text.splitlines()
    assert lines[:3] == ["digraph podfence {", "  rankdir=LR;", "  node [shape=box];"]
    assert lines[-1] == "}"
    for line in lines[3:-1]:
        if found := re.fullmatch(rf"    label={quoted_text};", line):
            namespace = spaces[plain(found[1])]
        elif found := re.fullmatch(rf"    (n\d+) \[label={quoted_text}\];", line):
            assert namespace is not None
            nodes[found[1]] = names[printable(f"{namespace}/") + plain(found[2])]
        elif found := re.fullmatch(rf"  (\w+) \[label={quoted_text}, style=dashed\];", line):
            nodes[found[1]] = names.get(plain(found[2]), plain(found[2]))
        elif found := re.fullmatch(rf"  (\w+) -> (\w+) \[label={quoted_text}\];", line):
            edges.append((found[1], found[2], plain(found[3])))
        else:
            assert re.fullmatch(r"  subgraph cluster_\d+ \{|  \}", line), line
    return [pair for edge in edges for pair in _pairs_of(data, nodes, *edge)]


def read_mermaid(data: MapData, text: str) -> list[Pair]:
    def plain(label: str) -> str:
        return re.sub(r"#(\d+);", lambda found: chr(int(found[1])), label)

    nodes, edges = dict[str, str](), list[tuple[str, str, str]]()
    namespace: str | None = None
    head, *lines = text.splitlines()
    assert head == "flowchart LR"
    for line in lines:
        if found := re.fullmatch(r'  subgraph s\d+\["([^"]*)"\]', line):
            namespace = plain(found[1])
        elif found := re.fullmatch(r'    (n\d+)\["([^"]*)"\]', line):
            nodes[found[1]] = f"{namespace}/{plain(found[2])}"
        elif found := re.fullmatch(r'  (\w+)\(\["([^"]*)"\]\)', line):
            nodes[found[1]] = plain(found[2])
        elif found := re.fullmatch(r'  (\w+) -->\|"([^"]*)"\| (\w+)', line):
            edges.append((found[1], found[3], plain(found[2])))
        else:
            assert line == "  end", line
    return [pair for edge in edges for pair in _pairs_of(data, nodes, *edge)]


def _pairs_of(
    data: MapData, nodes: dict[str, str], source: str, to: str, label: str
) -> Iterator[Pair]:
    """The pairs of an edge; one of the folded outside is ``outside`` as often as it says."""
    ends = tuple("outside" if node == "outside" else nodes[node] for node in (source, to))
    number = 1
    if "outside" in ends:
        groups = sum(map(data.is_outside, data.endpoints))
        assert nodes["outside"] == f"outside: {groups} groups of addresses"
        share = _SHARE.fullmatch(label)
        if share is not None:
            assert int(share[3]) == groups
        label, number = (share[1], int(share[2])) if share else (label, groups)
    yield from [(ends[0], ends[1], *split_ports(label))] * number


def folded(data: MapData, pairs: Iterable[Pair], most: int) -> list[Pair]:
    """Pairs as a graph shows them: more than so many groups of addresses are one node."""
    if sum(map(data.is_outside, data.endpoints)) <= most:
        return list(pairs)

    def node(name: str) -> str:
        return "outside" if data.is_outside(name) else name

    return [(node(source), node(to), ports, family) for source, to, ports, family in pairs]
