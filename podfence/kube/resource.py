"""Where objects of a kind are found on an API server. Pure."""

from __future__ import annotations

from msgspec import Struct

from podfence.admission.kinds import CLUSTER_SCOPED, served_versions


class Resource(Struct, frozen=True):
    """One kind of one version. ``name``: the plural of its path (``networkpolicies``)."""

    group: str
    version: str
    kind: str
    name: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        """``group/version``; the core group has no name."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "") -> str:
        """Where its objects are listed."""
        prefix = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        within = f"/namespaces/{namespace}" if namespace else ""
        return f"{prefix}{within}/{self.name}"


def resources_of(kind: str) -> tuple[Resource, ...]:
    """Where a wanted kind is found, in each version that is read, the best one first."""
    plural = kind.lower()
    plural = f"{plural[:-1]}ies" if plural.endswith("y") else f"{plural}s"
    found = []
    for api_version in served_versions(kind):
        group, _, version = api_version.rpartition("/")
        found.append(Resource(group, version, kind, plural, kind not in CLUSTER_SCOPED))
    return tuple(found)
