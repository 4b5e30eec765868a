"""Ingress, Gateway API routes and OpenShift Routes -> entries; webhooks and bindings of rights.

Rule: unknown fields are ignored, because servers may have newer versions; a needed field that
cannot be used is a problem, and reading continues without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from podfence.admission.decode_fields import Fields
from podfence.admission.schema import Json
from podfence.model.entries import (
    BoundAccount,
    Callback,
    ControllerClass,
    EntryPath,
    EntryPoint,
    Gateway,
    ReferenceGrant,
)
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import Protocol
from podfence.model.selectors import LabelSelector

EntryObject = EntryPoint | Gateway | ControllerClass | Callback | BoundAccount | ReferenceGrant

_CLASS_ANNOTATION = "kubernetes.io/ingress.class"
_DEFAULT_CLASS = "ingressclass.kubernetes.io/is-default-class"


def _ref(fields: Fields, kind: str, data: Json, *, namespaced: bool = True) -> ObjectRef:
    return fields.ref(kind, fields.mapping(data, "metadata", "metadata"), namespaced=namespaced)


def _annotation(fields: Fields, data: Json, key: str) -> str:
    metadata = fields.mapping(data, "metadata", "metadata")
    annotations = fields.mapping(metadata, "annotations", "metadata.annotations")
    value = annotations.get(key)
    return value if isinstance(value, str) else ""


def _port(fields: Fields, parent: Json, key: str, path: str) -> int | str | None:
    """A number, or a name; None where it is not given."""
    value = parent.get(key)
    if isinstance(value, str):
        return value or None
    return None if value in (None, 0) else fields.port(parent, key, path) or None


# -- Ingress


def decode_ingress(fields: Fields, data: Json) -> Iterator[EntryObject]:
    """One entry for each path, and one for the default backend."""
    ref = _ref(fields, "Ingress", data)
    spec = fields.mapping(data, "spec", "spec")
    named = fields.text(spec, "ingressClassName", "spec.ingressClassName")
    named = named or _annotation(fields, data, _CLASS_ANNOTATION)
    classes = (named,) if named else ()
    for key in ("defaultBackend", "backend"):
        whole = fields.mapping(spec, key, f"spec.{key}")
        yield from _of_ingress(fields, ref, classes, "", whole, f"spec.{key}")
    for here, rule in fields.items(spec, "rules", "spec.rules"):
        host = fields.text(rule, "host", f"{here}.host")
        http = fields.mapping(rule, "http", f"{here}.http")
        for at, each in fields.items(http, "paths", f"{here}.http.paths"):
            asked = f"{host}{fields.text(each, 'path', f'{at}.path') or '/'}"
            backend = fields.mapping(each, "backend", f"{at}.backend")
            yield from _of_ingress(fields, ref, classes, asked, backend, f"{at}.backend")


def _of_ingress(
    fields: Fields, ref: ObjectRef, classes: tuple[str, ...], asked: str, backend: Json, path: str
) -> Iterator[EntryPoint]:
    service = fields.mapping(backend, "service", f"{path}.service")
    name = fields.text(service, "name", f"{path}.service.name")
    port: int | str | None
    if name:
        at = f"{path}.service.port"
        given = fields.mapping(service, "port", at)
        port = fields.text(given, "name", f"{at}.name") or _port(
            fields, given, "number", f"{at}.number"
        )
    else:  # extensions/v1beta1
        name = fields.text(backend, "serviceName", f"{path}.serviceName")
        port = _port(fields, backend, "servicePort", f"{path}.servicePort")
    if name:  # otherwise a resource of another API
        target = ObjectRef("Service", ref.namespace, name)
        yield EntryPoint(
            ref,
            EntryPath.CONTROLLER,
            asked,
            target,
            port,
            classes=classes,
            source=fields.source,
            path=path,
        )


def decode_ingress_class(fields: Fields, data: Json) -> Iterator[EntryObject]:
    """A name for a controller."""
    spec = fields.mapping(data, "spec", "spec")
    yield ControllerClass(
        "IngressClass",
        _ref(fields, "IngressClass", data, namespaced=False).name,
        fields.text(spec, "controller", "spec.controller"),
        _annotation(fields, data, _DEFAULT_CLASS) == "true",
    )


# -- Gateway API


def decode_gateway_class(fields: Fields, data: Json) -> Iterator[EntryObject]:
    """A name for a controller."""
    spec = fields.mapping(data, "spec", "spec")
    yield ControllerClass(
        "GatewayClass",
        _ref(fields, "GatewayClass", data, namespaced=False).name,
        fields.text(spec, "controllerName", "spec.controllerName"),
    )


def decode_gateway(fields: Fields, data: Json) -> Iterator[EntryObject]:
    """A Gateway; it leads nowhere without a route."""
    spec = fields.mapping(data, "spec", "spec")
    named = fields.text(spec, "gatewayClassName", "spec.gatewayClassName")
    takes = [
        _taken(fields, listener, here)
        for here, listener in fields.items(spec, "listeners", "spec.listeners")
    ]
    if spec.get("allowedListeners"):  # other objects may add listeners
        takes = []
    yield Gateway(_ref(fields, "Gateway", data), named, tuple(takes))


def _taken(fields: Fields, listener: Json, path: str) -> LabelSelector | None:
    """The namespaces whose routes a listener accepts; a selector with expressions counts as all."""
    path = f"{path}.allowedRoutes.namespaces"
    allowed = fields.mapping(listener, "allowedRoutes", path.rpartition(".")[0])
    namespaces = fields.mapping(allowed, "namespaces", path)
    match fields.text(namespaces, "from", f"{path}.from") or "Same":
        case "Same":
            return None
        case "Selector":
            selector = fields.mapping(namespaces, "selector", f"{path}.selector")
            if not selector.get("matchExpressions"):
                labels = fields.labels(selector, "matchLabels", f"{path}.selector.matchLabels")
                return LabelSelector(labels)
    return LabelSelector()


def decode_reference_grant(fields: Fields, data: Json) -> Iterator[EntryObject]:
    """Routes of other namespaces that may lead to Services of this one."""
    own = _ref(fields, "ReferenceGrant", data).namespace
    spec = fields.mapping(data, "spec", "spec")
    services = [
        fields.text(to, "name", f"{at}.name")
        for at, to in fields.items(spec, "to", "spec.to")
        if fields.text(to, "kind", f"{at}.kind") == "Service"
    ]
    for here, source in fields.items(spec, "from", "spec.from"):
        kind = fields.text(source, "kind", f"{here}.kind")
        space = fields.text(source, "namespace", f"{here}.namespace")
        for service in services:
            yield ReferenceGrant(kind, space, own, service)


def _route_of(kind: str) -> Callable[[Fields, Json], Iterator[EntryObject]]:
    def decode(fields: Fields, data: Json) -> Iterator[EntryObject]:
        return _of_route(fields, kind, data)

    return decode


def _of_route(fields: Fields, kind: str, data: Json) -> Iterator[EntryObject]:
    """One entry for each backend of each rule. A route of a mesh, whose parent is a Service, is
    none: nobody comes from outside through it."""
    ref = _ref(fields, kind, data)
    spec = fields.mapping(data, "spec", "spec")
    gateways = tuple(_gateways(fields, spec, ref))
    if not gateways:
        return
    hosts = [text for _, text in fields.texts(spec, "hostnames", "spec.hostnames")]
    host = hosts[0] if len(hosts) == 1 else f"{hosts[0]}, ..." if hosts else ""
    protocol = Protocol.UDP if kind == "UDPRoute" else Protocol.TCP
    for here, rule in fields.items(spec, "rules", "spec.rules"):
        paths = [
            fields.text(fields.mapping(match, "path", f"{at}.path"), "value", f"{at}.path.value")
            for at, match in fields.items(rule, "matches", f"{here}.matches")
            if kind == "HTTPRoute"
        ]
        asked = f"{host}{paths[0] if len(paths) == 1 else ''}"
        for at, backend in fields.items(rule, "backendRefs", f"{here}.backendRefs"):
            if not _is_service(fields, backend, at) or _gets_nothing(backend):
                continue
            yield EntryPoint(
                ref,
                EntryPath.CONTROLLER,
                asked,
                _named(fields, backend, at, "Service", ref),
                _port(fields, backend, "port", f"{at}.port"),
                protocol=protocol,
                gateways=gateways,
                source=fields.source,
                path=at,
            )


def _gateways(fields: Fields, spec: Json, route: ObjectRef) -> Iterator[ObjectRef]:
    """The parents of a route that are Gateways; a parent without a kind is one."""
    for here, parent in fields.items(spec, "parentRefs", "spec.parentRefs"):
        if (fields.text(parent, "kind", f"{here}.kind") or "Gateway") == "Gateway":
            yield _named(fields, parent, here, "Gateway", route)


def _named(fields: Fields, item: Json, at: str, kind: str, route: ObjectRef) -> ObjectRef:
    """What a reference of a route names; without a namespace, it is in that of the route."""
    namespace = fields.text(item, "namespace", f"{at}.namespace") or route.namespace
    return ObjectRef(kind, namespace, fields.text(item, "name", f"{at}.name"))


def _is_service(fields: Fields, backend: Json, at: str) -> bool:
    kind = fields.text(backend, "kind", f"{at}.kind") or "Service"
    return kind == "Service" and fields.text(backend, "group", f"{at}.group") in ("", "core")


def _gets_nothing(backend: Json) -> bool:
    """Whether a backend has the weight 0, and so no traffic."""
    return isinstance(weight := backend.get("weight"), int) and weight == 0


# -- OpenShift


def decode_route(fields: Fields, data: Json) -> Iterator[EntryObject]:
    """One entry for each Service that a Route leads to. Its port is one of the pods, by number or
    by the name of the Service's port."""
    ref = _ref(fields, "Route", data)
    spec = fields.mapping(data, "spec", "spec")
    asked = fields.text(spec, "host", "spec.host") + fields.text(spec, "path", "spec.path")
    port = _port(fields, fields.mapping(spec, "port", "spec.port"), "targetPort", "spec.port")
    targets = [("spec.to", fields.mapping(spec, "to", "spec.to"))]
    targets += fields.items(spec, "alternateBackends", "spec.alternateBackends")
    for path, target in targets:
        if (name := fields.text(target, "name", f"{path}.name")) and not _gets_nothing(target):
            yield EntryPoint(
                ref,
                EntryPath.CONTROLLER,
                asked,
                ObjectRef("Service", ref.namespace, name),
                port,
                isinstance(port, int),
                classes=("openshift",),
                source=fields.source,
                path=path,
            )


