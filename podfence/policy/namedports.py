"""Port names -> numbers, on the pod that receives the connection (NP-32..NP-36, CNP-23).

Rule: after this no port has a name. A name that nobody declares matches nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pyroaring import BitMap, FrozenBitMap

from podfence.model.objects import ContainerPort
from podfence.policy.index import EndpointClass, Match, Peers, PodPeers
from podfence.sets import PortSet


class PortName(NamedTuple):
    """A container port name. ``protocol`` "" takes over whatever protocol the container port has
    (CNP-23); otherwise both must agree (NP-33)."""

    name: str
    protocol: str

    def __str__(self) -> str:
        return f"{self.name!r}/{self.protocol or 'any'}"


def named_number(ports: Iterable[ContainerPort], name: PortName) -> PortSet:
    """Every number that a pod gives to a port name: none, one, or several (NP-33..NP-35)."""
    return PortSet.union(
        PortSet.port(port.protocol.value, port.port)
        for port in ports
        if port.name == name.name and name.protocol in ("", port.protocol.value)
    )


class NamedPorts:
    """Narrows peers to those that declare a port name, number by number."""

    def __init__(self, classes: tuple[EndpointClass, ...], pods: FrozenBitMap) -> None:
        self._classes = classes
        self._pods = pods
        self._memo: dict[tuple[str, PortName], tuple[Match, ...]] = {}

    def narrow(self, peers: Peers, name: PortName) -> tuple[Match, ...]:
        """One match, without a path, for each number that peers give to a port name; only pods
        have names (NP-35)."""
        found = self._memo.get((peers.key, name))
        if found is None:
            found = self._memo[peers.key, name] = tuple(self._by_number(peers, name))
        return found

    def _by_number(self, peers: Peers, name: PortName) -> Iterator[Match]:
        by_ports: dict[PortSet, BitMap] = defaultdict(BitMap)
        for number in peers.among(self._pods):
            ports = named_number(self._classes[number].named_ports, name)
            if ports:
                by_ports[ports].add(number)
        for ports, members in by_ports.items():
            key = f"{peers.key} where {name} is {ports}"
            yield Match(PodPeers(key, FrozenBitMap(members), peers.family), ports, "")
