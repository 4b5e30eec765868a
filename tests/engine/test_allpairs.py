"""Who reaches whom, for all pairs at once."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from podfence.engine.allpairs import all_pairs
from podfence.model.cluster import Cluster, ClusterObject
from podfence.policy.compile import compile_cluster
from podfence.testing.builders import (
    cluster_peer,
    cluster_policy,
    cluster_rule,
    namespace,
    peer,
    pod,
    policy,
    rule,
)

PODS = (
    namespace("n"),
    pod("n/web", {"app": "web"}, addresses=["10.0.0.1"]),
    pod("n/db", {"app": "db"}, addresses=["10.0.0.2", "fd00::2"]),
    pod("n/job", {"app": "job"}, addresses=["10.0.0.3", "fd00::3"]),
)
DB = policy("n/db", {"app": "db"}, ingress=[rule(peer(pods={"app": "web"}), ports=[5432])])
CLOSED = policy("n/job", {"app": "job"}, types=["Egress"])
GUARD = cluster_policy(
    "guard",
    pods={"app": "db"},
    ingress=[
        cluster_rule("Accept", cluster_peer(pods={"app": "job"}), protocols=["22/TCP"]),
        cluster_rule("Deny", cluster_peer(pods={"app": "web"}), protocols=["5432/TCP"]),
    ],
)


def to_db(family: int, *objects: ClusterObject) -> dict[str, str]:
    """Pods, and ``outside``, with the ports on which they reach the database."""
    index = compile_cluster(Cluster.of([*PODS, *objects]))
    outside = index.class_of(ip_address("8.8.8.8" if family == 4 else "2001::"))
    names = [(e.endpoint_class, e.pod.name) for e in index.endpoints.values()]
    names.append((outside, "outside"))
    target = index.endpoints["n/db"].endpoint_class
    rows = all_pairs(index, family).rows[target]
    return {
        name: str(ports) for ports, who in rows.items() for number, name in names if number in who
    }


@pytest.mark.parametrize(
    ("family", "objects", "expected"),
    [
        pytest.param(
            4, (), {"web": "all", "db": "all", "job": "all", "outside": "all"}, id="NP-2 no policy"
        ),
        pytest.param(
            6, (), {"db": "all", "job": "all", "outside": "all"}, id="NP-25 one has no IPv6"
        ),
        pytest.param(4, (DB,), {"web": "TCP/5432"}, id="NP-7 what a rule names"),
        pytest.param(6, (DB,), {}, id="NP-25 the peer has no IPv6"),
        pytest.param(
            4,
            (CLOSED,),
            {"web": "all", "db": "all", "outside": "all"},
            id="NP-6 the source may not send",
        ),
        pytest.param(4, (DB, GUARD), {"job": "TCP/22"}, id="CNP-1 tiers before isolation"),
        pytest.param(4, (DB, GUARD, CLOSED), {}, id="NP-6 nobody is left"),
    ],
)
def test_who_reaches_a_pod(
    family: int, objects: tuple[ClusterObject, ...], expected: dict[str, str]
) -> None:
    assert to_db(family, *objects) == expected


def test_many_ports_of_one_peer_are_one_set() -> None:
    rules = [rule(peer(pods={"app": "web"}), ports=[port]) for port in (1, 3, 5, 7)]
    assert to_db(4, policy("n/p", {"app": "db"}, ingress=rules)) == {"web": "TCP/1,3,5,7"}


def test_outside_addresses_are_no_pair_among_themselves() -> None:
    index = compile_cluster(Cluster.of(PODS))
    outside = index.class_of(ip_address("8.8.8.8"))
    rows = all_pairs(index, 4).rows[outside]
    assert all(outside not in who for who in rows.values())
