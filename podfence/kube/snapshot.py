"""Everything that verdicts depend on, listed once from a cluster.

Rule: nothing is silently missing. A kind that may not be listed is a gap, with the rule of RBAC
that would close it; a kind that the cluster does not have is none. Lists are read in pages, and a
list whose pages expired is read again from its start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from msgspec import Struct, field

from podfence.errors import ClusterError
from podfence.kube.client import Client, Refusal
from podfence.kube.discovery import Resource, decode_json, discover

PAGE: Final = 500
"""Objects a page: what kubectl asks for, too."""
_RESTARTS: Final = 3
"""Times that a list is begun again because its pages expired."""

CORE: Final = {
    "Namespace": ("namespaces", False),
    "Node": ("nodes", False),
    "Pod": ("pods", True),
    "Service": ("services", True),
    "Endpoints": ("endpoints", True),
}
"""Kinds of the core group, which discovery of named groups does not list: path, namespaced."""


class Gap(Struct, frozen=True):
    """A kind that could not be listed."""

    kind: str
    message: str
    """What the server said, and the rule that would allow it."""
    namespace: str = ""
    """The namespace that was asked; "" means the whole cluster."""


class Snapshot(Struct, frozen=True):
    """Objects as the API server sent them, by kind, and what is missing."""

    objects: Mapping[str, tuple[dict[str, Any], ...]]
    gaps: tuple[Gap, ...] = ()
    elsewhere: Mapping[str, int] = field(default_factory=dict)
    """Policies of other APIs (``Kind.group``) and how many there are; -1: that cannot be told."""


class Wanted(Struct, frozen=True):
    """What to read: kinds with the versions that podfence reads, the best one first."""

    versions: Mapping[str, tuple[str, ...]]
    """``ClusterNetworkPolicy`` -> ``policy.networking.k8s.io/v1beta1``, ..."""
    is_policy_elsewhere: Callable[[str, str], bool]
    """Whether kind and group are a policy of another API."""


def read_snapshot(client: Client, wanted: Wanted) -> Snapshot:
    """List all wanted kinds. Raises ClusterError when the server cannot be asked at all."""
    groups = {v.rpartition("/")[0] for versions in wanted.versions.values() for v in versions}
    served = discover(client, groups)
    objects: dict[str, tuple[dict[str, Any], ...]] = {}
    gaps: list[Gap] = []
    for kind, versions in wanted.versions.items():
        resource = _resource(kind, versions, served)
        if resource is None:
            gaps += _unread_versions(kind, versions, served)
            continue
        try:
            objects[kind] = tuple(_typed(resource, list_all(client, resource)))
        except Refusal as refusal:
            if refusal.status != 403:
                raise
            gaps.append(Gap(kind, f"{refusal.message}; {rbac_rule(resource)}"))
    return Snapshot(objects, tuple(gaps), _elsewhere(client, served, wanted))


def _resource(kind: str, versions: tuple[str, ...], served: Iterable[Resource]) -> Resource | None:
    if versions == ("v1",) and kind in CORE:
        name, namespaced = CORE[kind]
        return Resource("", "v1", kind, name, namespaced)
    found = {each.api_version: each for each in served if each.kind == kind}
    return next((found[version] for version in versions if version in found), None)


def _unread_versions(
    kind: str, versions: tuple[str, ...], served: Iterable[Resource]
) -> Iterable[Gap]:
    """The cluster has the kind, but in no version that podfence reads."""
    group = versions[0].rpartition("/")[0]
    others = [each.api_version for each in served if each.kind == kind and each.group == group]
    if others:
        known = " and ".join(versions)
        yield Gap(kind, f"the server has {kind} of {', '.join(others)}; podfence reads {known}")


def list_all(client: Client, resource: Resource, namespace: str = "") -> list[dict[str, Any]]:
    """All objects of a kind, page by page. Raises Refusal, ClusterError."""
    path = resource.path(namespace)
    for _ in range(_RESTARTS):
        try:
            return _pages(client, path)
        except Refusal as refusal:
            if refusal.status != 410:
                raise
    raise ClusterError(f"{path}: pages expired {_RESTARTS} times before the list was complete")


def _pages(client: Client, path: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    query = {"limit": str(PAGE)}
    while True:
        page = decode_json(client.get(path, query), path)
        found = page.get("items")
        # A server whose list is empty writes null.
        if not isinstance(found, list | None) or not all(isinstance(i, dict) for i in found or ()):
            raise ClusterError(f"the API server's answer to {path} is not a list of objects")
        items += found or ()
        metadata = page.get("metadata")
        token = metadata.get("continue") if isinstance(metadata, dict) else None
        if not isinstance(token, str) or not token:
            return items
        query["continue"] = token


def _typed(resource: Resource, items: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """Items of a list carry no kind of their own: the list tells it."""
    for item in items:
        yield {"apiVersion": resource.api_version, "kind": resource.kind, **item}


def rbac_rule(resource: Resource) -> str:
    """The rule of a ClusterRole that allows to list a kind."""
    return (
        "a ClusterRole with this rule allows it: "
        f'{{apiGroups: ["{resource.group}"], resources: ["{resource.name}"], '
        'verbs: ["get", "list", "watch"]}'
    )


def _elsewhere(client: Client, served: Iterable[Resource], wanted: Wanted) -> dict[str, int]:
    """How many policies of other APIs there are; a server's preferred version is asked alone."""
    counts: dict[str, int] = {}
    for resource in served:
        name = f"{resource.kind}.{resource.group}"
        if name in counts or not wanted.is_policy_elsewhere(resource.kind, resource.group):
            continue
        try:
            page = decode_json(client.get(resource.path(), {"limit": "1"}), resource.path())
        except Refusal:
            counts[name] = -1
            continue
        metadata, items = page.get("metadata"), page.get("items")
        rest = metadata.get("remainingItemCount") if isinstance(metadata, dict) else 0
        counts[name] = (len(items) if isinstance(items, list) else 0) + (
            rest if isinstance(rest, int) else 0
        )
    return {name: number for name, number in counts.items() if number}
