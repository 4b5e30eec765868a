"""A small cluster with ways in: objects, and the rows that are shown of them."""

from __future__ import annotations

import io

from podfence.manifests.load import load
from podfence.model.entries import Controllers
from podfence.policy.compile import compile_cluster
from podfence.questions.entries import judge_entries
from podfence.questions.entryrows import EntryRow
from podfence.questions.tests.throughentries import KnownEntries
from podfence.questions.tests.turning import TestedSide

GATEWAY_GROUP = "gateway.networking.k8s.io"
GATEWAY_API = f"{GATEWAY_GROUP}/v1"
NGINX = "app.kubernetes.io/name: ingress-nginx, app.kubernetes.io/component: controller"
ANYBODY = "ingress: [{ports: [{port: 8080}]}]"


def obj(version: str, kind: str, name: str, rest: str, namespace: str = "shop") -> str:
    metadata = f"{{name: {name}, namespace: {namespace}}}"
    return f"---\n{{apiVersion: {version}, kind: {kind}, metadata: {metadata}, {rest}}}\n"


def pod(
    name: str, namespace: str = "shop", labels: str = "", spec: str = "", port: str = ""
) -> str:
    metadata = f"{{name: {name}, namespace: {namespace}, labels: {{app: {name}{labels}}}}}"
    ports = f"ports: [{{containerPort: 8080, name: http{port}}}]"
    return (
        f"---\n{{apiVersion: v1, kind: Pod, metadata: {metadata}, "
        f"spec: {{{spec}containers: [{{name: c, {ports}}}]}}}}\n"
    )


def service(name: str = "web", spec: str = "") -> str:
    ports = "ports: [{name: main, port: 80, targetPort: http}]"
    return obj("v1", "Service", name, f"spec: {{selector: {{app: {name}}}, {ports}{spec}}}")


def policy(rules: str, name: str = "web", namespace: str = "shop") -> str:
    spec = f"spec: {{podSelector: {{matchLabels: {{app: {name}}}}}, {rules}}}"
    return obj("networking.k8s.io/v1", "NetworkPolicy", f"{name}-policy", spec, namespace)


def ingress(spec: str = "", port: str = "number: 80", name: str = "web") -> str:
    backend = f"backend: {{service: {{name: {name}, port: {{{port}}}}}}}"
    rules = f"rules: [{{host: a.example, http: {{paths: [{{path: /, {backend}}}]}}}}]"
    return obj("networking.k8s.io/v1", "Ingress", "front", f"spec: {{{spec}{rules}}}")


def route(kind: str = "HTTPRoute", parent: str = "name: gw", port: int = 80) -> str:
    rules = f"rules: [{{backendRefs: [{{name: web, port: {port}}}]}}]"
    spec = f"spec: {{parentRefs: [{{{parent}}}], {rules}}}"
    return obj("gateway.networking.k8s.io/v1", kind, "r", spec)


WEB = pod("web") + service()
CONTROLLER = pod("nginx-1", "ingress-nginx", f", {NGINX}")


def rows(*texts: str, known: Controllers | None = None) -> tuple[EntryRow, ...]:
    loaded = load(["-"], stdin=io.BytesIO("".join(texts).encode()))
    assert not loaded.errors
    entries = loaded.beside.entries(loaded.cluster, loaded.raw)
    return judge_entries(compile_cluster(loaded.cluster), entries, known)


def states(*texts: str) -> list[tuple[str, str]]:
    return [(row.sources, row.state.value) for row in rows(*texts)]


def side_of(text: str) -> TestedSide:
    """What tests are run against."""
    loaded = load(["-"], stdin=io.BytesIO(text.encode()))

    def entries() -> KnownEntries:
        found = loaded.beside.entries(loaded.cluster, loaded.raw)
        return KnownEntries(found, Controllers())

    return TestedSide(loaded.cluster, entries)
