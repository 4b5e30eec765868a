"""The ruleset before or after a change, object by object, as far as somebody asks for them.

Rule: an object is made when somebody asks for it, so a reader of few objects pays for few.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

from podfence.live.profiles import HeldSelection
from podfence.live.selections import MembershipChange, Selections
from podfence.nft.objects import Chain, MemberSet, NamedObject, RangeSet, Set, VerdictMap
from podfence.nft.ruleset import AnySet
from podfence.sets.members import Members

ObjectName = tuple[bool, str]
"""Chains and sets may share names: whether it is a chain, and its name."""
T = TypeVar("T", bound=NamedObject)


class ObjectSource:
    """Where objects come from. ``kind``: the type of object that a name stands for, None for
    nothing. ``find``: the object. ``names``: the names of all objects."""

    def __init__(
        self,
        kind: Callable[[ObjectName], type[NamedObject] | None],
        find: Callable[[ObjectName], NamedObject],
        names: Callable[[], Iterator[ObjectName]],
    ) -> None:
        self.kind = kind
        self.find = find
        self.names = names


class RulesetSide:
    """Objects by kind and name."""

    def __init__(self, objects: ObjectSource) -> None:
        self._sets = _ByName[AnySet](objects, False, (Set, MemberSet, RangeSet))
        self._maps = _ByName[VerdictMap](objects, False, (VerdictMap,))
        self._chains = _ByName[Chain](objects, True, (Chain,))

    @property
    def sets(self) -> Mapping[str, AnySet]:
        """Sets by name."""
        return self._sets

    @property
    def maps(self) -> Mapping[str, VerdictMap]:
        """Verdict maps by name."""
        return self._maps

    @property
    def chains(self) -> Mapping[str, Chain]:
        """Chains by name."""
        return self._chains


class _ByName(Mapping[str, T], Generic[T]):
    """Objects of some kinds, each made once."""

    def __init__(self, objects: ObjectSource, is_chain: bool, kinds: tuple[type[T], ...]) -> None:
        self._objects = objects
        self._is_chain = is_chain
        self._kinds = kinds
        self._made: dict[str, T] = {}

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._objects.kind((self._is_chain, name)) in self._kinds

    def __getitem__(self, name: str) -> T:
        found = self._made.get(name)
        if found is None:
            if name not in self:
                raise KeyError(name)
            made = self._objects.find((self._is_chain, name))
            assert isinstance(made, self._kinds)
            found = self._made[name] = made
        return found

    def __iter__(self) -> Iterator[str]:
        for is_chain, name in self._objects.names():
            if is_chain is self._is_chain and name in self:
                yield name

    def __len__(self) -> int:
        return sum(1 for _ in self)


# -- What was there before a batch of events, kept while the batch is taken in


class SetState:
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

    def __init__(self, moved: Mapping[tuple[int, int], MembershipChange]) -> None:
        self.moved = moved
        self.members: dict[tuple[int, int], Members] = {}
        self.changed: dict[ObjectName, NamedObject | None] = {}
        self.shown: dict[str, SetState | None] = {}
        self.unheld: list[HeldSelection] = []
        self.unnamed: set[str] = set()
