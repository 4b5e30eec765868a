"""A connectivity map as text for people: a table by destination, or a matrix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence

from podfence.questions.connectivity import Connectivity, Group, Row, ports_words
from podfence.questions.phrases.words import some
from podfence.render.tables import table
from podfence.sets import PortSet
from podfence.text import printable

_SHOWN = 8
_OTHERS = 3
UNJUDGED = " [?]"
"""Follows the name of pods that a policy of another API may touch."""


def render_table(
    connectivity: Connectivity, *, wide: bool = False, width: int | None = None
) -> str:
    """One row for each destination and set of ports; ``wide`` names every source; ``width``: lists
    of sources are broken so that lines are no longer than that."""
    everyone = _Everyone(connectivity.groups)
    lines: list[tuple[str, str, str]] = []
    by_destination = _by_destination(connectivity)
    for group in connectivity.groups:
        rows = by_destination.get(group.number, [])
        for row in rows:
            lines.append((name(group), ports_text(row), everyone.words(row.sources, group, wide)))
        if not rows and connectivity.is_about(group):
            lines.append((name(group), "none", "nobody"))
    below = _left_out(connectivity, wide=wide) + _unjudged(connectivity, wide=wide)
    return table(("TO", "PORTS", "FROM"), lines, width=width) + below


def shown(connectivity: Connectivity) -> tuple[Group, ...]:
    """The groups that a map of some namespaces shows: those in the namespaces, and their peers."""
    if not connectivity.only and connectivity.asked is None:
        return connectivity.groups
    touched = {g.number for row in connectivity.rows() for g in (row.destination, *row.sources)} | {
        g.number for g in connectivity.groups if connectivity.is_about(g)
    }
    return tuple(g for g in connectivity.groups if g.number in touched)


def ports_text(row: Row) -> str:
    """The ports of a row, with the IP version when the row holds for one only."""
    return f"{ports_words(row.ports)}{f' (IPv{row.family} only)' if row.family else ''}"


def name(group: Group) -> str:
    """The name of a group, safe to print and never to be taken for words or for several names."""
    if group.workload is None:
        return printable(group.name)
    return _quoted(group.name) + (UNJUDGED if group.unjudged else "")


def _quoted(text: str) -> str:
    """A name of the API, in quotes where it holds a blank: then it could read as words. No name
    that the server takes does."""
    safe = printable(text)
    if " " not in safe and '"' not in safe:
        return safe
    return '"' + safe.replace('"', '\\"') + '"'


def _by_destination(connectivity: Connectivity) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = {}
    for row in connectivity.rows():
        found.setdefault(row.destination.number, []).append(row)
    return found


class _Everyone:
    """Writes "all pods" or "all of shop" where a list would name exactly these sources. A single
    pod is never its own source, so its own line is without it."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self._sizes = Counter(_namespace(group) for group in groups)
        self._outside = self._sizes.pop(None, 0)
        self._pods = self._sizes.total()

    def words(self, sources: Collection[Group], destination: Group, wide: bool) -> str:
        """The sources in few words."""
        found = Counter(_namespace(group) for group in sources)
        outside = found.pop(None, 0)
        itself = 1 if destination.is_single_pod else 0
        every_pod = found.total() == self._pods - itself
        every_address = outside == self._outside
        mark = UNJUDGED if any(group.unjudged for group in sources) else ""
        words: list[str] = []
        said: set[str | None] = set()
        if every_pod and every_address and found and outside:
            return f"everyone{mark}"
        if every_pod and found.total() > 1:
            words.append(f"all pods{mark}")
            said.update(found)
        for namespace, size in found.items() if not said else ():
            own = itself if namespace == _namespace(destination) else 0
            if size == self._sizes[namespace] - own and size > 1:
                own_mark = mark and self._mark(namespace, sources)
                words.append(f"all of {_quoted(namespace or '')}{own_mark}")
                said.add(namespace)
        if every_address and outside:
            words.append("all outside addresses")
            said.add(None)
        words.extend(name(g) for g in _in_order(sources) if _namespace(g) not in said)
        return ", ".join(words) if wide else _cut(words)

    def _mark(self, namespace: str | None, sources: Collection[Group]) -> str:
        own = (group for group in sources if _namespace(group) == namespace)
        return UNJUDGED if any(group.unjudged for group in own) else ""


