"""A map as a picture: sources on the left, destinations on the right, and a line for each allowed
pair.

Rule: the size is bounded. Above a number of ends or lines, namespaces are drawn instead of
workloads; above a number of namespaces, the least connected ones become one. Coordinates are in
``picture_layout``, marks in ``map_svg``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

from podfence.questions.connectivity import Connectivity, Group
from podfence.questions.phrases.words import count
from podfence.render.map_table import ports_text, shown
from podfence.render.report_names import AsWritten

MOST_ENDS: Final = 60
"""Workloads and outside groups that are drawn one by one."""
MOST_PAIRS: Final = 1500
MOST_LINES: Final = 300
"""Lines, shared ones counted once, with which a picture can still be read."""
MOST_NAMESPACES: Final = 40
AS_WRITTEN: Final = AsWritten()


class BoxRow(Struct, frozen=True):
    """One row of a box. ``number``: of the group on the map; -1 for a namespace. ``detail``: a word
    about it. ``open``: directions, of "ingress" and "egress", in which no policy isolates it."""

    label: str
    name: str
    number: int = -1
    detail: str = ""
    open: frozenset[str] = frozenset()


class Box(Struct, frozen=True):
    """A frame around ends. ``title``: "" where the ends speak for themselves."""

    title: str
    ends: tuple[int, ...]
    outside: bool = False


class Slot(Struct, frozen=True):
    """Where lines enter an end. ``row``: its index among the map's rows, -1 where it stands for
    several."""

    end: int
    words: str
    row: int = -1


class Arrow(Struct, frozen=True):
    """From an end, or (``whole``) from everything in a box, to slots. Slots with the same sources
    share their lines up to a point. ``members``: the ends that it stands for."""

    source: int
    whole: bool
    slots: tuple[int, ...]
    members: tuple[int, ...]


class Picture(Struct, frozen=True):
    """``folded``: what one end of the picture stands for if it is not one end of the map:
    "namespaces", or ""."""

    ends: tuple[BoxRow, ...]
    boxes: tuple[Box, ...]
    sending: frozenset[int]
    """Ends that stand on the left."""
    receiving: frozenset[int]
    slots: tuple[Slot, ...]
    lines: tuple[Arrow, ...]
    folded: str = ""


def of_workloads(connectivity: Connectivity, names: AsWritten = AS_WRITTEN) -> Picture | None:
    """Every end of a map by itself; None if there are too many to see."""
    groups = shown(connectivity)
    if len(groups) > MOST_ENDS:
        return None
    draft = _PictureBuilder()
    ends = {group.number: draft.end(*_group_end(group, names)) for group in groups}
    alone = {ends[group.number] for group in groups if group.is_single_pod}
    for number, row in enumerate(connectivity.rows()):
        slot = draft.slot(ends[row.destination.number], ports_text(row), number)
        sources = [ends[source.number] for source in row.sources]
        draft.lines_from(sources, slot, without=alone & {ends[row.destination.number]})
        if draft.pairs > MOST_PAIRS:
            return None
    found = draft.picture()
    return found if len(found.lines) <= MOST_LINES else None


def of_namespaces(connectivity: Connectivity) -> Picture:
    """A line where something in one namespace reaches something in another."""
    pairs: Counter[tuple[str, str]] = Counter()
    lines = Counter(_namespace(group) for group in shown(connectivity))
    for row in connectivity.rows():
        to = _namespace(row.destination)
        pairs.update((_namespace(source), to) for source in row.sources)
    kept = _most_connected(pairs, lines)
    draft, ends = _PictureBuilder(), dict[str, int]()
    for name in sorted(filter(None, kept)):
        ends[name] = draft.end(
            _NAMESPACES, BoxRow(name, name, detail=count(lines[name], "workload"))
        )
    if others := sorted(lines.keys() - kept):
        label = count(len(others), "more namespace")
        ends |= dict.fromkeys(others, draft.end(_NAMESPACES, BoxRow(label, label)))
    if "" in kept:
        words = "all outside addresses"
        ends[""] = draft.end(_OUTSIDE, BoxRow(words, words))
    _namespace_lines(draft, pairs, ends)
    return draft.picture("namespaces")


def _namespace_lines(
    draft: _PictureBuilder, pairs: Mapping[tuple[str, str], int], ends: Mapping[str, int]
) -> None:
    drawn: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for (source, to), number in pairs.items():
        drawn[ends[to]][ends[source]] += number
    for end in sorted(drawn):
        found = drawn[end]
        slot = draft.slot(end, count(found.total(), "pair"))
        draft.lines_from(sorted(found), slot)


def _most_connected(
    pairs: Mapping[tuple[str, str], int], lines: Mapping[str, int]
) -> frozenset[str]:
    """Namespaces that are drawn, "" for outside."""
    if len(lines) <= MOST_NAMESPACES:
        return frozenset(lines)
    weight: Counter[str] = Counter()
    for (source, to), number in pairs.items():
        if source != to:
            weight[source] += number
            weight[to] += number
    ranked = sorted(filter(None, lines), key=lambda name: (-weight[name], name))
    return frozenset(ranked[: MOST_NAMESPACES - 1]) | ({""} & set(lines))


def _namespace(group: Group) -> str:
    return group.workload.namespace if group.workload else ""


def _group_end(group: Group, names: AsWritten) -> tuple[_Frame, BoxRow]:
    name = names.group(group)
    if group.workload is None:
        return _OUTSIDE, BoxRow(name.removeprefix("outside "), name, group.number)
    isolated = {"ingress": group.isolated_ingress, "egress": group.isolated_egress}
    return (False, names.namespace(group.workload.namespace)), BoxRow(
        name.partition("/")[2],
        name,
        group.number,
        count(len(group.pods), "pod"),
        frozenset(word for word, closed in isolated.items() if not closed),
    )


_Frame = tuple[bool, str]
"""The identity of a box: whether it is outside, and its title."""
_Source = tuple[int, bool, tuple[int, ...]]
"""The end or the box that a line begins at, whether it is a box, and the ends that are meant."""
_OUTSIDE: Final = (True, "outside the cluster")
_NAMESPACES: Final = (False, "")


class _PictureBuilder:
    """A picture in the making."""

    def __init__(self) -> None:
        self.pairs = 0
        self._ends: list[BoxRow] = []
        self._slots: list[Slot] = []
        self._lines: list[list[_Source]] = []
        self._boxes: dict[_Frame, list[int]] = {}

    def end(self, frame: _Frame, end: BoxRow) -> int:
        """Adds an end; its number."""
        self._boxes.setdefault(frame, []).append(len(self._ends))
        self._ends.append(end)
        return len(self._ends) - 1

    def slot(self, end: int, words: str, row: int = -1) -> int:
        """Adds a slot where lines arrive; its number."""
        self._slots.append(Slot(end, words, row))
        self._lines.append([])
        return len(self._slots) - 1

    def lines_from(self, sources: Sequence[int], slot: int, without: Iterable[int] = ()) -> None:
        """Lines to a slot: one from a box if every end in it is a source, except those of
        ``without``."""
        self.pairs += len(sources)
        found, lines = set(sources), self._lines[slot]
        for at, members in enumerate(self._boxes.values()):
            inside = tuple(each for each in members if each in found)
            if len(inside) > 1 and set(members).difference(without) == set(inside):
                lines.append((at, True, inside))
            else:
                lines += [(each, False, (each,)) for each in inside]

    def _shared(self) -> Iterator[Arrow]:
        """Slots that the same lines enter are entered together, where that saves lines."""
        slots: dict[tuple[_Source, ...], list[int]] = defaultdict(list)
        for slot, sources in enumerate(self._lines):
            slots[tuple(sources)].append(slot)
        for lines, together in slots.items():
            single = min(len(lines), len(together)) == 1
            parts = [(each,) for each in together] if single else [tuple(together)]
            for part in parts:
                for source, whole, members in lines:
                    yield Arrow(source, whole, part, members)

    def picture(self, folded: str = "") -> Picture:
        """What was made."""
        boxes = tuple(
            Box(title, tuple(members), outside) for (outside, title), members in self._boxes.items()
        )
        lines = tuple(self._shared())
        sending = {each for line in lines for each in line.members}
        receiving = {slot.end for slot in self._slots}
        inside = {each for box in boxes if not box.outside for each in box.ends}
        return Picture(
            tuple(self._ends),
            boxes,
            frozenset(sending | inside),
            frozenset(receiving | inside),
            tuple(self._slots),
            lines,
            folded,
        )
