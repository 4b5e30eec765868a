"""Sequences of events, as adversarial as the clusters of ``random_clusters``.

Rule: objects come from random clusters that share names and addresses, so they take one another's
position, name and address all the time. Some events are told twice, some objects cannot be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from random import Random

from msgspec.structs import replace

from podfence.live.clusterevents import ClusterEvent, KnownObject, gone, put, unread
from podfence.model.cluster import Cluster, ClusterObject
from podfence.model.doubt import Doubt
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import PolicyType, Protocol
from podfence.model.objects import Namespace, Pod, Service, ServicePort
from tests.support.random_clusters import TIERS, Size, random_cluster
from tests.support.random_policies import NAMESPACES

ROUND = 12
"""Events that are drawn from the objects of one random cluster."""


def random_events(rng: Random, count: int, size: Size = TIERS) -> Iterator[ClusterEvent]:
    """``count`` events."""
    told: dict[ObjectRef, ClusterEvent] = {}
    objects: list[ClusterObject] = []
    for number in range(count):
        if number % ROUND == 0:
            objects = _objects(random_cluster(rng, size))
        event = _event(rng, objects, told)
        told[event.ref] = event
        yield event


def cluster_after(events: Iterator[ClusterEvent] | list[ClusterEvent]) -> Cluster:
    """What a fresh reading of the final state gives: its objects in the order of their names."""
    known: dict[ObjectRef, KnownObject] = {}
    for event in events:
        known[event.ref] = KnownObject(event.thing, event.doubts)
    found = [known[ref] for ref in sorted(known)]
    cluster = Cluster.of(each.thing for each in found if each.thing is not None)
    return replace(cluster, doubts=tuple(doubt for each in found for doubt in each.doubts))


def _objects(cluster: Cluster) -> list[ClusterObject]:
    return [
        *cluster.namespaces.values(),
        *cluster.nodes.values(),
        *cluster.pods,
        *cluster.pods,
        *cluster.policies,
        *cluster.policies,
        *cluster.admin_policies,
        _service(cluster.pods[0]),
    ]


def _event(
    rng: Random, objects: list[ClusterObject], told: dict[ObjectRef, ClusterEvent]
) -> ClusterEvent:
    kind = rng.random()
    if told and kind < 0.25:
        return gone(rng.choice(sorted(told)))
    if told and kind < 0.32:
        return told[rng.choice(sorted(told))]
    if kind < 0.40:
        return _unread(rng)
    if told and kind < 0.5:
        known = [event.thing for event in told.values() if isinstance(event.thing, Pod)]
        if known:
            return put(_changed(rng, rng.choice(known)))
    return put(rng.choice(objects))


def _changed(rng: Random, pod: Pod) -> Pod:
    """The same pod, a little later."""
    match rng.randrange(6):
        case 0:
            return replace(pod, finished=not pod.finished)
        case 1:
            return replace(pod, deleting=not pod.deleting)
        case 2:
            return replace(pod, labels=(("app", rng.choice("ab")),))
        case 3:
            return replace(pod, ports=pod.ports[1:])
        case 4:
            return replace(pod, addresses=pod.addresses[1:], has_status=True)
        case _:
            return replace(pod, host_addresses=(ip_address("172.18.0.7"),))


def _unread(rng: Random) -> ClusterEvent:
    """An object that is there and cannot be read; of a Namespace some labels can be."""
    namespace = rng.choice(NAMESPACES)
    match rng.randrange(4):
        case 0:
            types = frozenset({rng.choice(tuple(PolicyType))})
            return unread(Doubt("NetworkPolicy", namespace, f"np{rng.randrange(8)}", types=types))
        case 1:
            address = ip_address(f"10.0.0.{rng.randrange(8)}")
            return unread(Doubt("Pod", namespace, f"p{rng.randrange(8)}", addresses=(address,)))
        case 2:
            doubt = Doubt("Namespace", "", namespace, keys=frozenset({"tier"}))
            return put(Namespace(namespace, (("app", rng.choice("ab")),)), doubt)
        case _:
            return unread(Doubt("", addresses=None))


def _service(pod: Pod) -> Service:
    ref = ObjectRef("Service", pod.namespace, "svc")
    port = ServicePort("", 80, 8080, Protocol.TCP)
    return Service(ref, pod.labels, (ip_address("10.96.0.1"),), (port,))
