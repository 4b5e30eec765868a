"""The kinds that an API server serves, by group and version: one request where the server has it.

Source: aggregated discovery (``apidiscovery.k8s.io/v2``, on by default since Kubernetes 1.27).
Older servers are asked group by group, only for the groups that matter.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, TypeVar

import msgspec

from podfence.errors import UNREADABLE, ClusterError
from podfence.kube.client import Client, ServerRefusal
from podfence.kube.resource import Resource

T = TypeVar("T")
_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList"
_ACCEPT = ",".join((_AGGREGATED.format("v2"), _AGGREGATED.format("v2beta1"), "application/json"))


def discover(client: Client, groups: Collection[str]) -> tuple[Resource, ...]:
    """The kinds of all groups with a name, in the server's order of preference.

    ``groups``: those that are asked for one by one where the server has no aggregated discovery.
    Raises ClusterError.
    """
    data = decode_json(client.get("/apis", accept=_ACCEPT), "/apis")
    if data.get("kind") == "APIGroupDiscoveryList":
        return tuple(_aggregated(data))
    return tuple(_one_by_one(client, data, groups))


def _aggregated(data: dict[str, Any]) -> Iterator[Resource]:
    for group in _mappings(data.get("items")):
        name = _text(group.get("metadata"), "name")
        for version in _mappings(group.get("versions")):
            for resource in _mappings(version.get("resources")):
                kind = _text(resource.get("responseKind"), "kind")
                yield Resource(
                    name,
                    _text(version, "version"),
                    kind,
                    _text(resource, "resource"),
                    _text(resource, "scope") == "Namespaced",
                )


def _one_by_one(
    client: Client, data: dict[str, Any], groups: Collection[str]
) -> Iterator[Resource]:
    for group in _mappings(data.get("groups")):
        name = _text(group, "name")
        if name not in groups:
            continue
        for version in _mappings(group.get("versions")):
            path = f"/apis/{_text(version, 'groupVersion')}"
            try:
                served = decode_json(client.get(path), path)
            except ServerRefusal as refusal:
                if refusal.status != 404:  # a version that went away in between
                    raise
                continue
            for resource in _mappings(served.get("resources")):
                if "/" not in _text(resource, "name"):  # no subresources
                    yield Resource(
                        name,
                        _text(version, "version"),
                        _text(resource, "kind"),
                        _text(resource, "name"),
                        resource.get("namespaced") is True,
                    )


def decode_as(form: type[T], body: bytes, path: str) -> T:
    """An object of one form. Raises ClusterError when the server sent anything else."""
    try:
        return msgspec.json.decode(body, type=form)
    except UNREADABLE as error:
        raise ClusterError(f"the API server's answer to {path} cannot be read: {error}") from None


def decode_json(body: bytes, path: str) -> dict[str, Any]:
    """A JSON object. Raises ClusterError when the server sent anything else."""
    try:
        data = msgspec.json.decode(body)
    except UNREADABLE:
        raise ClusterError(f"the API server's answer to {path} is not JSON") from None
    if not isinstance(data, dict):
        raise ClusterError(f"the API server's answer to {path} is not an object")
    return data


def _mappings(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        yield from (each for each in value if isinstance(each, dict))


def _text(value: Any, key: str) -> str:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""
