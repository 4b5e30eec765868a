"""Which pods serve an entry: the controller of an Ingress, a Gateway or a Route.

Rule: a controller is known by the configuration, else by labels that its own installation gives it;
nothing is guessed from names of pods.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from podfence.model.entries import Controllers, Entries, Entry
from podfence.model.meta import Labels, ObjectRef
from podfence.model.objects import Pod
from podfence.policy.index import PolicyIndex


class _Known(Struct, frozen=True):
    """A controller. ``names``: of its class where nobody changed that; ``controllers``: what an
    IngressClass says; ``labels``: those of its pods."""

    names: tuple[str, ...]
    controllers: tuple[str, ...]
    labels: Labels


_NAME: Final = "app.kubernetes.io/name"
_COMPONENT: Final = "app.kubernetes.io/component"
_KNOWN: Final = (
    _Known(
        ("nginx",),
        ("k8s.io/ingress-nginx",),
        ((_COMPONENT, "controller"), (_NAME, "ingress-nginx")),
    ),
    _Known(("nginx",), ("nginx.org/ingress-controller",), ((_NAME, "nginx-ingress"),)),
    _Known(("traefik",), ("traefik.io/ingress-controller",), ((_NAME, "traefik"),)),
    _Known(("haproxy",), ("haproxy.org/ingress-controller",), ((_NAME, "kubernetes-ingress"),)),
    _Known(("haproxy",), ("haproxy-ingress.github.io/controller",), ((_NAME, "haproxy-ingress"),)),
    _Known(
        ("contour",),
        ("projectcontour.io/ingress-controller",),
        ((_COMPONENT, "envoy"), (_NAME, "contour")),
    ),
    _Known(("kong",), ("ingress-controllers.konghq.com/kong",), ((_NAME, "kong"),)),
    _Known(("istio",), ("istio.io/ingress-controller",), (("istio", "ingressgateway"),)),
    _Known(
        ("openshift",),
        ("openshift.io/ingress-to-route",),
        (("ingresscontroller.operator.openshift.io/deployment-ingresscontroller", "default"),),
    ),
)
_GATEWAY_NAMES: Final = ("gateway.networking.k8s.io/gateway-name", "istio.io/gateway-name")
"""Labels of the pods of a Gateway, in its namespace, with its name."""
_ENVOY_NAME: Final = "gateway.envoyproxy.io/owning-gateway-name"
_ENVOY_NAMESPACE: Final = "gateway.envoyproxy.io/owning-gateway-namespace"


class Finder:
    """Finds the pods of controllers among those of an index."""

    def __init__(self, index: PolicyIndex, entries: Entries, known: Controllers) -> None:
        self._entries = entries
        self._known = known
        self._pods = [pod for pod in index.cluster.pods if not pod.finished]
        self._classes = {(each.kind, each.name): each.controller for each in entries.classes}
        self._found: dict[object, tuple[Pod, ...]] = {}

    def pods(self, entry: Entry) -> tuple[Pod, ...]:
        """The pods that serve an entry; () where it is not known who does."""
        key = entry.classes, entry.gateways
        if key not in self._found:
            found = self._of_gateways(entry) if entry.gateways else self._of_class(entry)
            self._found[key] = tuple({(p.namespace, p.name): p for p in found}.values())
        return self._found[key]

    def _of_class(self, entry: Entry) -> Iterable[Pod]:
        name = entry.classes[0] if entry.classes else self._default()
        if name in self._known.by_class:
            return self._configured(name)
        if name:
            controller = self._classes.get(("IngressClass", name), "")
            fitting = [
                each
                for each in _KNOWN
                if (controller in each.controllers if controller else name in each.names)
            ]
            return [pod for each in fitting for pod in self._labelled(each.labels)]
        groups = [found for each in _KNOWN if (found := self._labelled(each.labels))]
        return groups[0] if len(groups) == 1 else ()

    def _default(self) -> str:
        defaults = [c.name for c in self._entries.classes if c.is_default]
        return defaults[0] if len(defaults) == 1 else ""

    def _of_gateways(self, entry: Entry) -> Iterable[Pod]:
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
            for pod in self._labelled(((name, ref.name),))
            if pod.namespace == ref.namespace
        ]
        envoy = self._labelled(((_ENVOY_NAME, ref.name), (_ENVOY_NAMESPACE, ref.namespace)))
        return own or envoy

    def _configured(self, name: str) -> list[Pod]:
        namespace, labels = self._known.by_class[name]
        return [pod for pod in self._labelled(labels) if pod.namespace == namespace]

    def _labelled(self, labels: Labels) -> list[Pod]:
        wanted = set(labels)
        return [pod for pod in self._pods if wanted <= set(pod.labels)]
