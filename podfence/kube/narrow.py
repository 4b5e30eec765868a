"""Objects of a cluster, cut down to the fields that verdicts depend on.

Rule: only fields that are listed here are kept. All others (environment variables, arguments,
images, annotations of others, managed fields) are never even decoded, so a snapshot can be sent to
somebody.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, cast

import msgspec
from msgspec import UNSET, Struct, UnsetType

from podfence.model.meta import IGNORE_ANNOTATION, MODE_ANNOTATION

Keep = bool | Mapping[str, "Keep"] | list["Keep"]
"""True: the field whole. A mapping: these fields of it. A list of one: that of each item."""

_META: Final[Mapping[str, Keep]] = {
    "name": True,
    "namespace": True,
    "labels": True,
    "creationTimestamp": True,
    "deletionTimestamp": True,
    "annotations": {IGNORE_ANNOTATION: True},
}
_OWNED: Final[Mapping[str, Keep]] = {
    **_META,
    "ownerReferences": [{"apiVersion": True, "kind": True, "name": True, "controller": True}],
}
_CONTAINERS: Final[list[Keep]] = [{"name": True, "ports": True, "restartPolicy": True}]
_POLICY: Final[Mapping[str, Keep]] = {
    # An audited policy enforces nothing (AUD-2): without its mode, verdicts would be wrong.
    "metadata": {**_META, "annotations": {IGNORE_ANNOTATION: True, MODE_ANNOTATION: True}},
    "spec": True,
}

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
            "dnsPolicy": True,
            "containers": _CONTAINERS,
            "initContainers": _CONTAINERS,
        },
        "status": {"phase": True, "podIP": True, "podIPs": True, "hostIP": True, "hostIPs": True},
    },
    "CronJob": {
        "metadata": _OWNED,
        "spec": {
            "suspend": True,
            "jobTemplate": {
                "spec": {
                    "completionMode": True,
                    "manualSelector": True,
                    "template": {
                        "metadata": {"labels": True},
                        "spec": {
                            "nodeName": True,
                            "hostNetwork": True,
                            "dnsPolicy": True,
                            "containers": _CONTAINERS,
                            "initContainers": _CONTAINERS,
                        },
                    },
                }
            },
        },
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
            "externalTrafficPolicy": True,
            "loadBalancerSourceRanges": True,
            "allocateLoadBalancerNodePorts": True,
            "ports": True,
        },
        "status": {"loadBalancer": True},
    },
    "EndpointSlice": {
        "metadata": _META,
        "addressType": True,
        "endpoints": [{"addresses": True, "conditions": True}],
        "ports": True,
    },
    "NetworkPolicy": _POLICY,
    "ClusterNetworkPolicy": _POLICY,
    "AdminNetworkPolicy": _POLICY,
    "BaselineAdminNetworkPolicy": _POLICY,
}
"""What is kept of each kind, besides apiVersion and kind."""


class ListMeta(Struct, frozen=True):
    """``metadata`` of a list."""

    resourceVersion: str = ""
    next_page: str = msgspec.field(default="", name="continue")
    remainingItemCount: int | None = None


class NarrowListPage(Struct, frozen=True):
    """A page of a list; ``items`` are narrow structs."""

    metadata: ListMeta = ListMeta()
    items: list[Any] | None = None
    """A server whose list is empty may write null."""


@cache
def object_type(kind: str) -> type[Struct]:
    """The struct that holds the kept fields of a kind, and nothing else."""
    return _struct(kind, KEPT[kind])


@cache
def page_decoder(kind: str) -> msgspec.json.Decoder[NarrowListPage]:
    """Decodes one page of a list of a kind."""
    item = object_type(kind)
    fields = [("items", list[item] | None, None)]  # type: ignore[valid-type]  # made at run time
    items = msgspec.defstruct(f"{kind}Page", fields, bases=(NarrowListPage,), frozen=True)
    return cast("msgspec.json.Decoder[NarrowListPage]", msgspec.json.Decoder(items))


def plain(kind: str, api_version: str, narrow: Struct) -> dict[str, Any]:
    """A narrow object as the JSON value that it was read from, with its kind in front."""
    value = {"apiVersion": api_version, "kind": kind, **msgspec.to_builtins(narrow)}
    metadata = value.get("metadata")
    if metadata and metadata.get("annotations") == {}:
        del metadata["annotations"]  # all of them were others'
    return value


def _struct(name: str, keep: Mapping[str, Keep]) -> type[Struct]:
    attributes = {re.sub(r"\W", "_", each): each for each in keep}
    fields = [
        (attribute, _type_of(f"{name}_{attribute}", keep[each]), UNSET)
        for attribute, each in attributes.items()
    ]
    return msgspec.defstruct(name, fields, frozen=True, rename=attributes)


def _type_of(name: str, keep: Keep) -> Any:
    if isinstance(keep, bool):
        return Any
    if isinstance(keep, list):
        item = _type_of(name, keep[0])
        return list[item] | None | UnsetType  # type: ignore[valid-type]  # as above
    return _struct(name, keep) | None | UnsetType
