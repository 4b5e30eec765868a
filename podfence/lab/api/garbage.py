"""Garbage collection: the pods of a deleted workload, and the objects of a deleted namespace. Pure.

Rule: a deletion names the uid of its object, so a new object of the same name is never deleted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from podfence.kube.writes import ApiWrite, WriteVerb, delete
from podfence.lab.api.state import (
    KINDS,
    WORKLOADS,
    ApiObject,
    ClusterState,
    controller,
    finalizers,
    is_going,
    name,
    namespace,
    path_of,
    resource,
    uid,
)

_DEPENDENT: Final = ("ReplicaSet", "Pod")
_FOREGROUND, _ORPHAN = "foregroundDeletion", "orphan"
_ALSO: Final = ("configmaps", "secrets", "serviceaccounts", "endpoints")
"""Kinds of the core group that the lab does not read, but that are deleted with their namespace."""


def garbage(state: ClusterState) -> Iterator[ApiWrite]:
    """All that is to go."""
    yield from _orphans(state)
    for kind in WORKLOADS:
        for each in state.of(kind):
            if is_going(each):
                yield from _going(state, kind, each)
    for each in state.of("Namespace"):
        if is_going(each):
            yield from _namespace(state, each)


def _orphans(state: ClusterState) -> Iterator[ApiWrite]:
    """Objects whose controller no longer exists."""
    alive = {uid(each) for kind in WORKLOADS for each in state.of(kind)}
    for kind in _DEPENDENT:
        for each in state.of(kind):
            owner = controller(each)
            lost = owner.get("kind") in WORKLOADS and owner.get("uid") not in alive
            if lost and not is_going(each):
                yield delete(path_of(kind, each), uid(each))


def _going(state: ClusterState, kind: str, owner: ApiObject) -> Iterator[ApiWrite]:
    """A workload that waits: for its objects to be gone, or to be let go."""
    waits = finalizers(owner)
    owned = [(k, each) for k in _DEPENDENT for each in state.owned(k, owner)]
    if _ORPHAN in waits:
        for k, each in owned:
            yield ApiWrite(
                WriteVerb.PATCH,
                path_of(k, each),
                {"metadata": {"uid": uid(each), "ownerReferences": None}},
            )
        yield _without(kind, owner, _ORPHAN)
    elif _FOREGROUND in waits:
        yield from (delete(path_of(k, each), uid(each)) for k, each in owned if not is_going(each))
        if not owned:
            yield _without(kind, owner, _FOREGROUND)


def _without(kind: str, of: ApiObject, finalizer: str) -> ApiWrite:
    left = [each for each in finalizers(of) if each != finalizer]
    patch = {"metadata": {"uid": uid(of), "finalizers": left or None}}
    return ApiWrite(WriteVerb.PATCH, path_of(kind, of), patch)


def _namespace(state: ClusterState, going: ApiObject) -> Iterator[ApiWrite]:
    """Everything in it, then the namespace itself."""
    title = name(going)
    left = False
    for kind in KINDS:
        where = resource(kind)
        here = [each for each in state.of(kind) if where.namespaced and namespace(each) == title]
        left = left or bool(here)
        if any(not is_going(each) for each in here):
            if kind == "Service":  # it may be deleted one by one only on servers before 1.24
                yield from (delete(path_of(kind, each), uid(each)) for each in here)
            else:
                yield delete(where.path(title))
    if not left:
        yield from (delete(f"/api/v1/namespaces/{title}/{plural}") for plural in _ALSO)
        body = {**going, "apiVersion": "v1", "kind": "Namespace", "spec": {"finalizers": []}}
        yield ApiWrite(WriteVerb.REPLACE, f"/api/v1/namespaces/{title}/finalize", body)