# -- what the API server calls, and who calls it


def _callback(
    fields: Fields, ref: ObjectRef, what: str, parent: Json, path: str
) -> Iterator[EntryObject]:
    """A reference to a Service; the default port is 443."""
    service = fields.mapping(parent, "service", f"{path}.service")
    name = fields.text(service, "name", f"{path}.service.name")
    space = fields.text(service, "namespace", f"{path}.service.namespace")
    if name and space:
        given = service.get("port") is not None
        port = fields.port(service, "port", f"{path}.service.port") if given else 443
        target = ObjectRef("Service", space, name)
        yield Callback(ref, what, target, port, fields.source, f"{path}.service")


def _webhooks_of(kind: str) -> Callable[[Fields, Json], Iterator[EntryObject]]:
    def decode(fields: Fields, data: Json) -> Iterator[EntryObject]:
        ref = _ref(fields, kind, data, namespaced=False)
        for here, hook in fields.items(data, "webhooks", "webhooks"):
            client = fields.mapping(hook, "clientConfig", f"{here}.clientConfig")
            yield from _callback(fields, ref, "this webhook", client, f"{here}.clientConfig")

    return decode


def decode_api_service(fields: Fields, data: Json) -> Iterator[EntryObject]:
    """An API that a Service serves in the place of the API server."""
    spec = fields.mapping(data, "spec", "spec")
    ref = _ref(fields, "APIService", data, namespaced=False)
    yield from _callback(fields, ref, "this API", spec, "spec")


