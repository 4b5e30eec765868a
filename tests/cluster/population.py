"""Pods that stay, and sockets in them: every pair of pods and port is tried at once.

Rule: the pods only hold their network namespaces. This process opens sockets inside them, as the
containers would, so a round of some thousand attempts costs no process and no ``exec``.
"""

from __future__ import annotations

import json
import os
import resource
import selectors
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from msgspec import Struct

from podfence.kernel import netns
from podfence.model.networkpolicy import Protocol
from podfence.model.objects import ContainerPort, Pod
from podfence.policy.flow import Flow
from podfence.sets.addresses import IPAddress
from tests.cluster.cluster import Cluster
from tests.cluster.images import PAUSE
from tests.cluster.layout import CONTROL

ANSWER_SECONDS = 0.25
"""An answer on the same machine takes less than a millisecond; a busy machine takes longer."""
_KINDS = {"TCP": socket.SOCK_STREAM, "UDP": socket.SOCK_DGRAM}
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


class TrafficEnd(Struct, frozen=True):
    """Somebody with addresses and a network namespace: a pod, or a host outside."""

    name: str
    addresses: tuple[IPAddress, ...]
    namespace: int


class Population:
    """The pods of a cluster as values, and where to open sockets of theirs."""

    def __init__(self, pods: Sequence[Pod], ends: Sequence[TrafficEnd], ports: Ports) -> None:
        self.pods = pods
        self.ends = ends
        self._ports = ports
        self._listeners: dict[socket.socket, str] = {}
        for end in ends:
            with netns.inside(end.namespace):
                for address in end.addresses:
                    for protocol, port in ports:
                        self._listeners[_listener(address, protocol, port)] = protocol

    def close(self) -> None:
        """Closes what listens."""
        for listener in self._listeners:
            listener.close()

    def flows(self) -> Iterator[Flow]:
        """Every pair of ends, address and port that listens."""
        for source in self.ends:
            for target in self.ends:
                if source is not target:
                    yield from self._between(source, target)

    def _between(self, source: TrafficEnd, target: TrafficEnd) -> Iterator[Flow]:
        for sender in source.addresses:
            for address in target.addresses:
                if sender.version == address.version:
                    for protocol, port in self._ports:
                        yield Flow(sender, address, protocol, port)

    def reached(self, flows: Iterable[Flow]) -> frozenset[Flow]:
        """Those of the flows whose first packet came through, and its answer."""
        of_address = {address: end for end in self.ends for address in end.addresses}
        by_namespace: dict[int, list[Flow]] = {}
        for flow in flows:
            by_namespace.setdefault(of_address[flow.source].namespace, []).append(flow)
        round_ = _Round(self._listeners)
        try:
            for namespace, wanted in by_namespace.items():
                with netns.inside(namespace):
                    for flow in wanted:
                        round_.send(flow)
                round_.turn(0)
            return round_.finish()
        finally:
            round_.close()


Ports = Sequence[tuple[str, int]]


class _Round:
    """Attempts that are under way."""

    def __init__(self, listeners: Mapping[socket.socket, str]) -> None:
        self._selector = selectors.DefaultSelector()
        self._open: dict[socket.socket, Flow] = {}
        self._reached: set[Flow] = set()
        for listener, protocol in listeners.items():
            self._selector.register(listener, selectors.EVENT_READ, protocol)

    def send(self, flow: Flow) -> None:
        """Opens a connection, or sends a datagram, from the namespace of the calling thread."""
        client = socket.socket(_FAMILIES[flow.source.version], _KINDS[flow.protocol])
        client.setblocking(False)
        client.bind((str(flow.source), 0))
        self._open[client] = flow
        client.connect_ex((str(flow.destination), flow.port))
        if flow.protocol == "UDP":
            # An answer of an earlier attempt (a rejection) may be told here.
            with suppress(OSError):
                client.send(b"?")
        event = selectors.EVENT_WRITE if flow.protocol == "TCP" else selectors.EVENT_READ
        self._selector.register(client, event)

    def turn(self, seconds: float) -> bool:
        """Takes in what has arrived; false where nothing did in that time."""
        ready = self._selector.select(seconds)
        for key, _ in ready:
            found = key.fileobj
            assert isinstance(found, socket.socket)
            if key.data == "TCP":
                found.accept()[0].close()
            elif key.data == "UDP":
                data, sender = found.recvfrom(16)
                # The answer may be refused where the one who asked is gone.
                with suppress(OSError):
                    found.sendto(data, sender)
            else:
                self._end(found)
        return bool(ready)

    def _end(self, client: socket.socket) -> None:
        flow = self._open.pop(client)
        if flow.protocol == "TCP":
            is_there = client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        else:
            try:
                is_there = client.recv(16) == b"?"
            except OSError:
                is_there = False
        if is_there:
            self._reached.add(flow)
        self._selector.unregister(client)
        client.close()

    def finish(self) -> frozenset[Flow]:
        """Waits until nothing has arrived for a while; what was reached."""
        while self._open and self.turn(ANSWER_SECONDS):
            pass
        return frozenset(self._reached)

    def close(self) -> None:
        for client in self._open:
            client.close()
        self._selector.close()


