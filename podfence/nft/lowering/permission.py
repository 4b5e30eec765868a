"""Whether a change of rules takes a permission away.

Rule: read from the two rulesets, not from policies: what is compared is what the kernel does. The
comparison proves that all that passed still passes, and takes for a loss whatever it cannot prove:
it may find a loss where there is none, and never misses one.

What it can prove: pods that come, rules and ports that are added, sets that grow, isolation that
ends. A chain whose rules all allow, until one denies the rest, passes the union of what its rules
say; it is compared rule by rule. Any other chain (a tier with rules that deny) has to be the same,
down to the elements of its sets; where it is a jump before such rules, it may also be gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile

from msgspec import Struct, field

from podfence.nft.lowering.skeleton import FAST, STAMP, range_set, verdict_map
from podfence.nft.lowering.views import FAMILIES, VIEWS
from podfence.nft.objects import (
    DROP,
    RETURN,
    Counter,
    Expression,
    Key,
    Log,
    Lookup,
    MemberSet,
    RangeSet,
    Rule,
    Verdict,
    VerdictKind,
    Vmap,
)
from podfence.nft.ruleset import AnySet, Ruleset
from podfence.nft.transaction import ElementHolder

Condition = frozenset[Expression]
"""What a rule that allows asks; the empty one asks nothing."""


def removes_permission(current: Ruleset, wanted: Ruleset) -> bool:
    """Whether something that passes under ``current`` may be denied under ``wanted``.

    Both are rulesets of ``lower`` for one node; their epochs are not compared. False is a
    proof, True is none.
    """
    return not _Proof(current, wanted).holds()


class _Allowed(Struct, frozen=True):
    """What a chain passes: what its map's element says, or else what meets one of ``conditions``.

    ``map``: name and key fields of a verdict map that is asked first; None: no map. ``guards``:
    chains that are asked before, and may only deny.
    """

    conditions: tuple[Condition, ...]
    map: Vmap | None = None
    guards: tuple[str, ...] = ()


class _Proof:
    """One attempt to show that ``new`` passes all that ``old`` passes."""

    def __init__(self, old: Ruleset, new: Ruleset) -> None:
        self.old = old
        self.new = new
        self.before, self.after = _Reader(old), _Reader(new)
        pairs = ((old.sets, new.sets), (old.maps, new.maps))
        self.equal = frozenset(name for before, after in pairs for name in _equal(before, after))
        """Sets and maps with the same elements before and after."""
        self.same: dict[str, bool] = {}
        self.chains: dict[tuple[str, str], bool] = {}
        self.sets: dict[tuple[str, str], bool] = {}

    def holds(self) -> bool:
        """Base chains and what they reach without a map are equal, so the maps decide."""
        fixed = _fixed(self.old)
        return (
            fixed == _fixed(self.new)
            and all(self._same_base(name) for name in fixed)
            and all(self._same_rules(name) for name in fixed - {FAST, STAMP})
            and all(self._range_shrinks(range_set(family)) for family in FAMILIES)
            and all(
                self._pods_keep(verdict_map(view, family), range_set(family))
                for view in VIEWS
                for family in FAMILIES
            )
        )

    def _same_base(self, name: str) -> bool:
        return self.old.chains[name].base == self.new.chains[name].base

    def _same_rules(self, name: str) -> bool:
        return self.old.chains[name].rules == self.new.chains[name].rules

    def _range_shrinks(self, name: str) -> bool:
        """An address that enters the range of pods is cut off until its pod is known."""
        return set(self.new.sets[name].elements) <= set(self.old.sets[name].elements)

    def _pods_keep(self, name: str, ranges: str) -> bool:
        """Every pod that is there stays, and no new one could pass before."""
        old, new = self.old.maps[name].elements, self.new.maps[name].elements
        pairs = {(verdict, new.get(key)) for key, verdict in old.items()}
        return all(b is not None and self._verdict_keeps(a, b) for a, b in pairs) and all(
            verdict == RETURN or _inside(self.old.sets[ranges], key)
            for key, verdict in new.items()
            if key not in old
        )

    def _verdict_keeps(self, old: Verdict, new: Verdict) -> bool:
        if new == RETURN or old == DROP:
            return True
        return bool(old.chain and new.chain) and self._chain_keeps(old.chain, new.chain)

    def _chain_keeps(self, old: str, new: str) -> bool:
        pair = (old, new)
        if pair not in self.chains:
            self.chains[pair] = (old == new and self._same(old)) or self._allows_as_much(old, new)
        return self.chains[pair]

    # -- chains that are the same

    def _same(self, name: str) -> bool:
        """Equal rules, and equal in all that they refer to."""
        if name not in self.same:
            self.same[name] = name in self.new.chains and self._same_rules(name)
            self.same[name] &= all(map(self._same_part, _parts(self.old.chains[name].rules)))
        return self.same[name]

    def _same_part(self, part: object) -> bool:
        if isinstance(part, Lookup):
            return part.set in self.equal
        if isinstance(part, Vmap):
            targets = {v.chain for v in self.old.maps[part.map].elements.values() if v.chain}
            return part.map in self.equal and all(map(self._same, targets))
        return not (isinstance(part, Verdict) and part.chain) or self._same(part.chain)

    # -- chains that allow, then deny

    def _allows_as_much(self, old: str, new: str) -> bool:
        try:
            return self._keeps(self.before.chain(old), self.after.chain(new))
        except _NotOnlyAllowing:
            return False

    def _keeps(self, old: _Allowed, new: _Allowed) -> bool:
        """For the keys of both maps, and for all other packets. Raises _NotOnlyAllowing."""
        if old.map and new.map and old.map.fields != new.map.fields:
            return False
        if not all(guard in old.guards and self._same(guard) for guard in new.guards):
            return False
        keys = {*self.before.keys(old), *self.after.keys(new)}
        pairs = {(self.before.at(old, key), self.after.at(new, key)) for key in keys}
        return all(self._covers(a, b) for a, b in {(old.conditions, new.conditions), *pairs})

    def _covers(self, old: tuple[Condition, ...], new: tuple[Condition, ...]) -> bool:
        known = set(new)
        return all(self._covered(condition, known) for condition in old)

    def _covered(self, condition: Condition, new: set[Condition]) -> bool:
        """Some new rule asks no more than an old one."""
        if condition in new and all(self._implied(part, condition) for part in condition):
            return True
        return any(all(self._implied(part, condition) for part in asked) for asked in new)

    def _implied(self, asked: Expression, condition: Condition) -> bool:
        """Whether what meets ``condition`` meets what the new ruleset calls ``asked``."""
        if not isinstance(asked, Lookup):
            return asked in condition
        return any(
            isinstance(part, Lookup)
            and part.fields == asked.fields
            and self._set_grows(part.set, asked.set)
            for part in condition
        )

    def _set_grows(self, old: str, new: str) -> bool:
        pair = (old, new)
        if pair not in self.sets:
            self.sets[pair] = _within(self.old.sets[old], self.new.sets[new])
        return self.sets[pair]


def _within(before: AnySet, after: AnySet) -> bool:
    """Whether every element is one of the other set's."""
    if isinstance(before, MemberSet) and isinstance(after, MemberSet):
        return before.elements <= after.elements
    if type(before) is not type(after):
        return not before.elements
    return before.elements is after.elements or set(before.elements) <= set(after.elements)


