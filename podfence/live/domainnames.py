"""Domain names that this node was told of -> the selections that mean them.

Rule: a name that gets or loses an address is one element in each selection that means the name. An
address that several names of a selection have stays until the last of them loses it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from podfence.live.profiles import HeldSelection
from podfence.model.facts import NameFacts
from podfence.policy.domains import At, patterns_of
from podfence.policy.words import Selection
from podfence.sets.members import Members


class DomainNames:
    """The names, and who looks at them."""

    def __init__(self) -> None:
        self._facts: dict[str, NameFacts] = {}
        self._of: defaultdict[str, set[HeldSelection]] = defaultdict(set)
        """By what a policy writes, the selections with it."""
        self._having: dict[int, Counter[At]] = {}
        """By ``HeldSelection.number``, how many of its names have each address."""

    @property
    def patterns(self) -> frozenset[str]:
        """What policies write whose pods are here."""
        return frozenset(self._of)

    def hold(self, held: HeldSelection) -> None:
        """Somebody begins to look at a selection."""
        if not held.selection.names:
            return
        for pattern in held.selection.names:
            self._of[pattern].add(held)
        self._having[held.number] = Counter(
            at
            for facts in self._meant(held.selection.names)
            for at in _addresses(facts, kept=held.selection.kept)
        )

    def release(self, held: HeldSelection) -> None:
        """Nobody looks at it any more."""
        if self._having.pop(held.number, None) is not None:
            for pattern in held.selection.names:
                self._of[pattern].discard(held)
                if not self._of[pattern]:
                    del self._of[pattern]

    def members(self, held: HeldSelection, family: int) -> Members:
        """The addresses of one IP version that the names of a selection have."""
        having = self._having.get(held.number, ())
        return Members.of(family, (number for version, number in having if version == family))

    def means(self, selection: Selection, at: At) -> bool:
        """Whether a name of a selection has an address."""
        return any(
            at in _addresses(facts, kept=selection.kept) for facts in self._meant(selection.names)
        )

    def put(self, facts: NameFacts) -> Iterator[tuple[HeldSelection, At, bool]]:
        """A name has these addresses now: what moves in which selection, and whether it joins."""
        before = self._facts.pop(facts.name, NameFacts(facts.name))
        if facts.live or facts.kept:
            self._facts[facts.name] = facts
        if before == facts:
            return
        helds = {held for each in patterns_of(facts.name) for held in self._of.get(each, ())}
        for held in helds:
            kept, having = held.selection.kept, self._having[held.number]
            old, new = _addresses(before, kept=kept), _addresses(facts, kept=kept)
            for at in new - old:
                having[at] += 1
                if having[at] == 1 and not _always(held, at):
                    yield held, at, True
            for at in old - new:
                having[at] -= 1
                if not having[at]:
                    del having[at]
                    if not _always(held, at):
                        yield held, at, False

    def _meant(self, patterns: Iterable[str]) -> Iterator[NameFacts]:
        wanted = frozenset(patterns)
        for name, facts in self._facts.items():
            if not wanted.isdisjoint(patterns_of(name)):
                yield facts


def _addresses(facts: NameFacts, *, kept: bool) -> frozenset[At]:
    return facts.kept if kept else facts.live


def _always(held: HeldSelection, at: At) -> bool:
    """Whether a selection means an address whatever its names have."""
    family, number = at
    return number in held.selection.addresses.family(family)
