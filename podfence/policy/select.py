"""Selectors and ipBlocks -> sets of endpoint classes; each distinct one is worked out once.

Rule: the only module that evaluates a selector. It never looks at a single pod: classes are found
through inverted indexes from labels to bitmaps of classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TypeVar

from msgspec.structs import replace
from pyroaring import BitMap, FrozenBitMap

from podfence.model.meta import Labels
from podfence.model.networkpolicy import IPBlock, NetworkPolicyPeer
from podfence.model.objects import Namespace
from podfence.model.selectors import LabelSelector, LabelSelectorRequirement, Operator
from podfence.policy.addressblocks import AddressClasses, Block
from podfence.policy.index import (
    AddressPeers,
    ContestedAddress,
    EndpointClass,
    Peers,
    PodPeers,
    doubtful_key,
)

_K = TypeVar("_K", str, tuple[str, str])


class LabelIndex:
    """Which of a numbered family of label sets a selector matches, by bitmap operations. The family
    may grow and shrink."""

    def __init__(self, label_sets: Iterable[tuple[int, Labels]] = ()) -> None:
        self._by_label: dict[tuple[str, str], BitMap] = defaultdict(BitMap)
        self._by_key: dict[str, BitMap] = defaultdict(BitMap)
        self._numbers = BitMap()
        self._memo: dict[LabelSelector, FrozenBitMap] = {}
        for number, labels in label_sets:
            self.add(number, labels)

    @property
    def everything(self) -> FrozenBitMap:
        """All numbers."""
        return FrozenBitMap(self._numbers)

    def add(self, number: int, labels: Labels) -> None:
        """A label set under a number that is free."""
        self._memo.clear()
        self._numbers.add(number)
        for label in labels:
            self._by_label[label].add(number)
            self._by_key[label[0]].add(number)

    def remove(self, number: int, labels: Labels) -> None:
        """Take back what ``add`` was told. What no label set has any more takes no room."""
        self._memo.clear()
        self._numbers.remove(number)
        for label in labels:
            _take_out(self._by_label, label, number)
            _take_out(self._by_key, label[0], number)

    def relabel(self, numbers: BitMap, before: Labels, after: Labels) -> None:
        """These label sets, which were all ``before``, are all ``after`` now."""
        self._memo.clear()
        gone, new = set(before).difference(after), set(after).difference(before)
        for label in gone:
            _take_all_out(self._by_label, label, numbers)
        for label in new:
            self._by_label[label] |= numbers
        for key in dict(before).keys() - dict(after).keys():
            _take_all_out(self._by_key, key, numbers)
        for key in dict(after).keys() - dict(before).keys():
            self._by_key[key] |= numbers

    def select(self, selector: LabelSelector) -> FrozenBitMap:
        """Numbers of the label sets that the selector matches (NP-4)."""
        found = self._memo.get(selector)
        if found is None:
            found = self._memo[selector] = self.select_among(selector, self._numbers)
        return found

    def select_among(self, selector: LabelSelector, numbers: BitMap) -> FrozenBitMap:
        """The same of these label sets alone; for a few that costs little."""
        result = BitMap(numbers)
        for label in selector.match_labels:
            result &= self._by_label.get(label, BitMap())
        for requirement in selector.match_expressions:
            members = self._members(requirement)
            if requirement.operator in (Operator.NOT_IN, Operator.DOES_NOT_EXIST):
                result -= members
            else:
                result &= members
        return FrozenBitMap(result)

    def _members(self, requirement: LabelSelectorRequirement) -> BitMap:
        """Those with the key, or with the key and a listed value."""
        if requirement.operator in (Operator.EXISTS, Operator.DOES_NOT_EXIST):
            return self._by_key.get(requirement.key, BitMap())
        return BitMap.union(
            *(self._by_label.get((requirement.key, v), BitMap()) for v in requirement.values),
            BitMap(),
        )


def _take_out(holders: dict[_K, BitMap], key: _K, number: int) -> None:
    holders[key].remove(number)
    if not holders[key]:
        del holders[key]


def _take_all_out(holders: dict[_K, BitMap], key: _K, numbers: BitMap) -> None:
    holders[key] -= numbers
    if not holders[key]:
        del holders[key]


def scoped(namespace: str, peer: NetworkPolicyPeer) -> str:
    """The namespace of a policy as far as it counts for an item of ``from``/``to``, else ""."""
    return namespace if peer.namespace_selector is None and not peer.ip_block else ""


class PeerSelector(ABC):
    """Peers of rules and subjects of policies. What names a peer is decided here, whatever its
    members are."""

    def peers(self, namespace: str, peer: NetworkPolicyPeer) -> Peers:
        """The peers that one item of ``from``/``to`` of a policy in ``namespace`` means."""
        if peer.ip_block is not None:
            return self.ip_block(peer.ip_block)
        pods = peer.pod_selector or LabelSelector()
        if peer.namespace_selector is not None:  # NP-18, NP-19
            return self.pods_in(pods, peer.namespace_selector)
        key = f"pods {_canonical(pods)} of {namespace!r}"
        return self._of_namespace(key, pods, namespace)  # NP-17

    def pods_in(self, pods: LabelSelector, namespaces: LabelSelector) -> PodPeers:
        """Pods with an address that match one selector in namespaces that match the other."""
        key = f"pods {_canonical(pods)} in {_canonical(namespaces)}"
        return self._of_namespaces(key, pods, namespaces)

    @abstractmethod
    def subjects(self, namespace: str, selector: LabelSelector) -> FrozenBitMap:
        """Pods of one namespace, those without an address included (NP-3, NP-58)."""

    @abstractmethod
    def subjects_in(self, pods: LabelSelector, namespaces: LabelSelector) -> FrozenBitMap:
        """Pods that match one selector in namespaces that match the other, those without an address
        included."""

    @abstractmethod
    def or_doubtful(self, peers: PodPeers) -> PodPeers:
        """For a rule that denies: the same with the addresses that one of them may have
        (NP-60a)."""

    @abstractmethod
    def ip_block(self, block: IPBlock) -> AddressPeers:
        """Every address of an ipBlock."""

    @abstractmethod
    def block(self, block: Block) -> AddressPeers:
        """Every address of a block."""

    @abstractmethod
    def _of_namespace(self, key: str, pods: LabelSelector, namespace: str) -> PodPeers: ...

    @abstractmethod
    def _of_namespaces(
        self, key: str, pods: LabelSelector, namespaces: LabelSelector
    ) -> PodPeers: ...


class ByClasses(PeerSelector):
    """What readers that answer with classes have in common: equal items are worked out once, and
    ``contested`` addresses have classes of their own."""

    def __init__(self, contested: Iterable[ContestedAddress]) -> None:
        self._contested = contested
        self._memo: dict[tuple[str, NetworkPolicyPeer], Peers] = {}

    def peers(self, namespace: str, peer: NetworkPolicyPeer) -> Peers:
        """The same, worked out once for equal items."""
        asked = scoped(namespace, peer), peer
        found = self._memo.get(asked)
        if found is None:
            found = self._memo[asked] = super().peers(*asked)
        return found

    def or_doubtful(self, peers: PodPeers) -> PodPeers:
        """With the classes of the addresses that one of the peers may have."""
        found = [
            each.endpoint_class
            for each in self._contested
            if any(holder.endpoint_class in peers.classes for holder in each.holders)
        ]
        if not found:
            return peers
        return replace(peers, key=doubtful_key(peers.key), classes=peers.classes | BitMap(found))


class ClassSelector(ByClasses):
    """Peers and subjects as classes, each distinct one worked out once."""

    def __init__(
        self,
        classes: Iterable[EndpointClass],
        addressless: FrozenBitMap,
        namespaces: Mapping[str, Namespace],
        addresses: AddressClasses,
        contested: Iterable[ContestedAddress] = (),
    ) -> None:
        super().__init__(tuple(contested))
        pods = [c for c in classes if c.outside is None]
        self._pods = LabelIndex((c.number, c.labels) for c in pods)
        self._addressless = addressless
        self._addresses = addresses
        self._names = tuple(namespaces)
        self._namespaces = LabelIndex(
            (number, namespaces[name].labels) for number, name in enumerate(self._names)
        )
        self._by_namespace: dict[str, BitMap] = defaultdict(BitMap)
        for c in pods:
            self._by_namespace[c.namespace].add(c.number)
        self._in_namespaces: dict[LabelSelector, FrozenBitMap] = {}

    @property
    def pods(self) -> FrozenBitMap:
        """Every class of pods that can be a peer."""
        return self._pods.everything - self._addressless

    def subjects(self, namespace: str, selector: LabelSelector) -> FrozenBitMap:
        """Classes of one namespace."""
        return self._pods.select(selector) & self._by_namespace.get(namespace, BitMap())

    def namespaces(self, selector: LabelSelector) -> list[str]:
        """The namespaces that match."""
        return [self._names[number] for number in self._namespaces.select(selector)]

    def subjects_in(self, pods: LabelSelector, namespaces: LabelSelector) -> FrozenBitMap:
        """Classes that match one selector in namespaces that match the other."""
        return self._pods.select(pods) & self._classes_of(namespaces)

    def ip_block(self, block: IPBlock) -> AddressPeers:
        """An ipBlock that the classes were cut at."""
        return self._addresses.ip_block_peers(block)

    def block(self, block: Block) -> AddressPeers:
        """A block that the classes were cut at."""
        return self._addresses.peers(block)

    def pods_of(self, namespace: str, peer: NetworkPolicyPeer) -> FrozenBitMap:
        """The classes of an item of selectors, for callers that need no origins."""
        pods, namespaces = peer.pod_selector or LabelSelector(), peer.namespace_selector
        if namespaces is None:
            return self.subjects(namespace, pods) - self._addressless
        return self.subjects_in(pods, namespaces) - self._addressless

    def _of_namespace(self, key: str, pods: LabelSelector, namespace: str) -> PodPeers:
        return PodPeers(key, self.subjects(namespace, pods) - self._addressless)

    def _of_namespaces(self, key: str, pods: LabelSelector, namespaces: LabelSelector) -> PodPeers:
        return PodPeers(key, self.subjects_in(pods, namespaces) - self._addressless)

    def _classes_of(self, selector: LabelSelector) -> FrozenBitMap:
        found = self._in_namespaces.get(selector)
        if found is None:
            numbers = self._namespaces.select(selector)
            parts = (self._by_namespace.get(self._names[n], BitMap()) for n in numbers)
            found = self._in_namespaces[selector] = FrozenBitMap(BitMap.union(*parts, BitMap()))
        return found


def canonical(selector: LabelSelector) -> LabelSelector:
    """One selector for all that say the same in another order."""
    found = (replace(r, values=tuple(sorted(set(r.values)))) for r in selector.match_expressions)
    return replace(selector, match_expressions=tuple(sorted(found, key=_words)))


@lru_cache(maxsize=1 << 14)
def _canonical(selector: LabelSelector) -> str:
    """Its text; ``repr`` keeps it injective."""
    expressions = list(map(_words, canonical(selector).match_expressions))
    return f"{selector.match_labels!r}{expressions!r}"


def _words(requirement: LabelSelectorRequirement) -> tuple[str, str, tuple[str, ...]]:
    return requirement.key, requirement.operator.value, requirement.values
