"""The nodes of a lab as objects, and the pods that run on them, with their addresses. Pure.

Rule: the node and the addresses that the cluster reports for a pod stay. Missing ones are assigned
here: the node with the fewest pods, and the first free address of that node's range.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any, Final

from msgspec import Struct

from podfence.kube.writes import ApiWrite, WriteVerb
from podfence.lab.api.state import ApiObject, ClusterState, is_going, name, namespace, path_of, uid
from podfence.lab.testbed.scheduling import NODE_ADDRESSES, NODE_NAME
from podfence.model.cluster import ASSUMED_V4, ASSUMED_V6
from podfence.model.objects import Node
from podfence.sets.addresses import IPAddress, IPNetwork

_RANGES: Final = {4: ip_network(f"{ASSUMED_V4}/16"), 6: ip_network(f"{ASSUMED_V6}/48")}
_OF_NODE: Final = {4: 24, 6: 64}
"""Prefix lengths of a node's share."""
_FINISHED: Final = frozenset({"Succeeded", "Failed"})
_HOSTNAME: Final = "kubernetes.io/hostname"
_NOT_HERE: Final = "no node of the lab has the labels of its nodeSelector"


def lab_nodes(number: int, families: Iterable[int]) -> tuple[Node, ...]:
    """The nodes of a lab, with an address and a pod range of each IP version."""
    versions = tuple(families)
    return tuple(
        Node(
            title,
            tuple((key, value) for key, value in _labels(title).items()),
            tuple(NODE_ADDRESSES[version] + at for version in versions),
            tuple(_share(version, at) for version in versions),
        )
        for at, title in enumerate(_titles(number))
    )


def _titles(number: int) -> Iterator[str]:
    return (NODE_NAME if at == 1 else f"{NODE_NAME}-{at}" for at in range(1, number + 1))


def _labels(title: str) -> dict[str, str]:
    return {_HOSTNAME: title, "kubernetes.io/os": "linux"}


def _share(version: int, at: int) -> IPNetwork:
    whole, length = _RANGES[version], _OF_NODE[version]
    first = int(whole.network_address) + (at << (whole.max_prefixlen - length))
    return ip_network(f"{ip_address(first) if version == 4 else _v6(first)}/{length}")


def _v6(number: int) -> IPAddress:
    return ip_address(number.to_bytes(16))


# -- as objects


def missing_nodes(
    state: ClusterState, nodes: Iterable[Node], system: str, now: str
) -> Iterator[ApiWrite]:
    """Nodes that the cluster lacks, and fields that its Node objects lack. ``system``: the system
    info to report."""
    known = {name(each): each for each in state.of("Node")}
    for node in nodes:
        if node.name not in known:
            yield ApiWrite(WriteVerb.CREATE, "/api/v1/nodes", _node(node))
        elif not known[node.name].get("status", {}).get("addresses"):
            status = {"status": _status(node, system, now)}
            yield ApiWrite(WriteVerb.PATCH, f"/api/v1/nodes/{node.name}/status", status)


def _node(node: Node) -> dict[str, Any]:
    ranges = [str(each) for each in node.pod_cidrs]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node.name, "labels": dict(node.labels)},
        "spec": {"podCIDR": ranges[0], "podCIDRs": ranges},
    }


def _status(node: Node, system: str, now: str) -> dict[str, Any]:
    unknown = ("machineID", "systemUUID", "bootID", "kernelVersion", "architecture")
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "LabReady",
        "message": "a network namespace of this machine",
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    }
    room = {"pods": "100", "cpu": "64", "memory": "256Gi"}
    return {
        "addresses": [
            *({"type": "InternalIP", "address": str(address)} for address in node.addresses),
            {"type": "Hostname", "address": node.name},
        ],
        "conditions": [ready],
        "capacity": room,
        "allocatable": room,
        "nodeInfo": {
            **dict.fromkeys(unknown, ""),
            "osImage": "network namespace",
            "operatingSystem": "linux",
            "containerRuntimeVersion": "none://0",
            "kubeletVersion": system,
            "kubeProxyVersion": "",
        },
    }


# -- pods on them


