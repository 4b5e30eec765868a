"""The endpoint classes of a cluster, followed from one state to the next.

Rule: a class keeps its number as long as it has members. An unused number is an outside class
without addresses, and so is the number of an address that several pods may have; readers need not
know of either. What two states share is the same value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from msgspec import Struct
from pyroaring import BitMap, FrozenBitMap

from podfence.live.clustercuts import Cuts
from podfence.model.claims import AddressClaim
from podfence.model.objects import Pod
from podfence.policy.addressblocks import Signature
from podfence.policy.classes import ClassKey
from podfence.policy.index import ContestedAddress, Endpoint, EndpointClass, OutsideLookup
from podfence.sets.addresses import IPAddress

ClassRegion = tuple[int, Signature]
"""Addresses of one family with the same signature."""
PodChange = tuple[Pod | None, Pod | None]
"""Before and after; None: it was not there, or is not there now."""
_NOTHING: Mapping[Any, Any] = MappingProxyType({})


class ClassTable(Struct, frozen=True, eq=False):
    """``keys``: for each number that pods have, what the class depends on. ``claims``: addresses
    that several live pods have. ``inhabited``: how many addresses of a region pods have.
    ``holding``: for each number of a block, the classes that lie in it. ``free``: unused
    numbers."""

    cuts: Cuts
    classes: tuple[EndpointClass, ...] = ()
    members: tuple[tuple[Endpoint, ...], ...] = ()
    numbers: Mapping[ClassKey, int] = _NOTHING
    keys: Mapping[int, ClassKey] = _NOTHING
    endpoints: Mapping[str, Endpoint] = _NOTHING
    by_address: Mapping[IPAddress, Endpoint] = _NOTHING
    claims: Mapping[IPAddress, AddressClaim] = _NOTHING
    contested: Mapping[IPAddress, ContestedAddress] = _NOTHING
    inhabited: Mapping[ClassRegion, int] = _NOTHING
    outside: Mapping[ClassRegion, int] = _NOTHING
    holding: Mapping[int, FrozenBitMap] = _NOTHING
    lookup: OutsideLookup = OutsideLookup(_NOTHING, _NOTHING)
    free: tuple[int, ...] = ()

    def cut_by(self, cuts: Cuts) -> Sequence[int]:
        """The classes of pods that other cuts may split or join. Where selectors ask for other
        labels, that is all of them; otherwise it is those in a block that comes or goes."""
        if cuts.asked is not self.cuts.asked:
            return sorted(self.keys)
        before, now = self.cuts.numbers, cuts.numbers
        found = BitMap()
        gone = {number for block, number in before.items() if block not in now}
        if gone:
            for number, key in self.keys.items():
                if any(not gone.isdisjoint(signature) for _, signature in key[3]):
                    found.add(number)
        come = [block.addresses for block in now if block not in before]
        if come:
            for address, endpoint in self.by_address.items():
                if any(int(address) in each.family(address.version) for each in come):
                    found.add(endpoint.endpoint_class)
            for claim in self.claims.values():  # addresses that are nobody's for certain
                names = (f"{pod.namespace}/{pod.name}" for pod in claim.pods)
                found.update(self.endpoints[name].endpoint_class for name in names)
        return [*found]


class TableChange(Struct, frozen=True):
    """What differs from before. ``born`` and ``died``: numbers of classes of pods. ``relabelled``:
    classes that show other labels to selectors. ``touched``: numbers that now stand for something
    else, outside classes included; nothing that was known of them holds. ``blocks``: keys of blocks
    that hold other classes. ``contested``: whether the doubtful addresses differ."""

    born: FrozenBitMap = FrozenBitMap()
    died: FrozenBitMap = FrozenBitMap()
    relabelled: FrozenBitMap = FrozenBitMap()
    touched: FrozenBitMap = FrozenBitMap()
    blocks: frozenset[str] = frozenset()
    contested: bool = False


SAME = TableChange()
"""Nothing is another thing than before."""
