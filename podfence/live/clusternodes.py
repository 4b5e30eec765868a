"""Addresses of nodes, followed as pods and nodes come and go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from msgspec import Struct

from podfence.live.clusterclasses import PodChange
from podfence.model.objects import Node
from podfence.policy.compile import addresses_of_nodes, further_nodes, told_by_pod
from podfence.sets.addresses import IPAddress

_NOTHING: Mapping[Any, Any] = MappingProxyType({})


class NodeAddresses(Struct, frozen=True, eq=False):
    """``told``: by address, the node names that pods report for it, and how many pods do.
    ``found``: whose each address is. ``further``: who else has it."""

    told: Mapping[IPAddress, Mapping[str, int]] = _NOTHING
    found: Mapping[IPAddress, str] = _NOTHING
    further: Mapping[IPAddress, frozenset[str]] = _NOTHING

    def after(
        self, pods: Iterable[PodChange], nodes: Mapping[str, Node], *, changed: bool
    ) -> NodeAddresses:
        """``changed``: whether the nodes are not as before."""
        told: dict[IPAddress, dict[str, int]] = {}
        for pair in pods:
            for pod, more in zip(pair, (-1, 1), strict=True):
                for address, name in () if pod is None else told_by_pod(pod):
                    if address not in told:
                        told[address] = dict(self.told.get(address, ()))
                    told[address][name] = told[address].get(name, 0) + more
        for address, names in told.items():
            told[address] = {name: count for name, count in names.items() if count}
        told = {a: names for a, names in told.items() if names != self.told.get(a, {})}
        if not told and not changed:
            return self
        every = {a: names for a, names in {**self.told, **told}.items() if names}
        pairs = [(address, name) for address, names in every.items() for name in names]
        found = addresses_of_nodes(pairs, nodes)
        return NodeAddresses(every, found, further_nodes(pairs, nodes, found))
