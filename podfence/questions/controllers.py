"""Which pods serve an entry: the controller of an Ingress, a Gateway or a Route.

Rule: a controller is known by the configuration, else by labels that its own installation gives it,
in a namespace that the installation uses: anybody can write labels on pods of his own. Labels
elsewhere are a doubt: such a pod may be a controller, so it is never taken for one, and never for
none. Nothing is guessed from names of pods.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from typing import Final

from msgspec import Struct

from podfence.model.entries import Controllers, Entries, EntryPoint
from podfence.model.meta import Labels, ObjectRef
from podfence.model.objects import Pod
from podfence.policy.index import PolicyIndex
from podfence.questions.phrases.words import some


class _ControllerFacts(Struct, frozen=True):
    """A controller. ``names``: of its class where nobody changed that; ``controllers``: what an
    IngressClass says; ``namespaces``: those that its instructions use; ``labels``: of its pods."""

    names: tuple[str, ...]
    controllers: tuple[str, ...]
    namespaces: tuple[str, ...]
    labels: Labels


_NAME: Final = "app.kubernetes.io/name"
_COMPONENT: Final = "app.kubernetes.io/component"
_KNOWN: Final = (
    _ControllerFacts(
        ("nginx",),
        ("k8s.io/ingress-nginx",),
        ("ingress-nginx",),
        ((_COMPONENT, "controller"), (_NAME, "ingress-nginx")),
    ),
    _ControllerFacts(
        ("nginx",),
        ("nginx.org/ingress-controller",),
        ("nginx-ingress",),
        ((_NAME, "nginx-ingress"),),
    ),
    _ControllerFacts(
        ("traefik",), ("traefik.io/ingress-controller",), ("traefik",), ((_NAME, "traefik"),)
    ),
    _ControllerFacts(
        ("haproxy",),
        ("haproxy.org/ingress-controller",),
        ("haproxy-controller",),
        ((_NAME, "kubernetes-ingress"),),
    ),
    _ControllerFacts(
        ("haproxy",),
        ("haproxy-ingress.github.io/controller",),
        ("haproxy-ingress", "ingress-controller"),
        ((_NAME, "haproxy-ingress"),),
    ),
    _ControllerFacts(
        ("contour",),
        ("projectcontour.io/ingress-controller",),
        ("projectcontour",),
        ((_COMPONENT, "envoy"), (_NAME, "contour")),
    ),
    _ControllerFacts(
        ("kong",), ("ingress-controllers.konghq.com/kong",), ("kong",), ((_NAME, "kong"),)
    ),
    _ControllerFacts(
        ("istio",),
        ("istio.io/ingress-controller",),
        ("istio-system", "istio-ingress"),
        (("istio", "ingressgateway"),),
    ),
    _ControllerFacts(
        ("openshift",),
        ("openshift.io/ingress-to-route",),
        ("openshift-ingress",),
        (("ingresscontroller.operator.openshift.io/deployment-ingresscontroller", "default"),),
    ),
)
_OF_CLUSTER: Final = "kube-system"
"""Distributions put their controllers here; who may make pods here rules the cluster anyway."""
_GATEWAY_NAMES: Final = ("gateway.networking.k8s.io/gateway-name", "istio.io/gateway-name")
"""Labels of the pods of a Gateway, in its namespace, with its name."""
_ENVOY_NAME: Final = "gateway.envoyproxy.io/owning-gateway-name"
_ENVOY_NAMESPACE: Final = "gateway.envoyproxy.io/owning-gateway-namespace"
_ENVOYS: Final = "envoy-gateway-system"
"""Where Envoy Gateway makes pods, unless it makes them beside the Gateway."""


class Finder:
    """Finds the pods of controllers in an index."""

    def __init__(self, index: PolicyIndex, entries: Entries, known: Controllers) -> None:
        self._entries = entries
        self._known = known
        self._pods = [pod for pod in index.cluster.pods if not pod.finished]
        self._classes = {(each.kind, each.name): each.controller for each in entries.classes}
        self._found: dict[object, tuple[Pod, ...]] = {}
        self._elsewhere: dict[tuple[str, ...], tuple[Pod, ...]] = {}

    def pods(self, entry: EntryPoint) -> tuple[Pod, ...]:
        """The pods that serve an entry; () where it is not known who does."""
        key = entry.classes, entry.gateways
        if key not in self._found:
            found = self._of_gateways(entry) if entry.gateways else self._of_class(entry)
            self._found[key] = tuple({(p.namespace, p.name): p for p in found}.values())
        return self._found[key]

    def grounds(self, entry: EntryPoint) -> str:
        """How its controller is known, or why it is not, in words."""
        found = self.pods(entry)
        if entry.gateways:
            names = some([f"Gateway {ref.namespace}/{ref.name}" for ref in entry.gateways], 4, ", ")
            return f"by labels that name {names}" if found else f"no pod is known to serve {names}"
        name = self._class(entry)
        said = f"class {name}" if name else "it names no class"
        if not entry.classes and name:
            said = f"default class {name}"
        if name in self._known.by_class:
            namespace, labels = self._known.by_class[name]
            pods = f"{namespace}/{','.join(f'{key}={value}' for key, value in labels)}"
            missing = "" if found else ", and there is no such pod"
            return f"{said}, which podfence.toml says is {pods}{missing}"
        if not found:
            return f"{said}, and no pod is known to serve it"
        where = some(sorted({f"namespace {pod.namespace}" for pod in found}), 4, ", ")
        return f"{said}, by the labels of its pods and {where}"

    def doubtful(self, entry: EntryPoint) -> tuple[str, ...]:
        """Namespaces whose pods have the labels of its controller, where these are not believed."""
        return tuple(sorted({pod.namespace for pod in self._calling(entry)}))

    def elsewhere(self, entry: EntryPoint) -> tuple[Pod, ...]:
        """Pods that have the labels of its controller and are not believed, beside those that
        are."""
        if entry.gateways:
            return ()
        if entry.classes not in self._elsewhere:
            believed = {(pod.namespace, pod.name) for pod in self.pods(entry)}
            calling = {(pod.namespace, pod.name): pod for pod in self._calling(entry)}
            self._elsewhere[entry.classes] = tuple(
                pod for name, pod in calling.items() if name not in believed
            )
        return self._elsewhere[entry.classes]

    def _calling(self, entry: EntryPoint) -> Iterator[Pod]:
        """All that have the labels; none where the configuration names the controller, or a
        Gateway does."""
        if not entry.gateways and self._class(entry) not in self._known.by_class:
            for each in self._fitting(entry):
                yield from self._labelled(each.labels)

    def _class(self, entry: EntryPoint) -> str:
        return entry.classes[0] if entry.classes else self._default()

    def _fitting(self, entry: EntryPoint) -> list[_ControllerFacts]:
        """The controllers that serve its class; all where it has none."""
        name = self._class(entry)
        controller = self._classes.get(("IngressClass", name), "")
        return [
            each
            for each in _KNOWN
            if not name or (controller in each.controllers if controller else name in each.names)
        ]

    def _of_class(self, entry: EntryPoint) -> Iterable[Pod]:
        name = self._class(entry)
        if name in self._known.by_class:
            return self._configured(name)
        there = [each for each in self._fitting(entry) if self._labelled(each.labels)]
        if not name and len(there) > 1:  # whichever is believed, it may be the other one
            return ()
        return [pod for each in there for pod in self._installed(each)]

    def _default(self) -> str:
        defaults = [c.name for c in self._entries.classes if c.is_default]
        return defaults[0] if len(defaults) == 1 else ""

    def _of_gateways(self, entry: EntryPoint) -> Iterable[Pod]:
        """Of all Gateways that a route hangs on; () where one of them is not known."""
        every: list[Pod] = []
        for ref in entry.gateways:
            gateway = self._entries.gateways.get(ref)
            if gateway is not None and gateway.class_name in self._known.by_class:
                found = self._configured(gateway.class_name)
            else:
                found = self._of_gateway(ref)
            if not found:
                return ()
            every += found
        return every

    def _of_gateway(self, ref: ObjectRef) -> list[Pod]:
        own = [
            pod
            for name in _GATEWAY_NAMES
            for pod in self._labelled(((name, ref.name),), (ref.namespace,))
        ]
        envoy = ((_ENVOY_NAME, ref.name), (_ENVOY_NAMESPACE, ref.namespace))
        return own or self._labelled(envoy, (_ENVOYS, ref.namespace))

    def _configured(self, name: str) -> list[Pod]:
        namespace, labels = self._known.by_class[name]
        return self._labelled(labels, (namespace,))

    def _installed(self, known: _ControllerFacts) -> list[Pod]:
        return self._labelled(known.labels, (*known.namespaces, _OF_CLUSTER))

    def _labelled(self, labels: Labels, namespaces: Container[str] | None = None) -> list[Pod]:
        wanted = set(labels)
        return [
            pod
            for pod in self._pods
            if wanted <= set(pod.labels) and (namespaces is None or pod.namespace in namespaces)
        ]
