"""What was there before a batch of events, kept while the batch is taken in."""

from __future__ import annotations

from collections.abc import Mapping

from podfence.live.profiles import HeldSelection
from podfence.live.selections import Moved, Selections
from podfence.nft.lowering.side import ObjectName
from podfence.nft.objects import MemberSet, NamedObject
from podfence.sets.members import Members


class Shown:
    """A set of addresses. ``held``: the selection whose members it has; None: ``declared`` has
    them."""

    __slots__ = ("declared", "held")

    def __init__(self, declared: MemberSet, held: HeldSelection | None) -> None:
        self.declared = declared
        self.held = held

    def count(self, selections: Selections) -> int:
        """How many addresses it has now."""
        held, elements = self.held, self.declared.elements
        return len(elements) if held is None else selections.count(held, elements.family)


class PriorState:
    """What was there before a change. ``moved``: members of selections that moved, by number and
    family. ``members``: members of selections, as far as they were read. ``changed`` and ``shown``:
    objects and sets of addresses that have changed, as they were; None where there was none.
    ``unheld``: selections that are looked at only until the change is told. ``unnamed``: names that
    a fragment gave back."""

    def __init__(self, moved: Mapping[tuple[int, int], Moved]) -> None:
        self.moved = moved
        self.members: dict[tuple[int, int], Members] = {}
        self.changed: dict[ObjectName, NamedObject | None] = {}
        self.shown: dict[str, Shown | None] = {}
        self.unheld: list[HeldSelection] = []
        self.unnamed: set[str] = set()
