"""The layout of a picture: two columns of boxes, and lines between them.

Rule: a box of a namespace has the same height on both sides. No two boxes overlap and no line
crosses a box, because lines run only between the columns. Units are CSS pixels; the width of text
is estimated from its length. The page and ``map -o svg`` draw the same layout.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from msgspec import Struct

from podfence.render.picture import Arrow, Picture
from podfence.text import printable

ROW: Final = 24
HEAD: Final = 26
FOOT: Final = 6
GAP: Final = 16
MARGIN: Final = 16
TITLES: Final = 30
"""Height of the words above the columns."""
LETTER: Final = 6.8
ROOM: Final = 240
"""Width of the room in which lines turn."""
MOST_LABEL: Final = 36
MOST_WORDS: Final = 26
ARROW: Final = 12
_APART: Final = 8


class Rect(Struct, frozen=True):
    """``left`` and ``top`` of a rectangle, and its extent."""

    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """The other edge."""
        return self.left + self.width


class Layout(Struct, frozen=True):
    """``boxes``: by (side, box), ``ends``: by (side, end), where side is 0 on the left and 1 on the
    right. ``slots``: the height of each. Lines begin at ``ends_at``. ``hubs``: the heights of the
    points, all at ``hub``, through which lines pass that share their slots. Lines join at ``join``,
    their words begin there, and the arrow ends at ``arrow``."""

    width: int
    height: int
    boxes: dict[tuple[int, int], Rect]
    ends: dict[tuple[int, int], Rect]
    slots: tuple[int, ...]
    ends_at: int
    hub: int
    hubs: dict[tuple[int, ...], int]
    join: int
    arrow: int


def clipped(text: str, most: int) -> str:
    """What a person sees of a name: never more than ``most`` characters, nothing that acts."""
    safe = printable(text)
    return safe if len(safe) <= most else f"{safe[: most - 1]}…"


def layout(picture: Picture) -> Layout:
    """The coordinates of everything in a picture."""
    width = _column(picture)
    words = max((len(clipped(slot.words, MOST_WORDS)) for slot in picture.slots), default=8)
    join = MARGIN + width + ROOM
    arrow = join + 14 + round(words * LETTER) + ARROW
    slots_of: dict[int, list[int]] = defaultdict(list)
    for number, slot in enumerate(picture.slots):
        slots_of[slot.end].append(number)
    boxes: dict[tuple[int, int], Rect] = {}
    ends: dict[tuple[int, int], Rect] = {}
    heights = [0] * len(picture.slots)
    top = MARGIN + TITLES
    for number, box in enumerate(picture.boxes):
        bottom = top
        for side, left in ((0, MARGIN), (1, arrow)):
            there = picture.receiving if side else picture.sending
            members = [each for each in box.ends if each in there]
            if not members:
                continue
            at = top + (HEAD if box.title else FOOT)
            for each in members:
                rows = max(1, len(slots_of[each])) if side else 1
                ends[side, each] = Rect(left, at, width, ROW * rows)
                for row, entry in enumerate(slots_of[each] if side else ()):
                    heights[entry] = at + ROW * row + ROW // 2
                at += ROW * rows
            boxes[side, number] = Rect(left, top, width, at + FOOT - top)
            bottom = max(bottom, at + FOOT)
        top = bottom + GAP if bottom > top else top
    hub = MARGIN + width + ROOM * 3 // 5
    hubs = _hubs(picture, ends, boxes, heights)
    size = arrow + width + MARGIN, max([top, *(each + MARGIN for each in hubs.values())])
    return Layout(*size, boxes, ends, tuple(heights), MARGIN + width, hub, hubs, join, arrow)


def begins(
    line: Arrow, boxes: dict[tuple[int, int], Rect], ends: dict[tuple[int, int], Rect]
) -> int:
    """The height at which a line leaves the left column."""
    if line.whole and (0, line.source) in boxes:
        return boxes[0, line.source].top + HEAD // 2
    return ends[0, line.members[0]].top + ROW // 2


def _hubs(
    picture: Picture,
    ends: dict[tuple[int, int], Rect],
    boxes: dict[tuple[int, int], Rect],
    heights: list[int],
) -> dict[tuple[int, ...], int]:
    """In the middle of what they join, and apart from one another."""
    touched: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for line in picture.lines:
        if len(line.slots) > 1:
            touched[line.slots].append(begins(line, boxes, ends))
    middle = {
        slots: (sum(sides) // len(sides) + sum(heights[s] for s in slots) // len(slots)) // 2
        for slots, sides in touched.items()
    }
    found: dict[tuple[int, ...], int] = {}
    least = 0
    for slots in sorted(middle, key=lambda each: (middle[each], each)):
        found[slots] = least = max(middle[slots], least)
        least += _APART
    return found


def _column(picture: Picture) -> int:
    """The width that every box has."""
    letters = [len(clipped(box.title, MOST_LABEL)) for box in picture.boxes]
    for end in picture.ends:
        detail = len(end.detail) + (16 if end.open else 0)
        letters.append(len(clipped(end.label, MOST_LABEL)) + detail + 2)
    return 24 + round(max(letters, default=12) * LETTER)
