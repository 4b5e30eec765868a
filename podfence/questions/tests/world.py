"""A compiled cluster as tests need it: pods by number, rows of connections on demand.

Rule: the engine answers for classes; a row of a class holds for each of its members. Rows are
computed once, for the destinations that some test needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from pyroaring import BitMap, FrozenBitMap

from podfence.engine.allpairs import AllPairs, Egress
from podfence.engine.evaluate import Evaluator
from podfence.engine.partition import Blocks, KeptPartitions
from podfence.engine.porttable import EVERYTHING_ID, PortTable
from podfence.policy.flow import Direction
from podfence.policy.index import Endpoint, PolicyIndex
from podfence.questions.parties import PartyLookup
from podfence.questions.phrases.matched import workload_names
from podfence.questions.plan.newcomers import is_newcomer
from podfence.questions.services import Services
from podfence.sets import AddressSet

if TYPE_CHECKING:
    from podfence.engine.clusterpairs import ClusterPairs


class Family:
    """The connections of one IP version. ``pairs``: known already; None: computed on demand."""

    def __init__(self, index: PolicyIndex, number: int, pairs: ClusterPairs | None = None) -> None:
        self.number = number
        self._index = index
        self._pairs = pairs
        self.partitions = (
            pairs.partitions if pairs else KeptPartitions(index, number, PortTable.of(index))
        )
        self.table = self.partitions.table
        self.everyone = self.partitions.everyone
        self._wanted = BitMap()
        self._rows: dict[int, Blocks] = {}

    def want(self, destinations: FrozenBitMap) -> None:
        """Work out the rows of these destinations, all in one go."""
        if self._pairs is not None:
            return
        missing = FrozenBitMap((destinations & self.everyone) - self._wanted)
        if missing:
            self._rows.update(self._all_pairs.rows(missing))
            self._wanted |= missing

    @cached_property
    def _all_pairs(self) -> AllPairs:
        egress = Egress.of(self._index, self.partitions.pods)
        return AllPairs(self._index, self.partitions, egress)

    def row(self, destination: int) -> Blocks:
        """Who reaches a destination, by number of the ports."""
        if self._pairs is not None:
            return self._pairs.row(destination)
        if destination not in self._rows:
            self.want(FrozenBitMap((destination,)))
        return self._rows[destination]

    def permitted(self, number: int, direction: Direction) -> Blocks:
        """What the policies of a class permit in one direction, by number of the ports."""
        if number in self.partitions.outside:  # NP-1: nobody judges that end
            return {EVERYTHING_ID: BitMap(self.everyone)}
        return self.partitions.of(self._index.policies[number].of(direction))


class ClusterWorld:
    """One state of a cluster. ``before``: a state with the same pods, from which numbers and names
    are taken over."""

    def __init__(
        self,
        index: PolicyIndex,
        before: ClusterWorld | None = None,
        pairs: Mapping[int, ClusterPairs] | None = None,
    ) -> None:
        self.index = index
        self.pods: tuple[str, ...]
        self.number_of: Mapping[str, int]
        self.newcomers: FrozenBitMap
        self.strangers: FrozenBitMap
        if before is not None and before.index.endpoints.keys() == index.endpoints.keys():
            self.pods = before.pods
            self.number_of = before.number_of
            self.newcomers, self.strangers = before.newcomers, before.strangers
        else:
            self.pods = tuple(index.endpoints)
            self.number_of = {name: number for number, name in enumerate(self.pods)}
            coming = [
                (n, index.endpoints[name].pod)
                for n, name in enumerate(self.pods)
                if (owner := index.endpoints[name].pod.owner) is not None and is_newcomer(owner)
            ]
            self.newcomers = FrozenBitMap(n for n, _ in coming)
            self.strangers = FrozenBitMap(n for n, pod in coming if not pod.labels)
        self.families = {
            number: Family(index, number, pairs[number] if pairs else None)
            for number in sorted({a.version for a in index.by_address})
        }
        self._overlaps: dict[tuple[AddressSet, int], AddressSet] = {}
        self._touched: dict[tuple[FrozenBitMap, AddressSet], tuple[FrozenBitMap, FrozenBitMap]] = {}
        self._parties: dict[FrozenBitMap, FrozenBitMap] = {}

    def endpoint(self, number: int) -> Endpoint:
        """A pod by its number."""
        return self.index.endpoints[self.pods[number]]

    @cached_property
    def real(self) -> FrozenBitMap:
        """Existing pods."""
        return FrozenBitMap(set(range(len(self.pods))).difference(self.newcomers))

    @cached_property
    def class_of(self) -> Sequence[int]:
        """The class of each pod."""
        endpoints = self.index.endpoints
        return [endpoints[name].endpoint_class for name in self.pods]

    @cached_property
    def members(self) -> Sequence[FrozenBitMap]:
        """The pods of each class; empty for addresses outside."""
        found = [BitMap() for _ in self.index.classes]
        for pod, number in enumerate(self.class_of):
            found[number].add(pod)
        return [FrozenBitMap(each) for each in found]

    @cached_property
    def outside(self) -> FrozenBitMap:
        """The classes of addresses outside."""
        return FrozenBitMap(c.number for c in self.index.classes if c.outside is not None)

    def overlap(self, addresses: AddressSet, number: int) -> AddressSet:
        """What a set of addresses has in common with an outside class."""
        key = addresses, number
        if key not in self._overlaps:
            whole = self.index.classes[number].outside or AddressSet()
            self._overlaps[key] = whole & addresses
        return self._overlaps[key]

    def touched(
        self, pods: FrozenBitMap, addresses: AddressSet
    ) -> tuple[FrozenBitMap, FrozenBitMap]:
        """The classes with some members among these, and those with all."""
        key = pods, addresses
        if key not in self._touched:
            some = BitMap([self.class_of[pod] for pod in pods])
            whole = BitMap([n for n in some if self.members[n].issubset(pods)])
            for number in self.outside if addresses else ():
                both = self.overlap(addresses, number)
                if both:
                    some.add(number)
                    if both == self.index.classes[number].outside:
                        whole.add(number)
            self._touched[key] = FrozenBitMap(some), FrozenBitMap(whole)
        return self._touched[key]

    def parties(self, classes: FrozenBitMap) -> FrozenBitMap:
        """The workloads of classes, and each class of addresses, as numbers."""
        if classes not in self._parties:
            of_pods = [n for each in classes - self.outside for n in self._workloads_of[each]]
            of_addresses = (classes & self.outside).shift(len(self.pods))
            self._parties[classes] = of_addresses | BitMap(of_pods)
        return self._parties[classes]

    @cached_property
    def _workloads_of(self) -> Sequence[set[int]]:
        """The workloads of each class."""
        return [{self.workloads[pod] for pod in pods} for pods in self.members]

    @cached_property
    def names(self) -> Sequence[str]:
        """What each pod is called in an answer: by its workload."""
        pods = [self.index.endpoints[name].pod for name in self.pods]
        names = workload_names({pod.owner or pod.ref for pod in pods})
        return [names[pod.owner or pod.ref] for pod in pods]

    @cached_property
    def workloads(self) -> Sequence[int]:
        """The workload of each pod, as a number."""
        numbers: dict[str, int] = {}
        return [numbers.setdefault(name, len(numbers)) for name in self.names]

    @cached_property
    def judge(self) -> Evaluator:
        """Answers single flows, with the rules that decided."""
        return Evaluator(self.index)

    @cached_property
    def directory(self) -> PartyLookup:
        """Looks up names."""
        return PartyLookup(self.index)

    @cached_property
    def services(self) -> Services:
        """Looks up what is behind a Service."""
        return Services(self.index, self.directory)