def _listener(address: IPAddress, protocol: str, port: int) -> socket.socket:
    """On one address: a node that listens on all of them may answer from another."""
    found = socket.socket(_FAMILIES[address.version], _KINDS[protocol])
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.setblocking(False)
    found.bind((str(address), port))
    if protocol == "TCP":
        found.listen(4096)
    return found


# --------------------------------------------------------------------------------------- the pods


@contextmanager
def populated(cluster: Cluster, pods: Sequence[Pod], ports: Ports) -> Iterator[Population]:
    """The pods in the cluster (their namespaces are made), running, with sockets that listen; the
    nodes and, as a host outside, the control plane have such sockets, too. The pods are deleted
    afterwards.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    names = sorted({pod.namespace for pod in pods})
    with cluster.admin as admin, ExitStack() as stack:
        for name in names:
            admin.create("/api/v1/namespaces", {"metadata": {"name": name}})
            stack.callback(cluster.kubectl, "delete", "namespace", name, "--wait=false")
        for name in names:
            _wait_for(lambda n=name: _has_account(cluster, n))
        for pod in pods:
            admin.create(f"/api/v1/namespaces/{pod.namespace}/pods", _manifest(pod))
        for name in names:
            words = ("--for=condition=Ready", "pod", "--all", "--timeout=60s")
            cluster.kubectl("wait", "-n", name, *words)
        known = [_with_addresses(admin.request("GET", _path(pod)).body, pod) for pod in pods]
        where = dict(_namespaces_by_address(cluster, stack))
        ends = [
            TrafficEnd(f"{p.namespace}/{p.name}", p.addresses, where[p.addresses[0]]) for p in known
        ]
        hosts = {"outside": (CONTROL, cluster.pid())}
        hosts |= {node.name: (node.addresses, cluster.pid(node)) for node in cluster.nodes}
        for name, (addresses, pid) in hosts.items():
            namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
            stack.callback(os.close, namespace)
            ends.append(TrafficEnd(name, tuple(map(ip_address, addresses)), namespace))
        population = Population(known, ends, ports)
        stack.callback(population.close)
        try:
            yield population
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _path(pod: Pod) -> str:
    return f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}"


def _has_account(cluster: Cluster, namespace: str) -> bool:
    """A pod is refused until the controllers have made the account of its namespace."""
    with cluster.admin as admin:
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
        return admin.request("GET", path).status == 200


def _wait_for(is_so: Any) -> None:
    until = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.1)


def _manifest(pod: Pod) -> dict[str, Any]:
    ports = [
        {"name": p.name, "containerPort": p.port, "protocol": p.protocol.value} for p in pod.ports
    ]
    spec = {
        "nodeName": pod.node,
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "containers": [{"name": "main", "image": PAUSE, "ports": ports}],
    }
    return {"metadata": {"name": pod.name, "labels": dict(pod.labels)}, "spec": spec}


def _with_addresses(found: Mapping[str, Any], pod: Pod) -> Pod:
    """The pod as the server has it."""
    status = found["status"]
    return Pod(
        pod.namespace,
        pod.name,
        pod.labels,
        tuple(ip_address(each["ip"]) for each in status["podIPs"]),
        pod.ports,
        pod.node,
        tuple(ip_address(each["ip"]) for each in status["hostIPs"]),
        has_status=True,
    )


def _namespaces_by_address(cluster: Cluster, stack: ExitStack) -> Iterator[tuple[IPAddress, int]]:
    """The network namespaces of all pods of all nodes, by their addresses."""
    for node in cluster.nodes:
        for file in Path(f"/proc/{cluster.pid(node)}", "root", "run", "netns").iterdir():
            namespace = os.open(file, os.O_RDONLY)
            stack.callback(os.close, namespace)
            with netns.inside(namespace):
                done = subprocess.run(["ip", "-j", "address"], capture_output=True, check=True)
            for link in json.loads(done.stdout):
                for each in link["addr_info"]:
                    yield ip_address(each["local"]), namespace


def declared(name: str, port: int, protocol: str) -> ContainerPort:
    """A port that a pod declares."""
    return ContainerPort(name, port, Protocol(protocol))