def _namespace(group: Group) -> str | None:
    """The namespace of pods; None for outside addresses."""
    return group.workload.namespace if group.workload else None


def _in_order(groups: Iterable[Group]) -> list[Group]:
    return sorted(groups, key=lambda group: group.number)


def _cut(words: list[str]) -> str:
    if len(words) <= _SHOWN + 1:
        return ", ".join(words)
    return f"{some(words, _SHOWN)} (-o wide names them)"


def _left_out(connectivity: Connectivity, *, wide: bool) -> str:
    lines = []
    for reason, names in connectivity.left_out.items():
        safe = list(map(printable, names))
        lines.append(f"not on the map ({reason}): {', '.join(safe) if wide else _cut(safe)}\n")
    return "".join(["\n", *lines]) if lines else ""


def _unjudged(connectivity: Connectivity, *, wide: bool) -> str:
    """What the mark of a name means."""
    found = [g for g in shown(connectivity) if g.unjudged]
    if not found:
        return ""
    parts = [
        f"{_quoted(g.name)} ({some(list(map(printable, g.unjudged)), _OTHERS)})" for g in found
    ]
    said = ", ".join(parts) if wide else _cut(parts)
    return f"\n{UNJUDGED.strip()} a policy of another API may decide as well, unjudged: {said}\n"


def render_matrix(connectivity: Connectivity) -> str:
    """Sources down, destinations across; letters stand for the port sets below the matrix."""
    groups = shown(connectivity)
    legend = _Legend()
    cells: dict[tuple[int, int], str] = {}
    for row in connectivity.rows():
        mark = legend.mark(row.ports, row.family)
        for source in row.sources:
            key = (source.number, row.destination.number)
            cells[key] = cells[key] + mark if key in cells else mark
    lines = [[f"{g.number + 1} {name(g)}", *_cells(connectivity, groups, g, cells)] for g in groups]
    header = ["FROM \\ TO", *(str(group.number + 1) for group in groups)]
    below = legend.text(narrowed=bool(connectivity.only)) + _left_out(connectivity, wide=True)
    below += _unjudged(connectivity, wide=True)
    return f"{table(header, lines, gap=2)}\n{below}"


def _cells(
    connectivity: Connectivity,
    groups: Sequence[Group],
    source: Group,
    cells: dict[tuple[int, int], str],
) -> Iterator[str]:
    for destination in groups:
        absent = "." if _asked(connectivity, source, destination) else " "
        yield cells.get((source.number, destination.number), absent)


def _asked(connectivity: Connectivity, source: Group, destination: Group) -> bool:
    """Whether the map is about a pair, so that its absence from all rows means "nothing"."""
    if source is destination and source.is_single_pod:
        return False
    ends = {_namespace(source), _namespace(destination)} - {None}
    return bool(ends & connectivity.only if connectivity.only else ends)


class _Legend:
    """Gives each set of ports a letter, in order of appearance."""

    def __init__(self) -> None:
        self._marks: dict[tuple[PortSet, int | None], str] = {}

    def mark(self, ports: PortSet, family: int | None) -> str:
        key = (ports, family)
        if key not in self._marks:
            plain = ports.is_everything and family is None
            self._marks[key] = (
                "*" if plain else _letters(sum(m != "*" for m in self._marks.values()))
            )
        return self._marks[key]

    def text(self, *, narrowed: bool) -> str:
        """``narrowed``: the map is about some namespaces only."""
        blank = "not asked: a single pod and itself, or two outside addresses"
        if narrowed:
            blank += ", or no end in these namespaces"
        lines = [(".", "nothing"), ("blank", blank)]
        for (ports, family), mark in self._marks.items():
            lines.append((mark, f"{ports}{f' over IPv{family}' if family else ''}"))
        return "".join(f"{mark}  {words}\n" for mark, words in lines)


def _letters(number: int) -> str:
    """a, b, ... z, A, ... Z, then a1, b1, ..."""
    alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    turn, at = divmod(number, len(alphabet))
    return alphabet[at] + (str(turn) if turn else "")
