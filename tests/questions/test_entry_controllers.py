"""Ways in through an Ingress, a gateway or a route: which pods serve them."""

from __future__ import annotations

import pytest

from podfence.model.entries import Controllers
from podfence.questions.entryrows import EntryState
from tests.questions.entryworld import (
    ANYBODY,
    CONTROLLER,
    GATEWAY_API,
    GATEWAY_GROUP,
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


def ingress_class(name: str, controller: str) -> str:
    return (
        "---\n{apiVersion: networking.k8s.io/v1, kind: IngressClass, "
        f"metadata: {{name: {name}}}, spec: {{controller: {controller}}}}}\n"
    )


def from_namespace(name: str) -> str:
    spaces = f"namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {name}}}}}"
    return policy(f"ingress: [{{from: [{{{spaces}}}]}}]")


TWO_OF_ONE = ingress_class("internal", "k8s.io/ingress-nginx") + pod("it", "edge", f", {NGINX}")
INTERNAL = ingress("ingressClassName: internal, ")
F5 = pod("it", "edge", ", app.kubernetes.io/name: nginx-ingress")
OF_A_KIND = pytest.mark.parametrize(
    "text",
    [TWO_OF_ONE + INTERNAL, F5 + ingress("ingressClassName: nginx, ")],
    ids=["two of one controller", "two controllers of one class"],
)


@OF_A_KIND
@pytest.mark.parametrize(
    ("let_in", "found"),
    [
        ("edge", [("ingress-nginx/nginx-1", "closed"), ("edge/it", "unknown")]),
        ("ingress-nginx", [("ingress-nginx/nginx-1", "open"), ("edge/it", "unknown")]),
        ("other", [("ingress-nginx/nginx-1", "closed")]),
    ],
    ids=["it alone", "the one that is believed", "neither"],
)
def test_a_pod_elsewhere_may_be_the_controller_beside_one_that_is_believed(
    text: str, let_in: str, found: list[tuple[str, str]]
) -> None:
    """Its labels alone make nothing open and nothing closed."""
    assert states(WEB, CONTROLLER, text, from_namespace(let_in)) == found


@OF_A_KIND
def test_where_both_come_in_there_is_no_doubt(text: str) -> None:
    assert states(WEB, CONTROLLER, text) == [("ingress-nginx/nginx-1", "open")]


def test_a_doubt_says_where_the_pods_are_and_what_to_do() -> None:
    [_, row] = rows(WEB, CONTROLLER, TWO_OF_ONE, INTERNAL, from_namespace("edge"))
    assert row.because == (
        "open if this is its controller; pods with labels of its controller are in edge: name "
        "them in ingress-controllers if they are it"
    )
    assert not row.controller
    assert [str(rule.policy) for rule in row.by] == ["shop/web-policy"]


def test_the_configuration_ends_the_doubt() -> None:
    known = Controllers({"internal": ("edge", (("app", "it"),))})
    texts = (WEB, CONTROLLER, TWO_OF_ONE, INTERNAL, from_namespace("edge"))
    [row] = rows(*texts, known=known)
    assert (row.controller, row.state) == ("edge/it", EntryState.OPEN)


def test_a_controller_elsewhere_may_be_on_the_network_of_its_node() -> None:
    hosted = pod("it", "edge", f", {NGINX}", "hostNetwork: true, nodeName: n1, ")
    node = (
        "---\n{apiVersion: v1, kind: Node, metadata: {name: n1}, "
        "status: {addresses: [{type: InternalIP, address: 192.0.2.7}]}}\n"
    )
    block = policy("ingress: [{from: [{ipBlock: {cidr: 192.0.2.0/24}}]}]")
    assert states(WEB, CONTROLLER, hosted, node, ingress(), block) == [
        ("ingress-nginx/nginx-1", "closed"),
        ("nodes of edge/it", "unknown"),
    ]


@pytest.mark.parametrize("let_in", ["edge", "ingress-nginx"])
def test_without_a_class_a_controller_of_another_kind_may_be_it(let_in: str) -> None:
    traefik = pod("it", "edge", ", app.kubernetes.io/name: traefik")
    [row] = rows(WEB, CONTROLLER, traefik, ingress(), from_namespace(let_in))
    assert (row.sources, row.state.value) == ("controller unknown", "unknown")
    assert "pods with labels of its controller are in edge, ingress-nginx" in row.because


def test_a_pod_that_calls_itself_a_controller_opens_nothing() -> None:
    lying = pod("nginx-2", "shop", f", {NGINX}")
    neighbours = policy("ingress: [{from: [{podSelector: {}}]}]")
    assert states(WEB, CONTROLLER, lying, ingress(), neighbours) == [
        ("ingress-nginx/nginx-1", "closed"),
        ("shop/nginx-2", "unknown"),
    ]


def test_so_it_is_with_the_pods_of_a_gateway_of_envoy() -> None:
    label = "gateway.envoyproxy.io/owning-gateway"
    labels = f", {label}-name: gw, {label}-namespace: shop"
    real, lying = pod("real", "envoy-gateway-system", labels), pod("lying", "other", labels)
    assert states(WEB, lying, real, route()) == [("envoy-gateway-system/real", "open")]


# -- other kinds


@pytest.mark.parametrize("kind", ["HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute"])
def test_the_pods_of_a_gateway_serve_its_routes(kind: str) -> None:
    proxy = pod("proxy", labels=", gateway.networking.k8s.io/gateway-name: gw")
    elsewhere = pod("far", "other", ", gateway.networking.k8s.io/gateway-name: gw")
    assert states(WEB, proxy, elsewhere, route(kind)) == [("shop/proxy", "open")]


def gateway(allowed: str) -> str:
    listener = f"{{name: http, port: 80, protocol: HTTP{allowed}}}"
    spec = f"spec: {{gatewayClassName: c, listeners: [{listener}]}}"
    labels = ", gateway.networking.k8s.io/gateway-name: gw"
    return obj(GATEWAY_API, "Gateway", "gw", spec, "infra") + pod("proxy", "infra", labels)


@pytest.mark.parametrize(
    ("allowed", "state"),
    [
        ("", "unknown"),
        (", allowedRoutes: {namespaces: {from: Same}}", "unknown"),
        (", allowedRoutes: {namespaces: {from: All}}", "open"),
        (
            ", allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {a: b}}}}",
            "open",
        ),
        (
            ", allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {a: c}}}}",
            "unknown",
        ),
    ],
    ids=["its own", "its own, written", "all", "these", "others"],
)
def test_a_gateway_serves_the_routes_that_it_takes(allowed: str, state: str) -> None:
    space = "---\n{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {a: b}}}\n"
    parent = "name: gw, namespace: infra"
    [row] = rows(WEB, space, gateway(allowed), route(parent=parent))
    assert row.state.value == state
    assert ("takes no routes of namespace shop" in row.because) is (state == "unknown")


def test_of_a_namespace_that_was_not_read_it_may_take_routes() -> None:
    allowed = ", allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {a: b}}}}"
    [row] = rows(WEB, gateway(allowed), route(parent="name: gw, namespace: infra"))
    assert row.state is EntryState.OPEN


@pytest.mark.parametrize(
    ("source", "to", "state"),
    [
        ("", "", "unknown"),
        ("kind: HTTPRoute, namespace: infra", "kind: Service", "open"),
        ("kind: HTTPRoute, namespace: infra", "kind: Service, name: web", "open"),
        ("kind: HTTPRoute, namespace: infra", "kind: Service, name: other", "unknown"),
        ("kind: HTTPRoute, namespace: other", "kind: Service", "unknown"),
        ("kind: GRPCRoute, namespace: infra", "kind: Service", "unknown"),
        ("kind: HTTPRoute, namespace: infra", "kind: Secret", "unknown"),
    ],
)
def test_a_route_leads_to_another_namespace_where_that_grants_it(
    source: str, to: str, state: str
) -> None:
    spec = f"spec: {{from: [{{group: {GATEWAY_GROUP}, {source}}}], to: [{{group: '', {to}}}]}}"
    grant = obj(f"{GATEWAY_GROUP}/v1beta1", "ReferenceGrant", "g", spec) if source else ""
    there = route().replace("namespace: shop", "namespace: infra", 1)
    there = there.replace("{name: web,", "{name: web, namespace: shop,")
    [row] = rows(WEB, gateway(""), grant, there)
    assert row.state.value == state
    closed = rows(WEB, gateway(""), grant, there, policy("ingress: []"))
    assert [row.state for row in closed] == [EntryState.CLOSED]


@pytest.mark.parametrize("kind", ["HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute"])
@pytest.mark.parametrize(
    ("weight", "led"), [("", True), (", weight: 0", False), (", weight: 1", True)]
)
def test_a_backend_of_weight_zero_gets_no_traffic(kind: str, weight: str, led: bool) -> None:
    given = route(kind).replace("port: 80}", f"port: 80{weight}}}")
    assert bool(rows(WEB, given)) is led


def test_a_backend_of_weight_zero_takes_nothing_from_the_others() -> None:
    other = "{name: old, port: 80, weight: 0}, {name: web"
    [row] = rows(WEB, pod("old"), service("old"), route().replace("{name: web", other))
    assert row.to == "shop/web"


@pytest.mark.parametrize(
    ("more", "led"),
    [
        (", kind: Service", True),
        (', group: ""', True),
        (", group: core, kind: Service", True),
        (", kind: Widget", False),
        (", group: example.com", False),
        (", group: example.com, kind: Service", False),
    ],
)
def test_a_backend_is_a_service_of_the_core_group_or_none(more: str, led: bool) -> None:
    assert bool(rows(WEB, route().replace("port: 80}", f"port: 80{more}}}"))) is led


def test_so_it_is_with_a_route_of_openshift() -> None:
    target = "{kind: Service, name: web, weight: 0}"
    spec = f"spec: {{host: a.example, to: {target}, alternateBackends: [{target}]}}"
    assert rows(WEB, obj("route.openshift.io/v1", "Route", "r", spec)) == ()


def test_a_route_of_a_mesh_is_no_way_in() -> None:
    assert rows(WEB, route(parent="kind: Service, name: web")) == ()


@pytest.mark.parametrize(
    ("port", "state"),
    [("", "open"), (", port: {targetPort: main}", "open"), (", port: {targetPort: 8080}", "open")],
)
def test_a_route_of_openshift_names_the_port_of_the_pods(port: str, state: str) -> None:
    spec = f"spec: {{host: a.example, to: {{kind: Service, name: web}}{port}}}"
    text = obj("route.openshift.io/v1", "Route", "r", spec)
    [row] = rows(WEB, text, policy(ANYBODY))
    assert (row.port, row.state.value) == ("TCP/8080", state)


def test_a_kind_of_the_same_name_in_another_group_is_no_entry() -> None:
    assert rows(WEB, obj("serving.knative.dev/v1", "Route", "r", "spec: {}")) == ()
