"""A cluster, and what happens in it, as lines of a watch.

    python -m bench.eventfeed C10 --events 10000

Rule: the same arguments give the same bytes. Pods are as long as those of a real server. First a
line for each object, then an empty one, then the events in their order; each line starts with the
kind and a space.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from random import Random
from typing import Any, Final

from msgspec import Struct

from bench.generate import Manifest, Shape, generate

SHAPES: Final = {
    "small": Shape(20, 400, 120, 4, 1),
    "C10": Shape(200, 10_000, 1_000, 8, 1),
    "C10x10": Shape(200, 10_000, 10_000, 8, 1),
    "C100": Shape(1_000, 100_000, 10_000, 12, 1),
}
PODS_A_NODE: Final = 110
NODE: Final = "node-0"
"""The node that is measured."""
MIX: Final = {
    "status": 40,
    "new": 12,
    "address": 12,
    "deleted": 12,
    "relabelled": 4,
    "phase": 6,
    "policy-changed": 7,
    "policy-added": 3,
    "policy-deleted": 2.5,
    "namespace-relabelled": 1.5,
}
"""What happens -> how often, in a hundred events."""
POD_BYTES: Final = 7_400
_LOCAL: Final = 0.08
_NEW_LABELS: Final = 0.15
_FAMILIES: Final = {4: "10.64.0.0", 6: "fd64::"}


class Feed:
    """The cluster, with what is still to come."""

    def __init__(self, shape: Shape, seed: int = 1) -> None:
        self._rng = Random(seed)
        wanted = shape.policies
        more = max(200, wanted // 5)
        spare = Shape(
            shape.namespaces,
            shape.pods,
            wanted + more,
            shape.replicas,
            shape.seed,
            shape.dual_stack,
        )
        cluster, policies = generate(spare)
        self._nodes = -(-shape.pods // PODS_A_NODE)
        self._families = (4, 6) if shape.dual_stack else (4,)
        self._free: list[int] = []
        self._used = [0] * self._nodes
        self.namespaces = [item for item in cluster if item["kind"] == "Namespace"]
        self.pods = [item for item in cluster if item["kind"] == "Pod"]
        self.policies, self._spare = policies[:wanted], policies[wanted:]
        for pod in self.pods:
            self._schedule(pod, self._rng.randrange(self._nodes))
        self._waiting: list[Manifest] = []
        self._number = 0

    def objects(self) -> Iterator[tuple[str, Manifest]]:
        """All that is there at first."""
        for thing in (*self.namespaces, *self._node_objects(), *self.pods, *self.policies):
            yield "ADDED", thing

    def events(self, count: int) -> Iterator[tuple[str, Manifest]]:
        """So many events."""
        kinds, weights = list(MIX), list(MIX.values())
        for kind in self._rng.choices(kinds, weights, k=count):
            yield self._event(kind)

    def _event(self, kind: str) -> tuple[str, Manifest]:
        rng, pods = self._rng, self.pods
        if kind == "new":
            return "ADDED", self._new_pod()
        if kind == "address" and self._waiting:
            pod = self._waiting.pop(0)
            self._give_address(pod)
            pods.append(pod)
            return "MODIFIED", pod
        if kind == "deleted":
            return "DELETED", _taken(rng, pods)
        if kind == "policy-changed":
            policy = rng.choice(self.policies)
            policy["spec"] = rng.choice(self._spare)["spec"]
            return "MODIFIED", policy
        if kind == "policy-added":
            self._number += 1
            spare = rng.choice(self._spare)
            name = f"added-{self._number}"
            policy = {**spare, "metadata": {**spare["metadata"], "name": name}}
            self.policies.append(policy)
            return "ADDED", policy
        if kind == "policy-deleted":
            return "DELETED", _taken(rng, self.policies)
        if kind == "namespace-relabelled":
            namespace, other = rng.choice(self.namespaces), rng.choice(self.namespaces)
            for key in ("team", "stage"):
                namespace["metadata"]["labels"][key] = other["metadata"]["labels"][key]
            return "MODIFIED", namespace
        pod = rng.choice(pods)
        if kind == "relabelled":
            labels = rng.choice(pods)["metadata"]["labels"]
            pod["metadata"]["labels"] = dict(labels)
        elif kind == "phase":
            finishes = rng.random() < 0.5
            pod["status"]["phase"] = "Succeeded" if finishes else "Running"
        else:
            pod["status"]["message"] = f"probe {rng.random()}"
        return "MODIFIED", pod

    # -- pods

    def _new_pod(self) -> Manifest:
        """A pod of a workload that is there, without address yet."""
        rng = self._rng
        self._number += 1
        like = rng.choice(self.pods)
        labels = dict(like["metadata"]["labels"])
        if rng.random() < _NEW_LABELS:
            labels["version"] = f"v{rng.randrange(1, 4)}"
            labels["rollout"] = f"r{self._number}"
        node = 0 if rng.random() < _LOCAL else rng.randrange(1, self._nodes)
        pod = {
            **like,
            "metadata": {
                **like["metadata"],
                "name": f"new-{self._number}",
                "labels": labels,
            },
            "spec": {**like["spec"], "nodeName": f"node-{node}"},
            "status": {"phase": "Pending"},
        }
        self._waiting.append(pod)
        return pod

    def _schedule(self, pod: Manifest, node: int) -> None:
        pod["spec"]["nodeName"] = f"node-{node}"
        self._give_address(pod)

    def _give_address(self, pod: Manifest) -> None:
        """The next address of the node's range."""
        node = int(pod["spec"]["nodeName"].removeprefix("node-"))
        self._used[node] += 1
        ips = [str(_address(family, node, self._used[node])) for family in self._families]
        host = str(ip_address("172.20.0.0") + node)
        pod["status"] = {
            "phase": "Running",
            "hostIP": host,
            "podIP": ips[0],
            "podIPs": [{"ip": ip} for ip in ips],
        }

    def _node_objects(self) -> Iterator[Manifest]:
        for node in range(self._nodes):
            address = str(ip_address("172.20.0.0") + node)
            yield {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": f"node-{node}"},
                "spec": {"podCIDRs": [f"{_address(4, node, 0)}/22"]},
                "status": {"addresses": [{"type": "InternalIP", "address": address}]},
            }


