"""What a change of a cluster takes away, asked of the engine alone; and random changes.

Rule: every flow between addresses that somebody could have, on every port at once. Connections
from a pod's own node are left out: no rule of a node judges them (NP-52).
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from podfence.engine.permitted import Permitted
from podfence.model.cluster import Cluster, ClusterObject
from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy
from podfence.model.networkpolicy import NetworkPolicy
from podfence.model.objects import Namespace, Pod
from podfence.nft.lowering.tightening import Tightening, tightening
from podfence.nft.ruleset import Ruleset
from podfence.policy.index import PolicyIndex
from podfence.sets import PortSet
from podfence.sets.addresses import IPAddress
from podfence.sets.members import Members
from tests.support.random_clusters import OUTSIDE, cluster_of, objects_of

Policy = TypeVar("Policy", NetworkPolicy, ClusterNetworkPolicy)


class Loss(Struct, frozen=True):
    """Ports that ``source`` could reach on ``destination``, and cannot any more."""

    source: IPAddress
    destination: IPAddress
    ports: PortSet


def losses(before: PolicyIndex, after: PolicyIndex) -> Iterator[Loss]:
    """Every permission that a change takes away, with the ends of both clusters."""
    old, new = Permitted(before), Permitted(after)
    nodes = {*before.by_node_address, *after.by_node_address}
    ends = {*_owned(before), *_owned(after), *OUTSIDE} - nodes
    for source in ends:
        for destination in ends:
            if source.version == destination.version:
                gone = old.ports(source, destination) - new.ports(source, destination)
                if gone:
                    yield Loss(source, destination, gone)


def removes_permission(before: Ruleset, after: Ruleset) -> bool:
    """Whether the rules of a node take something away, or are not proven not to."""
    return tightening(before, after) is not Tightening.NO


def released(before: PolicyIndex, after: PolicyIndex) -> dict[int, Members]:
    """Addresses that somebody had, and nobody has now."""
    gone = _owned(before) - _owned(after) - after.by_node_address.keys()
    return {
        family: Members.of(family, (int(a) for a in gone if a.version == family))
        for family in (4, 6)
    }


def _owned(index: PolicyIndex) -> set[IPAddress]:
    return {*index.by_address, *index.contested}


def changed(rng: Random, cluster: Cluster, other: Cluster) -> Cluster:
    """One event: an object goes, comes out of ``other``, or says something else."""
    objects = list(objects_of(cluster))
    match rng.randrange(6):
        case 0 if found := [o for o in objects_of(other) if _fits(o, objects)]:
            return cluster_of([*objects, rng.choice(found)])
        case 1 if cluster.pods:
            gone = rng.choice(cluster.pods)
            return cluster_of(o for o in objects if o is not gone)
        case 2 if cluster.pods and other.pods:
            pod, like = rng.choice(cluster.pods), rng.choice(other.pods)
            heir = replace(pod, name=f"{pod.name}-heir", labels=like.labels, ports=like.ports)
            return cluster_of(heir if o is pod else o for o in objects)
        case _:
            old = rng.choice(objects)
            likes = [o for o in (*objects_of(other), *objects) if type(o) is type(old)]
            new = _edited(rng, old, rng.choice(likes))
            kept = [new if o is old else o for o in objects if o is not old or new is not None]
            return cluster_of(o for o in kept if o is not None)


def _edited(rng: Random, old: ClusterObject, like: ClusterObject) -> ClusterObject | None:
    """``old`` with something that ``like`` says; None: it goes."""
    if isinstance(old, Pod) and isinstance(like, Pod):
        if rng.random() < 0.2:
            return replace(old, finished=not old.finished)
        return (
            replace(old, labels=like.labels)
            if rng.random() < 0.7
            else replace(old, ports=like.ports)
        )
    if isinstance(old, Namespace) and isinstance(like, Namespace):
        return replace(old, labels=like.labels)
    if isinstance(old, NetworkPolicy) and isinstance(like, NetworkPolicy):
        if rng.random() < 0.2:
            return replace(old, pod_selector=like.pod_selector)
        return _with_rules(rng, old, like)
    if isinstance(old, ClusterNetworkPolicy) and isinstance(like, ClusterNetworkPolicy):
        return _with_rules(rng, old, like)
    return None


def _with_rules(rng: Random, old: Policy, like: Policy) -> Policy:
    """One direction gets a rule less or a rule of ``like`` more, first or last, or all of these."""
    direction = rng.choice(("ingress", "egress"))
    rules, others = getattr(old, direction), getattr(like, direction)
    ways = (others, rules[1:], rules[:-1], others[:1] + rules, rules + others[:1])
    return replace(old, **{direction: rng.choice(ways)})


def _fits(item: ClusterObject, objects: list[ClusterObject]) -> bool:
    """Whether it is none of them, and has no address of theirs."""
    taken = {a for known in objects for a in getattr(known, "addresses", ())}
    return not any(_key(item) == _key(known) for known in objects) and not (
        taken & {*getattr(item, "addresses", ())}
    )


def _key(item: ClusterObject) -> object:
    return (
        type(item),
        getattr(item, "namespace", ""),
        getattr(item, "name", ""),
        getattr(item, "ref", None),
    )
