"""Rules that ask the engine about all policies together: PF330 to PF336, PF350 and PF351."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from msgspec.structs import replace

from podfence.model.cluster import Cluster, ClusterObject
from podfence.model.meta import ObjectRef, labels_of
from podfence.model.networkpolicy import NetworkPolicy, Protocol
from podfence.model.objects import Pod, Service, ServicePort
from podfence.policy.compile import compile_cluster
from podfence.questions.lint.findings import LintFinding
from podfence.questions.lint.lint import lint
from podfence.testing.builders import peer, pod, policy, rule

WEB = pod("shop/web", {"app": "web", "tier": "front"}, ports=["http:8080"], addresses=["10.1.0.1"])
DB = pod("shop/db", {"app": "db"}, ports=["sql:5432"], addresses=["10.1.0.2"])
CRON = pod("shop/cron", {"app": "cron"}, addresses=["10.1.0.3"])
DNS = pod(
    "kube-system/dns",
    {"k8s-app": "kube-dns"},
    ports=["dns:53/UDP", "dns-tcp:53"],
    addresses=["10.1.0.4"],
)
TO_DB = rule(peer(pods={"app": "db"}), ports=["sql"])
TO_DNS = peer(namespaces={}, pods={"k8s-app": "kube-dns"})


def service(port: int) -> Service:
    ports = (ServicePort("", 80, port, Protocol.TCP),)
    return Service(ObjectRef("Service", "shop", "web"), labels_of({"app": "web"}), (), ports)


def found(*objects: ClusterObject) -> list[LintFinding]:
    return list(lint(compile_cluster(Cluster.of(objects)), lambda _: None))


def said(code: str, *objects: ClusterObject) -> list[str]:
    """Object and path of the findings of a code."""
    return [f"{each.object.name} {each.path}" for each in found(*objects) if each.code == code]


def out(name: str = "shop/out", *rules: object) -> NetworkPolicy:
    return policy(name, {"app": "web"}, types=["Egress"], egress=rules)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        pytest.param([policy("shop/shut", {"app": "db"})], ["out spec.egress[0]"], id="shut"),
        pytest.param([], [], id="open at the other end"),
        pytest.param(
            [
                policy("shop/in", {"app": "db"}, ingress=[rule(peer(pods={"app": "web"}))]),
            ],
            [],
            id="allowed at the other end",
        ),
        pytest.param(
            [
                policy(
                    "shop/in", {"app": "db"}, ingress=[rule(peer(pods={"app": "web"}), ports=[1])]
                )
            ],
            ["in spec.ingress[0]", "out spec.egress[0]"],
            id="on other ports",
        ),
        pytest.param(
            [policy("shop/in", {"app": "db"}, types=["Egress"], ingress=[rule()])],
            [],
            id="the other end has an error, which comes first",
        ),
    ],
)
def test_pf330_one_sided(others: list[NetworkPolicy], expected: list[str]) -> None:
    assert sorted(said("PF330", WEB, DB, out("shop/out", TO_DB), *others)) == expected


def test_pf330_is_silent_about_rules_that_mean_addresses_too() -> None:
    value = out("shop/out", rule(peer(pods={"app": "db"}), peer(cidr="198.51.100.0/24")))
    assert said("PF330", WEB, DB, value, policy("shop/shut", {"app": "db"})) == []


EVERYBODY = policy("shop/all", {}, ingress=[rule(peer(pods={}))])
FROM_DB = rule(peer(pods={"app": "db"}), ports=["http"])
FROM_OUTSIDE = rule(peer(cidr="198.51.100.0/24"))


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        pytest.param(
            [EVERYBODY, policy("shop/web", {"app": "web"}, ingress=[FROM_DB, FROM_OUTSIDE])],
            [("web spec.ingress[0]", "warning")],
            id="for every cluster",
        ),
        pytest.param(
            [
                policy("shop/front", {"tier": "front"}, ingress=[rule(peer(pods={}))]),
                policy("shop/web", {"app": "web"}, ingress=[FROM_DB, FROM_OUTSIDE]),
            ],
            [("web spec.ingress[0]", "note")],
            id="for the pods of today",
        ),
        pytest.param(
            [
                policy("shop/a", {"app": "web"}, ingress=[FROM_DB, FROM_OUTSIDE]),
                policy(
                    "shop/b", {"app": "web"}, ingress=[FROM_DB, rule(peer(cidr="192.0.2.0/24"))]
                ),
            ],
            [("a spec.ingress[0]", "note"), ("b spec.ingress[0]", "warning")],
            id="of two equal ones the later",
        ),
        pytest.param(
            [EVERYBODY, policy("shop/web", {"app": "web"}, ingress=[FROM_OUTSIDE])],
            [],
            id="somebody is added",
        ),
    ],
)
def test_pf331_idle_rules(policies: list[NetworkPolicy], expected: list[tuple[str, str]]) -> None:
    idle = [f for f in found(WEB, DB, CRON, *policies) if f.code == "PF331"]
    assert [(f"{f.object.name} {f.path}", f.weight.value) for f in idle] == expected


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        pytest.param(
            [
                policy("shop/front", {"tier": "front"}, ingress=[rule(peer(pods={}))]),
                policy("shop/web", {"app": "web"}, ingress=[FROM_DB]),
            ],
            ["web metadata.name"],
            id="covered and not alone",
        ),
        pytest.param(
            [policy("shop/web", {"app": "web"}, ingress=[FROM_DB])], [], id="isolates alone"
        ),
        pytest.param(
            [
                policy("shop/open", {"app": "web"}, ingress=[rule(peer(pods={}))]),
                policy("shop/deny", {}),
            ],
            [],
            id="selects pods to come",
        ),
    ],
)
def test_pf332_without_effect(policies: list[NetworkPolicy], expected: list[str]) -> None:
    assert said("PF332", WEB, DB, *policies) == expected


def dns(*objects: ClusterObject) -> list[tuple[str, str]]:
    return [(f.code, f.weight.value) for f in found(*objects) if f.code in ("PF333", "PF334")]


BOTH = rule(TO_DNS, ports=["53/UDP", 53])
UDP = rule(TO_DNS, ports=["53/UDP"])
AGENT = replace(
    pod("kube-system/node-local-dns-x", host_network=True),
    owner=ObjectRef("DaemonSet", "kube-system", "node-local-dns"),
)


@pytest.mark.parametrize(
    ("objects", "expected"),
    [
        pytest.param([DNS, out("shop/out", TO_DB)], [("PF333", "error")], id="closed"),
        pytest.param([DNS, out("shop/out", TO_DB, UDP)], [("PF333", "warning")], id="no TCP"),
        pytest.param([DNS, out("shop/out", TO_DB, BOTH)], [], id="both"),
        pytest.param([DNS, out("shop/out")], [], id="closed to everybody on purpose"),
        pytest.param([out("shop/out", TO_DB)], [("PF333", "warning")], id="no DNS was read"),
        pytest.param([out("shop/out", TO_DB, BOTH)], [], id="no DNS was read, a rule names it"),
        pytest.param([DNS, AGENT, out("shop/out", TO_DB, BOTH)], [("PF334", "error")], id="node"),
        pytest.param(
            [
                DNS,
                AGENT,
                out("shop/out", BOTH, rule(peer(cidr="169.254.20.10/32"), ports=["53/UDP"])),
            ],
            [],
            id="the node's address is allowed",
        ),
        pytest.param(
            [DNS, out("shop/out", TO_DB, BOTH), policy("kube-system/shut")],
            [("PF333", "error")],
            id="closed at the other end",
        ),
    ],
)
def test_pf333_and_pf334_dns(objects: list[ClusterObject], expected: list[tuple[str, str]]) -> None:
    assert dns(WEB, DB, *objects) == expected


@pytest.mark.parametrize(
    ("pods", "value", "expected"),
    [
        pytest.param([WEB, DB], policy("shop/p", {"app": "web"}), ["web spec.ports"], id="shut"),
        pytest.param([WEB], policy("shop/p", {"app": "db"}), [], id="open"),
        pytest.param([DB], policy("shop/p", {"app": "web"}), [], id="nothing is behind it"),
        pytest.param(
            [WEB, DB], policy("shop/p", {"app": "web"}, ingress=[FROM_DB]), [], id="one may"
        ),
    ],
)
def test_pf336_a_service_that_nobody_reaches(
    pods: list[Pod], value: NetworkPolicy, expected: list[str]
) -> None:
    assert said("PF336", *pods, service(8080), value) == expected


def test_workloads_of_one_name_are_told_apart() -> None:
    pods = [
        replace(DB, name=f"db-{n}", owner=ObjectRef(kind, "shop", "db"))
        for n, kind in enumerate(("StatefulSet", "DaemonSet"))
    ]
    [text] = [f.text for f in found(*pods, policy("shop/p", types=["Egress"])) if f.code == "PF350"]
    assert text.endswith(", for ingress: shop/DaemonSet/db, shop/StatefulSet/db.")


@pytest.mark.parametrize("replicas", [1, 2])
def test_pf336_pods_of_a_service_may_reach_one_another(replicas: int) -> None:
    """Of several that no policy tells apart, one is somebody to another."""
    pods = [
        replace(WEB, name=f"web-{n}", addresses=(ip_address(f"10.1.0.{n + 1}"),))
        for n in range(replicas)
    ]
    own = policy("shop/p", {"app": "web"}, ingress=[rule(peer(pods={"app": "web"}))])
    assert said("PF336", *pods, service(8080), own) == (["web spec.ports"] if replicas == 1 else [])


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        pytest.param([], [], id="no policy at all"),
        pytest.param(
            [policy("shop/p", {"app": "web"})],
            ["PF350", "PF351"],
            id="some pods are isolated",
        ),
        pytest.param(
            [policy("shop/p", types=["Ingress", "Egress"])], [], id="a policy for every pod"
        ),
        pytest.param([policy("shop/p")], ["PF350"], id="for one direction"),
    ],
)
def test_pf350_and_pf351_what_is_not_covered(
    policies: list[NetworkPolicy], expected: list[str]
) -> None:
    codes = [f.code for f in found(WEB, DB, *policies)]
    assert [code for code in codes if code in ("PF350", "PF351")] == expected
