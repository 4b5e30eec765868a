"""The network of a cluster: a namespace for each node, joined by a bridge beside the control plane.

Rule: it is called in the namespace of the control plane, which was made for this cluster, and it
touches that one and those that it makes. All of them go away with the processes in them.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from podfence.kernel import netns
from tests.cluster.layout import CONTROL, LENGTHS, Node

BRIDGE = "switch"
LINK = "eth0"


def build(nodes: Sequence[Node]) -> dict[Node, int]:
    """The namespace of each node as a descriptor: its link is up, and it routes."""
    _ip("link set lo up")
    _ip(f"link add {BRIDGE} type bridge")
    _set_up(BRIDGE, CONTROL)
    made = {node: netns.create() for node in nodes}
    for node, namespace in made.items():
        peer = f"{LINK} netns /proc/{os.getpid()}/fd/{namespace}"
        _ip(f"link add {node.name} master {BRIDGE} type veth peer name {peer}")
        _ip(f"link set {node.name} up")
        with netns.inside(namespace):
            _ip("link set lo up")
            _set_up(LINK, node.addresses)
            for gateway in CONTROL:
                _ip(f"route add default via {gateway}")
            for other in nodes:
                if other != node:
                    _route_to_pods(other)
            for sysctl in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
                Path("/proc/sys/net", sysctl).write_text("1")
    for node in nodes:
        _route_to_pods(node)
    return made


def _set_up(device: str, addresses: Sequence[str]) -> None:
    # No other machine is there that could have the address already.
    Path(f"/proc/sys/net/ipv6/conf/{device}/accept_dad").write_text("0")
    for address, length in zip(addresses, LENGTHS, strict=True):
        _ip(f"address add {address}/{length} dev {device}")
    _ip(f"link set {device} up")


def _route_to_pods(node: Node) -> None:
    for pods, gateway in zip(node.pods, node.addresses, strict=True):
        _ip(f"route add {pods} via {gateway}")


def _ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True, stdin=subprocess.DEVNULL)
