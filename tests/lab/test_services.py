"""Cluster addresses: which a Service gets, which backends answer, and what is expected."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from podfence.lab.run import run_lab
from podfence.lab.testbed.probeplan import make_plan
from podfence.lab.testbed.report import LabReport
from podfence.lab.testbed.scheduling import schedule
from podfence.lab.testbed.services import (
    Frontend,
    due,
    frontends,
    judge_service_probes,
    service_probes,
    service_results,
    services_text,
)
from podfence.model.cluster import Cluster, ClusterObject
from podfence.model.meta import ObjectRef, labels_of
from podfence.model.networkpolicy import Protocol
from podfence.model.objects import Service, ServicePort
from podfence.policy.compile import compile_cluster
from podfence.testing.builders import cluster_policy, cluster_rule, peer, pod, policy, rule


def service(
    name: str, app: str, *ports: tuple[int, int | str], ips: tuple[str, ...] = ()
) -> Service:
    return Service(
        ObjectRef("Service", "shop", name),
        labels_of({"app": app}),
        tuple(map(ip_address, ips)),
        tuple(ServicePort("", port, target, Protocol.TCP) for port, target in ports),
    )


WEB = pod("shop/web", {"app": "web"}, ports=["http:8080"])
DB = (
    pod("shop/db-1", {"app": "db"}, ports=["pg:5432"]),
    pod("shop/db-2", {"app": "db"}, ports=["pg:5433"]),
)
CLUSTER: tuple[ClusterObject, ...] = (
    WEB,
    *DB,
    pod("other/job", {"app": "db"}),
    service("db", "db", (5000, "pg"), (6000, 5432)),
    service("nobody", "none", (80, 80)),
    policy(
        "shop/db",
        {"app": "db"},
        ingress=[rule(peer(pods={"app": "web"}), ports=["pg"])],
        types=["Ingress", "Egress"],
    ),
)


def every(*objects: ClusterObject) -> list[Frontend]:
    index = compile_cluster(schedule(Cluster.of(objects)))
    return frontends(index, make_plan(index))


def test_a_service_of_a_manifest_gets_an_address_of_each_family() -> None:
    scheduled = schedule(Cluster.of(CLUSTER))
    assert [tuple(map(str, s.cluster_ips)) for s in scheduled.services] == [
        ("10.96.0.1", "fd00:10:96::1"),
        ("10.96.0.2", "fd00:10:96::2"),
    ]


def test_the_address_stays_when_others_come_and_go() -> None:
    before = schedule(Cluster.of(CLUSTER))
    after = schedule(Cluster.of([*DB, service("nobody", "none", (80, 80))]), before=before)
    assert [str(a) for a in after.services[0].cluster_ips] == ["10.96.0.2", "fd00:10:96::2"]


def test_an_address_of_the_input_is_kept() -> None:
    found = every(*DB, service("db", "db", (1, 2), ips=("10.1.1.1",)))
    assert [str(f.address) for f in found] == ["10.1.1.1"]


def test_np46_backends_are_pods_of_the_namespace_at_their_own_target_port() -> None:
    by_port = {f.port: [(name, port) for _, port, name in f.backends] for f in every(*CLUSTER)}
    assert by_port == {
        5000: [("shop/db-1", 5432), ("shop/db-2", 5433)],
        6000: [("shop/db-1", 5432), ("shop/db-2", 5432)],
        80: [],
    }


def test_no_name_of_the_input_is_in_the_rules() -> None:
    found = every(*CLUSTER)
    text = services_text(make_plan(compile_cluster(schedule(Cluster.of(CLUSTER)))).nodes[0], found)
    assert not any(word in text for word in ("shop", "db", "nobody"))


def test_an_address_that_was_given_goes_to_whom_the_input_gives_it() -> None:
    db = service("db", "db", (80, 80))
    before = schedule(Cluster.of([WEB, db]))
    given = before.services[0].cluster_ips[0]
    web = service("web", "web", (80, 80), ips=(str(given),))
    after = schedule(Cluster.of([WEB, db, web]), before=before)
    addresses = [set(each.cluster_ips) for each in after.services]
    assert {given} in addresses
    assert set.intersection(*addresses) == set()


@pytest.mark.parametrize(
    ("allowed", "answered", "right"),
    [
        pytest.param("both", "shop/db-1", True, id="allowed"),
        pytest.param("both", "", False, id="allowed-and-silent"),
        pytest.param("one", "shop/db-1", True, id="the-one-that-is-allowed"),
        pytest.param("one", "shop/db-2", False, id="the-one-that-is-not"),
        pytest.param("one", "", True, id="the-other-was-picked"),
        pytest.param("none", "", True, id="denied"),
        pytest.param("none", "shop/db-1", False, id="leak"),
        pytest.param("both", "shop/web", False, id="no-backend-at-all"),
    ],
)
def test_judgement_by_the_backend_that_answered(allowed: str, answered: str, right: bool) -> None:
    ports = {"both": [5432], "one": [5432], "none": [1]}[allowed]
    closed = policy("shop/db", {"app": "db"}, ingress=[rule(ports=ports)])
    targets: dict[str, int | str] = {"both": 5432, "one": "pg", "none": 5432}
    objects = (WEB, *DB, closed, service("db", "db", (80, targets[allowed])))
    index = compile_cluster(schedule(Cluster.of(objects)))
    plan = make_plan(index)
    found = frontends(index, plan)
    call = service_probes(plan, found)[0]
    names = [party.name for party in plan.parties]
    at = names.index(answered) if answered else -1
    assert plan.parties[call.source].name == "shop/web"
    judged = judge_service_probes(index, plan, found, [call])
    _, wrong = service_results(plan, found, [call], judged, [at])
    assert (not wrong) is right
    assert due(judged) == ([0] if allowed == "both" else [])


def got_through(report: LabReport, source: str, target: str) -> set[int]:
    pairs = [p for p in report.pairs if (p.source.name, p.target.name) == (source, target)]
    return {port.port for pair in pairs for port in pair.ports if port.open}


@pytest.mark.kernel
@pytest.mark.parametrize("nodes", [1, 2])
def test_np45_np55_a_cluster_address_is_judged_at_its_backends(nodes: int) -> None:
    objects: list[ClusterObject] = [
        WEB,
        DB[0],
        service("db", "db", (5000, "pg"), (6000, 7000)),
        service("web", "web", (80, "http")),
        CLUSTER[-1],
    ]
    index = compile_cluster(schedule(Cluster.of(objects), nodes))
    report = run_lab(index, progress=lambda line: None)
    assert report.clean, report.disagreements[:3]
    assert got_through(report, "shop/web", "service shop/db") == {5000}
    assert got_through(report, "shop/web", "service shop/web") == {80}  # hairpin
    assert got_through(report, "shop/db-1", "service shop/db") == {5000, 6000}  # hairpin, isolated
    assert got_through(report, "shop/db-1", "service shop/web") == set()


@pytest.mark.kernel
@pytest.mark.parametrize(("ingress", "egress"), [("Deny", "Pass"), ("Pass", "Deny")])
def test_cnp27_a_tier_judges_what_a_service_leads_back(ingress: str, egress: str) -> None:
    to_all = cluster_policy("tier", ingress=[cluster_rule(ingress)], egress=[cluster_rule(egress)])
    objects = (DB[0], service("db", "db", (5000, 5432)), to_all)
    report = run_lab(compile_cluster(schedule(Cluster.of(objects))), progress=lambda line: None)
    assert report.clean, report.disagreements[:3]
    assert got_through(report, "shop/db-0", "service shop/db") == set()
