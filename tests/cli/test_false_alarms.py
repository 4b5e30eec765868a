"""False alarms: policies in the shape of well-known projects, beside their workloads.

Rule: nothing is copied; what counts is the style in which a project writes policies. Every error
that ``check`` gives on them was confirmed by hand and stands in CONFIRMED with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.cli.session import podfence

Json = dict[str, Any]
CONFIRMED: Mapping[str, Mapping[str, str]] = {
    "metallb": {
        "PF333": "true, and meant: the controller goes to the API server alone, by its address"
    },
}


class Project(NamedTuple):
    """``pods``: (kind, name, labels, ports); all in one ``namespace``. ``others``: namespaces with
    their labels and one pod each. ``policies``: name and spec."""

    namespace: str
    pods: list[tuple[str, str, Json, list[Json]]]
    policies: list[tuple[str, Json]]
    others: Mapping[str, Json] = {}
    host: frozenset[str] = frozenset()


def port(number: int, name: str = "", protocol: str = "TCP") -> Json:
    found: Json = {"containerPort": number, "protocol": protocol}
    return {**found, "name": name} if name else found


def labels(**pairs: str) -> Json:
    return {"matchLabels": pairs}


def named(name: str, component: str = "") -> Json:
    found = {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "whole"}
    return {**found, "app.kubernetes.io/component": component} if component else found


def any_of(key: str, *values: str) -> Json:
    return {"matchExpressions": [{"key": key, "operator": "In", "values": list(values)}]}


EVERY_NAMESPACE: Json = {"namespaceSelector": {}}
TYPES = ["Ingress", "Egress"]

PROJECTS = {
    # Everything out, and Prometheus alone in; clusters among themselves on two protocols.
    "kube-prometheus": Project(
        "monitoring",
        [
            ("StatefulSet", "alertmanager", named("alertmanager", "alert-router"),
             [port(9093, "web"), port(9094, "mesh-tcp"), port(9094, "mesh-udp", "UDP"),
              port(8080, "reloader-web")]),
            ("StatefulSet", "prometheus", named("prometheus", "prometheus"), [port(9090, "web")]),
            ("Deployment", "grafana", named("grafana", "grafana"), [port(3000, "http")]),
        ],
        [
            ("alertmanager-main", {
                "podSelector": {"matchLabels": named("alertmanager", "alert-router")},
                "policyTypes": TYPES, "egress": [{}],
                "ingress": [
                    {"from": [{"podSelector": {"matchLabels": {
                        "app.kubernetes.io/name": "prometheus"}}}],
                     "ports": [{"port": 9093, "protocol": "TCP"},
                               {"port": 8080, "protocol": "TCP"}]},
                    {"from": [{"podSelector": {"matchLabels": {
                        "app.kubernetes.io/name": "alertmanager"}}}],
                     "ports": [{"port": 9094, "protocol": "TCP"},
                               {"port": 9094, "protocol": "UDP"}]},
                ]}),
            ("grafana", {
                "podSelector": {"matchLabels": named("grafana", "grafana")},
                "policyTypes": TYPES, "egress": [{}],
                "ingress": [{"from": [{"podSelector": {"matchLabels": {
                    "app.kubernetes.io/name": "prometheus"}}}],
                    "ports": [{"port": 3000, "protocol": "TCP"}]}]}),
        ],
    ),
    # One policy for all pods, and holes for one port or one controller.
    "flux2": Project(
        "flux-system",
        [("Deployment", each, {"app": each}, [port(8080, "http-prom"), port(9090, "http")])
         for each in ("source-controller", "notification-controller", "helm-controller")],
        [
            ("allow-egress", {"podSelector": {}, "policyTypes": TYPES, "egress": [{}],
                              "ingress": [{"from": [{"podSelector": {}}]}]}),
            ("allow-scraping", {"podSelector": {}, "policyTypes": ["Ingress"],
                                "ingress": [{"from": [EVERY_NAMESPACE],
                                             "ports": [{"port": 8080, "protocol": "TCP"}]}]}),
            ("allow-webhooks", {"podSelector": labels(app="notification-controller"),
                                "policyTypes": ["Ingress"],
                                "ingress": [{"from": [EVERY_NAMESPACE]}]}),
        ],
    ),
    # A cache that a few components may reach, a server that is open to all.
    "argo-cd": Project(
        "argocd",
        [
            ("Deployment", "argocd-redis", named("argocd-redis"), [port(6379)]),
            ("Deployment", "argocd-server", named("argocd-server"), [port(8080), port(8083)]),
            ("Deployment", "argocd-repo-server", named("argocd-repo-server"),
             [port(8081), port(8084)]),
            ("StatefulSet", "argocd-application-controller",
             named("argocd-application-controller"), [port(8082)]),
        ],
        [
            ("argocd-redis-network-policy", {
                "podSelector": labels(**{"app.kubernetes.io/name": "argocd-redis"}),
                "policyTypes": ["Ingress"],
                "ingress": [{"from": [
                    {"podSelector": labels(**{"app.kubernetes.io/name": each})}
                    for each in ("argocd-server", "argocd-repo-server",
                                 "argocd-application-controller")],
                    "ports": [{"port": 6379, "protocol": "TCP"}]}]}),
            ("argocd-application-controller-network-policy", {
                "podSelector": labels(**{
                    "app.kubernetes.io/name": "argocd-application-controller"}),
                "policyTypes": ["Ingress"],
                "ingress": [{"from": [EVERY_NAMESPACE], "ports": [{"port": 8082}]}]}),
            ("argocd-server-network-policy", {
                "podSelector": labels(**{"app.kubernetes.io/name": "argocd-server"}),
                "policyTypes": ["Ingress"], "ingress": [{}]}),
        ],
    ),
    # Pods that a controller makes later are named as peers and as subjects.
    "longhorn": Project(
        "longhorn-system",
        [
            ("DaemonSet", "longhorn-manager", {"app": "longhorn-manager"},
             [port(9500, "manager"), port(9501, "conversion-wh"), port(9502, "admission-wh")]),
            ("Deployment", "longhorn-ui", {"app": "longhorn-ui"}, [port(8000, "http")]),
        ],
        [
            ("instance-manager", {
                "podSelector": labels(**{"longhorn.io/component": "instance-manager"}),
                "policyTypes": ["Ingress"],
                "ingress": [{"from": [
                    {"podSelector": labels(app="longhorn-manager")},
                    *({"podSelector": labels(**{"longhorn.io/component": each})}
                      for each in ("instance-manager", "backing-image-manager",
                                   "backing-image-data-source"))]}]}),
            ("longhorn-admission-webhook", {
                "podSelector": labels(app="longhorn-manager"), "policyTypes": ["Ingress"],
                "ingress": [{"ports": [{"protocol": "TCP", "port": 9502}]}]}),
            ("longhorn-manager", {
                "podSelector": labels(app="longhorn-manager"), "policyTypes": ["Ingress"],
                "ingress": [{"from": [{"podSelector": labels(app="longhorn-manager")},
                                      {"podSelector": labels(app="longhorn-ui")}]}]}),
        ],
    ),
    # Ports without peers, and pods on the network of their node.
    "metallb": Project(
        "metallb-system",
        [
            ("Deployment", "controller", {"app": "metallb", "component": "controller"},
             [port(9120, "monitoring")]),
            ("DaemonSet", "speaker", {"app": "metallb", "component": "speaker"},
             [port(7472, "monitoring")]),
        ],
        [("controller", {
            "podSelector": labels(app="metallb", component="controller"), "policyTypes": TYPES,
            "egress": [{"ports": [{"protocol": "TCP", "port": 6443}]}],
            "ingress": [{"ports": [{"protocol": "TCP", "port": 9120}]}]})],
        others={"kube-system": {}},
        host=frozenset({"speaker"}),
    ),
    # Expressions in place of labels, profiles that come later, a mesh beside it.
    "kubeflow": Project(
        "kubeflow",
        [("Deployment", "minio", {"app": "minio"}, [port(9000)]),
         ("Deployment", "ml-pipeline", {"app": "ml-pipeline"}, [port(8888), port(8887)])],
        [
            ("minio", {"podSelector": any_of("app", "minio"), "policyTypes": ["Ingress"],
                       "ingress": [{"from": [
                           {"namespaceSelector": any_of("app.kubernetes.io/part-of",
                                                        "kubeflow-profile")},
                           {"namespaceSelector": any_of("kubernetes.io/metadata.name",
                                                        "istio-system")},
                           {"podSelector": {}}]}]}),
            ("ml-pipeline", {"podSelector": any_of("app", "ml-pipeline"),
                             "policyTypes": ["Ingress"],
                             "ingress": [{"from": [
                                 {"namespaceSelector": any_of("app.kubernetes.io/part-of",
                                                              "kubeflow-profile")},
                                 {"namespaceSelector": any_of("kubernetes.io/metadata.name",
                                                              "istio-system")}]}]}),
        ],
        others={"istio-system": {}},
    ),
    # A webhook open to all, and egress to everything that certificates need.
    "cert-manager": Project(
        "cert-manager",
        [("Deployment", "cert-manager-webhook", named("webhook", "webhook"),
          [port(10250, "https"), port(6080, "healthcheck")]),
         ("Deployment", "cert-manager", named("cert-manager", "controller"),
          [port(9402, "http-metrics")])],
        [
            ("cert-manager-webhook-allow-ingress", {
                "podSelector": {"matchLabels": named("webhook", "webhook")},
                "policyTypes": ["Ingress"],
                "ingress": [{"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]}),
            ("cert-manager-webhook-allow-egress", {
                "podSelector": {"matchLabels": named("webhook", "webhook")},
                "policyTypes": ["Egress"],
                "egress": [{"ports": [{"port": number, "protocol": protocol}
                                      for number, protocol in ((80, "TCP"), (443, "TCP"),
                                                               (53, "TCP"), (53, "UDP"),
                                                               (6443, "TCP"))],
                            "to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]}),
        ],
    ),
    # A chart's policy: a port name, clients by a label that others put on themselves.
    "a chart of a database": Project(
        "data",
        [("StatefulSet", "postgresql", named("postgresql", "primary"),
          [port(5432, "tcp-postgresql"), port(9187, "http-metrics")]),
         ("Deployment", "api", {"app": "api", "postgresql-client": "true"}, [port(8080)])],
        [("postgresql", {
            "podSelector": {"matchLabels": named("postgresql", "primary")},
            "policyTypes": TYPES, "egress": [{}],
            "ingress": [{"ports": [{"port": 5432}, {"port": 9187}],
                         "from": [{"podSelector": labels(**{"postgresql-client": "true"})},
                                  {"namespaceSelector": labels(
                                      **{"kubernetes.io/metadata.name": "monitoring"})}]}]})],
    ),
}  # fmt: skip


def documents(project: Project) -> list[Json]:
    space = project.namespace
    found: list[Json] = []
    for name, own in {space: {}, **project.others}.items():
        meta = {"name": name, "labels": {**own, "kubernetes.io/metadata.name": name}}
        found.append({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
    for name in project.others:
        app = {"k8s-app": "kube-dns"} if name == "kube-system" else {"app": "gateway"}
        pod = {"name": "one", "namespace": name, "labels": app}
        found.append({"apiVersion": "v1", "kind": "Pod", "metadata": pod, "spec": {}})
    for kind, name, own, ports in project.pods:
        spec: Json = {"containers": [{"name": "main", "image": "x", "ports": ports}]}
        if name in project.host:
            spec["hostNetwork"] = True
        found.append({
            "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "namespace": space},
            "spec": {"selector": {"matchLabels": own},
                     "template": {"metadata": {"labels": own}, "spec": spec}},
        })  # fmt: skip
    for name, policy in project.policies:
        found.append({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": name, "namespace": space}, "spec": policy,
        })  # fmt: skip
    return found


def entry(kind: str, group: str, name: str, namespace: str = "", **rest: Any) -> Json:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": group, "kind": kind, "metadata": metadata, **rest}


def service(name: str, namespace: str, own: Json, number: int, target: int) -> Json:
    spec = {"selector": own, "ports": [{"port": number, "targetPort": target}]}
    return entry("Service", "v1", name, namespace, spec=spec)


def hook(name: str, service_name: str, namespace: str) -> Json:
    client = {"service": {"name": service_name, "namespace": namespace}}
    return entry(
        "ValidatingWebhookConfiguration",
        "admissionregistration.k8s.io/v1",
        name,
        webhooks=[{"name": "a.example", "clientConfig": client}],
    )


def ingress(name: str, namespace: str, number: int) -> Json:
    backend = {"service": {"name": name, "port": {"number": number}}}
    spec = {"ingressClassName": "nginx", "defaultBackend": backend}
    return entry("Ingress", "networking.k8s.io/v1", name, namespace, spec=spec)


BESIDE = {
    "argo-cd": [
        service("argocd-server", "argocd", named("argocd-server"), 80, 8080),
        ingress("argocd-server", "argocd", 80),
    ],
    "longhorn": [
        service("longhorn-admission", "longhorn-system", {"app": "longhorn-manager"}, 443, 9502),
        hook("longhorn", "longhorn-admission", "longhorn-system"),
    ],
    "kubeflow": [
        service("ml-pipeline", "kubeflow", {"app": "ml-pipeline"}, 80, 8888),
        ingress("ml-pipeline", "kubeflow", 80),
    ],
    "cert-manager": [
        service("webhook", "cert-manager", named("webhook", "webhook"), 443, 10250),
        hook("webhook", "webhook", "cert-manager"),
    ],
}
"""Services, ways in and webhooks as these projects have them."""


@pytest.mark.parametrize("name", PROJECTS)
def test_every_error_is_confirmed(name: str, tmp_path: Path) -> None:
    path = tmp_path / "all.yaml"
    path.write_text(yaml.safe_dump_all([*documents(PROJECTS[name]), *BESIDE.get(name, [])]))

    done = podfence(["check", "-f", str(path), "--no-config"])

    errors = re.findall(r"error\[(PF\d+)\]", done.out)
    assert set(errors) == CONFIRMED.get(name, {}).keys(), done.out


def test_a_slip_in_the_same_policies_is_found(tmp_path: Path) -> None:
    """No alarm is no silence: one letter less is an error."""
    path = tmp_path / "all.yaml"
    text = yaml.safe_dump_all(documents(PROJECTS["flux2"]))
    before, label, behind = text.rpartition("app: notification-controller")
    path.write_text(f"{before}{label.replace('ller', 'ler')}{behind}")

    done = podfence(["check", "-f", str(path), "--no-config"])

    assert "error[PF320]" in done.out
