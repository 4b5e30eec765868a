"""A Service as a target is judged as what is behind it (NP-45, NP-46, NP-49)."""

from __future__ import annotations

from io import BytesIO
from ipaddress import ip_address

import pytest
import yaml

from podfence.errors import QuestionError, UnknownObject
from podfence.manifests.load import load
from podfence.policy.compile import compile_cluster
from podfence.policy.domains import NO_NAMES, DomainTable
from podfence.questions.can import Can, CanAnswer, QueryEvaluator
from podfence.sets.ports import OTHER

Manifest = dict[str, object]


def service(name: str, spec: Manifest, **more: object) -> Manifest:
    metadata = {"name": name, "namespace": "a"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec, **more}


def backend(name: str, address: str, http: int, **labels: str) -> Manifest:
    ports = [{"name": "http", "containerPort": http}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "a", "labels": {"app": "web", **labels}},
        "spec": {"containers": [{"name": "c", "image": "i", "ports": ports}]},
        "status": {"phase": "Running", "podIP": address},
    }


CLIENT = backend("client", "10.0.0.1", 1, app="client")
WEB = [backend("web-1", "10.0.0.2", 8080), backend("web-2", "10.0.0.3", 8081)]
OPEN = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "web", "namespace": "a"},
    "spec": {
        "podSelector": {"matchLabels": {"app": "web"}},
        "ingress": [{"ports": [{"port": "http"}]}],
    },
}
PORTS = [{"name": "www", "port": 80, "targetPort": "http"}, {"name": "other", "port": 81}]
PLAIN: Manifest = {"selector": {"app": "web"}, "clusterIP": "10.96.0.1", "ports": PORTS}


def can(
    target: str,
    port: int | str,
    *objects: object,
    protocol: str = "TCP",
    names: DomainTable = NO_NAMES,
    source: str = "a/client",
) -> CanAnswer:
    text = yaml.safe_dump_all([CLIENT, *objects])
    loaded = load(["-"], stdin=BytesIO(text.encode()))
    assert loaded.errors == ()
    asker = QueryEvaluator(compile_cluster(loaded.cluster, names))
    return asker.can(Can(source, target, port, protocol, namespace="a"))


def reached(answer: CanAnswer) -> list[str]:
    return [f"{case.destination.name}:{case.port}" for case in answer.cases]


def slice_of(name: str, *addresses: str, **more: object) -> Manifest:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{name}-x",
            "namespace": "a",
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address]} for address in addresses],
        "ports": [{"name": "www", "port": 6443}],
        **more,
    }


BALANCED: Manifest = {
    "loadBalancer": {
        "ingress": [
            {"ip": "203.0.113.1"},
            {"ip": "203.0.113.2", "ipMode": "VIP"},
            {"ip": "203.0.113.3", "ipMode": "Proxy"},
        ]
    }
}


@pytest.mark.parametrize(
    "target",
    ["a/web", "svc/web", "service/web", "a/svc/web", "10.96.0.1", "192.0.2.9", "203.0.113.1",
     "203.0.113.2"],
)  # fmt: skip
@pytest.mark.parametrize("port", [80, "www"])
def test_each_name_and_address_is_what_is_behind_it(target: str, port: int | str) -> None:
    spec = {**PLAIN, "externalIPs": ["192.0.2.9"], "type": "LoadBalancer"}
    answer = can(target, port, service("web", spec, status=BALANCED), *WEB, OPEN)
    assert reached(answer) == ["a/web-1:8080", "a/web-2:8081"]
    assert answer.allowed
    assert "is Service a/web, judged by what is behind it" in answer.note


def test_one_pod_that_is_closed_is_enough_for_no() -> None:
    answer = can("svc/web", "other", service("web", PLAIN), *WEB, OPEN)
    assert reached(answer) == ["a/web-1:81", "a/web-2:81"]
    assert not answer.allowed


def test_the_balancer_s_own_address_is_an_address_outside() -> None:
    answer = can("203.0.113.3", 80, service("web", PLAIN, status=BALANCED), *WEB, OPEN)
    assert reached(answer) == ["203.0.113.3:80"]
    assert "ipMode Proxy" in answer.note


