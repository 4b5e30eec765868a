"""Where an edit is written: the fields that differ, each with its position."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct

from podfence.errors import Locate, Position, Source
from podfence.questions.plan.edits import Edit, EditKind
from podfence.questions.plan.parts import parts_of

Raw = Callable[[Source | None], Mapping[str, Any] | None]

SIGNS: Mapping[EditKind, str] = {
    EditKind.ADDED: "+",
    EditKind.REMOVED: "-",
    EditKind.CHANGED: "~",
}


class EditedField(Struct, frozen=True):
    """One field of an edit. ``words`` hold text of the API: never print them raw. ``path``: of the
    field, "" for a whole object. ``position``: in the new text, or in the old one for a removed
    field (``old``); ``left``: then the nearest position in the new text, None for a whole
    object."""

    words: str
    path: str
    position: Position | None
    old: bool = False
    left: Position | None = None

    @property
    def shown(self) -> Position | None:
        """Where it can be looked at in the new text."""
        return self.left if self.old else self.position


def first_shown(spots: Iterable[EditedField]) -> EditedField | None:
    """The field that stands for all: one of the new text, else the first removed one."""
    there = [spot for spot in spots if spot.position is not None]
    return min(there, key=lambda spot: (spot.old, spot.shown is None), default=None)


class SideTexts(Struct, frozen=True):
    """What one side was read from."""

    raw: Raw
    locate: Locate


class Edits:
    """Finds the positions of edits; what was found is kept."""

    def __init__(self, old: SideTexts, new: SideTexts) -> None:
        self._old, self._new = old, new
        self._found: dict[int, tuple[EditedField, ...]] = {}

    def spots(self, edit: Edit) -> tuple[EditedField, ...]:
        """The fields of an edit, at least one."""
        if edit.number not in self._found:
            self._found[edit.number] = self._spots(edit)
        return self._found[edit.number]

    def manifest(self, edit: Edit) -> Mapping[str, Any] | None:
        """The object as the new text has it; None where it is gone or stands in no text."""
        return None if edit.kind is EditKind.REMOVED else self._new.raw(edit.new_source)

    def _spots(self, edit: Edit) -> tuple[EditedField, ...]:
        if edit.kind is EditKind.ADDED:
            return (EditedField("added", "", self._new.locate(edit.new_source, "")),)
        if edit.kind is EditKind.REMOVED:
            position = self._old.locate(edit.old_source, "")
            return (EditedField("removed", "", position, old=True),)
        old, new = self._old.raw(edit.old_source), self._new.raw(edit.new_source)
        parts = () if old is None or new is None else parts_of(edit.ref.kind, old, new)
        found = tuple(
            EditedField(part.words, part.new, self._new.locate(edit.new_source, part.new))
            if part.new
            else EditedField(
                part.words,
                part.old,
                self._old.locate(edit.old_source, part.old),
                old=True,
                left=self._new.locate(edit.new_source, part.left),
            )
            for part in parts
        )
        return found or (EditedField("changed", "", self._new.locate(edit.new_source, "")),)
