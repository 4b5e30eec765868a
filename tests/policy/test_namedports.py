"""Port names on pods: which numbers a name stands for."""

from __future__ import annotations

import pytest

from podfence.model.cluster import Cluster
from podfence.policy.compile import compile_cluster
from podfence.policy.index import PodPeers
from podfence.policy.namedports import PortName, named_number
from podfence.testing.builders import namespace, peer, pod, policy, rule

DECLARED = pod("n/p", ports=["web:80", "dns:53/UDP", "dns:5353", "web:8080"]).ports


@pytest.mark.parametrize(
    ("name", "protocol", "ports"),
    [
        pytest.param("dns", "UDP", "UDP/53", id="NP-33 name and protocol"),
        pytest.param("dns", "TCP", "TCP/5353", id="NP-33 the same name of another protocol"),
        pytest.param("dns", "SCTP", "none", id="NP-33 of no such protocol"),
        pytest.param("dns", "", "TCP/5353 UDP/53", id="CNP-23 whatever the protocol"),
        pytest.param("web", "TCP", "TCP/80,8080", id="NP-34 a name with two numbers"),
        pytest.param("Web", "TCP", "none", id="NP-35 a name that is not declared"),
    ],
)
def test_numbers_of_a_name(name: str, protocol: str, ports: str) -> None:
    assert str(named_number(DECLARED, PortName(name, protocol))) == ports


def test_np_36_an_egress_rule_takes_the_number_of_each_destination() -> None:
    index = compile_cluster(
        Cluster.of(
            [
                namespace("n"),
                pod("n/web", {"app": "web"}, addresses=["10.0.0.1"]),
                pod("n/new", {"app": "db"}, addresses=["10.0.0.2"], ports=["pg:5432"]),
                pod("n/old", {"app": "db", "v": "1"}, addresses=["10.0.0.3"], ports=["pg:5433"]),
                pod("n/bare", {"app": "db", "v": "2"}, addresses=["10.0.0.4"]),
                policy(
                    "n/p", {"app": "web"}, egress=[rule(peer(pods={"app": "db"}), ports=["pg"])]
                ),
            ]
        )
    )
    (tier,) = index.policies[index.endpoints["n/web"].endpoint_class].egress.tiers
    found = {}
    for match in tier.rules[0].matches:
        assert isinstance(match.peers, PodPeers)
        assert match.path == "spec.egress[0].to[0]"
        members = (e for number in match.peers.classes for e in index.members[number])
        found[str(match.ports)] = [endpoint.pod.name for endpoint in members]
    assert found == {"TCP/5432": ["new"], "TCP/5433": ["old"]}
