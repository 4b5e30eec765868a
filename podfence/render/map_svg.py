"""A picture as one SVG file.

Rule: nothing in it can run, load or link; names are text. Its colours follow the reader's theme,
and pointing at a workload leaves only its lines.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from podfence.questions.connectivity import Connectivity
from podfence.render.picture import Arrow, Box, BoxRow, Picture, of_namespaces, of_workloads
from podfence.render.picture_layout import (
    LETTER,
    MARGIN,
    MOST_LABEL,
    MOST_WORDS,
    ROW,
    Layout,
    Rect,
    begins,
    clipped,
    layout,
)
from podfence.text import printable

_STYLE: Final = """
 svg{--paper:#fff;--band:#f1f3f7;--edge:#ccd3dd;--ink:#1b2430;--quiet:#566072;--line:#4c86cf;
  --in:#b3570b;--open:#8f5a00;
  font:12px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
 @media (prefers-color-scheme:dark){svg{--paper:#12161c;--band:#1a202a;--edge:#38424f;--ink:#e4e8ee;
  --quiet:#a3adbc;--line:#5f9be6;--in:#f0a050;--open:#e0a030}}
 .paper{fill:var(--paper)} .box{fill:var(--band);stroke:var(--edge)} text{fill:var(--ink)}
 .quiet{fill:var(--quiet)} .open{fill:var(--open)} .title{font-weight:600}
 .line{fill:none;stroke:var(--line);stroke-width:1.3;opacity:.75} .head{fill:var(--line)}
 .thin{stroke-width:1;opacity:.45} .line.in{stroke:var(--in)}
 .words{paint-order:stroke;stroke:var(--paper);stroke-width:5px;stroke-linejoin:round}
 .row{fill:transparent} .end:hover .row{fill:var(--edge)}
"""


def pictured(connectivity: Connectivity) -> Picture:
    """The picture of a map: of its workloads, or of its namespaces if there are too many
    workloads."""
    return of_workloads(connectivity) or of_namespaces(connectivity)


_MANY: Final = 120
"""Above this number of lines, each is drawn thinner."""


def folding(picture: Picture) -> str:
    """What a picture does not show one by one, "" where it shows everything."""
    if not picture.folded:
        return ""
    return (
        "too much for one picture, so that it shows namespaces and how many pairs are allowed "
        "between them. -n, --from, --to and --port narrow it; podfence report shows all of it"
    )


def svg(picture: Picture) -> Iterator[str]:
    """The file, in pieces."""
    drawn = layout(picture)
    size = f'width="{drawn.width}" height="{drawn.height}"'
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} '
        f'viewBox="0 0 {drawn.width} {drawn.height}" role="img">\n'
        f"<title>Who can reach whom</title>\n<style>{_STYLE}{''.join(_pointed(picture))}</style>\n"
        f'<rect class="paper" {size}/>\n'
    )
    for left, words in ((MARGIN, "from"), (drawn.arrow, "to")):
        yield _text(left + 2, MARGIN + 14, words, "quiet")
    for (_, number), rect in drawn.boxes.items():
        yield _box(picture.boxes[number], rect)
    yield from _lines(picture, drawn)
    for (side, number), rect in drawn.ends.items():
        yield _end(picture.ends[number], number, side, rect)
    yield "</svg>\n"


def _pointed(picture: Picture) -> Iterator[str]:
    """Rules by which an end that is pointed at dims what is not its own."""
    for side, ends in (("s", picture.sending), ("d", picture.receiving)):
        for end in sorted(ends):
            yield f" svg:has(#{side}{end}:hover) .way:not(.{side}{end}){{opacity:.08}}\n"


def _box(box: Box, rect: Rect) -> str:
    frame = (
        f'<rect class="box" x="{rect.left}" y="{rect.top}" width="{rect.width}" '
        f'height="{rect.height}" rx="6"/>\n'
    )
    if not box.title:
        return frame
    return frame + _text(rect.left + 10, rect.top + 18, box.title, "title")


def _end(end: BoxRow, number: int, side: int, rect: Rect) -> str:
    middle = rect.top + ROW // 2 + 4
    label = clipped(end.label, MOST_LABEL)
    name = f"<title>{escape(printable(end.name))}</title>"
    row = (
        f'<rect class="row" x="{rect.left + 1}" y="{rect.top}" width="{rect.width - 2}" '
        f'height="{rect.height}"/>'
    )
    texts = _text(rect.left + 14, middle, label)
    at = rect.left + 14 + round((len(label) + 2) * LETTER)
    if end.detail:
        texts += _text(at, middle, end.detail, "quiet")
        at += round((len(end.detail) + 1) * LETTER)
    if ("ingress" if side else "egress") in end.open:
        texts += _text(at, middle, "not isolated", "open")
    return f'<g class="end" id="{"sd"[side]}{number}">{name}{row}{texts}</g>\n'


def _lines(picture: Picture, drawn: Layout) -> Iterator[str]:
    """Lines, then what each slot says, so that no line crosses a word."""
    outside = {end for box in picture.boxes if box.outside for end in box.ends}
    thin = " thin" if len(picture.lines) > _MANY else ""
    senders: dict[int, set[int]] = defaultdict(set)
    for line in picture.lines:
        for slot in line.slots:
            senders[slot].update(line.members)
        rect = drawn.boxes[0, line.source] if line.whole else drawn.ends[0, line.source]
        start = rect.right, begins(line, drawn.boxes, drawn.ends)
        to = _end_of(line.slots, drawn)
        kind = f"{' in' if outside & set(line.members) else ''}{thin}"
        marks = _marks(line.members, [picture.slots[slot].end for slot in line.slots])
        yield f'<path class="way line{kind} {marks}" d="{_curve(start, to)}">'
        yield f"<title>{escape(_said(picture, line))}</title></path>\n"
    for slots, y in drawn.hubs.items():
        for slot in slots:
            marks = _marks(sorted(senders[slot]), [picture.slots[slot].end])
            curve = _curve((drawn.hub, y), (drawn.join, drawn.slots[slot]))
            yield f'<path class="way line{thin} {marks}" d="{curve}"/>\n'
    for number, slot_of in enumerate(picture.slots):
        y, tip = drawn.slots[number], drawn.arrow - 2
        yield f'<g class="way slot {_marks(sorted(senders[number]), [slot_of.end])}">'
        yield f'<path class="line" d="M{drawn.join} {y}H{tip - 7}"/>'
        yield f'<path class="head" d="M{tip - 8} {y - 4}L{tip} {y}L{tip - 8} {y + 4}Z"/>'
        words = clipped(slot_of.words, MOST_WORDS)
        yield _text(drawn.join + 6, y + 4, words, "words", slot_of.words) + "</g>\n"


def _end_of(slots: tuple[int, ...], drawn: Layout) -> tuple[int, int]:
    if len(slots) == 1:
        return drawn.join, drawn.slots[slots[0]]
    return drawn.hub, drawn.hubs[slots]


def _marks(senders: Sequence[int], receivers: Sequence[int]) -> str:
    names = [f"s{each}" for each in senders]
    return " ".join(names + [f"d{each}" for each in dict.fromkeys(receivers)])


def _curve(start: tuple[int, int], to: tuple[int, int]) -> str:
    bend = (to[0] - start[0]) // 2
    middle = f"{start[0] + bend} {start[1]} {to[0] - bend} {to[1]}"
    return f"M{start[0]} {start[1]}C{middle} {to[0]} {to[1]}"


def _said(picture: Picture, line: Arrow) -> str:
    names = ", ".join(printable(picture.ends[each].name) for each in line.members)
    to = (
        f"{printable(picture.ends[slot.end].name)}: {printable(slot.words)}"
        for slot in (picture.slots[each] for each in line.slots)
    )
    return f"{names} to {'; '.join(to)}"


def _text(x: int, y: int, words: str, kind: str = "", whole: str = "") -> str:
    marks = f' class="{kind}"' if kind else ""
    said = f"<title>{escape(printable(whole))}</title>" if whole and whole != words else ""
    return f'<text x="{x}" y="{y}"{marks}>{escape(clipped(words, MOST_LABEL))}{said}</text>'