class PodRun(Struct, frozen=True):
    """A pod to run. ``pod``: as it was read, but with its node."""

    pod: ApiObject
    node: Node
    addresses: tuple[IPAddress, ...]
    host_network: bool = False

    @property
    def text(self) -> str:
        """``namespace/name``, as parties are called."""
        return f"{namespace(self.pod)}/{name(self.pod)}"


def bindings(state: ClusterState, nodes: Sequence[Node]) -> Iterator[tuple[str, ApiWrite]]:
    """A node for each pod that has none: the uid of the pod, and the change."""
    load = Counter(dict.fromkeys((node.name for node in nodes), 0))
    load.update(pod["spec"]["nodeName"] for pod in state.of("Pod") if node_of(pod) in load)
    for pod in state.of("Pod"):
        if node_of(pod) or is_going(pod) or pod["spec"].get("schedulingGates"):
            continue
        fit = [node.name for node in nodes if _fits(pod, node)]
        if not fit:
            yield from (("", write) for write in _unschedulable(pod))
            continue
        chosen = min(fit, key=lambda each: load[each])
        load[chosen] += 1
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name(pod), "namespace": namespace(pod), "uid": uid(pod)},
            "target": {"apiVersion": "v1", "kind": "Node", "name": chosen},
        }
        yield uid(pod), ApiWrite(WriteVerb.CREATE, path_of("Pod", pod, "binding"), body)


def node_of(pod: ApiObject) -> str:
    """The node that a pod is bound to, ``""`` for none."""
    return str(pod["spec"].get("nodeName") or "")


def _fits(pod: ApiObject, node: Node) -> bool:
    wanted: Mapping[str, str] = pod["spec"].get("nodeSelector") or {}
    return set(wanted.items()) <= set(node.labels)


def _unschedulable(pod: ApiObject) -> Iterator[ApiWrite]:
    conditions = pod.get("status", {}).get("conditions") or ()
    if not any(each.get("message") == _NOT_HERE for each in conditions):
        said = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
        patch = {"status": {"conditions": [{**said, "message": _NOT_HERE}]}}
        yield ApiWrite(WriteVerb.PATCH, path_of("Pod", pod, "status"), patch)


def runs(pods: Iterable[ApiObject], nodes: Iterable[Node]) -> tuple[PodRun, ...]:
    """The pods that run on nodes of the lab, with the addresses of their status or else free ones.
    A pod that is being deleted no longer runs, and keeps its addresses until it is gone."""
    known = {node.name: node for node in nodes}
    bound = [pod for pod in pods if node_of(pod) in known]
    taken = {address for pod in bound for address in addresses_of(pod)}
    pools = {
        (node.name, ranges.version): _pool(ranges, taken)
        for node in known.values()
        for ranges in node.pod_cidrs
    }
    found: list[PodRun] = []
    for pod in bound:
        if is_going(pod) or pod.get("status", {}).get("phase") in _FINISHED:
            continue
        node = known[node_of(pod)]
        if pod["spec"].get("hostNetwork"):
            found.append(PodRun(pod, node, node.addresses, host_network=True))
            continue
        given = addresses_of(pod) or tuple(
            next(pools[node.name, ranges.version]) for ranges in node.pod_cidrs
        )
        found.append(PodRun(pod, node, given))
    return tuple(found)


def addresses_of(pod: ApiObject) -> tuple[IPAddress, ...]:
    """The addresses of its status, without invalid ones."""
    found: list[IPAddress] = []
    for each in pod.get("status", {}).get("podIPs") or ():
        try:
            found.append(ip_address(each.get("ip", "")))
        except ValueError:
            continue
    return tuple(found)


def _pool(ranges: IPNetwork, taken: set[IPAddress]) -> Iterator[IPAddress]:
    address = ranges.network_address
    while True:
        address += 1
        if address not in taken:
            taken.add(address)
            yield address


def left(state: ClusterState, nodes: Iterable[Node]) -> Iterator[ApiObject]:
    """Pods of the lab's nodes that are being deleted: each may be removed once its network is
    gone."""
    names = {node.name for node in nodes}
    return (pod for pod in state.of("Pod") if is_going(pod) and node_of(pod) in names)
