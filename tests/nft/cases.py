"""Small clusters whose rulesets are kept as golden files, and loaded into kernels.

Rule: each shows one trait of the layout; together they hold every kind of object and statement.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from podfence.model.cluster import Cluster, ClusterObject
from podfence.nft.lowering.lower import LocalNode, lower
from podfence.nft.ruleset import Ruleset
from podfence.policy.compile import compile_cluster
from podfence.policy.index import PolicyIndex
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

NODE = LocalNode(
    "n1",
    pod_cidrs=(ip_network("10.1.0.0/24"), ip_network("fd00:1::/64")),
    addresses=frozenset({ip_address("172.18.0.2"), ip_address("fd18::2")}),
)
WEB = pod("shop/web", {"app": "web"}, addresses=["10.1.0.1", "fd00:1::1"])
DB = pod("shop/db", {"app": "db"}, addresses=["10.1.0.2", "fd00:1::2"], ports=["pg:5432"])
JOB = pod("shop/job", {"app": "job"}, addresses=["10.1.0.4"])
PODS: tuple[ClusterObject, ...] = (namespace("shop"), WEB, DB, JOB)

HOSTILE = (
    '"; flush ruleset; add table inet "x',
    "line\nbreak } drop ;\ttab\x00\x7f\x1b[2J",
    "back\\slash $var * # note",
    "ünïcödé 漢字 \ud800",
    "n" * 253,
)
"""Names as nobody should give them; validation refuses them, rendering must survive them."""


@dataclass(frozen=True)
class Case:
    """One named ruleset."""

    name: str
    index: PolicyIndex
    node: LocalNode = NODE

    @property
    def ruleset(self) -> Ruleset:
        return lower(self.index, self.node)


def index_of(*objects: ClusterObject) -> PolicyIndex:
    """The shop's pods and these objects, compiled."""
    return compile_cluster(Cluster.of((*PODS, *objects)))


def _hostile() -> Iterable[ClusterObject]:
    for number, text in enumerate(HOSTILE):
        yield pod(f"{text.replace('/', '')}/p", {text: text}, addresses=[f"10.1.0.{10 + number}"])
        yield policy(
            f"{text.replace('/', '')}/{text}",
            {text: text},
            ingress=[rule(peer(pods={text: text}), ports=[80]), rule(ports=[f"named{text}"])],
        )


DB_ALLOW = policy(
    "shop/db-allow",
    {"app": "db"},
    ingress=[
        rule(
            peer(pods={"app": "web"}),
            peer(cidr="10.0.0.0/8", except_=["10.2.0.0/16"]),
            ports=["pg", "53/UDP", "/SCTP"],
        )
    ],
)
WEB_OUT = policy(
    "shop/web-out",
    {"app": "web"},
    egress=[
        rule(ports=["8000-8100", "9000/SCTP"]),
        rule(peer(pods={"app": "nobody"})),
        rule(peer(cidr="::/0"), ports=["443"]),
    ],
    types=["Egress"],
)
DENY_ALL = policy("shop/deny-all", {}, types=["Ingress", "Egress"])
MANY_RULES = policy(
    "shop/many",
    {"app": "db"},
    ingress=[
        *(rule(peer(pods={"n": str(n)}), ports=["80", "443"]) for n in range(18)),
        rule(peer(pods={"app": "job"}), ports=["443", "53/UDP", "8000-9000"]),
        rule(peer(cidr="10.0.0.0/8"), ports=["22-24", "/SCTP"]),
        rule(peer(pods={"app": "web"})),
        rule(ports=["9090"]),
    ],
)
GUARD = cluster_policy(
    "guard",
    namespaces={},
    priority=10,
    ingress=[
        cluster_rule("Pass", cluster_peer(pods={"app": "web"}), protocols=["5432/TCP"]),
        cluster_rule("Deny", cluster_peer(pods={"app": "job"})),
        cluster_rule("Accept", cluster_peer(namespaces={}), protocols=["9000-9100/TCP"]),
    ],
    egress=[
        cluster_rule("Deny", cluster_peer(networks=["169.254.0.0/16", "fe80::/10"])),
        cluster_rule(
            "Accept",
            cluster_peer(domain_names=["*.example.org"]),
            cluster_peer(nodes={}),
            protocols=["443/TCP"],
        ),
    ],
)
FLOOR = cluster_policy(
    "floor",
    namespaces={},
    tier="Baseline",
    ingress=[cluster_rule("Accept", cluster_peer(namespaces={})), cluster_rule("Deny")],
    egress=[cluster_rule("Deny", cluster_peer(networks=["0.0.0.0/0", "::/0"]))],
)
MANY_TIER_RULES = cluster_policy(
    "many",
    pods={"app": "db"},
    ingress=[
        cluster_rule("Deny" if n % 2 else "Accept", protocols=[f"{80 + n // 2}/TCP"])
        if n % 5
        else cluster_rule("Deny", cluster_peer(pods={"n": str(n)}))
        for n in range(18)
    ],
)
CASES = (
    Case("no-policies", index_of()),
    Case("deny-all", index_of(DENY_ALL)),
    Case("shop", index_of(DB_ALLOW, WEB_OUT)),
    Case("remote-pods", index_of(DB_ALLOW, WEB_OUT), LocalNode("n2", pods=frozenset({"shop/db"}))),
    Case("many-rules", index_of(MANY_RULES)),
    Case("tiers", index_of(GUARD, FLOOR, DB_ALLOW)),
    Case("many-tier-rules", index_of(MANY_TIER_RULES)),
    Case("hostile-names", compile_cluster(Cluster.of(_hostile()))),
)
