"""Pairs of small clusters that differ by a few edits.

Rule: an edit is one that people make: an object added, removed or written anew, labels of pods or
namespaces changed, more or fewer pods.
"""

from __future__ import annotations

from random import Random

from msgspec.structs import replace

from podfence.model.cluster import Cluster, ClusterObject
from podfence.model.objects import Namespace, Node, Pod
from tests.support.random_clusters import Size, objects_of, random_cluster

CHANGES = Size(policies=5, admin_policies=2)


def random_change(rng: Random, edits: int, size: Size = CHANGES) -> tuple[Cluster, Cluster]:
    """Two clusters, the second one ``edits`` edits away from the first."""
    old = random_cluster(rng, size)
    donor = random_cluster(rng, size)
    things = objects_of(old)
    for _ in range(edits):
        things = _edited(rng, things, objects_of(donor))
    return old, Cluster.of(things)


def _edited(
    rng: Random, things: list[ClusterObject], others: list[ClusterObject]
) -> list[ClusterObject]:
    policies = [t for t in things if not isinstance(t, Pod | Node | Namespace)]
    new_policies = [t for t in others if not isinstance(t, Pod | Node | Namespace)]
    what = rng.choice(("remove", "add", "rewrite", "rewrite", "pod", "namespace"))
    if what == "remove" and policies:
        gone = rng.choice(policies)
        return [t for t in things if t is not gone]
    if what == "add" and new_policies:
        added = rng.choice(new_policies)
        ref = replace(added.ref, name=f"{added.ref.name}-new")
        return [*things, replace(added, ref=ref)]
    if what == "rewrite" and policies and new_policies:
        one = rng.choice(policies)
        alike = [t for t in new_policies if type(t) is type(one)]
        if alike:
            return [replace(rng.choice(alike), ref=one.ref) if t is one else t for t in things]
    return _relabelled(rng, things, Namespace if what == "namespace" else Pod)


def _relabelled(
    rng: Random, things: list[ClusterObject], kind: type[Namespace] | type[Pod]
) -> list[ClusterObject]:
    found = [t for t in things if isinstance(t, kind)]
    if not found:
        return things
    one, other = rng.choice(found), rng.choice(found)
    return [replace(one, labels=other.labels) if t is one else t for t in things]
