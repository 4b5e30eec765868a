"""Selectors -> endpoint classes, followed from one table of classes to the next.

Rule: a selector is worked out once. After that, a class that comes or goes is compared only with
the selectors that one of its labels, or its namespace, leads to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from msgspec import Struct
from pyroaring import BitMap, FrozenBitMap

from podfence.live.clusterclasses import ClassTable, TableChange
from podfence.live.picks import Scope
from podfence.model.networkpolicy import IPBlock
from podfence.model.objects import Namespace
from podfence.model.selectors import LabelSelector
from podfence.policy.addressblocks import Block
from podfence.policy.index import EVERYONE, AddressPeers, EndpointClass, PodPeers, doubtful_key
from podfence.policy.select import ByClasses, LabelIndex

Scoped = tuple[Scope, LabelSelector]
"""Pods that the selector selects, in the namespaces of the scope."""
Hint = tuple[Scope, tuple[str, str] | None]
"""A scope and a label (None for any) without which a class is not selected."""
NamespaceChange = tuple[Namespace | None, Namespace | None]
_NOTHING: Mapping[Any, Any] = MappingProxyType({})
_NOBODY = FrozenBitMap()


class SelectorChange(Struct, frozen=True):
    """``selected``: selectors that select other classes than before. ``peers``: keys of peers that
    have changed. ``namespaces``: classes that other selectors select now, since their namespace has
    other labels."""

    selected: frozenset[Scoped] = frozenset()
    peers: frozenset[str] = frozenset()
    namespaces: FrozenBitMap = FrozenBitMap()


class ClusterSelector(ByClasses):
    """Peers and subjects as classes of a ClassTable. It remembers its answers, and the selectors
    that follow from it know them, too."""

    def __init__(
        self,
        table: ClassTable,
        namespaces: Mapping[str, Namespace],
        before: ClusterSelector | None = None,
    ) -> None:
        super().__init__(table.contested.values())
        self._table = table
        self._namespaces = namespaces
        self._found: dict[Scoped, FrozenBitMap] = dict(before._found) if before else {}
        self._hints: dict[Hint, tuple[Scoped, ...]] = dict(before._hints) if before else {}
        self._scopes: dict[LabelSelector, tuple[Scoped, ...]]
        self._scopes = dict(before._scopes) if before else {}
        self._matched: dict[LabelSelector, frozenset[str]]
        self._matched = dict(before._matched) if before else {}
        self._reaching: dict[str, tuple[LabelSelector, ...]]
        self._reaching = dict(before._reaching) if before else {}
        """For each namespace, the selectors of namespaces that select it."""
        self._keys: dict[Scoped, str] = dict(before._keys) if before else {}
        self._by_namespace: dict[str, FrozenBitMap]
        self._by_namespace = dict(before._by_namespace) if before else {}
        self._addressless: FrozenBitMap = before._addressless if before else _NOBODY
        self.pods: FrozenBitMap = before.pods if before else _NOBODY
        """Every class of pods that can be a peer."""
        self._changed: set[Scoped] = set()
        """What selects others than in the table before."""
        self._labels: LabelIndex | None = None

    # -- what rules ask

    def subjects(self, namespace: str, selector: LabelSelector) -> FrozenBitMap:
        """Classes of one namespace."""
        return self._select((namespace, selector))

    def subjects_in(self, pods: LabelSelector, namespaces: LabelSelector) -> FrozenBitMap:
        """Classes that match one selector in namespaces that match the other."""
        return self._select((namespaces, pods))

    def ip_block(self, block: IPBlock) -> AddressPeers:
        """An ipBlock that the classes were cut at."""
        return self.block(self._table.cuts.block_of(block))

    def block(self, block: Block) -> AddressPeers:
        """A block that the classes were cut at."""
        classes = self._table.holding[self._table.cuts.numbers[block]]
        addresses = block.addresses.family(block.family)
        return AddressPeers(
            block.key, block.family, addresses, classes, block.volatile, block.names
        )

    def _of_namespace(self, key: str, pods: LabelSelector, namespace: str) -> PodPeers:
        return self._peers(key, (namespace, pods))

    def _of_namespaces(self, key: str, pods: LabelSelector, namespaces: LabelSelector) -> PodPeers:
        return self._peers(key, (namespaces, pods))

    def _peers(self, key: str, scoped: Scoped) -> PodPeers:
        found = self._select(scoped)
        self._keys[scoped] = key
        return PodPeers(key, found - self._addressless)

    # -- worked out for the first time

    def _select(self, scoped: Scoped) -> FrozenBitMap:
        found = self._found.get(scoped)
        if found is None:
            found = self._found[scoped] = self._worked_out(*scoped)
            hint = _hint(scoped)
            self._hints[hint] = (*self._hints.get(hint, ()), scoped)
            if isinstance(scoped[0], LabelSelector):
                self._scopes[scoped[0]] = (*self._scopes.get(scoped[0], ()), scoped)
        return found

    def _worked_out(self, scope: Scope, pods: LabelSelector) -> FrozenBitMap:
        if isinstance(scope, str):
            classes = self._by_namespace.get(scope, _NOBODY)
            if pods.selects_everything:
                return classes
            # Mostly a handful; an index of all labels is made for selectors of many namespaces.
            if self._labels is None and len(classes) < 100:
                return FrozenBitMap(n for n in classes if pods.matches(self._labels_of(n)))
        else:
            names = self._namespaces_of(scope)
            parts = (self._by_namespace.get(name, _NOBODY) for name in names)
            classes = FrozenBitMap(BitMap.union(BitMap(), *parts))
            if pods.selects_everything:
                return classes
        if self._labels is None:
            self._labels = LabelIndex((n, self._table.classes[n].labels) for n in self._table.keys)
        return self._labels.select(pods) & classes

    def _labels_of(self, number: int) -> dict[str, str]:
        return dict(self._table.classes[number].labels)

    def _namespaces_of(self, selector: LabelSelector) -> frozenset[str]:
        found = self._matched.get(selector)
        if found is None:
            found = self._matched[selector] = frozenset(
                name
                for name, namespace in self._namespaces.items()
                if selector.matches(dict(namespace.labels))
            )
            for name in found:
                self._reaching[name] = (*self._reaching.get(name, ()), selector)
        return found

    # -- from table to table

    def after(
        self,
        table: ClassTable,
        change: TableChange,
        namespaces: Mapping[str, Namespace],
        changed: Iterable[NamespaceChange],
    ) -> tuple[ClusterSelector, SelectorChange]:
        """The selector of the next table. ``changed``: the namespaces that are not as before."""
        new = ClusterSelector(table, namespaces, self)
        if table.cuts.asked is not self._table.cuts.asked:
            new._forget(self._table.cuts.asked.keys ^ table.cuts.asked.keys)
        moved = new._rename(changed, change.died)
        for number in change.died:
            before = self._table.classes[number]
            new._remove(before, self._candidates(before))
        new._addressless -= change.died
        new.pods -= change.died
        new._add(change.born)
        keys = {new._keys[scoped] for scoped in new._changed if scoped in new._keys}
        keys |= {doubtful_key(key) for key in keys} | change.blocks
        if new.pods != self.pods:
            keys.add(EVERYONE.key)
        return new, SelectorChange(frozenset(new._changed), frozenset(keys), FrozenBitMap(moved))

    def _forget(self, keys: frozenset[str]) -> None:
        """Nobody asks for these labels any more, or nobody did: what was found is not true."""
        stale = {s for s in self._found if not s[1].asked_keys.isdisjoint(keys)}
        for scoped in stale:
            del self._found[scoped]
            hint = _hint(scoped)
            self._hints[hint] = tuple(s for s in self._hints[hint] if s != scoped)
            if isinstance(scoped[0], LabelSelector):
                scope = self._scopes[scoped[0]]
                self._scopes[scoped[0]] = tuple(s for s in scope if s != scoped)

    def _rename(self, changed: Iterable[NamespaceChange], died: FrozenBitMap) -> BitMap:
        """Namespaces with other labels. Returns the classes to which that makes a difference."""
        moved = BitMap()
        for before, now in changed:
            known = before or now
            if known is None:
                continue
            name = known.name
            classes = self._by_namespace.get(name, _NOBODY) - died
            for selector, matched in list(self._matched.items()):
                fits = now is not None and selector.matches(dict(now.labels))
                if fits is not (name in matched):
                    self._matched[selector] = matched ^ {name}
                    others = tuple(s for s in self._reaching.get(name, ()) if s != selector)
                    self._reaching[name] = (*others, selector) if fits else others
                    if classes:
                        moved |= classes
                        self._toggle(self._scopes.get(selector, ()), classes, fits)
        return moved

    def _toggle(self, entries: Iterable[Scoped], classes: FrozenBitMap, fits: bool) -> None:
        for scoped in entries:
            found = self._found[scoped]
            if fits:
                found |= BitMap(n for n in classes if scoped[1].matches(self._labels_of(n)))
            else:
                found -= classes
            if found != self._found[scoped]:
                self._put(scoped, FrozenBitMap(found))

    def _put(self, scoped: Scoped, found: FrozenBitMap) -> None:
        self._found[scoped] = found
        self._changed.add(scoped)

    def _remove(self, died: EndpointClass, candidates: Iterable[Scoped]) -> None:
        """``candidates``: what may have selected the class when it was there."""
        number = BitMap((died.number,))
        for scoped in candidates:
            if died.number in self._found.get(scoped, _NOBODY):
                self._put(scoped, self._found[scoped] - number)
        self._by_namespace[died.namespace] -= number

    def _add(self, born: FrozenBitMap) -> None:
        by_namespace: dict[str, BitMap] = {}
        for number in born:
            found = self._table.classes[number]
            labels = dict(found.labels)
            for scoped in self._candidates(found):
                if scoped[1].matches(labels):
                    self._put(scoped, self._found[scoped] | BitMap((number,)))
            by_namespace.setdefault(found.namespace, BitMap()).add(number)
        for namespace, numbers in by_namespace.items():
            known = self._by_namespace.get(namespace, _NOBODY)
            self._by_namespace[namespace] = FrozenBitMap(known | numbers)
        bare = FrozenBitMap(number for number in born if not self._table.keys[number][3])
        self._addressless |= bare
        self.pods |= born - bare

    def _candidates(self, found: EndpointClass) -> Iterator[Scoped]:
        """The selectors that may select a class."""
        scopes: tuple[Scope, ...] = (found.namespace, *self._reaching.get(found.namespace, ()))
        for scope in scopes:
            for label in (*found.labels, None):
                yield from self._hints.get((scope, label), ())


def _hint(scoped: Scoped) -> Hint:
    scope, pods = scoped
    label = pods.match_labels[0] if pods.match_labels else None
    return scope, label