def _address(family: int, node: int, number: int) -> Any:
    """1,024 addresses a node."""
    if family == 4:
        return ip_address(_FAMILIES[4]) + (node << 10) + number
    return ip_address(int(ip_address(_FAMILIES[6])) + (node << 64) + number)


def _taken(rng: Random, things: list[Manifest]) -> Manifest:
    at = rng.randrange(len(things))
    things[at], things[-1] = things[-1], things[at]
    return things.pop()


class Line(Struct, frozen=True):
    """A line of a watch."""

    kind: str
    data: bytes


def line(kind: str, thing: Manifest) -> bytes:
    """An event as a server writes it; labels in the order of their keys."""
    found = json.dumps({"type": kind, "object": filled(thing)}, separators=(",", ":"))
    return f"{thing['kind']} {found}\n".encode()


def filled(thing: Manifest) -> Manifest:
    """With what nobody asks for: managed fields, conditions, volumes."""
    metadata = dict(thing["metadata"])
    metadata["labels"] = dict(sorted(metadata.get("labels", {}).items()))
    found = {**thing, "metadata": metadata}
    if thing["kind"] == "Pod":
        size = len(json.dumps(found))
        entry = {"manager": "kubelet", "operation": "Update", "fieldsV1": {"f:status": {}}}
        times = max(0, POD_BYTES - size) // len(json.dumps(entry))
        metadata["managedFields"] = [entry] * times
    return found


def arguments(description: str | None) -> argparse.Namespace:
    """What the feed, and who measures it, are told: the shape and the number of events."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--dual-stack", action="store_true")
    parser.add_argument(
        "--rate", type=float, default=200, help="events a second, where that counts"
    )
    parser.add_argument("--runs", type=int, default=3, help="how often, where that counts")
    return parser.parse_args()


def main() -> None:
    """Write the lines to standard output."""
    options = arguments(__doc__)
    shape = SHAPES[options.shape]
    if options.dual_stack:
        shape = Shape(shape.namespaces, shape.pods, shape.policies, shape.replicas, 1, True)
    feed = Feed(shape)
    out = sys.stdout.buffer
    for kind, thing in feed.objects():
        out.write(line(kind, thing))
    out.write(b"\n")
    for kind, thing in feed.events(options.events):
        out.write(line(kind, thing))
    out.flush()


if __name__ == "__main__":
    main()
