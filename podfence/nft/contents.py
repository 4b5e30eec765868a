"""The contents of a table while a transaction passes over it, with the kernel's own refusals.

Rule: every operation is checked against what the operations before it left, as the kernel does.
Stricter than the kernel in two cases, on purpose: a chain that leads back to itself is refused
wherever it is (the kernel looks at what base chains reach), and so is every overlap of ranges (in
concatenations the kernel sees some only in one order).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from enum import Enum
from itertools import combinations, pairwise
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from podfence.nft import transaction as tx
from podfence.nft.objects import (
    Chain,
    ChainVerdict,
    KeyRange,
    Lookup,
    MemberSet,
    RangeSet,
    Rule,
    Set,
    Table,
    VerdictMap,
    Vmap,
)
from podfence.nft.ruleset import InvalidRuleset, Ruleset
from podfence.nft.transaction import ElementHolder, Operation

T = TypeVar("T")


class RefusalCode(Enum):
    """Why the kernel refuses, spelled as its error numbers."""

    MISSING = "ENOENT"
    EXISTS = "EEXIST"
    BUSY = "EBUSY"
    NOT_SUPPORTED = "EOPNOTSUPP"
    INVALID = "EINVAL"


class OperationRefusal(Struct, frozen=True):
    """``kind``: "table", "set", "element", "chain" or "ruleset". ``name``: of that object; of the
    set for an element, "" for the whole ruleset."""

    code: RefusalCode
    kind: str
    name: str


class OperationRefused(ValueError):
    """An operation that the kernel would refuse, and the whole transaction with it."""

    def __init__(self, refusal: OperationRefusal) -> None:
        super().__init__(f"{refusal.code.value}: {refusal.kind} {refusal.name}")
        self.refusal = refusal


def _refused(code: RefusalCode, kind: str, name: str) -> OperationRefused:
    return OperationRefused(OperationRefusal(code, kind, name))


class Contents:
    """One table's content, changed by operations in their order. Start with one ruleset, or with
    None: no table."""

    def __init__(self, ruleset: Ruleset | None) -> None:
        self._table: Table | None = None
        self._sets: dict[str, ElementHolder] = {}
        self._chains: dict[str, Chain] = {}
        self._uses: Counter[str] = Counter()
        if ruleset is not None:
            self._table = ruleset.table
            self._sets = {**ruleset.sets, **ruleset.maps}
            self._chains = dict(ruleset.chains)
            for item in (*self._sets.values(), *self._chains.values()):
                self._uses.update(_references(item))

    def ruleset(self) -> Ruleset | None:
        """What is there now; None without table. Raises Refused when it is no ruleset."""
        if self._table is None:
            return None
        try:
            return Ruleset.of(self._table, (*self._sets.values(), *self._chains.values()))
        except InvalidRuleset:
            raise _refused(RefusalCode.INVALID, "ruleset", "") from None

    def do(self, table: Table, operation: Operation) -> None:
        """One operation on ``table``. Raises Refused."""
        if isinstance(operation, tx.AddTable):
            self._table = self._table or table
            return
        if self._table is None:
            raise _refused(RefusalCode.MISSING, "table", table.name)
        match operation:
            case tx.DeleteTable():
                self._delete_table()
            case tx.AddSet(declared):
                self._add_set(declared)
            case tx.DeleteSet(name):
                self._delete_set(name)
            case tx.AddElements(part):
                self._add_elements(part)
            case tx.DeleteElements(part):
                self._delete_elements(part)
            case tx.AddChain() | tx.FlushChain() | tx.AddRules() | tx.DeleteChain():
                self._chain_operation(operation)

    def _chain_operation(
        self, operation: tx.AddChain | tx.FlushChain | tx.AddRules | tx.DeleteChain
    ) -> None:
        match operation:
            case tx.AddChain(name):
                self._add_chain(Chain(name, (), operation.base, operation.comment))
            case tx.FlushChain(name):
                self._set_rules(name, ())
            case tx.AddRules(name, rules):
                self._add_rules(name, rules)
            case tx.DeleteChain(name):
                self._delete_chain(name)

    def _delete_table(self) -> None:
        self._table = None
        self._sets.clear()
        self._chains.clear()
        self._uses.clear()

    # -- sets and maps

    def _add_set(self, declared: ElementHolder) -> None:
        """An equal one may be there; its comment stays."""
        found = self._sets.setdefault(declared.name, declared)
        if type(found) is not type(declared) or found.type != declared.type:
            raise _refused(RefusalCode.EXISTS, "set", declared.name)

    def _delete_set(self, name: str) -> None:
        found = _get(self._sets, name, "set")
        if self._uses[_set_use(name)]:
            raise _refused(RefusalCode.BUSY, "set", name)
        self._uses.subtract(_references(found))
        del self._sets[name]

    def _holder(self, part: ElementHolder) -> ElementHolder:
        found = _get(self._sets, part.name, "set")
        if type(found) is not type(part) or found.type != part.type:
            raise _refused(RefusalCode.INVALID, "element", part.name)
        return found

    def _add_elements(self, part: ElementHolder) -> None:
        found = self._holder(part)
        for name in _chains_named(part):
            self._check_target(name)
        self._replace_set(found, _with(found, part))

    def _delete_elements(self, part: ElementHolder) -> None:
        found = self._holder(part)
        self._replace_set(found, _without(found, part))

    def _replace_set(self, old: ElementHolder, new: ElementHolder) -> None:
        self._uses.subtract(_references(old))
        self._uses.update(_references(new))
        self._sets[new.name] = new

    # -- chains

    def _add_chain(self, declared: Chain) -> None:
        """An equal one may be there; its comment stays."""
        found = self._chains.setdefault(declared.name, declared)
        if found.base != declared.base:
            raise _refused(RefusalCode.NOT_SUPPORTED, "chain", declared.name)

    def _add_rules(self, name: str, rules: tuple[Rule, ...]) -> None:
        chain = _get(self._chains, name, "chain")
        for part in (part for rule in rules for part in rule.parts):
            if isinstance(part, Lookup | Vmap):
                used = part.set if isinstance(part, Lookup) else part.map
                self._check_lookup(part, _get(self._sets, used, "set"))
            elif isinstance(part, ChainVerdict) and part.chain:
                self._check_target(part.chain)
        self._set_rules(name, (*chain.rules, *rules))

    def _check_lookup(self, part: Lookup | Vmap, found: ElementHolder) -> None:
        """The kernel compares lengths of keys, and wants a map where a verdict is wanted."""
        types = tuple(field.type for field in part.fields)
        if isinstance(part, Vmap) is not isinstance(found, VerdictMap) or types != found.type:
            raise _refused(RefusalCode.INVALID, "set", found.name)

    def _check_target(self, name: str) -> None:
        if _get(self._chains, name, "chain").base is not None:
            raise _refused(RefusalCode.NOT_SUPPORTED, "chain", name)

    def _set_rules(self, name: str, rules: tuple[Rule, ...]) -> None:
        chain = _get(self._chains, name, "chain")
        new = replace(chain, rules=rules)
        self._uses.subtract(_references(chain))
        self._uses.update(_references(new))
        self._chains[name] = new

    def _delete_chain(self, name: str) -> None:
        self._set_rules(name, ())
        if self._uses[name]:
            raise _refused(RefusalCode.BUSY, "chain", name)
        del self._chains[name]


def _get(known: dict[str, T], name: str, kind: str) -> T:
    try:
        return known[name]
    except KeyError:
        raise _refused(RefusalCode.MISSING, kind, name) from None


# -- references


def _set_use(name: str) -> str:
    """The name under which uses of a set are counted: sets and chains may share names."""
    return f"@{name}"


def _references(item: ElementHolder | Chain) -> Iterator[str]:
    """What keeps other things from being deleted, once for each reference."""
    if not isinstance(item, Chain):
        yield from _chains_named(item)
        return
    for part in (part for rule in item.rules for part in rule.parts):
        if isinstance(part, Lookup):
            yield _set_use(part.set)
        elif isinstance(part, Vmap):
            yield _set_use(part.map)
        elif isinstance(part, ChainVerdict) and part.chain:
            yield part.chain


def _chains_named(item: ElementHolder) -> Iterator[str]:
    if isinstance(item, VerdictMap):
        yield from (verdict.chain for verdict in item.elements.values() if verdict.chain)


# -- elements


def _with(found: ElementHolder, part: ElementHolder) -> ElementHolder:
    """``found`` with the elements of ``part``; both are of one type."""
    if isinstance(found, VerdictMap) and isinstance(part, VerdictMap):
        if any(found.elements.get(key, v) != v for key, v in part.elements.items()):
            raise _refused(RefusalCode.EXISTS, "element", found.name)
        return replace(found, elements={**found.elements, **part.elements})
    if isinstance(found, RangeSet) and isinstance(part, RangeSet):
        ranges = tuple(sorted({*found.elements, *part.elements}))
        if _overlap(ranges):
            raise _refused(RefusalCode.EXISTS, "element", found.name)
        return replace(found, elements=ranges)
    if isinstance(found, MemberSet) and isinstance(part, MemberSet):
        return replace(found, elements=found.elements | part.elements)
    assert isinstance(found, Set)
    assert isinstance(part, Set)
    return replace(found, elements=found.elements | part.elements)


def _without(found: ElementHolder, part: ElementHolder) -> ElementHolder:
    if isinstance(found, MemberSet) and isinstance(part, MemberSet):
        if not part.elements <= found.elements:
            raise _refused(RefusalCode.MISSING, "element", found.name)
        return replace(found, elements=found.elements - part.elements)
    if not set(part.elements) <= set(found.elements):
        raise _refused(RefusalCode.MISSING, "element", found.name)
    if isinstance(found, VerdictMap):
        left = {key: v for key, v in found.elements.items() if key not in part.elements}
        return replace(found, elements=left)
    if isinstance(found, RangeSet):
        gone = set(part.elements)
        return replace(found, elements=tuple(e for e in found.elements if e not in gone))
    assert isinstance(found, Set)
    assert isinstance(part, Set)
    return replace(found, elements=found.elements - part.elements)


def _overlap(ranges: Sequence[KeyRange]) -> bool:
    """Whether two ranges have a key in common. Where the first fields are equal or apart, as those
    of protocols are, only ranges with the same first field are compared in the next."""
    by_first: dict[tuple[int, int], list[KeyRange]] = defaultdict(list)
    for low, high in ranges:
        by_first[low[0], high[0]].append((low, high))
    if any(one[1] >= other[0] for one, other in pairwise(sorted(by_first))):
        return any(_meet(one, other) for one, other in combinations(ranges, 2))
    for alike in by_first.values():
        rest = [(low[1:], high[1:]) for low, high in alike]
        if len(rest) > 1 and (not rest[0][0] or _overlap(rest)):
            return True
    return False


def _meet(one: KeyRange, other: KeyRange) -> bool:
    spans = zip(*one, *other, strict=True)
    return all(low <= last and first <= high for low, high, first, last in spans)
