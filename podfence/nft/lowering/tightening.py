"""Whether a change of rules takes a permission away, and how soon connections must be judged again.

Rule: the answer follows from what the change touches, not from reading both rulesets. Touched are:
a set that accepts and loses members, a set that denies and gains some, a pod whose packets go
elsewhere, a chain that says something else, a wider range of pods. Everything else passes what it
passed. So each touched thing alone is asked whether it passes all that it passed. Where that is not
proven (``permission``), the change takes something away. A loss is never missed; it may be seen
where there is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum

from msgspec import Struct

from podfence.nft import transaction as tx
from podfence.nft.difference import without
from podfence.nft.lowering.peers import OF_NAMES
from podfence.nft.lowering.permission import Known, Proof, ReadableRuleset, unknown
from podfence.nft.lowering.polarity import ChainUses, Polarity
from podfence.nft.lowering.skeleton import (
    EPOCH_CHAINS,
    range_set,
    stateless_map,
    verdict_map,
    without_epoch,
)
from podfence.nft.lowering.views import AUDIT_VIEWS, FAMILIES, VIEWS, DirectionView
from podfence.nft.objects import (
    ADDRESS_TYPES,
    RETURN,
    Chain,
    ChainVerdict,
    Key,
    MemberSet,
    RangeSet,
    VerdictMap,
)
from podfence.nft.ruleset import Ruleset
from podfence.nft.transaction import ElementHolder, Transaction
from podfence.sets.members import Members

Released = Mapping[int, Members]
"""Addresses that nobody has any more, by IP version: their connections are dead, and what is left
of a permission is dangerous only when somebody else gets the address."""
_NOBODY: Released = {}
_ACCEPTING = (Polarity.ACCEPTS, Polarity.BOTH)
_DENYING = (Polarity.DENIES, Polarity.BOTH)
_OF_PODS = {verdict_map(view, family): family for view in VIEWS for family in FAMILIES}
_AUDITS = {
    verdict_map(view, family): verdict_map(DirectionView(view.direction, view.reply), family)
    for view in AUDIT_VIEWS
    for family in FAMILIES
}
"""Maps of what is audited, each with the map of the same view that every pod is in."""
_OF_SKELETON = _OF_PODS.keys() | _AUDITS.keys() | set(map(stateless_map, FAMILIES))
"""Maps of addresses; packets that ask the last two have no connection, and carry no epoch."""


class Tightening(IntEnum):
    """How much a change takes away: nothing; or only what was left of addresses that nobody has any
    more (a new epoch is owed); or more (the same transaction needs a new epoch)."""

    NO = 0
    OWED = 1
    NOW = 2


class Differences(Struct, frozen=True):
    """What differs between two rulesets, among the objects that are in both. ``taken`` and ``put``:
    elements, by the name of their set or map. ``chains``: those whose rules or hooks differ.
    ``made``: a base chain was added or removed, or a set has become another kind of thing."""

    taken: Mapping[str, ElementHolder]
    put: Mapping[str, ElementHolder]
    chains: frozenset[str]
    made: bool = False

    @classmethod
    def between(cls, before: Ruleset, after: Ruleset) -> Differences:
        """By comparing all that is not the very same object."""
        old, new = ({**rules.sets, **rules.maps} for rules in (before, after))
        pairs = [(item, new[name]) for name, item in old.items() if name in new]
        pairs = [(a, b) for a, b in pairs if a is not b and a.elements != b.elements]
        alike = [(a, b) for a, b in pairs if type(a) is type(b) and a.type == b.type]
        chains = frozenset(
            name
            for name, chain in before.chains.items()
            if (found := after.chains.get(name)) is not None and _differ(chain, found)
        )
        return cls(
            {a.name: without(a, b) for a, b in alike},
            {b.name: without(b, a) for a, b in alike},
            chains,
            made=len(alike) < len(pairs) or _bases(before) != _bases(after),
        )

    @classmethod
    def by(
        cls, transaction: Transaction, before: ReadableRuleset, after: ReadableRuleset
    ) -> Differences:
        """What the operations of a transaction say, which leads from ``before`` to ``after``."""
        taken: dict[str, ElementHolder] = {}
        put: dict[str, ElementHolder] = {}
        chains: set[str] = set()
        made = False
        for step in transaction:
            match step:
                case tx.DeleteElements(part) if _in_both(part.name, before, after):
                    taken[part.name] = part
                case tx.AddElements(part) if _in_both(part.name, before, after):
                    put[part.name] = part
                case tx.FlushChain(name) | tx.AddRules(name):
                    chains.add(name)
                case tx.AddChain(name, base):
                    made |= base is not None and name not in before.chains
                case tx.DeleteChain(name):
                    made |= before.chains[name].base is not None
                case tx.AddSet() | tx.DeleteSet():
                    pass
                case tx.DeleteTable():
                    made = True
        both = (name for name in chains if name in before.chains and name in after.chains)
        changed = (name for name in both if _differ(before.chains[name], after.chains[name]))
        return cls(taken, put, frozenset(changed), made)


def tightening(before: Ruleset, after: Ruleset, released: Released = _NOBODY) -> Tightening:
    """What the step from one whole ruleset to another takes away; NO is a proof. Both are rulesets
    of ``lower`` for one node; their epochs are not compared. ``released``: addresses that only
    disappeared, and that nobody has got since."""
    touched = Differences.between(before, after)
    return judged(before, after, touched, ChainUses(before.chains.values()), released)


def judged(
    before: ReadableRuleset,
    after: ReadableRuleset,
    touched: Differences,
    uses: ChainUses,
    released: Released = _NOBODY,
    known: Known = unknown,
) -> Tightening:
    """The same for a step of which it is known what it touches. ``uses``: those of the chains of
    ``before``. It reads only what the touched things lead to, and no members that are ``known``."""
    found = Tightening.NO
    for level in _Judgement(before, after, touched, uses, released, known).levels():
        found = max(found, level)
        if found is Tightening.NOW:
            break
    return found


def of_members(
    taken: Iterable[ElementHolder],
    put: Iterable[ElementHolder],
    uses: ChainUses,
    released: Released = _NOBODY,
) -> Tightening:
    """The same for a step that only moves members of sets. The sets are there before and after it,
    once in each. ``uses``: those of the chains, which stay."""
    if any(part.elements and uses.of_set(part.name) in _DENYING for part in put):
        return Tightening.NOW
    accepting = (part for part in taken if uses.of_set(part.name) in _ACCEPTING)
    return max((_lost(part, released) for part in accepting), default=Tightening.NO)


class _Judgement:
    """One step."""

    def __init__(
        self,
        before: ReadableRuleset,
        after: ReadableRuleset,
        touched: Differences,
        uses: ChainUses,
        released: Released,
        known: Known,
    ) -> None:
        self._before, self._after = before, after
        self._touched, self._uses, self._released = touched, uses, released
        self._chains = {name for name in touched.chains if not _is_an_epoch(name, before, after)}
        for name in {*touched.taken, *touched.put}:
            if (
                name not in _OF_SKELETON and name in before.maps
            ):  # of ports: their chains say something else
                self._chains |= uses.of_map(name) & after.chains.keys()
        smaller = (n for n, part in touched.taken.items() if self._lost(part) is Tightening.NOW)
        self._proof = Proof(before, after, smaller, released, known)

    def levels(self) -> Iterator[Tightening]:
        """Of each touched thing alone."""
        if self._touched.made or (self._chains and self._chains & _fixed(self._before, self._uses)):
            yield Tightening.NOW
            return
        for name in self._chains:
            yield _unless(self._proof.proves(name, name))
        for name, part in self._touched.taken.items():
            if name in self._before.sets and self._polarity(name, part) in _ACCEPTING:
                yield self._lost(part)
        for name, part in self._touched.put.items():
            if name in self._before.sets and part.elements:
                yield _unless(self._uses.of_set(name, self._chains) not in _DENYING)
        for name in _OF_PODS.keys() & {*self._touched.taken, *self._touched.put}:
            yield from self._pods(name, _OF_PODS[name])
        for name in _AUDITS.keys() & self._touched.put.keys():
            yield from self._audited(name, _AUDITS[name])
        if self._proof.leans_on_released:
            yield Tightening.OWED

    def _polarity(self, name: str, part: ElementHolder) -> Polarity:
        """Chains that changed are proven by themselves, except for what was released, which the
        proof leaves out."""
        if self._lost(part) is Tightening.OWED:
            return self._uses.of_set(name)
        return self._uses.of_set(name, self._chains)

    def _lost(self, part: ElementHolder) -> Tightening:
        return _lost(part, self._released)

    def _pods(self, name: str, family: int) -> Iterator[Tightening]:
        """Every pod that is there stays, and its packets go where they pass as much; no new one
        could pass before."""
        old = self._before.maps[name].elements
        taken, put = _elements(self._touched.taken, name), _elements(self._touched.put, name)
        for key in taken:
            if key not in put:
                gone = self._released.get(family, ())
                yield _owed_if(key[0] in gone) if key in old else Tightening.NO
        for key, verdict in put.items():
            if key in old:
                yield _unless(self._proof.verdict_keeps(old[key], verdict))
            elif verdict != RETURN:
                yield _unless(_inside(self._before.sets[range_set(family)], key))

    def _audited(self, name: str, of_pods: str) -> Iterator[Tightening]:
        """An audit is asked about live connections, which are judged again for it. An element that
        goes takes nothing away, and an element of a new pod finds no connection."""
        old, known = self._before.maps[name].elements, self._before.maps[of_pods].elements
        for key, verdict in _elements(self._touched.put, name).items():
            if key in known:
                yield _unless(key in old and self._proof.verdict_keeps(old[key], verdict))


def _lost(part: ElementHolder, released: Released) -> Tightening:
    """What a set that accepts takes away with these members. Where domain names lose addresses,
    this ends new connections alone (CNP-19): where the rule that asks stays, no live connection is
    judged again."""
    if not part.elements or part.name.startswith(OF_NAMES):
        return Tightening.NO
    if isinstance(part, MemberSet):
        gone = released.get(part.elements.family)
        return _owed_if(gone is not None and part.elements <= gone)
    if isinstance(part, RangeSet):
        return Tightening.NOW
    return _owed_if(all(_is_released(part, key, released) for key in part.elements))


def _is_released(part: ElementHolder, key: Key, released: Released) -> bool:
    """A concatenation of addresses is gone with any of them."""
    return any(
        kind in part.type and address in released[family]
        for family, kind in ADDRESS_TYPES.items()
        if family in released
        for address in key
    )


def _unless(proven: bool) -> Tightening:
    return Tightening.NO if proven else Tightening.NOW


def _owed_if(released: bool) -> Tightening:
    return Tightening.OWED if released else Tightening.NOW


def _elements(parts: Mapping[str, ElementHolder], name: str) -> Mapping[Key, ChainVerdict]:
    part = parts.get(name)
    return part.elements if isinstance(part, VerdictMap) else {}


def _in_both(name: str, before: ReadableRuleset, after: ReadableRuleset) -> bool:
    return any(
        name in old and name in new
        for old, new in ((before.sets, after.sets), (before.maps, after.maps))
    )


def _differ(old: Chain, new: Chain) -> bool:
    return old is not new and (old.rules, old.base) != (new.rules, new.base)


def _bases(ruleset: Ruleset) -> set[str]:
    return {name for name, chain in ruleset.chains.items() if chain.base is not None}


def _is_an_epoch(name: str, before: ReadableRuleset, after: ReadableRuleset) -> bool:
    """Whether a chain differs in the epoch alone: the step decides about that itself."""
    if name not in EPOCH_CHAINS:
        return False
    old, new = before.chains.get(name), after.chains.get(name)
    return old is not None and new is not None and without_epoch(old) == without_epoch(new)


def _fixed(rules: ReadableRuleset, uses: ChainUses) -> set[str]:
    """Chains that base chains reach without a map."""
    found: set[str] = set()
    waiting = [*uses.bases]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            parts = (part for rule in rules.chains[name].rules for part in rule.parts)
            waiting += [
                part.chain for part in parts if isinstance(part, ChainVerdict) and part.chain
            ]
    return found


def _inside(ranges: object, key: Key) -> bool:
    assert isinstance(ranges, RangeSet)
    return any(low <= key <= high for low, high in ranges.elements)
