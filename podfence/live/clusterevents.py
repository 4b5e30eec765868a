"""What happens to a cluster, object by object; and what happened between two clusters.

Rule: an event says all that is known under one name now, and nothing of what was there before. So
an event may be told twice, and events that a later one replaces may be left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from msgspec import Struct

from podfence.model.cluster import Cluster, ClusterObject, undeclared
from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy
from podfence.model.doubt import Doubt
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import NetworkPolicy
from podfence.model.objects import EndpointSlice, Namespace, Node, Pod, Service


class ClusterEvent(Struct, frozen=True):
    """What one name stands for now. With neither ``thing`` nor ``doubts`` the object is gone."""

    ref: ObjectRef
    """Kind, namespace and name; what has no name that can be read gets one from its source."""
    thing: ClusterObject | None = None
    """The object, as far as it could be read."""
    doubts: tuple[Doubt, ...] = ()
    """What could not be read of it."""


def put(thing: ClusterObject, *doubts: Doubt) -> ClusterEvent:
    """An object was added or has changed."""
    return ClusterEvent(ref_of(thing), thing, doubts)


def gone(ref: ObjectRef) -> ClusterEvent:
    """An object was deleted."""
    return ClusterEvent(ref)


def unread(doubt: Doubt) -> ClusterEvent:
    """An object is there and cannot be read."""
    return ClusterEvent(ref_of_doubt(doubt), None, (doubt,))


def ref_of(thing: ClusterObject) -> ObjectRef:
    """The name of an object among all."""
    match thing:
        case Namespace():
            return ObjectRef("Namespace", "", thing.name)
        case Node():
            return ObjectRef("Node", "", thing.name)
        case Pod() | Service() | EndpointSlice() | NetworkPolicy() | ClusterNetworkPolicy():
            return thing.ref


def ref_of_doubt(doubt: Doubt) -> ObjectRef:
    """The name of an object that could not be read. Where the name is unknown, the source stands
    for it, so that two such objects of one file stay two."""
    if doubt.kind and doubt.name:
        return ObjectRef(doubt.kind, doubt.namespace, doubt.name)
    source = doubt.source
    position = "" if source is None else f"{source.file}#{source.document}"
    return ObjectRef(f"unread {doubt.kind}", doubt.namespace, position)


class KnownObject(Struct, frozen=True):
    """What is known under one name."""

    thing: ClusterObject | None
    doubts: tuple[Doubt, ...]


def known_of(cluster: Cluster) -> dict[ObjectRef, KnownObject]:
    """Everything that a cluster holds, by name. Namespaces that no object declares are left out:
    they are there for as long as something names them."""
    doubts: dict[ObjectRef, list[Doubt]] = {}
    for doubt in cluster.doubts:
        doubts.setdefault(ref_of_doubt(doubt), []).append(doubt)
    found = {
        (ref := ref_of(thing)): KnownObject(thing, tuple(doubts.pop(ref, ())))
        for thing in _things(cluster)
    }
    found.update((ref, KnownObject(None, tuple(rest))) for ref, rest in doubts.items())
    return found


def changes(before: Mapping[ObjectRef, KnownObject], after: Cluster) -> Iterator[ClusterEvent]:
    """The events that lead from what was known to a cluster. Objects that differ only in their
    position in a file have changed, since answers name that position."""
    found = known_of(after)
    for ref in before:
        if ref not in found:
            yield ClusterEvent(ref)
    for ref, known in found.items():
        if before.get(ref) != known:
            yield ClusterEvent(ref, known.thing, known.doubts)


def _things(cluster: Cluster) -> Iterator[ClusterObject]:
    naming: Iterable[Pod | NetworkPolicy | Service]
    audited = (policy for policy in cluster.audited if isinstance(policy, NetworkPolicy))
    naming = chain(cluster.pods, cluster.policies, cluster.services, audited)
    named = {thing.ref.namespace for thing in naming}
    for namespace in cluster.namespaces.values():
        if namespace.name not in named or namespace != undeclared(namespace.name):
            yield namespace
    things: Iterable[Iterable[ClusterObject]] = (
        cluster.nodes.values(),
        cluster.pods,
        cluster.services,
        cluster.endpoint_slices,
        cluster.policies,
        cluster.admin_policies,
        cluster.audited,
    )
    for each in things:
        yield from each
