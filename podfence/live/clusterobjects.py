"""The objects of a cluster by name, and the ``Cluster`` that they make.

Rule: the cluster is the one that ``Cluster.of`` makes of the same objects in the order of their
names, as an API server lists them; the order in which they came leaves no trace. Kinds that no
event touches keep their values.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from msgspec import Struct

from podfence.live.clusterevents import ClusterEvent, KnownObject
from podfence.model.cluster import Cluster, ClusterObject, Policy, undeclared, with_name_label
from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy
from podfence.model.doubt import Doubt
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import NetworkPolicy
from podfence.model.objects import EndpointSlice, Namespace, Node, Pod, Service

T = TypeVar("T", bound=ClusterObject)
Kinds = Mapping[type[Any], Mapping[ObjectRef, Any]]

_KINDS = (Namespace, Node, Pod, Service, EndpointSlice, NetworkPolicy, ClusterNetworkPolicy)
_NAMING = (Pod, NetworkPolicy, Service)
"""Objects of these kinds name a namespace, whether it is declared or not."""
_FEW = 50
"""So many objects are inserted one by one; more are sorted."""
_ABSENT = KnownObject(None, ())
_NOTHING: Mapping[Any, Any] = MappingProxyType({})


class ChangedObjects(Struct, frozen=True):
    """Each changed object before and after; None: it did not exist then. ``namespaces`` also has
    those that exist only because objects name them."""

    things: tuple[tuple[ClusterObject | None, ClusterObject | None], ...] = ()
    namespaces: tuple[tuple[Namespace | None, Namespace | None], ...] = ()

    def of(self, kind: type[T]) -> list[tuple[T | None, T | None]]:
        """The things of one kind."""
        return [
            (before if isinstance(before, kind) else None, now if isinstance(now, kind) else None)
            for before, now in self.things
            if isinstance(before, kind) or isinstance(now, kind)
        ]


class ClusterObjects(Struct, frozen=True, eq=False):
    """``named``: how many objects name each namespace."""

    known: Mapping[ObjectRef, KnownObject] = _NOTHING
    kinds: Kinds = MappingProxyType(dict.fromkeys(_KINDS, _NOTHING))
    named: Mapping[str, int] = _NOTHING
    cluster: Cluster = Cluster(_NOTHING, _NOTHING, ())

    def after(self, events: Iterable[ClusterEvent]) -> tuple[ClusterObjects, ChangedObjects]:
        """The objects after these events; of one name the last counts."""
        last = {event.ref: KnownObject(event.thing, event.doubts) for event in events}
        moved = {
            ref: (before, now)
            for ref, now in last.items()
            if (before := self.known.get(ref, _ABSENT)) != now
        }
        if not moved:
            return self, ChangedObjects()
        known = _with(self.known, {r: None if n == _ABSENT else n for r, (_, n) in moved.items()})
        things = {ref: (b.thing, n.thing) for ref, (b, n) in moved.items() if b.thing != n.thing}
        kinds = {kind: _with(self.kinds[kind], _of_kind(kind, things)) for kind in _KINDS}
        named = self._named(things)
        namespaces = self._namespaces(things, kinds, named)
        doubtful = any(before.doubts or now.doubts for before, now in moved.values())
        cluster = self._cluster(kinds, known if doubtful else None, things, namespaces)
        changed = ChangedObjects(
            tuple((_in_force(before), _in_force(now)) for before, now in things.values()),
            tuple((self.cluster.namespaces.get(n), now) for n, now in namespaces.items()),
        )
        return ClusterObjects(known, kinds, named, cluster), changed

    def _named(self, things: Mapping[ObjectRef, tuple[Any, Any]]) -> Mapping[str, int]:
        moved: Counter[str] = Counter()
        for ref, (before, now) in things.items():
            if isinstance(before or now, _NAMING):
                moved[ref.namespace] += (now is not None) - (before is not None)
        counts = {name: self.named.get(name, 0) + more for name, more in moved.items() if more}
        return _with(self.named, {name: count or None for name, count in counts.items()})

    def _namespaces(
        self,
        things: Mapping[ObjectRef, tuple[Any, Any]],
        kinds: Kinds,
        named: Mapping[str, int],
    ) -> dict[str, Namespace | None]:
        """Those that are not as before (NP-21)."""
        asked = {
            ref.name for ref, pair in things.items() if isinstance(pair[0] or pair[1], Namespace)
        }
        asked |= named.keys() ^ self.named.keys()
        found: dict[str, Namespace | None] = {}
        for name in sorted(asked):
            declared = kinds[Namespace].get(ObjectRef("Namespace", "", name))
            now = undeclared(name) if name in named else None
            if isinstance(declared, Namespace):
                now = with_name_label(declared)
            if now != self.cluster.namespaces.get(name):
                found[name] = now
        return found

    def _cluster(
        self,
        kinds: Kinds,
        known: Mapping[ObjectRef, KnownObject] | None,
        things: Mapping[ObjectRef, tuple[Any, Any]],
        namespaces: Mapping[str, Namespace | None],
    ) -> Cluster:
        """``known``: where doubts are not as before."""
        old = self.cluster
        nodes = {ref.name: now for ref, now in _of_kind(Node, things).items()}

        return Cluster(
            MappingProxyType(dict(_with(old.namespaces, namespaces)))
            if namespaces
            else old.namespaces,
            MappingProxyType(dict(_with(old.nodes, nodes))) if nodes else old.nodes,
            _sorted(old.pods, _of_kind(Pod, things), _by_namespace),
            _sorted(old.services, _of_kind(Service, things), _by_namespace),
            _sorted(old.policies, _enforced(NetworkPolicy, things), _by_namespace),
            _sorted(old.admin_policies, _enforced(ClusterNetworkPolicy, things), _by_kind),
            old.doubts if known is None else _doubts(known),
            _sorted(old.endpoint_slices, _of_kind(EndpointSlice, things), _by_namespace),
            self._audited(kinds, things),
        )

    def _audited(
        self, kinds: Kinds, things: Mapping[ObjectRef, tuple[Any, Any]]
    ) -> tuple[Policy, ...]:
        """Audited policies, in the order of ``Cluster.of``."""
        old = {policy.ref for policy in self.cluster.audited}
        moved = (ref in old or getattr(now, "audited", False) for ref, (_, now) in things.items())
        if not any(moved):
            return self.cluster.audited
        plain = (each for each in kinds[NetworkPolicy].values() if each.audited)
        tiered = (each for each in kinds[ClusterNetworkPolicy].values() if each.audited)
        return (
            *sorted(plain, key=lambda each: _by_namespace(each.ref)),
            *sorted(tiered, key=lambda each: _by_kind(each.ref)),
        )


def _of_kind(
    kind: type[T], things: Mapping[ObjectRef, tuple[Any, Any]]
) -> dict[ObjectRef, T | None]:
    return {ref: now for ref, (old, now) in things.items() if isinstance(old or now, kind)}


def _in_force(thing: ClusterObject | None) -> ClusterObject | None:
    """An audited policy does not exist for questions about the enforced state (AUD-2)."""
    audited = isinstance(thing, NetworkPolicy | ClusterNetworkPolicy) and thing.audited
    return None if audited else thing


def _enforced(
    kind: type[T], things: Mapping[ObjectRef, tuple[Any, Any]]
) -> dict[ObjectRef, Any | None]:
    return {ref: _in_force(now) for ref, now in _of_kind(kind, things).items()}


def _with(old: Mapping[Any, Any], changed: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """A mapping with some other values; None: without that key."""
    if not changed:
        return old
    new = dict(old)
    for key, value in changed.items():
        if value is None:
            new.pop(key, None)
        else:
            new[key] = value
    return new


def _by_namespace(ref: ObjectRef) -> tuple[str, str]:
    return ref.namespace, ref.name


def _by_kind(ref: ObjectRef) -> tuple[str, str]:
    return ref.name, ref.kind


def _sorted(
    old: tuple[Any, ...],
    changed: Mapping[ObjectRef, Any],
    order: Callable[[ObjectRef], tuple[str, str]],
) -> tuple[Any, ...]:
    """Objects in their order, some of them changed."""
    if not changed:
        return old

    def key(thing: Any) -> tuple[str, str]:
        return order(thing.ref)

    if len(changed) > _FEW:
        kept = [thing for thing in old if thing.ref not in changed]
        return tuple(sorted([*kept, *filter(None, changed.values())], key=key))
    new = list(old)
    for ref, now in changed.items():
        at = bisect_left(new, order(ref), key=key)
        there = at < len(new) and new[at].ref == ref
        new[at : at + there] = [] if now is None else [now]
    return tuple(new)


def _doubts(known: Mapping[ObjectRef, KnownObject]) -> tuple[Doubt, ...]:
    refs = sorted(ref for ref, each in known.items() if each.doubts)
    return tuple(doubt for ref in refs for doubt in known[ref].doubts)
