"""Which pods share a class, and which addresses do."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from podfence.model.cluster import Cluster, ClusterObject
from podfence.model.objects import Pod
from podfence.policy.compile import compile_cluster
from podfence.policy.index import PolicyIndex
from podfence.testing.builders import namespace, peer, pod, policy, rule

BLOCK = policy("n/p", egress=[rule(peer(cidr="10.0.0.0/8", except_=["10.1.0.0/16"]))])
WEB = {"app": "web"}
ASKS = policy("m/asks", WEB)


def index_of(*objects: ClusterObject) -> PolicyIndex:
    return compile_cluster(Cluster.of([namespace("n"), namespace("m"), BLOCK, ASKS, *objects]))


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        pytest.param(
            pod("n/a", WEB, addresses=["10.0.0.1"]),
            pod("n/b", WEB, addresses=["10.0.0.2"]),
            True,
            id="replicas",
        ),
        pytest.param(
            pod("n/a", WEB, addresses=["10.0.0.1"]),
            pod("m/b", WEB, addresses=["10.0.0.2"]),
            False,
            id="another namespace",
        ),
        pytest.param(
            pod("n/a", WEB, addresses=["10.0.0.1"]),
            pod("n/b", {"app": "db"}, addresses=["10.0.0.2"]),
            False,
            id="other labels",
        ),
        pytest.param(
            pod("n/a", WEB, addresses=["10.0.0.1"], ports=["http:80"]),
            pod("n/b", WEB, addresses=["10.0.0.2"], ports=["http:81"]),
            False,
            id="NP-36 a port name with another number",
        ),
        pytest.param(
            pod("n/a", WEB, addresses=["10.0.0.1"]),
            pod("n/b", WEB, addresses=["10.1.0.1"]),
            False,
            id="NP-27 on the two sides of an except",
        ),
        pytest.param(
            pod("n/a", WEB, addresses=["10.0.0.1"]),
            pod("n/b", WEB),
            False,
            id="NP-58 without an address",
        ),
    ],
)
def test_pods_that_no_policy_tells_apart_share_a_class(
    one: Pod, other: Pod, together: bool
) -> None:
    index = index_of(one, other)
    first, second = (index.endpoints[f"{p.namespace}/{p.name}"] for p in (one, other))
    assert (first.endpoint_class == second.endpoint_class) is together


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("10.0.0.0", "10.255.255.255", True),
        ("10.0.0.0", "10.1.0.0", False),
        ("10.1.0.0", "9.255.255.255", True),
        ("10.1.255.255", "10.2.0.0", False),
        ("11.0.0.0", "255.255.255.255", True),
        ("::", "ffff::", True),
        ("::", "0.0.0.0", False),
    ],
)
def test_np_24_outside_addresses_of_the_same_blocks_share_a_class(
    one: str, other: str, together: bool
) -> None:
    index = index_of()
    same = index.class_of(ip_address(one)) == index.class_of(ip_address(other))
    assert same is together


@pytest.mark.parametrize(
    "gone",
    [
        pytest.param(pod("n/a", addresses=["10.0.0.1"], host_network=True), id="NP-50"),
        pytest.param(pod("n/a", addresses=["10.0.0.1"], finished=True), id="NP-60"),
    ],
)
def test_pods_that_policies_do_not_see(gone: Pod) -> None:
    index = index_of(gone)
    assert index.endpoints == {}
    assert index.classes[index.class_of(ip_address("10.0.0.1"))].outside is not None


def test_a_label_that_nobody_asks_for_makes_no_class() -> None:
    """The ordinal of a StatefulSet's pod, the hash of a template."""
    pods = [pod(f"n/db-{n}", {"app": "db", "ordinal": str(n)}) for n in range(3)]
    asks_app = policy("n/app", {"app": "db"})
    asks_ordinal = policy("n/ordinal", ingress=[rule(peer(pods={"ordinal": "0"}))])
    for policies, classes in (((), 1), ((asks_app,), 1), ((asks_app, asks_ordinal), 3)):
        endpoints = index_of(*pods, *policies).endpoints.values()
        assert len({endpoint.endpoint_class for endpoint in endpoints}) == classes
