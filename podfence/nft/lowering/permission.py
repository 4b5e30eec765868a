"""Whether one chain passes all that another one passes.

Rule: a proof, read from rules, not from policies: what is compared is what the kernel does. It
takes for a loss whatever it cannot prove: it may find a loss where there is none, and never misses
one. The proof stands on one assumption, which ``tightening`` sees to: a chain that has the same
name before and after passes no less after than before.

What it can prove: rules and ports that are added, sets that are larger, isolation that ends, and
all of that behind other tiers. A chain whose rules all allow, until one denies the rest, passes the
union of what its rules say; it is compared rule by rule. Any other chain (a tier with rules that
deny) is compared in order: rules that return may be new, and rules that only deny may be gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Protocol

from msgspec import Struct

from podfence.nft.lowering.peers import OF_NAMES
from podfence.nft.lowering.polarity import Polarity, rule_polarity
from podfence.nft.objects import (
    ACCEPT,
    DROP,
    RETURN,
    Chain,
    ChainVerdict,
    Counter,
    Expression,
    Key,
    Log,
    Lookup,
    MemberSet,
    Rule,
    VerdictKind,
    VerdictMap,
    Vmap,
)
from podfence.nft.ruleset import AnySet
from podfence.sets.members import Members

Conjunction = frozenset[Expression]
"""What a rule that allows asks; the empty one asks nothing."""
_ALL: Conjunction = frozenset()
_ENDS = (DROP, ACCEPT)
"""Of what is denied, and of what would be, which is accepted where nothing is left to ask."""


class ReadableRuleset(Protocol):
    """What is read of a ruleset. Values may be made when they are asked for."""

    @property
    def sets(self) -> Mapping[str, AnySet]:
        """Sets by name."""

    @property
    def maps(self) -> Mapping[str, VerdictMap]:
        """Verdict maps by name."""

    @property
    def chains(self) -> Mapping[str, Chain]:
        """Chains by name."""


Known = Callable[[str, str], bool | None]
"""What is known without reading members: whether those of a set before are all in a set after; None
where they have to be read."""


def unknown(_old: str, _new: str) -> bool | None:
    """Members have to be read."""
    return None


class Proof:
    """One attempt to show that chains of ``after`` pass what chains of ``before`` pass."""

    def __init__(
        self,
        before: ReadableRuleset,
        after: ReadableRuleset,
        smaller: Iterable[str],
        released: Mapping[int, Members],
        known: Known,
    ) -> None:
        """``smaller``: sets of both that lost members other than ``released``, which nobody has any
        more: by IP version."""
        self._known = known
        self._before, self._after = _ChainReader(before), _ChainReader(after)
        self._smaller = frozenset(smaller)
        self._released = released
        self.leans_on_released = False
        """Whether some proof so far holds only because nobody has certain addresses any more."""
        self._proven: dict[tuple[str, str], bool] = {}
        self._sets: dict[tuple[str, str], bool] = {}

    def verdict_keeps(self, old: ChainVerdict, new: ChainVerdict) -> bool:
        """Whether ``new`` passes all that ``old`` passes, as elements of a map of groups."""
        if new == RETURN or old == DROP:
            return True
        return bool(old.chain and new.chain) and self.keeps(old.chain, new.chain)

    def keeps(self, old: str, new: str) -> bool:
        """Whether the chain ``new`` passes all that ``old`` passed."""
        return old == new or self.proves(old, new)

    def proves(self, old: str, new: str) -> bool:
        """The same without the assumption about their own name."""
        pair = (old, new)
        if pair not in self._proven:
            self._proven[pair] = False  # chains lead nowhere back; so this is never read
            self._proven[pair] = self._allows_as_much(old, new) or self._is_looser(old, new)
        return self._proven[pair]

    # -- chains that allow, then deny

    def _allows_as_much(self, old: str, new: str) -> bool:
        try:
            return self._keeps(self._before.chain(old), self._after.chain(new))
        except _NotOnlyAllowing:
            return False

    def _keeps(self, old: _Allowed, new: _Allowed) -> bool:
        """For the keys of both maps, and for all other packets. Raises _NotOnlyAllowing."""
        if old.map and new.map and old.map.fields != new.map.fields:
            return False
        if not all(any(self.keeps(a, b) for a in old.guards) for b in new.guards):
            return False
        keys = {*self._before.keys(old), *self._after.keys(new)}
        pairs = {(self._before.at(old, key), self._after.at(new, key)) for key in keys}
        return all(self._covers(a, b) for a, b in {(old.rest, new.rest), *pairs})

    def _covers(self, old: _Rest, new: _Rest) -> bool:
        if _ALL in new.conditions:
            return True
        known = set(new.conditions)
        if not all(self._covered(condition, known) for condition in old.conditions):
            return False
        return not old.onward or (bool(new.onward) and self.keeps(old.onward, new.onward))

    def _covered(self, condition: Conjunction, new: set[Conjunction]) -> bool:
        """Some new rule asks no more than an old one."""
        if condition in new and all(self._implied(part, condition) for part in condition):
            return True
        return any(all(self._implied(part, condition) for part in asked) for asked in new)

    def _implied(self, asked: Expression, condition: Conjunction) -> bool:
        """Whether what meets ``condition`` meets what the new rules call ``asked``."""
        if not isinstance(asked, Lookup):
            return asked in condition
        return any(
            isinstance(part, Lookup)
            and part.fields == asked.fields
            and self._set_holds(part.set, asked.set)
            for part in condition
        )

    def _set_holds(self, old: str, new: str) -> bool:
        """Whether every member of ``old`` that somebody still has is in ``new``.

        A connection may go to an address that a name stood for long ago, which no set tells. So
        sets of other names are never proven to let as much stay.
        """
        if old == new:
            return old not in self._smaller
        if old.startswith(OF_NAMES):
            return False
        pair = (old, new)
        if pair not in self._sets:
            known = self._known(old, new)
            if known is not None:
                self._sets[pair] = known
                return known
            before, after = self._before.rules.sets[old], self._after.rules.sets[new]
            self._sets[pair] = _within(before, after, {})
            if not self._sets[pair] and _within(before, after, self._released):
                self._sets[pair] = self.leans_on_released = True
        return self._sets[pair]

    # -- chains in which order decides

    def _is_looser(self, old: str, new: str) -> bool:
        """Whether ``new`` is ``old`` with more rules that return, or fewer rules that only deny,
        and with sets that moved as the polarity of their rules wants it."""
        before = self._before.rules.chains[old].rules
        at = 0
        for rule in self._after.rules.chains[new].rules:
            found = self._next(before, at, rule)
            if found is not None:
                at = found + 1
            elif rule.parts[-1] != RETURN:
                return False
        return all(map(self._only_denies, before[at:]))

    def _next(self, before: Sequence[Rule], start: int, rule: Rule) -> int | None:
        """The index of the same rule, past others that only deny."""
        for at in range(start, len(before)):
            if self._same(before[at], rule):
                return at
            if not self._only_denies(before[at]):
                return None
        return None

    def _same(self, old: Rule, new: Rule) -> bool:
        """Whether a rule is the same, or one that passes more."""
        return len(old.parts) == len(new.parts) and all(
            self._same_part(a, b, rule_polarity(new))
            for a, b in zip(old.parts, new.parts, strict=True)
        )

    def _same_part(self, old: object, new: object, polarity: Polarity) -> bool:
        if isinstance(old, Lookup) and isinstance(new, Lookup):
            return old.fields == new.fields and self._moves(old.set, new.set, polarity)
        if isinstance(old, Vmap) and isinstance(new, Vmap):
            return old.fields == new.fields and self._map_keeps(old.map, new.map)
        if (
            isinstance(old, ChainVerdict)
            and isinstance(new, ChainVerdict)
            and old.chain
            and new.chain
        ):
            return old.kind is new.kind and self.keeps(old.chain, new.chain)
        return old == new or (isinstance(old, Log) and isinstance(new, Log))

    def _moves(self, old: str, new: str, polarity: Polarity) -> bool:
        if Polarity.ACCEPTS in polarity and not self._set_holds(old, new):
            return False
        before, after = self._before.rules.sets, self._after.rules.sets
        return Polarity.DENIES not in polarity or _within(after[new], before[old], {})

    def _map_keeps(self, old: str, new: str) -> bool:
        before, after = self._before.rules.maps[old].elements, self._after.rules.maps[new].elements
        return before.keys() == after.keys() and all(
            verdict == after[key] or self.verdict_keeps(verdict, after[key])
            for key, verdict in before.items()
        )

    def _only_denies(self, rule: Rule) -> bool:
        """Whether all that meets a rule is denied."""
        last = rule.parts[-1]
        if not isinstance(last, ChainVerdict) or last.kind is VerdictKind.JUMP:
            return False
        if not last.chain:
            return last in _ENDS
        try:
            found = self._before.chain(last.chain)
        except _NotOnlyAllowing:
            return False
        return found.map is None and found.rest == _Rest(())


def _within(before: AnySet, after: AnySet, released: Mapping[int, Members]) -> bool:
    if isinstance(before, MemberSet) and isinstance(after, MemberSet):
        gone = released.get(before.elements.family)
        return (before.elements - gone if gone else before.elements) <= after.elements
    if type(before) is not type(after):
        return not before.elements
    return before.elements is after.elements or set(before.elements) <= set(after.elements)


class _NotOnlyAllowing(Exception):
    """A chain with other rules than those that allow."""


class _Rest(Struct, frozen=True):
    """Packets that meet one of ``conditions`` pass. The others go on to the chain ``onward``, or
    are denied where there is none."""

    conditions: tuple[Conjunction, ...]
    onward: str = ""


class _Allowed(Struct, frozen=True):
    """What a chain passes: what the element of its map says, or else ``rest``.

    ``map``: name and key fields of a verdict map that is asked first; None: no map. ``guards``:
    chains that are asked before and can only deny.
    """

    rest: _Rest
    map: Vmap | None = None
    guards: tuple[str, ...] = ()


class _ChainReader:
    """Chains of one side as lists of what they allow, each read once."""

    def __init__(self, rules: ReadableRuleset) -> None:
        self.rules = rules
        self._known: dict[str, _Allowed | None] = {}

    def chain(self, name: str) -> _Allowed:
        """Raises _NotOnlyAllowing."""
        if name not in self._known:
            self._known[name] = None
            self._known[name] = self._read(self.rules.chains[name].rules)
        found = self._known[name]
        if found is None:
            raise _NotOnlyAllowing
        return found

    def keys(self, allowed: _Allowed) -> Iterable[Key]:
        """The keys of the map, if there is one."""
        return self.rules.maps[allowed.map.map].elements if allowed.map else ()

    def at(self, allowed: _Allowed, key: Key) -> _Rest:
        """What packets with one key of the map are asked. Raises _NotOnlyAllowing."""
        verdict = self.rules.maps[allowed.map.map].elements.get(key) if allowed.map else None
        if verdict is None:
            return allowed.rest
        return self._onward(verdict.chain) if verdict.chain else _of_verdict(verdict)

    def _read(self, rules: Sequence[Rule]) -> _Allowed:
        """Jumps come first, then a map, then rules that return."""
        guards = tuple(takewhile(bool, map(_guard, rules)))
        rules = rules[len(guards) :]
        first = rules[0].parts if rules else ()
        asked = first[0] if len(first) == 1 and isinstance(first[0], Vmap) else None
        rest = self._rest(rules[1:] if asked else rules)
        if rest.onward and not rest.conditions and asked is None:
            # to go on in a chain is to ask it, and to return when it does
            return _Allowed(_Rest((_ALL,)), None, (*guards, rest.onward))
        return _Allowed(rest, asked, guards)

    def _rest(self, rules: Iterable[Rule]) -> _Rest:
        conditions: list[Conjunction] = []
        for rule in rules:
            condition, verdict = _split(rule)
            if verdict == RETURN:
                conditions.append(condition)
            elif verdict is not None:
                if condition or (verdict.kind is not VerdictKind.GOTO and verdict not in _ENDS):
                    raise _NotOnlyAllowing
                onward = self._onward(verdict.chain) if verdict.chain else _of_verdict(verdict)
                return _Rest((*conditions, *onward.conditions), onward.onward)
        return _Rest((*conditions, _ALL))

    def _onward(self, name: str) -> _Rest:
        """A last ``goto`` is followed, into another list of rules that allow."""
        try:
            found = self.chain(name)
        except _NotOnlyAllowing:
            return _Rest((), name)
        return _Rest((), name) if found.map is not None or found.guards else found.rest


def _of_verdict(verdict: ChainVerdict) -> _Rest:
    if verdict not in (RETURN, *_ENDS):
        raise _NotOnlyAllowing
    return _Rest((_ALL,) if verdict == RETURN else ())


def _guard(rule: Rule) -> str:
    """The chain that a rule asks of every packet before it goes on; ``""``: it is another rule."""
    first = rule.parts[0]
    return first.chain if isinstance(first, ChainVerdict) and first.kind is VerdictKind.JUMP else ""


def _split(rule: Rule) -> tuple[Conjunction, ChainVerdict | None]:
    """What a rule asks, and its verdict; None when it only notes something."""
    *asked, last = rule.parts
    if isinstance(last, Log):
        return frozenset(), None
    expressions = [part for part in asked if not isinstance(part, Counter)]
    conditions = frozenset(part for part in expressions if isinstance(part, Expression))
    if not isinstance(last, ChainVerdict) or len(conditions) < len(expressions):
        raise _NotOnlyAllowing
    return conditions, last
