"""Objects of a cluster, cut down to the fields that verdicts depend on. Pure.

Rule: a field is kept because it is listed here. Everything else (environment variables, arguments,
images, annotations, managed fields) never leaves: a snapshot can be sent to somebody.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

Keep = bool | Mapping[str, "Keep"]
"""True: the field whole. A mapping: these fields of it, of each item where it is a list."""

_META: Final[Mapping[str, Keep]] = {
    "name": True,
    "namespace": True,
    "labels": True,
    "uid": True,
    "creationTimestamp": True,
    "deletionTimestamp": True,
}
_OWNED: Final[Mapping[str, Keep]] = {
    **_META,
    "ownerReferences": {"apiVersion": True, "kind": True, "name": True, "controller": True},
}
_CONTAINER: Final[Mapping[str, Keep]] = {"name": True, "ports": True, "restartPolicy": True}
_POLICY: Final[Mapping[str, Keep]] = {"metadata": _META, "spec": True}

KEPT: Final[Mapping[str, Mapping[str, Keep]]] = {
    "Namespace": {"metadata": _META},
    "Node": {
        "metadata": _META,
        "spec": {"podCIDR": True, "podCIDRs": True},
        "status": {"addresses": True},
    },
    "Pod": {
        "metadata": _OWNED,
        "spec": {
            "nodeName": True,
            "hostNetwork": True,
            "containers": _CONTAINER,
            "initContainers": _CONTAINER,
        },
        "status": {"phase": True, "podIP": True, "podIPs": True, "hostIP": True, "hostIPs": True},
    },
    "Service": {
        "metadata": _META,
        "spec": {
            "type": True,
            "selector": True,
            "clusterIP": True,
            "clusterIPs": True,
            "externalIPs": True,
            "externalName": True,
            "ports": True,
        },
        "status": {"loadBalancer": True},
    },
    "Endpoints": {"metadata": _META, "subsets": True},
    "EndpointSlice": {
        "metadata": _META,
        "addressType": True,
        "endpoints": {"addresses": True, "conditions": True},
        "ports": True,
    },
    "NetworkPolicy": _POLICY,
    "ClusterNetworkPolicy": _POLICY,
    "AdminNetworkPolicy": _POLICY,
    "BaselineAdminNetworkPolicy": _POLICY,
}
"""What is kept of each kind, besides apiVersion and kind."""


def narrow(kind: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """The object with the fields of ``KEPT`` alone. KeyError for a kind that is not listed."""
    head = {key: data[key] for key in ("apiVersion", "kind") if key in data}
    return {**head, **_cut(data, KEPT[kind])}


def _cut(value: Mapping[str, Any], keep: Mapping[str, Keep]) -> dict[str, Any]:
    return {key: _kept(value[key], how) for key, how in keep.items() if key in value}


def _kept(value: Any, how: Keep) -> Any:
    if isinstance(how, bool):
        return value
    if isinstance(value, list):
        return [_kept(each, how) for each in value]
    # A value of another type is kept: whoever reads it says what is wrong with it.
    return _cut(value, how) if isinstance(value, Mapping) else value
