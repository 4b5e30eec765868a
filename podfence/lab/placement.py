"""Cluster -> the same cluster as the lab runs it: every pod on one node, with an address. Pure.

Rule: verdicts are asked of the placed cluster, so that the engine knows the very addresses and the
very node that packets will show.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import replace
from ipaddress import ip_address

from podfence.lab.usable import is_usable
from podfence.model.cluster import Cluster, assign_addresses
from podfence.model.objects import IPAddress, Node, Pod

NODE_NAME = "lab-node"
"""Name of the lab's node where the input names none, or several."""
NODE_ADDRESSES = {4: ip_address("192.168.255.1"), 6: ip_address("fd00:192:168:255::1")}
"""Addresses of the lab's node, for a family in which the input gives none; the next free one is
taken where a pod has it."""


def place(cluster: Cluster) -> Cluster:
    """Put every pod on one node and give addresses to those that await them (NP-58).

    The node is that of the input where it knows exactly one; it has an address of every family
    that the pods speak.
    """
    pods = assign_addresses(cluster.pods)
    node = _node(cluster, pods)
    placed = (replace(pod, node=node.name, host_addresses=node.addresses) for pod in pods)
    return replace(cluster, nodes={node.name: node}, pods=tuple(placed))


def _node(cluster: Cluster, pods: Iterable[Pod]) -> Node:
    names = {*cluster.nodes, *(pod.node for pod in cluster.pods if pod.node)}
    name = names.pop() if len(names) == 1 else NODE_NAME
    taken = {address for pod in pods for address in pod.addresses}
    known = cluster.nodes.get(name, Node(name))
    reported = (a for pod in cluster.pods if pod.node == name for a in pod.host_addresses)
    addresses = [
        a for a in dict.fromkeys((*known.addresses, *reported)) if is_usable(a) and a not in taken
    ]
    missing = {a.version for a in taken} - {a.version for a in addresses}
    addresses.extend(_free(NODE_ADDRESSES[version], taken) for version in sorted(missing))
    return replace(known, addresses=tuple(addresses))


def _free(address: IPAddress, taken: Set[IPAddress]) -> IPAddress:
    while address in taken:
        address += 1
    return address
