"""From one table of classes to the next, as pods and cuts change.

Rule: pods that are gone are taken out before others are put in, and the owner of an address is
settled when all pods are known. So the order of events does not matter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping

from msgspec.structs import replace
from pyroaring import BitMap, FrozenBitMap

from podfence.live.clusterclasses import SAME, ClassRegion, ClassTable, PodChange, TableChange
from podfence.live.clustercuts import FAMILIES, Cuts
from podfence.model.claims import AddressClaim
from podfence.model.objects import Pod
from podfence.policy.addressblocks import Signature
from podfence.policy.classes import ClassKey, class_key, doubtful_addresses, outside_set
from podfence.policy.index import ContestedAddress, Endpoint, EndpointClass, OutsideLookup
from podfence.sets import AddressSet
from podfence.sets.addresses import IPAddress


def empty_table() -> ClassTable:
    """No pod, no policy: outside are all addresses."""
    cuts = Cuts.none()
    table, _ = _TableStep(ClassTable(cuts), cuts).run((), recut=True)
    return table


def next_table(
    table: ClassTable, cuts: Cuts, pods: Iterable[PodChange]
) -> tuple[ClassTable, TableChange]:
    """The table with other cuts and pods."""
    live = [(_live(before), _live(now)) for before, now in pods]
    live = [pair for pair in live if pair != (None, None)]
    recut = cuts.numbers is not table.cuts.numbers
    if not live and not recut and cuts.asked is table.cuts.asked:
        return replace(table, cuts=cuts), SAME
    return _TableStep(table, cuts).run(live, recut=recut)


def _live(pod: Pod | None) -> Pod | None:
    """NP-50, NP-60: policies do not see pods on the host network, nor finished ones."""
    return pod if pod is not None and pod.is_seen else None


def _name(pod: Pod) -> str:
    return f"{pod.namespace}/{pod.name}"


class _TableStep:
    """One step from table to table."""

    def __init__(self, old: ClassTable, cuts: Cuts) -> None:
        self._old = old
        self._cuts = cuts
        self._classes = list(old.classes)
        self._members = list(old.members)
        self._open: dict[int, dict[str, Endpoint]] = {}
        """Members of the classes that are being changed."""
        self._numbers = dict(old.numbers)
        self._keys = dict(old.keys)
        self._endpoints = dict(old.endpoints)
        self._by_address = dict(old.by_address)
        self._claims = dict(old.claims)
        self._outside = dict(old.outside)
        self._free = list(old.free)
        self._freed: list[int] = []
        self._owners: dict[IPAddress, Pod] = {}
        self._unsettled: dict[str, Pod] = {}
        self._addresses: set[IPAddress] = set()
        self._born, self._died, self._relabelled = BitMap(), BitMap(), BitMap()
        self._touched = BitMap()

    def run(self, pods: Collection[PodChange], *, recut: bool) -> tuple[ClassTable, TableChange]:
        if recut or self._cuts.asked is not self._old.cuts.asked:
            self._regroup()
        for before, _ in pods:
            if before is not None:
                self._take(before)
        for _, now in pods:
            if now is not None:
                self._own(now)
        for pod in self._unsettled.values():
            self._settle(pod)
        self._close()
        contested = self._contested()
        inhabited = self._inhabited(contested, recut)
        lookup = self._recut(inhabited) if recut else self._old.lookup
        holding, blocks = self._holding(contested, recut)
        table = ClassTable(
            self._cuts,
            tuple(self._classes),
            tuple(self._members),
            self._numbers,
            self._keys,
            self._endpoints,
            self._by_address,
            self._claims,
            contested,
            inhabited,
            self._outside,
            holding,
            lookup,
            (*self._free, *self._freed),
        )
        change = TableChange(
            FrozenBitMap(self._born),
            FrozenBitMap(self._died),
            FrozenBitMap(self._relabelled),
            FrozenBitMap(self._touched | self._born | self._died),
            blocks,
            contested is not self._old.contested,
        )
        return table, change

    # -- numbers

    def _new(self) -> int:
        """A number that nothing had before this step: readers must not take it for the same."""
        if self._free:
            return self._free.pop()
        self._classes.append(EndpointClass(len(self._classes), outside=AddressSet()))
        self._members.append(())
        return len(self._classes) - 1

    def _release(self, number: int) -> None:
        self._classes[number] = EndpointClass(number, outside=AddressSet())
        self._members[number] = ()
        self._freed.append(number)

    def _found(self, key: ClassKey) -> int:
        """The number of a class of pods, which may be new."""
        number = self._new()
        self._numbers[key], self._keys[number] = number, key
        self._classes[number] = EndpointClass(number, *key[:3])
        self._open[number] = {}
        self._born.add(number)
        return number

    def _of(self, number: int) -> dict[str, Endpoint]:
        found = self._open.get(number)
        if found is None:
            found = {_name(endpoint.pod): endpoint for endpoint in self._members[number]}
            self._open[number] = found
        return found

    # -- pods

    def _regroup(self) -> None:
        """Selectors ask for other labels, or blocks have changed: classes split and join. A class
        that stays whole keeps its number, even under another key."""
        old = {number: self._keys.pop(number) for number in self._old.cut_by(self._cuts)}
        for key in old.values():
            del self._numbers[key]
        kept: set[int] = set()
        moving: list[tuple[Endpoint, ClassKey]] = []
        for number, before in old.items():
            for endpoint in self._members[number]:
                key = self._key(endpoint.pod, endpoint.doubtful)
                target = self._numbers.get(key)
                if target is None and number not in kept:
                    kept.add(number)
                    self._numbers[key], self._keys[number] = number, key
                    if key[:3] != before[:3]:
                        self._classes[number] = EndpointClass(number, *key[:3])
                        self._relabelled.add(number)
                elif target != number:
                    moving.append((endpoint, key))
        for endpoint, key in moving:
            self._move(endpoint.pod, key, endpoint.doubtful)
        for number in old:
            if number not in kept:
                self._of(number)

    def _key(self, pod: Pod, doubtful: tuple[IPAddress, ...]) -> ClassKey:
        cuts = self._cuts
        return class_key(pod, cuts.asked.of(pod.labels), doubtful, cuts.signature)

    def _take(self, pod: Pod) -> None:
        """A pod is gone, or no longer what it was."""
        name = _name(pod)
        endpoint = self._endpoints.pop(name)
        del self._of(endpoint.endpoint_class)[name]
        self._unsettled.pop(name, None)
        for address in pod.addresses:
            self._addresses.add(address)
            claim = self._claims.pop(address, None)
            known = self._by_address.get(address)
            if known is endpoint:
                del self._by_address[address]
            if (owner := self._owners.get(address)) and _name(owner) == name:
                del self._owners[address]
            if claim is not None:
                self._claim(address, [other for other in claim.pods if _name(other) != name])

    def _own(self, pod: Pod) -> None:
        """A pod is there, or has become another."""
        self._unsettled[_name(pod)] = pod
        for address in pod.addresses:
            self._addresses.add(address)
            claim, known = self._claims.get(address), self._by_address.get(address)
            if claim is not None:
                self._claim(address, [*claim.pods, pod])
            elif known is not None:
                self._claim(address, [known.pod, pod])
            elif (owner := self._owners.setdefault(address, pod)) is not pod:
                self._claim(address, [owner, pod])

    def _claim(self, address: IPAddress, pods: list[Pod]) -> None:
        """Who has an address is another question than before, for each of these."""
        for pod in pods:
            self._unsettled.setdefault(_name(pod), pod)
        if len(pods) > 1:
            pods.sort(key=_name)
            self._claims[address] = AddressClaim(address, tuple(pods))
        elif pods:
            self._owners[address] = pods[0]

    def _settle(self, pod: Pod) -> None:
        doubtful = doubtful_addresses(pod, self._claims)
        self._move(pod, self._key(pod, doubtful), doubtful)

    def _move(self, pod: Pod, key: ClassKey, doubtful: tuple[IPAddress, ...]) -> None:
        """Put a pod where it belongs."""
        name = _name(pod)
        known = self._endpoints.get(name)
        number = self._numbers.get(key)
        if number is None:
            number = self._found(key)
        endpoint = Endpoint(pod, number, doubtful)
        if known is not None:
            if known == endpoint:
                endpoint = known
            elif known.endpoint_class != number:
                del self._of(known.endpoint_class)[name]
        self._endpoints[name] = self._of(number)[name] = endpoint
        for address in pod.addresses:
            if address not in doubtful:
                self._by_address[address] = endpoint
            elif (other := self._by_address.get(address)) and _name(other.pod) == name:
                del self._by_address[address]

    def _close(self) -> None:
        """Members as they are now; a class without any has died."""
        for number, members in self._open.items():
            if members:
                self._members[number] = tuple(members.values())
                continue
            key = self._keys.pop(number, None)
            if key is not None:
                del self._numbers[key]
            self._release(number)
            if number in self._born:
                self._born.remove(number)
                self._touched.add(number)
            else:
                self._died.add(number)

    def _contested(self) -> Mapping[IPAddress, ContestedAddress]:
        """A class for each address that is no pod's for certain; nothing is outside in it
        (NP-60a)."""
        old, new = self._old.contested, {}
        for address, claim in self._claims.items():
            if len(claim.holders) > 1:
                names = sorted(map(_name, claim.holders))
                holders = tuple([self._endpoints[name] for name in names])
                known = old.get(address)
                if known is None or not _same(known.holders, holders):
                    known = ContestedAddress(self._new(), holders)
                    self._touched.add(known.endpoint_class)
                new[address] = known
        for address, before in old.items():
            if new.get(address) is not before:
                self._touched.add(before.endpoint_class)
                self._release(before.endpoint_class)
        same = old.keys() == new.keys() and all(new[a] is old[a] for a in new)
        return old if same else new

    # -- addresses outside every pod

    def _inhabited(
        self, contested: Mapping[IPAddress, ContestedAddress], recut: bool
    ) -> Mapping[ClassRegion, int]:
        new = Counter[ClassRegion]()
        if recut:
            new.update(map(self._region, (*self._by_address, *contested)))
            return new
        if not self._addresses:
            return self._old.inhabited
        new.update(self._old.inhabited)
        old = self._old
        for address in self._addresses:
            was = address in old.by_address or address in old.contested
            now = address in self._by_address or address in contested
            if was is not now:
                region = self._region(address)
                full = self._is_full(region, new[region])
                new[region] += now - was
                if self._is_full(region, new[region]) is not full:
                    self._put_outside(region, full=not full)
        return new

    def _region(self, address: IPAddress) -> ClassRegion:
        return address.version, self._cuts.signature(address)

    def _is_full(self, region: ClassRegion, inhabited: int) -> bool:
        return self._cuts.spans[region].size == inhabited

    def _put_outside(self, region: ClassRegion, *, full: bool) -> None:
        number = self._outside[region]
        outside = outside_set(region[0], self._cuts.spans[region], empty=full)
        self._classes[number] = EndpointClass(number, outside=outside)
        self._touched.add(number)

    def _recut(self, inhabited: Mapping[ClassRegion, int]) -> OutsideLookup:
        """The outside classes of address lines that are cut elsewhere."""
        spans, old = self._cuts.spans, self._old.cuts.spans
        for region in self._old.outside:
            if region not in spans:
                number = self._outside.pop(region)
                self._touched.add(number)
                self._release(number)
        for region, members in spans.items():
            full = self._is_full(region, inhabited[region])
            if region not in self._outside:
                self._outside[region] = self._new()
            elif members == old[region] and full is (
                not self._classes[self._outside[region]].outside
            ):
                continue
            self._put_outside(region, full=full)
        starts = {family: self._cuts.segments[family].starts for family in FAMILIES}
        numbers = {
            family: tuple(self._outside[family, s] for s in self._cuts.segments[family].signatures)
            for family in FAMILIES
        }
        return OutsideLookup(starts, numbers)

    # -- blocks

    def _holding(
        self, contested: Mapping[IPAddress, ContestedAddress], recut: bool
    ) -> tuple[Mapping[int, FrozenBitMap], frozenset[str]]:
        """Which classes lie in which block, and the keys of the blocks that hold others now."""
        old = self._old.holding
        gone = FrozenBitMap(self._touched | self._died)
        put: dict[int, BitMap] = {}
        changed = self._signed(contested, None if recut else self._born | self._touched)
        for number, signature in changed:
            for block in signature:
                put.setdefault(block, BitMap()).add(number)
        new: dict[int, FrozenBitMap] = {}
        for block in self._cuts.numbers.values():
            before = FrozenBitMap() if recut else old.get(block, FrozenBitMap()) - gone
            now = before | put[block] if block in put else before
            known = old.get(block)
            new[block] = known if known is not None and known == now else FrozenBitMap(now)
        return new, frozenset(
            block.key
            for block, number in self._cuts.numbers.items()
            if new[number] is not old.get(number)
        )

    def _signed(
        self, contested: Mapping[IPAddress, ContestedAddress], among: BitMap | None
    ) -> Iterator[tuple[int, Signature]]:
        """Classes with the signatures of their addresses. ``among``: of these; None: of all."""
        for number in self._keys if among is None else self._born:
            for _, signature in self._keys[number][3]:
                yield number, signature
        for (_, signature), number in self._outside.items():
            if among is None or number in among:
                yield number, signature
        for address, found in contested.items():
            if among is None or found.endpoint_class in among:
                yield found.endpoint_class, self._cuts.signature(address)


def _same(some: tuple[Endpoint, ...], others: tuple[Endpoint, ...]) -> bool:
    return len(some) == len(others) and all(a is b for a, b in zip(some, others, strict=True))
