"""Ways in from outside: who can come in, and what stays unknown."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from podfence.manifests.load import load
from podfence.model.entries import Controllers
from podfence.policy.compile import compile_cluster
from podfence.questions.entries import judge_entries
from podfence.questions.entryrows import EntryRow, EntryState
from tests.questions.entryworld import (
    ANYBODY,
    CONTROLLER,
    NGINX,
    WEB,
    ingress,
    obj,
    pod,
    policy,
    route,
    rows,
    service,
    states,
)

CONTROLLER_AT = (
    "from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ingress-nginx}}}]"
)
TEMPLATE = (
    "spec: {replicas: 1, selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: "
    "web}}, spec: {containers: [{name: c, ports: [{containerPort: 8080, name: http}]}]}}}"
)
LOCAL = ", type: LoadBalancer, externalTrafficPolicy: Local"
WITH_NODE_PORTS = f"{LOCAL}, loadBalancerSourceRanges: [203.0.113.0/24]"
RANGES = f"{WITH_NODE_PORTS}, allocateLoadBalancerNodePorts: false"


# -- a controller that was read


@pytest.mark.parametrize(
    ("rules", "state"),
    [
        ("ingress: []", "closed"),
        (ANYBODY, "open"),
        (f"ingress: [{{{CONTROLLER_AT}}}]", "open"),
        (f"ingress: [{{{CONTROLLER_AT}, ports: [{{port: http}}]}}]", "open"),
        (f"ingress: [{{{CONTROLLER_AT}, ports: [{{port: 80}}]}}]", "closed"),
        ("ingress: [{from: [{podSelector: {}}]}]", "closed"),
        ("ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]", "open"),
    ],
    ids=["nobody", "anybody", "it", "by name", "port of the Service", "neighbours", "a block"],
)
def test_the_policies_of_the_pods_behind_decide(rules: str, state: str) -> None:
    assert states(WEB, CONTROLLER, ingress(), policy(rules)) == [("ingress-nginx/nginx-1", state)]


def test_the_controller_has_to_be_let_out_too() -> None:
    closed = policy("policyTypes: [Egress], egress: []", "nginx-1", "ingress-nginx")
    [row] = rows(WEB, CONTROLLER, ingress(), closed)
    assert row.state is EntryState.CLOSED
    assert row.because.startswith("its own egress policies do not let it out")


def test_controllers_that_differ_have_a_row_each() -> None:
    other = pod("nginx-2", "ingress-nginx", f", {NGINX}, zone: b")
    one = "from: [{namespaceSelector: {}, podSelector: {matchLabels: {zone: b}}}]"
    found = states(WEB, CONTROLLER, other, ingress(), policy(f"ingress: [{{{one}}}]"))
    assert found == [("ingress-nginx/nginx-2", "open"), ("ingress-nginx/nginx-1", "closed")]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (ingress("ingressClassName: nginx, "), "ingress-nginx/nginx-1"),
        (ingress("ingressClassName: traefik, "), "any controller"),
        (ingress("ingressClassName: mine, "), "any controller"),
        (
            ingress("ingressClassName: mine, ")
            + "---\n{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: mine}, "
            "spec: {controller: k8s.io/ingress-nginx}}\n",
            "ingress-nginx/nginx-1",
        ),
        (
            ingress()
            + "---\n{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: mine, "
            "annotations: {ingressclass.kubernetes.io/is-default-class: 'true'}}, "
            "spec: {controller: example.com/unknown}}\n",
            "any controller",
        ),
    ],
    ids=["its name", "another", "unknown", "by its class", "the default is another"],
)
def test_a_controller_is_known_by_its_class(text: str, found: str) -> None:
    assert [row.sources for row in rows(WEB, CONTROLLER, text)] == [found]


def test_the_configuration_names_a_controller() -> None:
    known = Controllers({"mine": ("edge", (("app", "proxy"),))})
    [row] = rows(WEB, pod("proxy", "edge"), ingress("ingressClassName: mine, "), known=known)
    assert row.controller == "edge/proxy"


def test_a_controller_on_the_network_of_its_node_comes_from_the_node() -> None:
    hosted = pod("nginx-1", "ingress-nginx", f", {NGINX}", "hostNetwork: true, nodeName: n1, ")
    node = (
        "---\n{apiVersion: v1, kind: Node, metadata: {name: n1}, "
        "status: {addresses: [{type: InternalIP, address: 192.0.2.7}]}}\n"
    )
    block = policy("ingress: [{from: [{ipBlock: {cidr: 192.0.2.0/24}}]}]")
    other = policy("ingress: [{from: [{ipBlock: {cidr: 198.51.100.0/24}}]}]")
    assert states(WEB, hosted, node, ingress(), block) == [
        ("nodes of ingress-nginx/nginx-1", "open")
    ]
    assert states(WEB, hosted, node, ingress(), other) == [
        ("nodes of ingress-nginx/nginx-1", "closed")
    ]
    assert states(WEB, hosted, ingress(), block) == [("nodes of ingress-nginx/nginx-1", "unknown")]
    assert states(WEB, hosted, ingress()) == [("nodes of ingress-nginx/nginx-1", "open")]


# -- a controller that was not read


@pytest.mark.parametrize(
    ("rules", "state"),
    [
        ("ingress: []", "closed"),
        ("ingress: [{ports: [{port: 9}]}]", "closed"),
        ("ingress: [{ports: [{port: other}], from: [{podSelector: {}}]}]", "closed"),
        ("ingress: [{ports: [{port: http}], from: [{podSelector: {}}]}]", "unknown"),
        (ANYBODY, "open"),
        (f"ingress: [{{{CONTROLLER_AT}}}]", "unknown"),
        ("ingress: [{from: [{podSelector: {}}]}]", "unknown"),
        ("ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]", "unknown"),
    ],
    ids=[
        "nobody",
        "another port",
        "another name",
        "its name",
        "anybody",
        "a namespace that is not there",
        "pods",
        "a block",
    ],
)
def test_a_controller_that_is_not_known_may_be_anybody(rules: str, state: str) -> None:
    [row] = rows(WEB, pod("other"), ingress(), policy(rules))
    assert row.state.value == state
    assert not row.controller


def test_an_unknown_controller_may_be_like_the_pods_behind() -> None:
    """Outside and every other pod may connect, those like them may not."""
    at: list[dict[str, Any]] = [
        {"podIP": f"10.1.0.{n}", "podIPs": [{"ip": f"10.1.0.{n}"}]} for n in (1, 2)
    ]
    behind = [
        f"---\n{{apiVersion: v1, kind: Pod, metadata: {{name: web-{n}, namespace: shop, labels: "
        f"{{app: web}}}}, spec: {{containers: [{{name: c, ports: [{{containerPort: 8080, name: http"
        f"}}]}}]}}, status: {json.dumps(status)}}}\n"
        for n, status in enumerate(at)
    ]
    found: list[EntryRow] = []
    for number in (1, 2):
        them = ", ".join(status["podIP"] + "/32" for status in at[:number])
        rules = f"ingress: [{{from: [{{ipBlock: {{cidr: 0.0.0.0/0, except: [{them}]}}}}]}}]"
        found += rows(*behind[:number], service(), ingress(), policy(rules))
    assert [row.state.value for row in found] == ["open", "unknown"]


def test_workloads_of_one_name_are_told_apart_as_on_the_map() -> None:
    owners = [obj("apps/v1", kind, "web", TEMPLATE) for kind in ("Deployment", "StatefulSet")]
    found = rows(*owners, service(), CONTROLLER, ingress(), policy(ANYBODY))
    assert {row.to for row in found} == {"shop/Deployment/web, shop/StatefulSet/web"}


@pytest.mark.parametrize(
    "text",
    [
        ingress(name="none"),
        ingress(port="number: 81"),
        ingress(port="name: other"),
        route(port=8080),
    ],
    ids=["no Service", "no such port", "no such name", "the port of the pods"],
)
def test_an_entry_that_leads_nowhere_is_unknown_and_says_so(text: str) -> None:
    [row] = rows(WEB, text)
    assert row.state is EntryState.UNKNOWN
    assert "Service shop/" in row.because


def test_a_service_without_pods_is_unknown() -> None:
    [row] = rows(service(), ingress())
    assert row.because == "no pod is behind Service shop/web now"


# -- whose labels are believed


@pytest.mark.parametrize(
    ("namespace", "state"),
    [("ingress-nginx", "open"), ("kube-system", "open"), ("shop", "unknown"), ("edge", "unknown")],
)
def test_labels_count_where_its_installation_puts_it(namespace: str, state: str) -> None:
    """Anybody can write them on a pod of his own."""
    proxy = pod("nginx-1", namespace, f", {NGINX}")
    only = f"from: [{{namespaceSelector: {{}}, podSelector: {{matchLabels: {{{NGINX}}}}}}}]"
    [row] = rows(WEB, proxy, ingress("ingressClassName: nginx, "), policy(f"ingress: [{{{only}}}]"))
    assert row.state.value == state
    assert row.because.endswith(
        f"; pods with labels of its controller are in {namespace}: name them in ingress-controllers"
        " if they are it"
        if state == "unknown"
        else ""
    )


@pytest.mark.parametrize(
    ("spec", "rules", "found"),
    [
        (LOCAL, "ingress: []", ("outside", "closed")),
        (LOCAL, ANYBODY, ("outside 0.0.0.0/0, ::/0", "open")),
        (
            LOCAL,
            "ingress: [{from: [{ipBlock: {cidr: 203.0.113.0/24}}]}]",
            ("outside 203.0.113.0/24", "open"),
        ),
        (
            ", type: LoadBalancer",
            "ingress: [{from: [{ipBlock: {cidr: 203.0.113.0/24}}]}]",
            ("outside 203.0.113.0/24", "unknown"),
        ),
        (", type: NodePort", ANYBODY, ("outside 0.0.0.0/0, ::/0", "open")),
        (", externalIPs: [192.0.2.1]", ANYBODY, ("outside 0.0.0.0/0, ::/0", "open")),
        (
            RANGES,
            ANYBODY,
            ("outside 203.0.113.0/24", "open"),
        ),
        (
            RANGES,
            "ingress: [{from: [{ipBlock: {cidr: 198.51.100.0/24}}]}]",
            ("outside", "closed"),
        ),
    ],
    ids=[
        "nobody",
        "anybody",
        "the address is kept",
        "the address may be a node's",
        "node port",
        "external address",
        "source ranges",
        "no range is let in",
    ],
)
def test_a_service_from_outside(spec: str, rules: str, found: tuple[str, str]) -> None:
    assert states(pod("web"), service(spec=spec), policy(rules)) == [found]


def test_source_ranges_of_a_load_balancer_do_not_count_at_the_ports_of_nodes() -> None:
    found = rows(pod("web"), service(spec=WITH_NODE_PORTS), policy(ANYBODY))
    assert [(row.entry.ref.kind, row.sources, row.state.value) for row in found] == [
        ("LoadBalancer", "outside 203.0.113.0/24", "open"),
        ("NodePort", "outside 0.0.0.0/0, ::/0", "open"),
    ]


@pytest.mark.parametrize(
    ("written", "asked"), [(", nodePort: 30080", ":30080"), ("", "a port of the nodes")]
)
def test_a_node_port_is_asked_for_at_the_nodes(written: str, asked: str) -> None:
    text = service(spec=", type: NodePort").replace(
        "targetPort: http", f"targetPort: http{written}"
    )
    [row] = rows(pod("web"), text)
    assert (row.entry.asked, row.port) == (asked, "TCP/8080")


def test_a_service_inside_the_cluster_is_no_entry() -> None:
    assert rows(WEB) == ()


@pytest.mark.parametrize(("rules", "state"), [("ingress: []", "closed"), (ANYBODY, "open")])
def test_a_port_of_the_node_leads_to_the_pod(rules: str, state: str) -> None:
    [row] = rows(pod("web", port=", hostPort: 80"), policy(rules))
    assert (row.entry.asked, row.port, row.state.value) == (":80", "TCP/8080", state)


@pytest.mark.parametrize(
    ("address", "is_entry"), [("127.0.0.1", False), ("'::1'", False), ("192.0.2.1", True)]
)
def test_a_port_that_the_node_alone_can_ask_for_is_no_entry(address: str, is_entry: bool) -> None:
    found = rows(pod("web", port=f", hostPort: 80, hostIP: {address}"))
    assert bool(found) is is_entry


@pytest.mark.parametrize(("policy", "is_entry"), [("Always", True), ("", False)])
def test_a_sidecar_may_have_a_port_of_the_node(policy: str, is_entry: bool) -> None:
    """An init container that ends has none by the time the pod runs."""
    restarts = f", restartPolicy: {policy}" if policy else ""
    init = f"{{name: i, ports: [{{containerPort: 9000, hostPort: 90}}]{restarts}}}"
    found = rows(pod("web", spec=f"initContainers: [{init}], "))
    wanted = ["spec.initContainers[0].ports[0].hostPort"] if is_entry else []
    assert [row.entry.path for row in found] == wanted


# -- what cannot be read


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (obj("networking.k8s.io/v1", "Ingress", "i", "spec: 5"), "spec"),
        (obj("networking.k8s.io/v1", "Ingress", "i", "spec: {rules: {}}"), "spec.rules"),
        (ingress(port="number: 99999"), "spec.rules[0].http.paths[0].backend.service.port.number"),
        (route(port=0).replace("port: 0", "port: -1"), "spec.rules[0].backendRefs[0].port"),
    ],
)
def test_an_entry_that_cannot_be_read_is_a_warning_with_its_position(text: str, path: str) -> None:
    loaded = load(["-"], stdin=io.BytesIO((WEB + text).encode()))
    [problem] = loaded.problems
    assert (problem.code, problem.severity.value, problem.path) == ("PF122", "warning", path)
    assert loaded.positions.locate_problem(problem) is not None


def test_an_entry_that_is_no_yaml_takes_nothing_with_it() -> None:
    text = WEB + "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nspec: [}\n---\n" + ingress()
    loaded = load(["-"], stdin=io.BytesIO(text.encode()))
    assert [problem.code for problem in loaded.problems] == ["PF122"]
    assert not loaded.doubts
    assert len(loaded.beside.entries(loaded.cluster, loaded.raw).entries) == 1


def test_a_policy_that_cannot_be_read_leaves_an_entry_open() -> None:
    text = WEB + ingress() + policy("ingress: 5")
    loaded = load(["-"], stdin=io.BytesIO(text.encode()))
    entries = loaded.beside.entries(loaded.cluster, loaded.raw)
    [row] = judge_entries(compile_cluster(loaded.cluster), entries)
    assert row.state is EntryState.UNKNOWN
