"""A cluster in memory behind the API: lists in pages, watches, versions, RBAC, compaction.

It does what kube-apiserver does as far as a reader can tell, and nothing else: it is written
against the documentation of the API ("Kubernetes API Concepts"), not against our client.
"""

from __future__ import annotations

import base64
import copy
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.kube.fakeapi import Answer, FakeApi, Request, refusal, serving

Json = dict[str, Any]

SERVED = {
    ("", "v1", "namespaces"): ("Namespace", False),
    ("", "v1", "nodes"): ("Node", False),
    ("", "v1", "pods"): ("Pod", True),
    ("", "v1", "services"): ("Service", True),
    ("batch", "v1", "cronjobs"): ("CronJob", True),
    ("discovery.k8s.io", "v1", "endpointslices"): ("EndpointSlice", True),
    ("networking.k8s.io", "v1", "networkpolicies"): ("NetworkPolicy", True),
}
"""What every cluster has: group, version and plural -> kind, namespaced."""
TIER = ("policy.networking.k8s.io", "v1beta1", "clusternetworkpolicies")
CILIUM = ("cilium.io", "v2", "ciliumnetworkpolicies")


@dataclass
class FakeCluster:
    """State, and what is wrong with it. ``forbidden``: plurals that nobody may list in the whole
    cluster; ``allowed``: namespaces in which they may be listed."""

    served: dict[tuple[str, str, str], tuple[str, bool]] = field(
        default_factory=lambda: dict(SERVED)
    )
    forbidden: set[str] = field(default_factory=set)
    allowed: set[str] = field(default_factory=set)
    watch_list: bool = True
    version: int = 100
    compacted: int = 0
    objects: dict[tuple[str, str, str], Json] = field(default_factory=dict)
    log: list[tuple[int, str, str, Json]] = field(default_factory=list)
    remembered: dict[tuple[str, str, str], Json] = field(default_factory=dict)
    """What there was when the past was forgotten last."""
    cuts: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)
    bookmark_seconds: float = 0.05
    stutter: int = 0
    """Versions before the one asked from whose events a watch sends once more."""
    selects: frozenset[str] = frozenset(
        (
            "metadata.name",
            "metadata.namespace",
            "spec.nodeName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
        )
    )
    """The fields by which objects can be selected."""
    runs: Callable[[str, Json], tuple[Json, bytes]] = lambda *_: ({"waiting": {}}, b"")
    """What becomes of an ephemeral container of a pod: its state and its log."""
    logs: dict[tuple[str, str, str], bytes] = field(default_factory=dict)
    before: Callable[[Request], Answer | None] = lambda _: None
    """A test's own answer to a request, None for the cluster's."""

    # -- what tests do to it

    def apply(self, data: Json) -> None:
        """Create or replace an object."""
        plural = next(key[2] for key, (kind, _) in self.served.items() if kind == data["kind"])
        metadata = data["metadata"]
        key = (plural, metadata.get("namespace", ""), metadata["name"])
        with self.changed:
            self.version += 1
            stored = copy.deepcopy(data)
            stored["metadata"]["resourceVersion"] = str(self.version)
            event = "MODIFIED" if key in self.objects else "ADDED"
            self.objects[key] = stored
            self.log.append((self.version, event, plural, stored))
            self.changed.notify_all()

    def delete(self, plural: str, namespace: str, name: str) -> None:
        """Delete an object that is there."""
        with self.changed:
            self.version += 1
            gone = copy.deepcopy(self.objects.pop((plural, namespace, name)))
            gone["metadata"]["resourceVersion"] = str(self.version)
            self.log.append((self.version, "DELETED", plural, gone))
            self.changed.notify_all()

    def compact(self) -> None:
        """Forget the past: whoever asks for it gets 410."""
        with self.changed:
            self.compacted = self.version
            self.remembered = {**self.objects}
            self.log.clear()
            self.changed.notify_all()

    def cut(self) -> None:
        """Cut every watch that is open."""
        with self.changed:
            self.cuts += 1
            self.changed.notify_all()

    # -- what it answers

    def respond(self, request: Request) -> Answer:
        """The answer to one request."""
        # Before anything else is looked at: what a test takes away and then cuts is either not
        # found any more or cut, however late the watch of it begins to send.
        cuts = self.cuts
        if (own := self.before(request)) is not None:
            return own
        if request.path == "/apis":
            return Answer(body=self._discovery())
        words = request.path.strip("/").split("/")
        group, version = ("", words[1]) if words[0] == "api" else (words[1], words[2])
        rest = words[2:] if words[0] == "api" else words[3:]
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        found = self.served.get((group, version, rest[0]))
        if found is None:
            return refusal(404, "the server could not find the requested resource")
        name = rest[1] if len(rest) > 1 else ""
        if rest[0] in self.forbidden and (namespace or name) not in self.allowed:
            where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
            full = f"{rest[0]}.{group}" if group else rest[0]
            return refusal(
                403,
                f'{full} is forbidden: User "reader" cannot list resource "{rest[0]}" in API group '
                f'"{group}" {where}',
            )
        if len(rest) > 2:
            return self._part_of_pod(request, namespace, name, rest[2])
        if name:
            one = self.objects.get((rest[0], namespace, name))
            return Answer(body=one) if one else refusal(404, f'{rest[0]} "{name}" not found')
        labels = request.query.get("labelSelector", "")
        selected = _Selected(rest[0], namespace, request.query.get("fieldSelector", ""), labels)
        for field_, _, _ in selected.wanted:
            if field_ not in self.selects:
                return refusal(400, f"field label not supported: {field_}")
        if request.query.get("watch") == "true":
            return self._watch(request.query, selected, cuts)
        return self._list(request.query, selected, found[0])

    def _part_of_pod(self, request: Request, namespace: str, name: str, part: str) -> Answer:
        """Subresources: its log, and its ephemeral containers, which a merge by name adds."""
        pod = copy.deepcopy(self.objects.get(("pods", namespace, name)))
        if pod is None:
            return refusal(404, f'pods "{name}" not found')
        if part == "log":
            log = self.logs.get((namespace, name, request.query.get("container", "")))
            return refusal(400, "container not found") if log is None else Answer(body=log)
        assert (request.method, part) == ("PATCH", "ephemeralcontainers")
        assert request.headers["Content-Type"] == "application/strategic-merge-patch+json"
        for container in json.loads(request.body)["spec"]["ephemeralContainers"]:
            pod["spec"].setdefault("ephemeralContainers", []).append(container)
            state, log = self.runs(f"{namespace}/{name}", container)
            self.logs[namespace, name, container["name"]] = log
            status = {"name": container["name"], "state": state}
            pod["status"].setdefault("ephemeralContainerStatuses", []).append(status)
        self.apply(pod)
        return Answer(body=pod)

    def _discovery(self) -> Json:
        groups: dict[str, dict[str, list[Json]]] = {}
        for (group, version, plural), (kind, namespaced) in self.served.items():
            if group:
                scope = "Namespaced" if namespaced else "Cluster"
                entry = {"resource": plural, "responseKind": {"kind": kind}, "scope": scope}
                groups.setdefault(group, {}).setdefault(version, []).append(entry)
        items = [
            {
                "metadata": {"name": group},
                "versions": [{"version": v, "resources": r} for v, r in versions.items()],
            }
            for group, versions in groups.items()
        ]
        return {"kind": "APIGroupDiscoveryList", "items": items}

    def _list(self, query: dict[str, str], selected: _Selected, kind: str) -> Answer:
        with self.changed:
            version, start, items = self.version, 0, selected.among(self.objects)
            if token := query.get("continue"):
                version, start = json.loads(base64.b64decode(token))
                if version < self.compacted:
                    return refusal(410, "The provided continue parameter is too old")
                if version < self.version:  # as it was then; the log knows
                    items = selected.among(self._at(version, selected.plural))
            limit = int(query.get("limit") or 0) or len(items)
            metadata: Json = {"resourceVersion": str(version)}
            if start + limit < len(items):
                after = json.dumps([version, start + limit]).encode()
                metadata["continue"] = base64.b64encode(after).decode()
                metadata["remainingItemCount"] = len(items) - start - limit
            page = items[start : start + limit]
        return Answer(body={"kind": f"{kind}List", "metadata": metadata, "items": page})

    def _at(self, version: int, plural: str) -> dict[tuple[str, str, str], Json]:
        """What there was at a version that is not forgotten yet."""
        then = {key: item for key, item in self.remembered.items() if key[0] == plural}
        for number, event, which, item in self.log:
            if number <= version and which == plural:
                if event == "DELETED":
                    then.pop(_key(plural, item), None)
                else:
                    then[_key(plural, item)] = item
        return then

    def _watch(self, query: dict[str, str], selected: _Selected, cuts: int) -> Answer:
        initial = query.get("sendInitialEvents") == "true"
        if initial and not self.watch_list:
            return refusal(422, "sendInitialEvents is forbidden for watch")
        return Answer(stream=self._events(query, selected, cuts, initial=initial))

    def _events(
        self, query: dict[str, str], selected: _Selected, cuts: int, *, initial: bool
    ) -> Iterator[bytes]:
        if initial:
            with self.changed:
                position, items = self.version, selected.among(self.objects)
            for item in items:
                yield _line("ADDED", item)
            yield _bookmark(position, **{"k8s.io/initial-events-end": "true"})
        else:
            position = int(query.get("resourceVersion") or self.version)
        again = self.stutter
        with self.changed:
            started = self._at(position, selected.plural)
        known = {_key(selected.plural, item) for item in selected.among(started)}
        while True:
            with self.changed:
                if position < self.compacted:
                    status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "old"}
                    yield _line("ERROR", status)
                    return
                events = [e for e in self.log if e[0] > position - again]
                again = 0
                if not events:
                    self.changed.wait(self.bookmark_seconds)
                if self.cuts != cuts:
                    raise ConnectionAbortedError
            for number, event, which, item in events:
                position = max(position, number)
                key = _key(which, item)
                if event != "DELETED" and selected.takes(key, item):
                    yield _line(event if event == "ADDED" or key in known else "ADDED", item)
                    known.add(key)
                elif key in known or (event == "DELETED" and selected.takes(key, item)):
                    yield _line("DELETED", item)
                    known.discard(key)
            if not events and query.get("allowWatchBookmarks") == "true":
                yield _bookmark(position)


