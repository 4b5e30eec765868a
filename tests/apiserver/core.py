"""Sound Pods, workloads, Services and so on, with every field that podfence reads of them."""

from __future__ import annotations

from typing import Any

_LABELS = {"app": "web", "example.com/tier": "x"}
_METADATA = {"name": "web", "namespace": "default", "labels": _LABELS}
_POD_SPEC: dict[str, Any] = {
    "nodeName": "node-1",
    "hostNetwork": False,
    "containers": [
        {
            "name": "main",
            "image": "none",
            "ports": [
                {"name": "http", "containerPort": 80},
                {"containerPort": 53, "protocol": "UDP"},
            ],
        }
    ],
    "initContainers": [
        {
            "name": "side",
            "image": "none",
            "restartPolicy": "Always",
            "ports": [{"name": "metrics", "containerPort": 9090, "protocol": "TCP"}],
        },
        {"name": "first", "image": "none"},
    ],
}
_TEMPLATE: dict[str, Any] = {"metadata": {"labels": _LABELS}, "spec": {**_POD_SPEC, "nodeName": ""}}
_RUN = {**_TEMPLATE, "spec": {**_TEMPLATE["spec"], "restartPolicy": "Never"}}
_SELECTOR = {"matchLabels": {"app": "web"}}
_OWNED = {
    **_METADATA,
    "ownerReferences": [
        {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "name": "web",
            "uid": "1",
            "controller": True,
        }
    ],
}


def _object(kind: str, version: str, metadata: Any = _METADATA, **fields: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **fields}


_BY_KIND = [
    _object("Namespace", "v1", {"name": "shop", "labels": {**_LABELS}}),
    _object(
        "Node", "v1", {"name": "node-1", "labels": _LABELS}, spec={"podCIDRs": ["10.0.0.0/24"]}
    ),
    _object("Pod", "v1", _OWNED, spec=_POD_SPEC),
    _object(
        "Service",
        "v1",
        spec={
            "type": "ClusterIP",
            "selector": {"app": "web"},
            "externalIPs": ["192.0.2.1"],
            "ports": [
                {"name": "http", "port": 80, "targetPort": "http"},
                {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 5353},
            ],
        },
    ),
    _object(
        "EndpointSlice",
        "discovery.k8s.io/v1",
        {**_METADATA, "labels": {"kubernetes.io/service-name": "web"}},
        addressType="IPv4",
        endpoints=[{"addresses": ["10.0.0.1"], "conditions": {"ready": True}}],
        ports=[{"name": "http", "port": 80, "protocol": "TCP"}],
    ),
    *(
        _object(kind, "apps/v1", spec={"replicas": 2, "selector": _SELECTOR, "template": _TEMPLATE})
        for kind in ("Deployment", "ReplicaSet")
    ),
    _object(
        "StatefulSet",
        "apps/v1",
        spec={
            "replicas": 2,
            "serviceName": "web",
            "ordinals": {"start": 1},
            "selector": _SELECTOR,
            "template": _TEMPLATE,
        },
    ),
    _object("DaemonSet", "apps/v1", spec={"selector": _SELECTOR, "template": _TEMPLATE}),
    _object(
        "Job",
        "batch/v1",
        spec={
            "parallelism": 2,
            "completions": 3,
            "completionMode": "Indexed",
            "suspend": False,
            "template": _RUN,
        },
    ),
    _object(
        "CronJob",
        "batch/v1",
        spec={
            "schedule": "* * * * *",
            "suspend": False,
            "jobTemplate": {"spec": {"parallelism": 2, "template": _RUN}},
        },
    ),
]
CORE: dict[str, list[dict[str, Any]]] = {body["kind"]: [body] for body in _BY_KIND}
"""Kind -> the object that a mutant of it begins with."""
