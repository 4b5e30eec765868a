"""A cluster that changes at random, told as events; and the same cluster as a whole.

Rule: events are told in every way that a watch tells them: twice, in pieces, for objects that are
not there; two pods may have one address, and any object may be deleted and come back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from random import Random

from msgspec.structs import replace

from podfence.live.policystore import read_policy
from podfence.model.cluster import Cluster, ClusterObject
from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy
from podfence.model.facts import (
    Event,
    Facts,
    Gone,
    PolicyFacts,
    Put,
)
from podfence.model.meta import METADATA_NAME_LABEL, labels_of
from podfence.model.networkpolicy import NetworkPolicy
from podfence.model.objects import Namespace, Node, Pod
from podfence.nft.lowering.lower import LocalNode
from podfence.testing.facts import facts_of
from tests.support.random_clusters import Size, objects_of, random_cluster
from tests.support.random_policies import POOL, V4_PODS, V6_PODS

Key = tuple[str, str, str]
"""Kind, namespace and name."""


def key_of(thing: ClusterObject) -> Key:
    if isinstance(thing, NetworkPolicy | ClusterNetworkPolicy):
        return thing.ref.kind, thing.ref.namespace, thing.ref.name
    if isinstance(thing, Pod):
        return "Pod", thing.namespace, thing.name
    assert isinstance(thing, Namespace | Node)
    return type(thing).__name__, "", thing.name


Stock = Mapping[type, Sequence[ClusterObject]]
"""Objects of random clusters by their type."""


def stock_of(
    rng: Random, size: Size, clusters: int, make: Callable[[Random, Size], Cluster] = random_cluster
) -> Stock:
    """All objects of some random clusters."""
    found: dict[type, list[ClusterObject]] = {}
    for _ in range(clusters):
        for thing in objects_of(make(rng, size)):
            found.setdefault(type(thing), []).append(thing)
    return found


class World:
    """The objects of a cluster. ``step`` changes one and tells it. ``stock``: what comes newly is
    drawn from here; None: each time from a random cluster of its own, which costs more.
    ``audited``: the share of policies that are. ``make``: makes the random clusters."""

    def __init__(
        self,
        rng: Random,
        size: Size,
        node: str = "n1",
        stock: Stock | None = None,
        audited: float = 0.0,
        make: Callable[[Random, Size], Cluster] = random_cluster,
    ) -> None:
        self.rng = rng
        self.size = size
        self.node = node
        self.stock = stock
        self.audited = audited
        self.make = make
        self.objects: dict[Key, ClusterObject] = {}
        self.told: dict[Key, Facts] = {}
        """The last that was told of each object that is there."""

    def start(self) -> list[Event]:
        """A whole cluster at once, most of it on this node."""
        things = objects_of(self.make(self.rng, self.size))
        return [event for thing in things for event in self.put(self._scheduled(thing))]

    def step(self) -> list[Event]:
        """One change of one object, as events."""
        change = self.rng.choice(self.changes)
        return change(self)

    def put(self, thing: ClusterObject) -> list[Event]:
        if self.audited and isinstance(thing, NetworkPolicy | ClusterNetworkPolicy):
            thing = replace(thing, audited=self.rng.random() < self.audited)
        facts = facts_of(thing)
        self.told[key_of(thing)] = facts
        if isinstance(facts, PolicyFacts):
            return self.put_policy(facts)
        self.objects[key_of(thing)] = thing
        return [Put(facts)]

    def put_policy(self, facts: PolicyFacts) -> list[Event]:
        """A policy that no server stores says nothing, or closes pods."""
        key = (facts.kind, facts.namespace, facts.name)
        policy, _ = read_policy(facts)
        self.objects.pop(key, None)
        if policy is not None:
            self.objects[key] = policy
        return [Put(facts)]

    def gone(self, key: Key) -> list[Event]:
        self.objects.pop(key, None)
        self.told.pop(key, None)
        return [Gone(*key)]

    def cluster(self) -> Cluster:
        """What is there, in an order of its own."""
        things = list(self.objects.values())
        self.rng.shuffle(things)
        return Cluster.of(things)

    def local_node(self) -> LocalNode:
        pods = [t for t in self.objects.values() if isinstance(t, Pod) and t.node == self.node]
        node = self.objects.get(("Node", "", self.node))
        return LocalNode(
            self.node,
            frozenset(f"{pod.namespace}/{pod.name}" for pod in pods),
            node.pod_cidrs if isinstance(node, Node) else (),
        )

    # -- what may happen

    def _fresh(self, kind: type) -> ClusterObject | None:
        """An object of another random cluster."""
        stock = self.stock or stock_of(self.rng, self.size, 1, self.make)
        found = stock.get(kind)
        return self.rng.choice(found) if found else None

    def _comes(self) -> list[Event]:
        """Something new, or another thing under a name that is there."""
        kind = self.rng.choice((Pod, Pod, Pod, NetworkPolicy, NetworkPolicy, ClusterNetworkPolicy))
        thing = self._fresh(kind)
        return [] if thing is None else self.put(self._scheduled(thing))

    def _namespace(self) -> list[Event]:
        thing = self._fresh(Namespace)
        return [] if thing is None else self.put(thing)

    def _namespace_and_back(self) -> list[Event]:
        """Other labels for a moment; then those of before, or others again."""
        there = [thing for thing in self.objects.values() if isinstance(thing, Namespace)]
        thing, other = self._fresh(Namespace), self._fresh(Namespace)
        if not there or not isinstance(thing, Namespace) or not isinstance(other, Namespace):
            return []
        known = self.rng.choice(there)
        first = self.put(_renamed(thing, known.name))
        return first + self.put(self.rng.choice((known, _renamed(other, known.name))))

    def _node(self) -> list[Event]:
        thing = self._fresh(Node)
        return [] if thing is None else self.put(thing)

    def _goes(self) -> list[Event]:
        if not self.objects:
            return self.gone(("Pod", "x", "nobody"))
        return self.gone(self.rng.choice(list(self.objects)))

    def _again(self) -> list[Event]:
        if not self.objects:
            return []
        return self.put(self.rng.choice(list(self.objects.values())))

    def _pod_changes(self) -> list[Event]:
        """One property of a pod, as a kubelet or a user changes it."""
        pods = [thing for thing in self.objects.values() if isinstance(thing, Pod)]
        if not pods:
            return []
        pod, other = self.rng.choice(pods), self.rng.choice(pods)
        return self.put(
            self.rng.choice(
                (
                    replace(pod, addresses=()),
                    replace(pod, addresses=other.addresses),
                    replace(pod, addresses=other.addresses[:1]),
                    replace(pod, deleting=not pod.deleting),
                    replace(pod, finished=not pod.finished),
                    replace(pod, labels=other.labels),
                    replace(pod, ports=other.ports),
                    replace(pod, node=self.node),
                    replace(pod, node=other.node),
                    replace(pod, host_network=not pod.host_network),
                    replace(pod, host_addresses=other.host_addresses),
                    replace(pod, labels=(*pod.labels, ("only", pod.name))),
                )
            )
        )

    def _one_more(self) -> list[Event]:
        """A pod like one that is there, so that a profile has several."""
        pods = [thing for thing in self.objects.values() if isinstance(thing, Pod)]
        if not pods:
            return []
        pod, number = self.rng.choice(pods), self.rng.randrange(POOL)
        bases = (IPv4Address(V4_PODS + number), IPv6Address(V6_PODS + number))
        name = f"{pod.name[:2]}-{self.rng.choice('ab')}"
        addresses = bases[: self.rng.choice((1, 1, 2))]
        return self.put(replace(pod, name=name, addresses=addresses, has_status=True))

    def _policy_changes(self) -> list[Event]:
        """A policy is written anew under its name."""
        policies = [
            thing
            for thing in self.objects.values()
            if isinstance(thing, NetworkPolicy | ClusterNetworkPolicy)
        ]
        if not policies:
            return []
        policy = self.rng.choice(policies)
        other = self._fresh(type(policy))
        if isinstance(policy, ClusterNetworkPolicy) and self.rng.random() < 0.3:
            return self.put(replace(policy, priority=self.rng.choice((0, 1, 2, 1000))))
        if not isinstance(other, NetworkPolicy | ClusterNetworkPolicy):
            return []
        if other.ref.kind != policy.ref.kind:
            return []
        return self.put(replace(other, ref=policy.ref))

    def _scheduled(self, thing: ClusterObject) -> ClusterObject:
        """More pods are here than elsewhere, so that there is something to be seen."""
        if isinstance(thing, Pod) and not thing.host_network and self.rng.random() < 0.5:
            return replace(thing, node=self.node)
        return thing

    changes: tuple[Callable[[World], list[Event]], ...] = (
        _comes,
        _comes,
        _comes,
        _one_more,
        _one_more,
        _namespace,
        _namespace_and_back,
        _node,
        _goes,
        _again,
        _pod_changes,
        _pod_changes,
        _pod_changes,
        _policy_changes,
    )


def _renamed(namespace: Namespace, name: str) -> Namespace:
    labels = {**dict(namespace.labels), METADATA_NAME_LABEL: name}
    return Namespace(name, labels_of(labels))
