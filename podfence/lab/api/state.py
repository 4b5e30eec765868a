"""What a cluster holds, as its objects were read: the input of controllers and nodes. Pure.

Rule: one reading is all that a decision knows. Objects are JSON values, read only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from podfence.kube.resource import Resource, resources_of

ApiObject = Mapping[str, Any]

WORKLOADS = (
    "Deployment",
    "ReplicaSet",
    "ReplicationController",
    "StatefulSet",
    "DaemonSet",
    "Job",
)
"""Kinds that pods are made for."""
POLICIES = (
    "NetworkPolicy",
    "ClusterNetworkPolicy",
    "AdminNetworkPolicy",
    "BaselineAdminNetworkPolicy",
)
SEEN = ("Namespace", "Pod", "Service", *POLICIES)
"""The kinds that verdicts depend on, except nodes, which the lab defines itself."""
KINDS = ("Node", *SEEN, *WORKLOADS, "EndpointSlice")
"""All that is read."""


class ClusterState(Struct, frozen=True):
    """``of_kind``: all objects of each kind; one that the server does not have is empty."""

    of_kind: Mapping[str, tuple[ApiObject, ...]]

    def of(self, kind: str) -> tuple[ApiObject, ...]:
        """All of a kind."""
        return self.of_kind.get(kind, ())

    def owned(self, kind: str, owner: ApiObject) -> Iterator[ApiObject]:
        """Those of a kind whose controller an object is."""
        wanted = uid(owner)
        return (each for each in self.of(kind) if controller(each).get("uid") == wanted)


def uid(of: ApiObject) -> str:
    """The uid of an object: it differs from that of every other object, even one of the same
    name."""
    return str(of["metadata"]["uid"])


def name(of: ApiObject) -> str:
    """Its name."""
    return str(of["metadata"]["name"])


def namespace(of: ApiObject) -> str:
    """Its namespace, ``""`` where it has none."""
    return str(of["metadata"].get("namespace", ""))


def labels(of: ApiObject) -> Mapping[str, str]:
    """Its labels."""
    return of["metadata"].get("labels") or {}


def is_going(of: ApiObject) -> bool:
    """Whether it is being deleted."""
    return "deletionTimestamp" in of["metadata"]


def finalizers(of: ApiObject) -> list[str]:
    """The finalizers of an object: work to do before it is removed."""
    return list(of["metadata"].get("finalizers") or ())


def controller(of: ApiObject) -> Mapping[str, Any]:
    """The reference to its controller; empty where it has none."""
    references = of["metadata"].get("ownerReferences") or ()
    return next((each for each in references if each.get("controller")), {})


def resource(kind: str) -> Resource:
    """Where a kind is found, in the version to write."""
    return resources_of(kind)[0]


def path_of(kind: str, of: ApiObject, below: str = "") -> str:
    """The path of an object, or of what lies below it (``status``)."""
    path = f"{resource(kind).path(namespace(of))}/{name(of)}"
    return f"{path}/{below}" if below else path


def holds(known: Any, wanted: Any) -> bool:
    """Whether an object has all that is wanted; it may have more. The server leaves out what is
    empty or 0."""
    if isinstance(wanted, Mapping):
        return isinstance(known, Mapping) and all(
            holds(known.get(field), value) for field, value in wanted.items()
        )
    if isinstance(wanted, list) and isinstance(known, list):
        return len(known) == len(wanted) and all(map(holds, known, wanted))
    return bool(known == wanted) or (known is None and not wanted)
