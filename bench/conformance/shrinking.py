"""A wrong answer -> the smallest case that still shows it.

Rule: whatever is taken away, podfence's reader still takes the objects, the naive judge still says
what it says, no more by podfence's choices than before, and the tool still says the opposite.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from bench.conformance.asking import Ask, Miss, Objects, supports
from bench.conformance.cases import Connection, cluster_of
from bench.conformance.freedom import disputed
from bench.conformance.peers import Peer
from podfence.model.meta import METADATA_NAME_LABEL
from podfence.policy.flow import Flow
from tests.support.oracle import judge

_TRIES = 400
"""Objects without one more thing that are tried for one wrong answer."""
_KEPT = {
    "apiVersion",
    "kind",
    "name",
    "namespace",
    "podIPs",
    "policyTypes",
    "podSelector",
    "subject",
}
_KEPT |= {"tier", "priority", "action", "protocol", "containerPort", "cidr", "operator", "key"}
_KEPT |= {METADATA_NAME_LABEL}
"""Fields that a schema or a default needs: what is in them may go, they stay."""


def smallest(miss: Miss, ask: Ask, peer: Peer) -> tuple[Objects, str]:
    """The objects that are left, and what the tool says of them."""
    objects, said = miss.case.objects, miss.said
    is_open = disputed(miss.case.cluster, miss.connection.flow)
    tries = 0
    progress = True
    while progress and tries < _TRIES:
        progress = False
        for smaller in _smaller(objects):
            tries += 1
            answer = _still_wrong(smaller, miss.connection, ask, peer)
            if answer and (is_open or not _is_disputed(smaller, miss.connection.flow)):
                objects, said, progress = smaller, answer, True
                break
            if tries >= _TRIES:
                break
    return objects, said


def _still_wrong(objects: Objects, connection: Connection, ask: Ask, peer: Peer) -> str:
    """What the tool says where it is still wrong, else nothing."""
    cluster = cluster_of(objects)
    flow = connection.flow
    if cluster is None or not supports(peer, cluster, flow):
        return ""
    said = judge(cluster, flow.source, flow.destination, flow.protocol, flow.port)
    if said.allowed is not connection.allowed:
        return ""
    answer = ask(objects, [flow], {})[0]
    opposite = "deny" if connection.allowed else "allow"
    return answer if answer == opposite else ""


def _is_disputed(objects: Objects, flow: Flow) -> bool:
    cluster = cluster_of(objects)
    return cluster is None or disputed(cluster, flow)


def _smaller(objects: Objects) -> Iterator[Objects]:
    """Everything that is one thing smaller: whole objects first. A server has every namespace."""
    used = {item["metadata"].get("namespace") for item in objects}
    for number in range(len(objects) - 1, -1, -1):
        item = objects[number]
        if item["kind"] != "Namespace" or item["metadata"]["name"] not in used:
            yield objects[:number] + objects[number + 1 :]
    for number in range(len(objects) - 1, -1, -1):
        for path in _paths(objects[number]):
            changed = copy.deepcopy(objects)
            _remove(changed[number], path)
            changed[number]["spec"] = _served(changed[number].get("spec", {}))
            yield changed


_LISTS = ("ingress", "egress", "from", "to", "ports", "except")
Path = tuple[str | int, ...]


def _paths(value: object, here: Path = ()) -> Iterator[Path]:
    """Every path that may be taken away, the outer ones first."""
    if isinstance(value, dict):
        for key in value:
            if key == "labels" and METADATA_NAME_LABEL in value[key]:
                continue
            if key not in _KEPT and (here or key not in ("metadata", "spec", "status")):
                yield (*here, key)
        for key, item in value.items():
            yield from _paths(item, (*here, key))
    if isinstance(value, list):
        if here[-1:] != ("policyTypes",):
            for number in range(len(value)):
                yield (*here, number)
        for number, item in enumerate(value):
            yield from _paths(item, (*here, number))


def _served(value: Any) -> Any:
    """As an API server gives it back: an empty list of rules, peers or ports is no list."""
    if isinstance(value, dict):
        kept = {key: _served(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if key not in _LISTS or item}
    return [_served(item) for item in value] if isinstance(value, list) else value


def _remove(value: object, path: Path) -> None:
    *outer, last = path
    for step in outer:
        value = value[step]  # type: ignore[index]
    del value[last]  # type: ignore[attr-defined]


def ends(objects: Objects, flow: Flow) -> tuple[str, str]:
    """The two ends of a connection as people call them."""
    names = {
        each["ip"]: f"{item['metadata']['namespace']}/{item['metadata']['name']}"
        for item in objects
        if item["kind"] == "Pod"
        for each in item.get("status", {}).get("podIPs", ())
    }
    source, destination = str(flow.source), str(flow.destination)
    return names.get(source, source), names.get(destination, destination)
