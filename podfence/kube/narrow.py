"""Objects of a cluster, cut down to the fields that verdicts depend on.

Rule: a field is kept because it is listed here. Everything else (environment variables, arguments,
images, annotations, managed fields) is never even decoded, so a snapshot can be sent to somebody.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final, cast

import msgspec
from msgspec import UNSET, Struct, UnsetType

from podfence.errors import ClusterError

Keep = bool | Mapping[str, "Keep"] | list["Keep"]
"""True: the field whole. A mapping: these fields of it. A list of one: that of each item."""

_META: Final[Mapping[str, Keep]] = {
    "name": True,
    "namespace": True,
    "labels": True,
    "resourceVersion": True,
    "creationTimestamp": True,
    "deletionTimestamp": True,
}
_OWNED: Final[Mapping[str, Keep]] = {
    **_META,
    "ownerReferences": [{"apiVersion": True, "kind": True, "name": True, "controller": True}],
}
_CONTAINERS: Final[list[Keep]] = [{"name": True, "ports": True, "restartPolicy": True}]
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
            "containers": _CONTAINERS,
            "initContainers": _CONTAINERS,
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


class Page(Struct, frozen=True):
    """A page of a list; ``items`` are narrow structs."""

    metadata: ListMeta = ListMeta()
    items: list[Any] | None = None
    """A server whose list is empty may write null."""


@cache
def object_type(kind: str) -> type[Struct]:
    """The struct that holds the kept fields of a kind, and nothing else.

    The resourceVersion is among them, for who follows changes; ``plain`` drops it.
    """
    return _struct(kind, KEPT[kind])


@cache
def page_decoder(kind: str) -> msgspec.json.Decoder[Page]:
    """Decodes one page of a list of a kind."""
    item = object_type(kind)
    fields = [("items", list[item] | None, None)]  # type: ignore[valid-type]
    items = msgspec.defstruct(f"{kind}Page", fields, bases=(Page,), frozen=True)
    return cast("msgspec.json.Decoder[Page]", msgspec.json.Decoder(items))


class OddMeta(Struct, frozen=True):
    """What is needed to know which object one is."""

    name: str
    namespace: str | None = None
    resourceVersion: str = ""


class Odd(Struct, frozen=True):
    """An object that does not have the form of its kind, whole: who decodes it says what is wrong.
    It takes nothing away from the others."""

    metadata: OddMeta
    data: dict[str, Any] = {}


def decode_object(kind: str, text: bytes | msgspec.Raw) -> Any:
    """A narrow object, or an Odd. Raises ClusterError for what is no object at all."""
    try:
        return _object_decoder(kind).decode(text)
    except msgspec.ValidationError:
        pass
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ClusterError(f"the API server sent a {kind} that is not JSON") from None
    try:
        metadata = msgspec.json.decode(text, type=_Named).metadata
        return Odd(metadata, msgspec.json.decode(text, type=dict[str, Any]))
    except (msgspec.DecodeError, RecursionError):
        raise ClusterError(f"the API server sent a {kind} without a name") from None


class _Named(Struct, frozen=True):
    metadata: OddMeta


@cache
def _object_decoder(kind: str) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(object_type(kind))


class _RawPage(Struct, frozen=True):
    metadata: ListMeta = ListMeta()
    items: list[msgspec.Raw] | None = None


def decode_odd_page(kind: str, body: bytes) -> Page:
    """A page in which some object does not have the form of its kind. Raises ClusterError."""
    raw = msgspec.json.decode(body, type=_RawPage)
    return Page(raw.metadata, [decode_object(kind, item) for item in raw.items or ()])


def plain(kind: str, api_version: str, narrow: Struct) -> dict[str, Any]:
    """A narrow object as the JSON value that it was read from, with its kind in front."""
    if isinstance(narrow, Odd):
        return {**narrow.data, "apiVersion": api_version, "kind": kind}
    data = {"apiVersion": api_version, "kind": kind, **msgspec.to_builtins(narrow)}
    if metadata := data.get("metadata"):
        metadata.pop("resourceVersion", None)
    return data


def _struct(name: str, keep: Mapping[str, Keep]) -> type[Struct]:
    fields = [(each, _type_of(f"{name}_{each}", how), UNSET) for each, how in keep.items()]
    return msgspec.defstruct(name, fields, frozen=True)


def _type_of(name: str, keep: Keep) -> Any:
    if isinstance(keep, bool):
        return Any
    if isinstance(keep, list):
        item = _type_of(name, keep[0])
        return list[item] | None | UnsetType  # type: ignore[valid-type]
    return _struct(name, keep) | None | UnsetType