def test_pods_and_workloads_of_the_name_go_before_the_service() -> None:
    web = backend("web", "10.0.0.9", 8080)
    assert reached(can("a/web", "http", service("web", PLAIN), web)) == ["a/web:8080"]
    assert reached(can("svc/web", "www", service("web", PLAIN), web)) == ["a/web:8080"]


def test_pods_that_do_not_declare_the_target_port_are_not_behind_it() -> None:
    other = backend("web-3", "10.0.0.4", 9)
    other["spec"] = {"containers": [{"name": "c", "image": "i"}]}
    answer = can("svc/web", 80, service("web", PLAIN), *WEB, other)
    assert reached(answer) == ["a/web-1:8080", "a/web-2:8081"]


@pytest.mark.parametrize("port", [8080, 80])
def test_no_port_of_a_headless_service_is_rewritten(port: int) -> None:
    headless = service("web", {**PLAIN, "clusterIP": "None"})
    answer = can("svc/web", port, headless, *WEB)
    assert reached(answer) == [f"a/web-1:{port}", f"a/web-2:{port}"]
    assert "headless" in answer.note


KUBERNETES = service("api", {"clusterIP": "10.96.0.2", "ports": [{"name": "www", "port": 443}]})
ENDPOINTS: Manifest = {
    "apiVersion": "v1",
    "kind": "Endpoints",
    "metadata": {"name": "api", "namespace": "a"},
    "subsets": [
        {"addresses": [{"ip": "198.51.100.1"}], "ports": [{"name": "www", "port": 6443}]},
        {"addresses": [{"ip": "198.51.100.2"}], "ports": [{"name": "www", "port": 8443}]},
        {"addresses": [{"ip": "198.51.100.3"}], "ports": [{"name": "metrics", "port": 9}]},
    ],
}


@pytest.mark.parametrize("target", ["svc/api", "10.96.0.2"])
def test_without_a_selector_its_endpoints_are_behind_it(target: str) -> None:
    two = ["198.51.100.1:6443", "198.51.100.2:8443"]
    assert reached(can(target, 443, KUBERNETES, ENDPOINTS)) == two
    assert reached(can(target, 443, KUBERNETES, slice_of("api", "198.51.100.7"))) == [
        "198.51.100.7:6443"
    ]
    both = can(target, 443, KUBERNETES, ENDPOINTS, slice_of("api", "198.51.100.1"))
    assert sorted(reached(both)) == two


def test_endpoints_that_are_not_ready_are_not_behind_it() -> None:
    endpoints = [
        {"addresses": ["198.51.100.1"], "conditions": {"ready": False}},
        {"addresses": ["198.51.100.2"], "conditions": {"ready": None}},
        {"addresses": ["198.51.100.3"], "conditions": {"ready": True}},
    ]
    answer = can("svc/api", 443, KUBERNETES, slice_of("api", endpoints=endpoints))
    assert reached(answer) == ["198.51.100.2:6443", "198.51.100.3:6443"]


def test_an_endpoint_may_be_a_pod() -> None:
    answer = can("svc/api", 443, KUBERNETES, slice_of("api", "10.0.0.2"), WEB[0], OPEN)
    assert not answer.allowed


def external(name: str) -> Manifest:
    return service("ext", {"type": "ExternalName", "externalName": name})


def test_another_name_leads_to_the_addresses_of_that_name() -> None:
    names = {"db.example": frozenset({ip_address("203.0.113.9"), ip_address("2001:db8::9")})}
    answer = can("svc/ext", 443, external("DB.example."), names=names)
    assert reached(answer) == ["203.0.113.9:443"]  # the client has no IPv6


@pytest.mark.parametrize(
    "name", ["web.a.svc", "web.a.svc.cluster.local", "web.a.svc.cluster.local."]
)
def test_another_name_of_a_service_is_that_service(name: str) -> None:
    answer = can("svc/ext", 80, external(name), service("web", PLAIN), *WEB, OPEN)
    assert reached(answer) == ["a/web-1:8080", "a/web-2:8081"]


def test_a_name_of_another_domain_is_no_service_of_this_cluster() -> None:
    with pytest.raises(QuestionError, match="nothing tells its addresses"):
        can("svc/ext", 80, external("web.a.svc.example.com"), service("web", PLAIN), *WEB)


