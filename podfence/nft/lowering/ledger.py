"""What a table holds, kept up operation by operation, so that each change is judged by itself.

Rule: what the ledger says of a transaction is what ``tightening`` says of the rulesets before and
after it, and costs what the transaction touches. Members are changed in place, a bitmap a set; they
are copied only when two sets have to be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from podfence.nft.contents import with_elements, without_elements
from podfence.nft.lowering.polarity import Uses
from podfence.nft.lowering.tightening import Released, Tightening, Touched, judged
from podfence.nft.objects import Chain, MemberSet, RangeSet, Set, VerdictMap
from podfence.nft.ruleset import AnySet, Ruleset
from podfence.nft.transaction import (
    AddChain,
    AddElements,
    AddRules,
    AddSet,
    DeleteChain,
    DeleteElements,
    DeleteSet,
    DeleteTable,
    ElementHolder,
    FlushChain,
    Operation,
    Transaction,
)
from podfence.sets.members import Members, MutableMembers

T = TypeVar("T")
Small = Set | RangeSet | VerdictMap
"""What has few elements on a node: they are values, and replaced as a whole."""


class Ledger:
    """One table, as its transactions leave it. Start with what it holds."""

    def __init__(self, ruleset: Ruleset) -> None:
        self._chains = dict(ruleset.chains)
        self._small: dict[str, Small] = dict(ruleset.maps)
        self._members: dict[str, MutableMembers] = {}
        self._uses = Uses(ruleset.chains.values())
        for item in ruleset.sets.values():
            if isinstance(item, MemberSet):
                self._members[item.name] = MutableMembers(item.elements.family, item.elements)
            else:
                self._small[item.name] = item

    def take(self, transaction: Transaction, released: Released) -> Tightening:
        """Take a transaction in that the kernel takes; what it takes away. ``released``: addresses
        that nobody has any more."""
        draft = _Draft(self._chains, self._small, self._members)
        for step in transaction:
            draft.do(step)
        before, after = draft.before(), draft.after()
        touched = Touched.by(transaction, before, after)
        found = judged(before, after, touched, self._uses, released)
        self._become(draft)
        return found

    def _become(self, draft: _Draft) -> None:
        for name, chain in draft.chains.items():
            known = self._chains.pop(name, None)
            if known is not None:
                self._uses.remove(known)
            if chain is not None:
                self._chains[name] = chain
                self._uses.add(chain)
        for name, item in draft.small.items():
            self._small.pop(name, None)
            if item is not None:
                self._small[name] = item
        for name, fresh in draft.fresh.items():
            self._members.pop(name, None)
            if fresh is not None:
                self._members[name] = fresh
        for name, moves in draft.moves.items():
            members = self._members[name]
            for joins, moved in moves:
                (members.update if joins else members.difference_update)(moved)


class _View(Struct, frozen=True):
    """One side of a change, as ``permission.Rules`` wants it."""

    sets: Mapping[str, AnySet]
    maps: Mapping[str, VerdictMap]
    chains: Mapping[str, Chain]


class _Draft:
    """What operations make of a table, of what they touch alone; None: it is gone.

    ``fresh``: sets of addresses that are new. ``moves``: what joins (True) or leaves those that
    were there.
    """

    def __init__(
        self,
        chains: Mapping[str, Chain],
        small: Mapping[str, Small],
        members: Mapping[str, MutableMembers],
    ) -> None:
        self._old_chains, self._old_small, self._old_members = chains, small, members
        self.chains: dict[str, Chain | None] = {}
        self.small: dict[str, Small | None] = {}
        self.fresh: dict[str, MutableMembers | None] = {}
        self.moves: dict[str, list[tuple[bool, Members]]] = {}

    def do(self, step: Operation) -> None:
        """One operation."""
        match step:
            case DeleteTable():
                self.chains = dict.fromkeys(self._old_chains)
                self.small = dict.fromkeys(self._old_small)
                self.fresh = dict.fromkeys(self._old_members)
                self.moves.clear()
            case AddSet(declared):
                self._add(declared)
            case DeleteSet(name):
                (self.fresh if self._is_members(name) else self.small)[name] = None
                self.moves.pop(name, None)
            case AddElements(part) | DeleteElements(part):
                self._move(part, joins=isinstance(step, AddElements))
            case AddChain(name, base, comment):
                if self._chain(name) is None:
                    self.chains[name] = Chain(name, (), base, comment)
            case DeleteChain(name):
                self.chains[name] = None
            case FlushChain(name) | AddRules(name):
                self._rules(name, step)

    def _add(self, declared: ElementHolder) -> None:
        """An equal one may be there."""
        if isinstance(declared, MemberSet):
            if not self._is_members(declared.name):
                self.fresh[declared.name] = MutableMembers(declared.elements.family)
        elif self._value(declared.name) is None:
            self.small[declared.name] = declared

    def _move(self, part: ElementHolder, *, joins: bool) -> None:
        if not isinstance(part, MemberSet):
            known = self._value(part.name)
            assert known is not None
            changed = (with_elements if joins else without_elements)(known, part)
            assert not isinstance(changed, MemberSet)
            self.small[part.name] = changed
            return
        new = self.fresh.get(part.name)
        if new is None:
            self.moves.setdefault(part.name, []).append((joins, part.elements))
        else:
            (new.update if joins else new.difference_update)(part.elements)

    def _rules(self, name: str, step: FlushChain | AddRules) -> None:
        chain = self._chain(name)
        assert chain is not None
        rules = () if isinstance(step, FlushChain) else (*chain.rules, *step.rules)
        self.chains[name] = replace(chain, rules=rules)

    def _chain(self, name: str) -> Chain | None:
        return self.chains[name] if name in self.chains else self._old_chains.get(name)

    def _value(self, name: str) -> Small | None:
        return self.small[name] if name in self.small else self._old_small.get(name)

    def _is_members(self, name: str) -> bool:
        return self.fresh[name] is not None if name in self.fresh else name in self._old_members

    # -- both sides

    def before(self) -> _View:
        """The table without the operations."""
        nothing = _Draft(self._old_chains, self._old_small, self._old_members)
        return nothing.after()

    def after(self) -> _View:
        """The table with them."""
        return _View(
            _Lazy(self._set, self._is_set, self._names),
            _Lazy(self._map, lambda name: self._map(name) is not None, self._names),
            _Lazy(self._chain, lambda name: self._chain(name) is not None, self._chain_names),
        )

    def _names(self) -> Iterator[str]:
        yield from {**self._old_small, **self._old_members, **self.small, **self.fresh}

    def _chain_names(self) -> Iterator[str]:
        yield from {**self._old_chains, **self.chains}

    def _is_set(self, name: str) -> bool:
        return self._is_members(name) or isinstance(self._value(name), Set | RangeSet)

    def _set(self, name: str) -> AnySet | None:
        if not self._is_members(name):
            found = self._value(name)
            return None if isinstance(found, VerdictMap) else found
        fresh = self.fresh.get(name)
        members = (fresh if fresh is not None else self._old_members[name]).frozen()
        for joins, moved in self.moves.get(name, ()):
            members = members | moved if joins else members - moved
        return MemberSet(name, members)

    def _map(self, name: str) -> VerdictMap | None:
        found = self._value(name)
        return found if isinstance(found, VerdictMap) else None


class _Lazy(Mapping[str, T]):
    """Values that are made when they are asked for."""

    def __init__(
        self,
        make: Callable[[str], T | None],
        has: Callable[[str], bool],
        names: Callable[[], Iterator[str]],
    ) -> None:
        """``has``: whether there is one, without making it. ``names``: some that there may be."""
        self._make, self._has, self._names = make, has, names

    def __getitem__(self, name: str) -> T:
        found = self._make(name)
        if found is None:
            raise KeyError(name)
        return found

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._has(name)

    def __iter__(self) -> Iterator[str]:
        return filter(self._has, self._names())

    def __len__(self) -> int:
        return sum(1 for _ in self)
