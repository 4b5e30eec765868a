"""Classes cut by the ends of a test: either all members of an atom belong to an end, or none.

Rule: an atom of a class that no end cuts has the number of the class, so bitmaps of classes are
bitmaps of atoms except for the few classes that are cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pyroaring import BitMap, FrozenBitMap

from podfence.questions.tests.ends import EndPart
from podfence.questions.tests.world import ClusterWorld
from podfence.sets import AddressSet
from podfence.sets.addresses import IPAddress


class Atoms:
    """The atoms of one world. ``cut``: atoms that are a part of a class."""

    def __init__(self, world: ClusterWorld, ends: Sequence[EndPart]) -> None:
        self._world = world
        self._members: dict[int, EndPart] = {}
        self._extra: dict[int, list[int]] = {}
        self._base: dict[int, int] = {}
        touched = [world.touched(*end) for end in ends]
        cuts: dict[int, list[EndPart]] = {}
        for end, (some, whole) in zip(ends, touched, strict=True):
            for number in some - whole:
                cuts.setdefault(number, []).append(end)
        free = len(world.index.classes)
        for number, cutting in sorted(cuts.items()):
            parts = _cut(self.members(number), cutting)
            numbers = [number, *range(free, free + len(parts) - 1)]
            free += len(parts) - 1
            self._extra[number] = numbers[1:]
            self._members.update(zip(numbers, parts, strict=True))
            self._base.update(dict.fromkeys(numbers, number))
        self.cut = FrozenBitMap(self._base)
        self._cut = FrozenBitMap(cuts)
        self._of = {
            end: self._within(end, some, whole)
            for end, (some, whole) in zip(ends, touched, strict=True)
        }

    def of(self, end: EndPart) -> FrozenBitMap:
        """The atoms of one of the ends."""
        return self._of[end]

    def base(self, atom: int) -> int:
        """The class of an atom."""
        return self._base.get(atom, atom)

    def of_pod(self, pod: int) -> int:
        """The atom of a pod."""
        number = self._world.class_of[pod]
        every = (number, *self._extra.get(number, ()))
        found: int = next(atom for atom in every if pod in self.members(atom)[0])
        return found

    def of_address(self, address: IPAddress, number: int) -> int:
        """The atom of an address of an outside class."""
        every = (number, *self._extra.get(number, ()))
        found: int = next((a for a in every if address in self.members(a)[1]), number)
        return found

    def bases(self, atoms: BitMap | FrozenBitMap) -> FrozenBitMap:
        """The classes of atoms."""
        parts = atoms & self.cut
        return FrozenBitMap((atoms - parts) | BitMap(self._base[atom] for atom in parts))

    def lift(self, classes: BitMap | FrozenBitMap) -> BitMap | FrozenBitMap:
        """The atoms of classes."""
        hit = classes & self._cut if self._cut else None
        if not hit:
            return classes
        lifted = BitMap(classes)
        for number in hit:
            lifted.update(self._extra[number])
        return lifted

    def members(self, atom: int) -> EndPart:
        """The pods of an atom, or its addresses."""
        known = self._members.get(atom)
        if known is None:
            outside = self._world.index.classes[atom].outside
            known = self._members[atom] = self._world.members[atom], outside or AddressSet()
        return known

    def _within(self, end: EndPart, some: FrozenBitMap, whole: FrozenBitMap) -> FrozenBitMap:
        found = BitMap(self.lift(whole))
        for number in some - whole:
            for atom in (number, *self._extra[number]):
                pods, addresses = self._members[atom]
                if pods & end[0] or addresses & end[1]:
                    found.add(atom)
        return FrozenBitMap(found)


def _cut(whole: EndPart, ends: Iterable[EndPart]) -> list[EndPart]:
    parts = [whole]
    for end in ends:
        cut: list[EndPart] = []
        for pods, addresses in parts:
            inside = pods & end[0], addresses & end[1]
            outside = pods - end[0], addresses - end[1]
            cut += [part for part in (inside, outside) if part[0] or part[1]]
        parts = cut
    return parts
