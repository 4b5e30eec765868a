"""Port names -> numbers, on the pod that receives the connection (NP-32..NP-36, CNP-23).

Rule: after this no port has a name. A name that nobody declares matches nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pyroaring import BitMap, FrozenBitMap

from podfence.model.objects import ContainerPort
from podfence.policy.index import (
    ContestedAddress,
    EndpointClass,
    Match,
    Peers,
    PodPeers,
    doubtful_key,
)
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
    found = [
        PortSet.port(port.protocol.value, port.port)
        for port in ports
        if port.name == name.name and name.protocol in ("", port.protocol.value)
    ]
    return found[0] if len(found) == 1 else PortSet.union(found)


def in_order(ports: PortSet) -> tuple[tuple[int, int], ...]:
    """What the numbers of a name are sorted by."""
    return ports.line.intervals


class NamedPorts(ABC):
    """Narrows peers to those that declare a port name, number by number."""

    def __init__(self) -> None:
        self._memo: dict[tuple[str, PortName, bool], tuple[Match, ...]] = {}

    def narrow(self, peers: Peers, name: PortName, *, denies: bool = False) -> tuple[Match, ...]:
        """One match, without a path, for each number that peers give to a port name; only pods
        have names (NP-35). ``denies``: so has an address that may be a pod's (NP-60a)."""
        found = self._memo.get((peers.key, name, denies))
        if found is None:
            found = tuple(self._by_number(peers, name, denies))
            self._memo[peers.key, name, denies] = found
        return found

    @abstractmethod
    def _by_number(self, peers: Peers, name: PortName, denies: bool) -> Iterator[Match]:
        """The matches, by number, not in the order of pods: that would depend on which of them came
        first."""


class ClassPorts(NamedPorts):
    """The same where peers are classes."""

    def __init__(
        self,
        classes: tuple[EndpointClass, ...],
        pods: FrozenBitMap,
        contested: Iterable[ContestedAddress] = (),
    ) -> None:
        super().__init__()
        self._classes = classes
        self._pods = pods
        self._contested = {each.endpoint_class: each for each in contested}

    def _by_number(self, peers: Peers, name: PortName, denies: bool) -> Iterator[Match]:
        by_ports: dict[PortSet, BitMap] = defaultdict(BitMap)
        for number in peers.among(self._pods):
            ports = named_number(self._classes[number].named_ports, name)
            if ports:
                by_ports[ports].add(number)
        key = peers.key
        for number, contested in self._contested.items() if denies else ():
            known = bool(peers.among(FrozenBitMap((number,))))
            if known and (ports := self._of_any(contested, peers, name)):
                by_ports[ports].add(number)
                key = doubtful_key(peers.key)
        for ports in sorted(by_ports, key=in_order):
            classes = FrozenBitMap(by_ports[ports])
            yield Match(
                PodPeers(f"{key} where {name} is {ports}", classes, peers.family), ports, ""
            )

    def _of_any(self, contested: ContestedAddress, peers: Peers, name: PortName) -> PortSet:
        """The numbers that those of the peers give to a name which may have an address."""
        classes = (holder.endpoint_class for holder in contested.holders)
        return PortSet.union(
            named_number(self._classes[number].named_ports, name)
            for number in peers.among(FrozenBitMap(classes))
        )
