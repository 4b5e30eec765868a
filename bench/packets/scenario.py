"""Clusters in which exactly ``k`` policies select the two pods that are measured.

Rule: the hardest reading of each number. *Every* policy of the cluster is about pods of the
measured node, so all of them are programmed; of the ``k`` that select the measured pods only the
last lets them talk, and no policy of the cluster comes after it in the order of names; all ``k``
are about the measured ports, so that the port alone decides nothing; and both ends are isolated,
client and server, in both directions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from podfence.model.cluster import Cluster
from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy, TierRule
from podfence.model.networkpolicy import NetworkPolicy, NetworkPolicyPeer
from podfence.model.objects import Pod
from podfence.nft.lowering.lower import LocalNode
from podfence.sets.addresses import IPAddress
from podfence.testing.builders import (
    cluster_peer,
    cluster_policy,
    cluster_rule,
    namespace,
    node,
    peer,
    pod,
    policy,
    requirement,
    rule,
    selector,
)

NODE = "measured"
CLIENT, SERVER = ip_address("10.1.0.1"), ip_address("10.1.0.2")
ENDS = {4: (CLIENT, SERVER), 6: (ip_address("fd00:1::1"), ip_address("fd00:1::2"))}
"""Addresses of the measured pods, by IP version."""
OPEN_PORT, CLOSED_PORT = 5001, 5009
"""TCP and UDP both; no policy is about the second."""
_POD_CIDRS = {4: ip_network("10.1.0.0/16"), 6: ip_network("fd00:1::/64")}
_FIRST_PEER = {4: ip_address("10.64.0.1"), 6: ip_address("fd00:64::1")}
_BLOCK = {4: "172.{}.0.0/16", 6: "fd00:172:{}::/48"}
_EXCEPTION = {4: "172.{}.9.0/24", 6: "fd00:172:{}:9::/64"}

PEERS = 2_000
"""Pods on other nodes."""
TEAMS, APPS = 20, 100
"""Namespaces and applications of these; an application has pods in each fifth of the teams."""
APPS_OF_A_PEER = 5
"""Applications that one selector names: 100 addresses a set, 100 different sets."""
REPLICAS = 3
"""Local pods of one application: policies select applications."""
BLOCK_EVERY = 10
"""One policy in so many names an ipBlock with an exception too."""
TIER_RULES = 25
"""Rules of a ClusterNetworkPolicy in a direction: as many as its schema allows."""
_OWN = "shop"
_OTHER_PORTS = ((80, "53/UDP"), (443, "8125/UDP"), (8080, 8443), (5432, 6379), ("9000-9003/TCP",))


@dataclass(frozen=True, order=True)
class Scenario:
    """``local_pods``: of the node, the measured two included. ``policies``: of the cluster.
    ``selecting``: those that select the measured pods. ``tiered``: ClusterNetworkPolicies, each
    about every pod and with TIER_RULES rules a direction. ``family``: the IP version that all pods
    speak."""

    local_pods: int
    policies: int
    selecting: int
    tiered: int = 0
    family: int = 4

    def __str__(self) -> str:
        version = "" if self.family == 4 else f", IPv{self.family}"
        tiers = f", {self.tiered} tier policies of {TIER_RULES} rules" if self.tiered else ""
        pods = f"{self.local_pods} pods, {self.policies:,} policies, k={self.selecting}"
        return f"{pods}{tiers}{version}"

    @property
    def possible(self) -> bool:
        """Whether there are enough policies, and other pods for the rest of them to select."""
        rest = self.policies - self.selecting
        return self.selecting >= 1 and rest >= 0 and (rest == 0 or self.local_pods > 2)

    @property
    def other_apps(self) -> int:
        """Applications of the other pods of the node."""
        return -(-(self.local_pods - 2) // REPLICAS)


def cluster(scenario: Scenario) -> Cluster:
    """The cluster of a scenario; the order of its policies is that of their names."""
    namespaces = [namespace(_OWN), *(namespace(f"team-{n}") for n in range(TEAMS))]
    pods = [*local_pods(scenario), *_peers(scenario.family)]
    tiers = tier_policies(scenario)
    return Cluster.of([*namespaces, node(NODE), *pods, *policies(scenario), *tiers])


def local_node(measured: Cluster) -> LocalNode:
    """The measured node, as ``lower`` wants it."""
    pods = [pod for pod in measured.pods if pod.node == NODE]
    here = frozenset(f"{pod.namespace}/{pod.name}" for pod in pods)
    return LocalNode(NODE, pods=here, pod_cidrs=(_POD_CIDRS[pods[0].addresses[0].version],))


def local_pods(scenario: Scenario) -> Iterator[Pod]:
    """Client and server, and ``local_pods - 2`` others."""
    client, server = ENDS[scenario.family]
    yield _local("client", {"app": "measured"}, client)
    yield _local("server", {"app": "measured"}, server)
    for n in range(scenario.local_pods - 2):
        yield _local(f"other-{n}", {"app": f"other-{n // REPLICAS}"}, server + 1 + n)


def _local(name: str, labels: dict[str, str], address: IPAddress) -> Pod:
    return pod(f"{_OWN}/{name}", labels, addresses=[str(address)], node=NODE)


def _peers(family: int) -> Iterator[Pod]:
    for n in range(PEERS):
        address = _FIRST_PEER[family] + n
        labels = {"app": f"a{n % APPS}"}
        yield pod(f"team-{n % TEAMS}/p{n}", labels, addresses=[str(address)], node=f"n{n % 97}")


def policies(scenario: Scenario) -> Iterator[NetworkPolicy]:
    """``selecting`` policies of the measured pods, the rest evenly over the other applications."""
    family = scenario.family
    for n in range(scenario.selecting - 1):
        yield _policy(f"z-{n:05}", "measured", n, _decoys(n, family), OPEN_PORT, f"{OPEN_PORT}/UDP")
    last = [peer(pods={"app": "measured"}), *_decoys(scenario.selecting - 1, family)]
    yield _policy("z-last", "measured", 0, last, OPEN_PORT, f"{OPEN_PORT}/UDP")
    for n in range(scenario.policies - scenario.selecting):
        yield _policy(f"a-{n:05}", f"other-{n % scenario.other_apps}", n, _decoys(n, family))


def tier_policies(scenario: Scenario) -> Iterator[ClusterNetworkPolicy]:
    """Policies of both tiers about every pod, in turn; none of their rules fits a measured flow,
    although every second one is about the measured ports."""
    for n in range(scenario.tiered):
        rules = [_tier_rule(n * TIER_RULES + at) for at in range(TIER_RULES)]
        tier = ("Admin", "Baseline")[n % 2]
        yield cluster_policy(f"t-{n:03}", tier=tier, priority=n, ingress=rules, egress=rules)


def _tier_rule(number: int) -> TierRule:
    apps = (f"a{(number + step) % APPS}" for step in range(APPS_OF_A_PEER))
    decoys = cluster_peer(pods=selector(None, requirement("app", "In", *apps)))
    ports = [f"{OPEN_PORT}/TCP", f"{OPEN_PORT}/UDP"] if number % 2 else [f"{7000 + number}/TCP"]
    return cluster_rule(("Accept", "Deny", "Pass")[number % 3], decoys, protocols=ports)


def _policy(
    name: str, app: str, number: int, peers: list[NetworkPolicyPeer], *ports: int | str
) -> NetworkPolicy:
    one = rule(*peers, ports=(*ports, *_OTHER_PORTS[number % len(_OTHER_PORTS)]))
    return policy(f"{_OWN}/{name}", {"app": app}, ingress=[one], egress=[one])


def _decoys(number: int, family: int) -> list[NetworkPolicyPeer]:
    """Peers on other nodes and, now and then, networks: none of them is a measured pod."""
    apps = (f"a{(number + step) % APPS}" for step in range(APPS_OF_A_PEER))
    found = [peer(pods=selector(None, requirement("app", "In", *apps)), namespaces={})]
    if number % BLOCK_EVERY == BLOCK_EVERY // 2:
        block, exception = (text[family].format(16 + number % 16) for text in (_BLOCK, _EXCEPTION))
        found.append(peer(cidr=block, except_=[exception]))
    return found
