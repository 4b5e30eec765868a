"""Peers -> shared sets of addresses.

Rule: one set for each distinct ``Peers.key`` and family, whoever refers to it. Pods lie in hash
sets, ipBlocks in interval sets. A set stays when it is empty: who matches later changes elements
only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from podfence.nft.names import Namer, printable
from podfence.nft.objects import DataType, IntervalSet, Key, Set
from podfence.policy.index import Peers, PolicyIndex

ADDRESS_TYPES = {4: DataType.IPV4_ADDR, 6: DataType.IPV6_ADDR}


class PeerSets:
    """Names the sets of peers, and collects those that were asked for.

    ``families``: the IP versions that pods of the node can speak; there are no sets for others.
    """

    def __init__(self, index: PolicyIndex, namer: Namer, families: Collection[int]) -> None:
        self._index = index
        self._namer = namer
        self._families = families
        self._sets: dict[str, Set | IntervalSet] = {}
        self._of_class: dict[tuple[int, int], tuple[Key, ...]] = {}

    @property
    def sets(self) -> tuple[Set | IntervalSet, ...]:
        """The sets asked for so far, in the order of first use."""
        return tuple(self._sets.values())

    def names(self, peers: Peers) -> Iterator[tuple[int, str]]:
        """IP version and set name for each family that these peers (not "everyone") can have."""
        for family in self._families:
            if peers.family not in (None, family):
                continue
            kind = "p" if peers.addresses is None else "b"
            name = self._namer.name(f"{kind}{family}_", peers.key)
            if name not in self._sets:
                self._sets[name] = self._set(name, peers, family)
            yield family, name

    def _set(self, name: str, peers: Peers, family: int) -> Set | IntervalSet:
        comment = printable(peers.key.replace("'", ""))
        key = (ADDRESS_TYPES[family],)
        if peers.addresses is not None:
            spans = tuple(((low,), (high,)) for low, high in peers.addresses.family(family))
            return IntervalSet(name, key, spans, comment)
        keys = (k for number in peers.classes for k in self._class_keys(number, family))
        return Set(name, key, frozenset(keys), comment)

    def _class_keys(self, number: int, family: int) -> tuple[Key, ...]:
        """Addresses of the pods of a class; an address that two pods claim belongs to one only."""
        found = self._of_class.get((number, family))
        if found is None:
            found = self._of_class[number, family] = tuple(
                (int(address),)
                for endpoint in self._index.members[number]
                for address in endpoint.addresses
                if address.version == family and self._index.by_address[address] is endpoint
            )
        return found