class _Selected:
    """The objects that a request is about: of a namespace, of all for "", with a field selector and
    one label."""

    def __init__(self, plural: str, namespace: str, fields: str, label: str) -> None:
        self.plural = plural
        self._label, _, self._labelled = label.partition("=")
        self.namespace = namespace
        parts = [part.partition("!=" if "!=" in part else "=") for part in fields.split(",")]
        self.wanted = [part for part in parts if part[0]]

    def among(self, objects: dict[tuple[str, str, str], Json]) -> list[Json]:
        """Those of some objects, in order."""
        return [item for key, item in sorted(objects.items()) if self.takes(key, item)]

    def takes(self, key: tuple[str, str, str], item: Json) -> bool:
        """Whether it is about an object."""
        if key[0] != self.plural or self.namespace not in ("", key[1]):
            return False
        labels = item["metadata"].get("labels") or {}
        if self._label and labels.get(self._label) != self._labelled:
            return False
        return all((_value(item, f) == value) is (how == "=") for f, how, value in self.wanted)


def _value(item: Json, path: str) -> str:
    found: Any = item
    for name in path.split("."):
        found = (found or {}).get(name)
    default = "false" if path == "spec.hostNetwork" else ""
    return default if found is None else str(found).lower() if found in (True, False) else found


def _key(plural: str, item: Json) -> tuple[str, str, str]:
    return plural, item["metadata"].get("namespace", ""), item["metadata"]["name"]


def _line(event: str, item: Json) -> bytes:
    return json.dumps({"type": event, "object": item}).encode() + b"\n"


def _bookmark(version: int, **annotations: str) -> bytes:
    metadata: Json = {"resourceVersion": str(version)}
    if annotations:
        metadata["annotations"] = annotations
    return _line("BOOKMARK", {"kind": "Pod", "apiVersion": "v1", "metadata": metadata})


def kubeconfig(folder: Path, url: str, namespace: str = "") -> Path:
    """A kubeconfig for a server, with one context called ``test``."""
    context = {"cluster": "c", "user": "u", **({"namespace": namespace} if namespace else {})}
    data = {
        "current-context": "test",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": "hush"}}],
        "contexts": [{"name": "test", "context": context}],
    }
    file = folder / "config"
    file.write_text(yaml.safe_dump(data), encoding="utf-8")
    return file


@contextmanager
def running(cluster: FakeCluster) -> Iterator[FakeApi]:
    """The cluster behind a server, for the time of a ``with``."""
    with serving(cluster.respond) as api:
        yield api