@pytest.mark.parametrize(
    ("target", "port", "protocol", "objects", "said"),
    [
        ("svc/ext", 80, "TCP", [service("ext", {"type": "ExternalName", "externalName": "db.x"})],
         "ExternalName for db.x, and nothing tells its addresses; --resolve FILE does"),
        ("svc/me", 80, "TCP", [service("me", {"type": "ExternalName", "externalName": "me.a.svc"})],
         "ExternalName for me.a.svc, and nothing tells"),
        ("svc/web", 82, "TCP", [service("web", PLAIN), *WEB],
         r"no port TCP/82; it has: TCP/80 \(www\), TCP/81 \(other\)"),
        ("svc/web", 80, "UDP", [service("web", PLAIN), *WEB], "no port UDP/80"),
        ("10.96.0.1", 0, "OTHER", [service("web", PLAIN), *WEB], "only ports of TCP, UDP and SCTP"),
        ("svc/web", 80, "TCP", [service("web", PLAIN)], "selects no pod now"),
        ("svc/api", 443, "TCP", [KUBERNETES], "its endpoints are unknown"),
        ("svc/api", 443, "TCP", [KUBERNETES, slice_of("api")], "none of its endpoints is ready"),
    ],
)  # fmt: skip
def test_why_nothing_is_behind_it_is_said(
    target: str, port: int, protocol: str, objects: list[object], said: str
) -> None:
    with pytest.raises(QuestionError, match=said):
        can(target, port, *objects, protocol=OTHER if protocol == "OTHER" else protocol)


def test_a_service_connects_to_nobody() -> None:
    loaded = load(
        ["-"], stdin=BytesIO(yaml.safe_dump_all([CLIENT, service("web", PLAIN)]).encode())
    )
    with pytest.raises(UnknownObject):
        QueryEvaluator(compile_cluster(loaded.cluster)).can(Can("a/web", "a/client", 80))


def tier(direction: str, action: str, app: str) -> Manifest:
    peer = {"pods": {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": app}}}}
    end = "from" if direction == "ingress" else "to"
    return {
        "apiVersion": "policy.networking.k8s.io/v1alpha2",
        "kind": "ClusterNetworkPolicy",
        "metadata": {"name": "tier"},
        "spec": {
            "tier": "Admin",
            "priority": 1,
            "subject": {"namespaces": {}},
            direction: [{"action": action, end: [peer]}],
        },
    }


DENY_ALL = {
    **OPEN,
    "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
}


@pytest.mark.parametrize(
    ("policies", "allowed"),
    [
        pytest.param([], True, id="no policy"),
        pytest.param([DENY_ALL], True, id="NP-55 isolation"),
        pytest.param([tier("egress", "Deny", "web")], False, id="CNP-27 egress"),
        pytest.param([tier("ingress", "Deny", "web")], False, id="CNP-27 ingress"),
        pytest.param([tier("egress", "Deny", "client")], True, id="other pods denied"),
        pytest.param([tier("egress", "Pass", "web"), DENY_ALL], True, id="passed to isolation"),
        pytest.param([tier("ingress", "Deny", "web"), DENY_ALL], False, id="denied, isolated"),
    ],
)
def test_a_pod_that_a_service_leads_back_to_itself(policies: list[Manifest], allowed: bool) -> None:
    objects = (WEB[0], service("web", PLAIN), *policies)
    assert can("a/service/web", 80, *objects, source="a/web-1").allowed is allowed
    assert can("a/web-1", 8080, *objects, source="a/web-1").allowed  # NP-54, whatever denies


def test_a_service_with_other_backends_may_still_lead_back() -> None:
    objects = (*WEB, service("web", PLAIN))
    alone = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"one": "1"}}}
    deny = tier("ingress", "Deny", "web")
    deny["spec"]["subject"] = {"pods": alone}  # type: ignore[index]
    one = backend("web-1", "10.0.0.2", 8080, one="1")
    said = can("a/service/web", 80, one, WEB[1], service("web", PLAIN), deny, source="a/web-1")
    denied = [case.destination.name for case in said.cases if not case.verdict.allowed]
    assert (said.allowed, denied) == (False, ["a/web-1"])
    plain = can("a/service/web", 80, *objects, source="a/web-1")
    assert [case.destination.name for case in plain.cases] == ["a/web-2"]
