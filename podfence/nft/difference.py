"""diff(current, wanted) -> Transaction, and apply: the way from one ruleset to another.

Rule: what is equal is not touched; elements move, rules stand still. A chain with another rule is
flushed and filled again, since the order of its rules decides; sets change by the elements that
differ. Interval sets too: their ranges are exact and never overlap, so those that differ are
deleted and added as they are (sets of ipBlocks and ports hold what their names say, and never
change; a node's own ranges are few).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from podfence.nft import transaction as tx
from podfence.nft.contents import Contents, OperationRefusal, OperationRefused, RefusalCode
from podfence.nft.objects import Chain, MemberSet, RangeSet, Set, VerdictMap
from podfence.nft.ruleset import Ruleset
from podfence.nft.transaction import ElementHolder, Operation, Transaction
from podfence.sets.members import Members

T = TypeVar("T")


def load(wanted: Ruleset) -> Transaction:
    """Leaves exactly ``wanted``, whatever was there before: the table is replaced as a whole."""
    nothing = Ruleset(wanted.table, {}, {}, {})
    start = (tx.AddTable(), tx.DeleteTable(), tx.AddTable())
    return Transaction(wanted.table, (*start, *_changes(nothing, wanted)))


def diff(current: Ruleset, wanted: Ruleset) -> Transaction:
    """What turns ``current`` into ``wanted``; empty when they are equal.

    Where the same name stands for another kind of thing (key type, hook, comment), nothing short
    of replacing the table would do, so it is replaced.
    """
    if current is wanted:
        return Transaction(wanted.table)
    if not _same_shape(current, wanted):
        return load(wanted)
    return Transaction(wanted.table, tuple(_changes(current, wanted)))


def apply(ruleset: Ruleset, transaction: Transaction) -> Ruleset:
    """The ruleset after a transaction; ``apply(a, diff(a, b)) == b``.

    Raises contents.Refused, where the kernel refuses, or when no table is left.
    """
    contents = Contents(ruleset)
    for operation in transaction:
        contents.do(transaction.table, operation)
    found = contents.ruleset()
    if found is None:
        raise OperationRefused(
            OperationRefusal(RefusalCode.MISSING, "table", transaction.table.name)
        )
    return found


def _same_shape(current: Ruleset, wanted: Ruleset) -> bool:
    return (
        current.table == wanted.table
        and all(
            _declared(a) == _declared(b) for a, b in _common(_holders(current), _holders(wanted))
        )
        and all(
            (old.base, old.comment) == (new.base, new.comment)
            for old, new in _common(current.chains, wanted.chains)
        )
    )


class TableSteps(Struct):
    """What becomes of the objects of a table. ``new_sets``: all that hold elements, maps too, with
    or without them. ``taken`` and ``put``: parts of sets, of new ones too. ``changed``: chains that
    are there with other rules."""

    new_sets: list[ElementHolder] = field(default_factory=list)
    gone_sets: list[ElementHolder] = field(default_factory=list)
    taken: list[ElementHolder] = field(default_factory=list)
    put: list[ElementHolder] = field(default_factory=list)
    new_chains: list[Chain] = field(default_factory=list)
    changed: list[Chain] = field(default_factory=list)
    gone_chains: list[Chain] = field(default_factory=list)

    def operations(self) -> Iterator[Operation]:
        """In the order that :mod:`podfence.nft.transaction` gives the reasons for."""
        yield from (tx.AddSet(_empty(item)) for item in self.new_sets)
        yield from (tx.AddChain(chain.name, chain.base, chain.comment) for chain in self.new_chains)
        yield from (tx.FlushChain(chain.name) for chain in (*self.changed, *self.gone_chains))
        yield from (tx.DeleteElements(part) for part in self.taken)
        yield from (tx.AddElements(part) for part in self.put)
        filled = (*self.new_chains, *self.changed)
        yield from (tx.AddRules(chain.name, chain.rules) for chain in filled if chain.rules)
        yield from (tx.DeleteSet(item.name, type(item)) for item in self.gone_sets)
        yield from (tx.DeleteChain(chain.name) for chain in self.gone_chains)


def _changes(current: Ruleset, wanted: Ruleset) -> Iterator[Operation]:
    return steps(_holders(current), _holders(wanted), current.chains, wanted.chains).operations()


def steps(
    old_sets: Mapping[str, ElementHolder],
    new_sets: Mapping[str, ElementHolder],
    old_chains: Mapping[str, Chain],
    new_chains: Mapping[str, Chain],
) -> TableSteps:
    """What turns these objects into those. Objects of one name are of one kind, type and
    comment."""
    taken, put = _element_changes(old_sets, new_sets)
    return TableSteps(
        new_sets=[item for name, item in new_sets.items() if name not in old_sets],
        gone_sets=[item for name, item in old_sets.items() if name not in new_sets],
        taken=taken,
        put=put,
        new_chains=[chain for name, chain in new_chains.items() if name not in old_chains],
        changed=[b for a, b in _common(old_chains, new_chains) if a.rules != b.rules],
        gone_chains=[chain for name, chain in old_chains.items() if name not in new_chains],
    )


def _common(old: Mapping[str, T], new: Mapping[str, T]) -> Iterator[tuple[T, T]]:
    """What is there before and after, and not the very same object."""
    for name, item in new.items():
        before = old.get(name)
        if before is not None and before is not item:
            yield before, item


def _holders(ruleset: Ruleset) -> dict[str, ElementHolder]:
    return {**ruleset.sets, **ruleset.maps}


def _declared(item: ElementHolder) -> tuple[object, ...]:
    """All of a set but its elements."""
    return type(item), item.type, item.comment


def _empty(item: ElementHolder) -> ElementHolder:
    if isinstance(item, VerdictMap):
        return replace(item, elements={})
    if isinstance(item, RangeSet):
        return replace(item, elements=())
    if isinstance(item, MemberSet):
        return replace(item, elements=Members(item.elements.family))
    return replace(item, elements=frozenset())


def _element_changes(
    old: Mapping[str, ElementHolder], new: Mapping[str, ElementHolder]
) -> tuple[list[ElementHolder], list[ElementHolder]]:
    """What to take out of sets, and what to put in."""
    added = [item for name, item in new.items() if name not in old]
    put = [item for item in added if item.elements]
    taken: list[ElementHolder] = []
    for before, after in _common(old, new):
        taken += [part for part in (without(before, after),) if part.elements]
        put += [part for part in (without(after, before),) if part.elements]
    return taken, put


def without(item: ElementHolder, other: ElementHolder) -> ElementHolder:
    """``item`` with those elements that are not, or not with that verdict, in ``other``."""
    if isinstance(item, VerdictMap) and isinstance(other, VerdictMap):
        left = {key: v for key, v in item.elements.items() if other.elements.get(key) != v}
        return replace(item, elements=left)
    if isinstance(item, RangeSet) and isinstance(other, RangeSet):
        known = set(other.elements)
        return replace(item, elements=tuple(e for e in item.elements if e not in known))
    if isinstance(item, MemberSet) and isinstance(other, MemberSet):
        return replace(item, elements=item.elements - other.elements)
    assert isinstance(item, Set)
    assert isinstance(other, Set)
    return replace(item, elements=item.elements - other.elements)
