"""Small clusters for the lab's tests, and the plans that come of them."""

from __future__ import annotations

from podfence.lab.testbed.probeplan import ProbePlan, make_plan
from podfence.lab.testbed.scheduling import schedule
from podfence.model.cluster import Cluster, ClusterObject
from podfence.policy.compile import compile_cluster
from podfence.policy.index import PolicyIndex
from podfence.testing.builders import peer, pod, policy, rule

SHOP: tuple[ClusterObject, ...] = (
    pod("shop/web", {"app": "web"}, ports=["http:80"]),
    pod("shop/db", {"app": "db"}, ports=["pg:5432"]),
    pod("other/job", {"app": "job"}),
    policy(
        "shop/db",
        {"app": "db"},
        ingress=[
            rule(peer(pods={"app": "web"}), ports=["pg"]),
            rule(peer(cidr="203.0.113.0/24"), ports=["8000-8010"]),
        ],
    ),
    policy(
        "shop/web",
        {"app": "web"},
        egress=[rule(peer(pods={"app": "db"}), ports=[5432])],
        types=["Egress"],
    ),
)
"""A database that only the web pod and one network reach, and a web pod that reaches only it."""


def scheduled(*objects: ClusterObject) -> PolicyIndex:
    """The index that the lab works with."""
    return compile_cluster(schedule(Cluster.of(objects)))


def plan_of(*objects: ClusterObject) -> ProbePlan:
    """The lab's plan for these objects."""
    return make_plan(scheduled(*objects))
