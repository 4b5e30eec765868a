"""Everything that verdicts depend on, listed once from a cluster.

Rule: nothing is silently missing. A kind that may not be listed is a gap, and the gap names the
RBAC rule that would close it; what may be listed in the namespaces of the question is listed. A
kind that the cluster does not have is no gap, and is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from podfence.errors import ClusterError
from podfence.intake.unlisted import Unlisted
from podfence.kube.client import Client, ServerRefusal
from podfence.kube.discovery import decode_as, discover
from podfence.kube.listing import ListPage, Prefetch, decode_page, list_parts
from podfence.kube.narrow import object_type, page_decoder, plain
from podfence.kube.resource import Resource, resources_of
from podfence.text import printable

FORBIDDEN: Final = 403
_NOT_FOUND: Final = 404


class Snapshot(Struct, frozen=True):
    """The fields of all objects that are kept, the kinds, and what is missing."""

    objects: tuple[dict[str, Any], ...]
    gaps: tuple[Unlisted, ...] = ()
    unseen: tuple[Unlisted, ...] = ()
    """Kinds that could not be listed, whose objects nothing that is there now depends on."""
    absent: tuple[str, ...] = ()
    """Kinds that the cluster does not have."""
    elsewhere: Mapping[str, int] = {}
    """Policies of other APIs (``Kind.group``) and how many there are; -1: that cannot be told."""


class KindsToRead(Struct, frozen=True):
    """What to read: kinds with the versions that podfence reads, the best one first."""

    versions: Mapping[str, tuple[str, ...]]
    """``ClusterNetworkPolicy`` -> ``policy.networking.k8s.io/v1beta1``, ..."""
    is_policy_elsewhere: Callable[[str, str], bool]
    """Whether kind and group are a policy of another API."""
    namespaces: tuple[str, ...] = ()
    """Those that the question is about: asked one by one where the cluster may not be."""
    optional: frozenset[str] = frozenset()
    """Kinds that are no gap where they may not be listed."""
    policies_of: tuple[str, ...] | None = None
    """The namespaces whose NetworkPolicies are enough, for none applies in another; None: all."""


Tell = Callable[[int], None]
"""Is told how many objects were listed, after each page."""


def _tell_nobody(_: int) -> None:
    """Nobody waits."""


def read_snapshot(client: Client, wanted: KindsToRead, tell: Tell = _tell_nobody) -> Snapshot:
    """List all wanted kinds. Raises ClusterError when the server cannot be asked at all."""
    groups = {v.rpartition("/")[0] for versions in wanted.versions.values() for v in versions}
    served = discover(client, groups)
    gaps: list[Unlisted] = []
    unseen: list[Unlisted] = []
    absent: list[str] = []
    resources: list[Resource] = []
    for kind, versions in wanted.versions.items():
        resource = _resource(kind, versions, served)
        if resource is not None:
            resources.append(resource)
        elif unread := _unread_versions(kind, versions, served):
            (unseen if kind in wanted.optional else gaps).append(unread)
        else:
            absent.append(kind)
    objects: dict[str, list[dict[str, Any]]] = {each.kind: [] for each in resources}
    with Prefetch(_steps(client, resources, wanted)) as steps:
        for resource, found in steps:
            if isinstance(found, Unlisted):
                (unseen if resource.kind in wanted.optional else gaps).append(found)
                continue
            if found.first:
                objects[resource.kind].clear()
            kind, version = resource.kind, resource.api_version
            objects[kind] += [plain(kind, version, item) for item in found.items]
            tell(sum(map(len, objects.values())))
    everything = tuple(item for items in objects.values() for item in items)
    if resources and not everything and len(gaps) + len(unseen) >= len(resources):
        raise ClusterError(f"nothing may be listed: {gaps[0].message}")
    others = _elsewhere(client, served, wanted)
    return Snapshot(everything, tuple(gaps), tuple(unseen), tuple(absent), others)


def _resource(kind: str, versions: tuple[str, ...], served: Iterable[Resource]) -> Resource | None:
    if versions == ("v1",):  # the core group, which discovery of named groups does not list
        return resources_of(kind)[0]
    found = {each.api_version: each for each in served if each.kind == kind}
    return next((found[version] for version in versions if version in found), None)


def _unread_versions(
    kind: str, versions: tuple[str, ...], served: Iterable[Resource]
) -> Unlisted | None:
    """The cluster has the kind, but in no version that podfence reads."""
    group = versions[0].rpartition("/")[0]
    others = [each.api_version for each in served if each.kind == kind and each.group == group]
    if not others:
        return None
    has, known = printable(", ".join(others)), " and ".join(versions)
    return Unlisted(kind, f"the server has versions {has} alone, and podfence reads {known}")


SnapshotStep = tuple[Resource, ListPage[Any] | Unlisted]


def _steps(
    client: Client, resources: Iterable[Resource], wanted: KindsToRead
) -> Iterator[SnapshotStep]:
    for resource in resources:
        enough = wanted.policies_of if resource.kind == "NetworkPolicy" else None
        if enough is not None:
            found = [_of_namespace(client, resource, namespace) for namespace in enough]
            if None not in found:
                yield from ((resource, ListPage(items or (), first=False)) for items in found)
                continue
        try:
            for part in list_parts(client, resource):
                yield resource, part
        except ServerRefusal as refusal:
            if refusal.status != FORBIDDEN:
                raise
            yield resource, ListPage((), first=True)
            yield from _one_by_one(client, resource, wanted.namespaces, refusal)


def _one_by_one(
    client: Client, resource: Resource, namespaces: Iterable[str], refusal: ServerRefusal
) -> Iterator[SnapshotStep]:
    """What may be listed in some namespaces of a kind that may not be listed in the cluster."""
    listed: list[str] = []
    for namespace in namespaces:
        found = _of_namespace(client, resource, namespace)
        if found is not None:
            listed.append(namespace)
            yield resource, ListPage(found, first=False)
    text = f"{refusal.said}; {rbac_rule(resource)}"
    yield resource, Unlisted(resource.kind, text, tuple(listed))


def _of_namespace(client: Client, resource: Resource, namespace: str) -> tuple[Any, ...] | None:
    """What may be read of one namespace alone, None where nothing may."""
    try:
        if resource.namespaced:
            items: list[Any] = []
            for part in list_parts(client, resource, namespace):
                items = [*part.items] if part.first else [*items, *part.items]
            return tuple(items)
        if resource.kind == "Namespace":
            body = client.get(f"{resource.path()}/{namespace}")
            return (decode_as(object_type(resource.kind), body, resource.path()),)
    except ServerRefusal as refusal:
        if refusal.status not in (FORBIDDEN, _NOT_FOUND):
            raise
    return None


def rbac_rule(resource: Resource) -> str:
    """The rule of a ClusterRole that allows to list a kind."""
    return (
        "this rule of a ClusterRole allows it: "
        f'{{apiGroups: ["{resource.group}"], resources: ["{resource.name}"], '
        'verbs: ["get", "list", "watch"]}'
    )


def _elsewhere(client: Client, served: Iterable[Resource], wanted: KindsToRead) -> dict[str, int]:
    """How many policies of other APIs there are; a server's preferred version is asked alone."""
    counts: dict[str, int] = {}
    decode = page_decoder("NetworkPolicy").decode
    for resource in served:
        name = f"{resource.kind}.{resource.group}"
        if name in counts or not wanted.is_policy_elsewhere(resource.kind, resource.group):
            continue
        path = resource.path()
        try:
            page = decode_page(decode, client.get(path, {"limit": "1"}), path)
        except ServerRefusal:
            counts[name] = -1
            continue
        counts[name] = len(page.items or ()) + (page.metadata.remainingItemCount or 0)
    return {name: number for name, number in counts.items() if number}
