"""A connectivity map as text for people: a table by destination, or a matrix."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from podfence.questions.connectivity import Connectivity, Group, Row, ports_words
from podfence.render.tables import table
from podfence.sets import PortSet
from podfence.text import printable

_SHOWN = 8


def render_table(connectivity: Connectivity, *, wide: bool = False) -> str:
    """One line for each destination and set of ports; ``wide`` names every source."""
    everyone = _Everyone(connectivity.groups)
    lines: list[tuple[str, str, str]] = []
    by_destination = _by_destination(connectivity)
    for group in connectivity.groups:
        rows = by_destination.get(group.number, [])
        for row in rows:
            lines.append((name(group), ports_text(row), everyone.words(row.sources, group, wide)))
        if not rows and _wanted(connectivity, group):
            lines.append((name(group), "none", "nobody"))
    return table(("TO", "PORTS", "FROM"), lines) + _left_out(connectivity, wide=wide)


def shown(connectivity: Connectivity) -> tuple[Group, ...]:
    """The groups that a map of some namespaces is about: those in them, and whoever they meet."""
    if not connectivity.only:
        return connectivity.groups
    touched = {g.number for row in connectivity.rows() for g in (row.destination, *row.sources)} | {
        g.number for g in connectivity.groups if _wanted(connectivity, g)
    }
    return tuple(g for g in connectivity.groups if g.number in touched)


def _wanted(connectivity: Connectivity, group: Group) -> bool:
    """Whether "nobody reaches it" is worth a line."""
    if group.workload is None:
        return False
    return not connectivity.only or group.workload.namespace in connectivity.only


def ports_text(row: Row) -> str:
    """The ports of a row, with the IP version when the row holds for one only."""
    return f"{ports_words(row.ports)}{f' (IPv{row.family} only)' if row.family else ''}"


def name(group: Group) -> str:
    """The name of a group, safe to print."""
    return printable(group.name)


def _by_destination(connectivity: Connectivity) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = {}
    for row in connectivity.rows():
        found.setdefault(row.destination.number, []).append(row)
    return found


class _Everyone:
    """Says "all pods" or "namespace shop" where a list of sources would say no more than that."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self._outside = {g.number for g in groups if g.workload is None}
        self._namespaces: dict[str, set[int]] = {}
        for group in groups:
            if group.workload is not None:
                self._namespaces.setdefault(group.workload.namespace, set()).add(group.number)

    def words(self, sources: Sequence[Group], destination: Group, wide: bool) -> str:
        """The sources in few words; the destination itself is never missed among them."""
        numbers = {g.number for g in sources}
        present = numbers | {destination.number}
        words: list[str] = []
        full = [
            n for n, members in self._namespaces.items() if members <= present and numbers & members
        ]
        if len(full) == len(self._namespaces) and full:
            words.append("all pods" if self._outside - present else "everyone")
            numbers -= set().union(*self._namespaces.values())
        else:
            for namespace in (n for n in full if len(self._namespaces[n]) > 1):
                words.append(f"all of {printable(namespace)}")
                numbers -= self._namespaces[namespace]
        if not self._outside - numbers and self._outside:
            numbers -= self._outside
            if words != ["everyone"]:
                words.append("all outside addresses")
        words.extend(name(g) for g in _in_order(sources) if g.number in numbers)
        return ", ".join(words if wide else _cut(words))


def _in_order(groups: Iterable[Group]) -> list[Group]:
    return sorted(groups, key=lambda group: group.number)


def _cut(words: list[str]) -> list[str]:
    if len(words) <= _SHOWN + 1:
        return words
    return [*words[:_SHOWN], f"and {len(words) - _SHOWN} more (-o wide names them)"]


def _left_out(connectivity: Connectivity, *, wide: bool) -> str:
    lines = []
    for reason, names in connectivity.left_out.items():
        safe = list(map(printable, names))
        lines.append(f"not on the map ({reason}): {', '.join(safe if wide else _cut(safe))}\n")
    return "".join(["\n", *lines]) if lines else ""


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
    lines = [
        [f"{source.number + 1} {name(source)}", *_cells(groups, source, cells)] for source in groups
    ]
    header = ["FROM \\ TO", *(str(group.number + 1) for group in groups)]
    return table(header, lines, gap=2) + "\n" + legend.text() + _left_out(connectivity, wide=True)


def _cells(
    groups: Sequence[Group], source: Group, cells: dict[tuple[int, int], str]
) -> Iterator[str]:
    for destination in groups:
        outside = source.workload is None and destination.workload is None
        if outside or (source is destination and (source.number, source.number) not in cells):
            yield " "
        else:
            yield cells.get((source.number, destination.number), ".")


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

    def text(self) -> str:
        lines = [(".", "nothing")]
        for (ports, family), mark in self._marks.items():
            lines.append((mark, f"{ports}{f' over IPv{family}' if family else ''}"))
        return "".join(f"{mark}  {words}\n" for mark, words in lines)


def _letters(number: int) -> str:
    """a, b, ... z, A, ... Z, then a1, b1, ..."""
    alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    turn, at = divmod(number, len(alphabet))
    return alphabet[at] + (str(turn) if turn else "")