def _equal(old: Mapping[str, ElementHolder], new: Mapping[str, ElementHolder]) -> Iterator[str]:
    for name, item in old.items():
        other = new.get(name)
        if item is other or (other is not None and item.elements == other.elements):
            yield name


def _fixed(ruleset: Ruleset) -> set[str]:
    """Chains that base chains reach without a map."""
    found: set[str] = set()
    waiting = [chain.name for chain in ruleset.chains.values() if chain.base]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            parts = _parts(ruleset.chains[name].rules)
            waiting += [part.chain for part in parts if isinstance(part, Verdict) and part.chain]
    return found


def _parts(rules: Iterable[Rule]) -> Iterator[object]:
    return (part for rule in rules for part in rule.parts)


def _inside(ranges: object, key: Key) -> bool:
    assert isinstance(ranges, RangeSet)
    return any(low <= key <= high for low, high in ranges.elements)


class _NotOnlyAllowing(Exception):
    """A chain that is no list of rules that allow."""


class _Reader(Struct):
    """Chains of one ruleset as lists of what they allow, each read once."""

    ruleset: Ruleset
    known: dict[str, _Allowed] = field(default_factory=dict)

    def chain(self, name: str) -> _Allowed:
        """Raises _NotOnlyAllowing."""
        if name not in self.known:
            self.known[name] = self._read(self.ruleset.chains[name].rules)
        return self.known[name]

    def keys(self, allowed: _Allowed) -> Iterable[Key]:
        """The keys of the map, if there is one."""
        return self.ruleset.maps[allowed.map.map].elements if allowed.map else ()

    def at(self, allowed: _Allowed, key: Key) -> tuple[Condition, ...]:
        """What packets with one key of the map are asked. Raises _NotOnlyAllowing."""
        verdict = self.ruleset.maps[allowed.map.map].elements.get(key) if allowed.map else None
        if verdict is None:
            return allowed.conditions
        found = self._read([Rule((verdict,))]) if not verdict.chain else self.chain(verdict.chain)
        if found.map is not None or found.guards:
            raise _NotOnlyAllowing
        return found.conditions

    def _read(self, rules: Sequence[Rule]) -> _Allowed:
        """Jumps come first, then a map; a last ``goto`` is followed."""
        guards = tuple(takewhile(bool, map(_guard, rules)))
        rules = rules[len(guards) :]
        first = rules[0].parts if rules else ()
        asked = first[0] if len(first) == 1 and isinstance(first[0], Vmap) else None
        conditions: list[Condition] = []
        waiting = list(rules[:0:-1] if asked else rules[::-1])
        while waiting:
            condition, verdict = _split(waiting.pop())
            if verdict == RETURN:
                conditions.append(condition)
            elif verdict == DROP and not condition:
                return _Allowed(tuple(conditions), asked, guards)
            elif verdict is not None:
                if condition or verdict.kind is not VerdictKind.GOTO:
                    raise _NotOnlyAllowing
                waiting = list(self.ruleset.chains[verdict.chain].rules[::-1])
        return _Allowed((*conditions, frozenset()), asked, guards)


def _guard(rule: Rule) -> str:
    """The chain that a rule asks of every packet before it goes on; ``""``: it is another rule."""
    first = rule.parts[0]
    return first.chain if isinstance(first, Verdict) and first.kind is VerdictKind.JUMP else ""


def _split(rule: Rule) -> tuple[Condition, Verdict | None]:
    """What a rule asks, and its verdict; None when it only notes something."""
    *asked, last = rule.parts
    if isinstance(last, Log):
        return frozenset(), None
    expressions = [part for part in asked if not isinstance(part, Counter)]
    conditions = frozenset(part for part in expressions if isinstance(part, Expression))
    if not isinstance(last, Verdict) or len(conditions) < len(expressions):
        raise _NotOnlyAllowing
    return conditions, last
