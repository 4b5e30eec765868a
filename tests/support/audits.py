"""Audit, read literally from AUD-2 to AUD-4 of ``docs/audit.md``.

Rule: shares nothing with what it judges: the naive judge is asked twice, of clusters whose policies
are put together here.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from msgspec.structs import replace

from podfence.model.cluster import Cluster
from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy
from podfence.model.networkpolicy import NetworkPolicy
from podfence.policy.flow import Flow
from tests.support.oracle import OracleVerdict, judge
from tests.support.random_clusters import FlowSource, Size, objects_of, random_cluster
from tests.support.random_tiers import NAMES

Policy = NetworkPolicy | ClusterNetworkPolicy


def enforced(cluster: Cluster, flow: Flow) -> OracleVerdict:
    """AUD-2: as if its audited policies were not there."""
    return _judged(cluster, (*cluster.policies, *cluster.admin_policies), flow)


def with_audited(cluster: Cluster, flow: Flow) -> OracleVerdict:
    """AUD-3: as if nobody had annotated them."""
    every: tuple[Policy, ...] = (*cluster.policies, *cluster.admin_policies, *cluster.audited)
    return _judged(cluster, every, flow)


def would_drop(cluster: Cluster, flow: Flow) -> bool:
    """AUD-4."""
    return enforced(cluster, flow).allowed and not with_audited(cluster, flow).allowed


def _judged(cluster: Cluster, policies: tuple[Policy, ...], flow: Flow) -> OracleVerdict:
    plain = tuple(p for p in policies if isinstance(p, NetworkPolicy))
    tiered = tuple(p for p in policies if isinstance(p, ClusterNetworkPolicy))
    asked = replace(cluster, policies=plain, admin_policies=tiered, audited=())
    return judge(asked, flow.source, flow.destination, flow.protocol, flow.port, NAMES)


def audited_cluster(rng: Random, size: Size) -> Cluster:
    """A random cluster, some of whose policies are audited."""
    share = rng.choice((0.2, 0.5, 1.0))
    return Cluster.of(
        replace(thing, audited=True)
        if isinstance(thing, NetworkPolicy | ClusterNetworkPolicy) and rng.random() < share
        else thing
        for thing in objects_of(random_cluster(rng, size))
    )


def flows_of(rng: Random, cluster: Cluster, count: int) -> Iterator[Flow]:
    """Flows about the boundaries of its policies, audited ones included."""
    drawing = FlowSource(cluster.with_audited())
    return (drawing.draw(rng) for _ in range(count))