def decode_definition(fields: Fields, data: Json) -> Iterator[EntryObject]:
    """The conversion webhook of a CustomResourceDefinition."""
    spec = fields.mapping(data, "spec", "spec")
    conversion = fields.mapping(spec, "conversion", "spec.conversion")
    path = "spec.conversion.webhook"
    webhook = fields.mapping(conversion, "webhook", path)
    client = fields.mapping(webhook, "clientConfig", f"{path}.clientConfig")
    if client:
        ref = _ref(fields, "CustomResourceDefinition", data, namespaced=False)
        said = "the conversion of these objects"
        yield from _callback(fields, ref, said, client, f"{path}.clientConfig")


def decode_binding(fields: Fields, data: Json) -> Iterator[EntryObject]:
    """The ServiceAccounts that get rights."""
    metadata = fields.mapping(data, "metadata", "metadata")
    own = fields.text(metadata, "namespace", "metadata.namespace")
    for here, subject in fields.items(data, "subjects", "subjects"):
        name = fields.text(subject, "name", f"{here}.name")
        space = fields.text(subject, "namespace", f"{here}.namespace") or own
        if subject.get("kind") == "ServiceAccount" and name and space:
            yield BoundAccount(space, name)


_GATEWAY = "gateway.networking.k8s.io"
ENTRY_DECODERS: Mapping[tuple[str, str], Callable[[Fields, Json], Iterator[EntryObject]]] = {
    ("Ingress", "networking.k8s.io"): decode_ingress,
    ("Ingress", "extensions"): decode_ingress,
    ("IngressClass", "networking.k8s.io"): decode_ingress_class,
    ("GatewayClass", _GATEWAY): decode_gateway_class,
    ("Gateway", _GATEWAY): decode_gateway,
    ("ReferenceGrant", _GATEWAY): decode_reference_grant,
    ("Route", "route.openshift.io"): decode_route,
    ("APIService", "apiregistration.k8s.io"): decode_api_service,
    ("CustomResourceDefinition", "apiextensions.k8s.io"): decode_definition,
    **{
        (kind, "admissionregistration.k8s.io"): _webhooks_of(kind)
        for kind in ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")
    },
    **{
        (kind, "rbac.authorization.k8s.io"): decode_binding
        for kind in ("RoleBinding", "ClusterRoleBinding")
    },
    **{
        (kind, _GATEWAY): _route_of(kind)
        for kind in ("HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute")
    },
}
"""Kind and API group to the decoder."""
