"""Where objects of a kind are found on an API server. Pure."""

from __future__ import annotations

import re

from msgspec import Struct

from podfence.admission.kinds import CLUSTER_SCOPED, served_versions


class Resource(Struct, frozen=True):
    """One kind of one version. ``name``: the plural of its path (``networkpolicies``)."""

    group: str
    version: str
    kind: str
    name: str
    namespaced: bool
    only: str = ""
    """A field selector: the objects that are asked for, "" for all."""

    @property
    def api_version(self) -> str:
        """``group/version``; the core group has no name."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "") -> str:
        """Where its objects are listed."""
        prefix = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        within = f"/namespaces/{namespace}" if namespace else ""
        return f"{prefix}{within}/{self.name}"

    def query(self, **more: str) -> dict[str, str]:
        """Parameters of a request for its objects."""
        return {**more, **({"fieldSelector": self.only} if self.only else {})}


def resources_of(kind: str, only: str = "") -> tuple[Resource, ...]:
    """Where a wanted kind is found, in each version that is read, the best one first.

    ``only``: a field selector.
    """
    plural = kind.lower()
    plural = f"{plural[:-1]}ies" if plural.endswith("y") else f"{plural}s"
    found = []
    for api_version in served_versions(kind):
        group, _, version = api_version.rpartition("/")
        found.append(Resource(group, version, kind, plural, kind not in CLUSTER_SCOPED, only))
    return tuple(found)


def pods_for(node: str) -> tuple[tuple[Resource, ...], ...]:
    """The pods that one node has to know, in two disjoint parts: all of its own, and those of other
    nodes that have an address and are seen by policies (NP-50, NP-60).

    A server that cannot select these (``spec.hostNetwork`` since Kubernetes 1.28) is asked for
    more.
    """
    name = _escaped(node)
    own = resources_of("Pod", f"spec.nodeName={name}")
    return own, _seen(f"spec.nodeName!={name},")


def pods_anywhere() -> tuple[Resource, ...]:
    """The pods of all nodes that have an address and are seen by policies."""
    return _seen("")


def _seen(which: str) -> tuple[Resource, ...]:
    others = f"{which}status.podIP!=,status.phase!=Succeeded,status.phase!=Failed"
    selected = (f"{others},spec.hostNetwork=false", others, "")
    return tuple(each for only in selected for each in resources_of("Pod", only))


def own_node(node: str) -> tuple[Resource, ...]:
    """One node's object alone."""
    return resources_of("Node", f"metadata.name={_escaped(node)}")


def other_nodes(node: str) -> tuple[Resource, ...]:
    """All but one node's object."""
    return resources_of("Node", f"metadata.name!={_escaped(node)}")


def _escaped(value: str) -> str:
    """A value in a field selector."""
    return re.sub(r"([\\,=])", r"\\\1", value)
