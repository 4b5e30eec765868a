"""A stand-in for an API server that holds objects in memory, for the pure half of a lab on one.

It does what a server does with the changes that the lab makes, and nothing else: uids, merges,
bindings, deletions that wait for a node.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from typing import Any

from podfence.kube.writes import ApiWrite, WriteVerb, delete
from podfence.lab.api.garbage import garbage
from podfence.lab.api.nodes import bindings, lab_nodes, left, missing_nodes, runs
from podfence.lab.api.podstatus import told
from podfence.lab.api.slices import endpoint_slices
from podfence.lab.api.state import KINDS, ClusterState, path_of, resource, uid
from podfence.lab.api.workloads import controllers

NODES = lab_nodes(2, (4, 6))
NAMES = tuple(node.name for node in NODES)
NOW = "2026-01-01T00:00:00Z"
_PLURALS = {resource(kind).name: kind for kind in KINDS}
_GROUP = re.compile(r"/api/v1|/apis/[^/]+/[^/]+")


def template(**labels: str) -> dict[str, Any]:
    """Of pods with labels."""
    container = {"name": "main", "image": "nginx"}
    return {"metadata": {"labels": labels}, "spec": {"containers": [container]}}


class World:
    """All objects, by kind, namespace and name."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self._numbers = itertools.count(1)

    def create(self, kind: str, name: str, spec: Mapping[str, Any], **meta: Any) -> dict[str, Any]:
        """An object that a user makes; it gets a uid."""
        namespace = "shop" if resource(kind).namespaced else ""
        return self._store(
            kind, namespace, {"metadata": {"name": name, **meta}, "spec": dict(spec)}
        )

    def pod(self, name: str, **spec: Any) -> dict[str, Any]:
        """A pod that a user makes."""
        return self.create("Pod", name, {**template()["spec"], **spec})

    def remove(self, kind: str, name: str, *finalizers: str) -> None:
        """A user deletes an object."""
        namespace = "shop" if resource(kind).namespaced else ""
        if finalizers:
            found = self.objects[kind, namespace, name]
            found["metadata"]["finalizers"] = list(finalizers)
        self.make(delete(path_of(kind, self.objects[kind, namespace, name])))

    def of(self, kind: str) -> list[dict[str, Any]]:
        """All of a kind, by name."""
        return [self.objects[key] for key in sorted(self.objects) if key[0] == kind]

    def names(self, kind: str) -> list[str]:
        """Their names."""
        return [each["metadata"]["name"] for each in self.of(kind)]

    @property
    def state(self) -> ClusterState:
        """As the lab reads it."""
        return ClusterState({kind: tuple(self.of(kind)) for kind in KINDS})

    # -- what the lab does

    def round(self) -> list[ApiWrite]:
        """One round, and what was changed in it."""
        made = self._all(missing_nodes(self.state, NODES, "test", NOW))
        made += self._all(controllers(self.state, NAMES, NOW))
        made += self._all(garbage(self.state))
        made += self._all(endpoint_slices(self.state))
        made += self._all(write for _, write in bindings(self.state, NODES))
        made += self._all(w for run in runs(self.of("Pod"), NODES) for w in told(run, NOW))
        gone = (delete(path_of("Pod", p), uid(p), at_once=True) for p in left(self.state, NODES))
        return made + self._all(gone)

    def settle(self) -> int:
        """Rounds until nothing changes; how many."""
        for number in range(20):
            if not self.round():
                return number
        raise AssertionError("it never comes to rest")

    def _all(self, changes: Iterable[ApiWrite]) -> list[ApiWrite]:
        found = list(changes)
        for each in found:
            self.make(each)
        return found

    # -- what a server does

    def make(self, change: ApiWrite) -> None:
        """One change."""
        kind, namespace, name, below = self._parsed(change.path)
        if kind is None:
            return
        key = kind, namespace, name
        if change.verb is WriteVerb.CREATE and below == "binding":
            self.objects[key]["spec"]["nodeName"] = change.body["target"]["name"]
        elif change.verb is WriteVerb.CREATE:
            self._store(kind, namespace, dict(change.body))
        elif change.verb is WriteVerb.PATCH and key in self.objects:
            _merge(self.objects[key], change.body)
            self._drop_if_done(key)
        elif change.verb is WriteVerb.REPLACE:
            assert below == "finalize"
            del self.objects[key]
        elif change.verb is WriteVerb.DELETE and name:
            self._delete(key, change)
        elif change.verb is WriteVerb.DELETE:
            for each in [k for k in self.objects if k[:2] == (kind, namespace)]:
                self._delete(each, change)

    def _parsed(self, path: str) -> tuple[str | None, str, str, str]:
        parts = path[_GROUP.match(path).end() :].strip("/").split("/")  # type: ignore[union-attr]
        namespace = ""
        if parts[0] == "namespaces" and len(parts) > 2 and parts[2] in _PLURALS:
            _, namespace, *parts = parts
        elif parts[0] == "namespaces" and len(parts) > 2 and parts[2] != "finalize":
            return None, "", "", ""  # a kind that is not held here
        plural, name, below = (*parts, "", "")[:3]
        return _PLURALS.get(plural), namespace, name, below

    def _store(self, kind: str, namespace: str, data: dict[str, Any]) -> dict[str, Any]:
        number = next(self._numbers)
        meta = {**data["metadata"], "uid": f"uid-{number}", "generation": 1}
        if namespace:
            meta["namespace"] = namespace
        key = kind, namespace, meta["name"]
        assert key not in self.objects, f"{key} is there already"
        self.objects[key] = {**data, "metadata": meta, "status": {}}
        return self.objects[key]

    def _delete(self, key: tuple[str, str, str], change: ApiWrite) -> None:
        found = self.objects.get(key)
        wanted = change.body.get("preconditions", {}).get("uid")
        if found is None or wanted not in (None, uid(found)):
            return
        waits = found["spec"].get("nodeName") if key[0] == "Pod" else key[0] == "Namespace"
        if found["metadata"].get("finalizers") or (
            waits and "gracePeriodSeconds" not in change.body
        ):
            found["metadata"]["deletionTimestamp"] = NOW
        else:
            del self.objects[key]

    def _drop_if_done(self, key: tuple[str, str, str]) -> None:
        meta = self.objects[key]["metadata"]
        if "deletionTimestamp" in meta and not meta.get("finalizers") and key[0] != "Pod":
            del self.objects[key]


def _merge(target: dict[str, Any], patch: Mapping[str, Any]) -> None:
    """RFC 7396."""
    for field, value in patch.items():
        if value is None:
            target.pop(field, None)
        elif isinstance(value, Mapping) and isinstance(target.get(field), dict):
            _merge(target[field], value)
        else:
            target[field] = value
