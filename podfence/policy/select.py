"""Selectors and ipBlocks -> sets of endpoint classes; each distinct one is worked out once.

Rule: the only module that evaluates a selector. It never looks at a single pod: classes are found
through inverted indexes from labels to bitmaps of classes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from msgspec.structs import replace
from pyroaring import BitMap, FrozenBitMap

from podfence.model.meta import Labels
from podfence.model.networkpolicy import NetworkPolicyPeer
from podfence.model.objects import Namespace
from podfence.model.selectors import LabelSelector, LabelSelectorRequirement, Operator
from podfence.policy.addressblocks import AddressClasses, Block
from podfence.policy.index import AddressPeers, Contested, EndpointClass, Peers, PodPeers


class LabelIndex:
    """Which of a numbered family of label sets a selector matches, by bitmap operations."""

    def __init__(self, label_sets: Iterable[tuple[int, Labels]]) -> None:
        self._by_label: dict[tuple[str, str], BitMap] = defaultdict(BitMap)
        self._by_key: dict[str, BitMap] = defaultdict(BitMap)
        everything = BitMap()
        for number, labels in label_sets:
            everything.add(number)
            for label in labels:
                self._by_label[label].add(number)
                self._by_key[label[0]].add(number)
        self.everything = FrozenBitMap(everything)
        self._memo: dict[LabelSelector, FrozenBitMap] = {}

    def select(self, selector: LabelSelector) -> FrozenBitMap:
        """Numbers of the label sets that the selector matches (NP-4)."""
        found = self._memo.get(selector)
        if found is None:
            found = self._memo[selector] = FrozenBitMap(self._select(selector))
        return found

    def _select(self, selector: LabelSelector) -> BitMap:
        result = BitMap(self.everything)
        for label in selector.match_labels:
            result &= self._by_label.get(label, BitMap())
        for requirement in selector.match_expressions:
            members = self._members(requirement)
            if requirement.operator in (Operator.NOT_IN, Operator.DOES_NOT_EXIST):
                result -= members
            else:
                result &= members
        return result

    def _members(self, requirement: LabelSelectorRequirement) -> BitMap:
        """Those with the key, or with the key and a listed value."""
        if requirement.operator in (Operator.EXISTS, Operator.DOES_NOT_EXIST):
            return self._by_key.get(requirement.key, BitMap())
        return BitMap.union(
            *(self._by_label.get((requirement.key, v), BitMap()) for v in requirement.values),
            BitMap(),
        )


class PeerSelector:
    """Peers of rules and subjects of policies, as classes."""

    def __init__(
        self,
        classes: Iterable[EndpointClass],
        addressless: FrozenBitMap,
        namespaces: Mapping[str, Namespace],
        addresses: AddressClasses,
        contested: Iterable[Contested] = (),
    ) -> None:
        self._contested = tuple(contested)
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
        self._memo: dict[tuple[str, NetworkPolicyPeer], Peers] = {}

    @property
    def pods(self) -> FrozenBitMap:
        """Every class of pods that can be a peer."""
        return self._pods.everything - self._addressless

    def subjects(self, namespace: str, selector: LabelSelector) -> FrozenBitMap:
        """Pods of one namespace, those without an address included (NP-3, NP-58)."""
        return self._pods.select(selector) & self._by_namespace.get(namespace, BitMap())

    def peers(self, namespace: str, peer: NetworkPolicyPeer) -> Peers:
        """The peers that one item of ``from``/``to`` of a policy in ``namespace`` means."""
        scope = namespace if peer.namespace_selector is None and not peer.ip_block else ""
        found = self._memo.get((scope, peer))
        if found is None:
            found = self._memo[scope, peer] = self._peers(scope, peer)
        return found

    def _peers(self, namespace: str, peer: NetworkPolicyPeer) -> Peers:
        if peer.ip_block is not None:
            return self._addresses.ip_block_peers(peer.ip_block)
        pod_selector = peer.pod_selector or LabelSelector()
        if peer.namespace_selector is not None:  # NP-18, NP-19
            return self.pods_in(pod_selector, peer.namespace_selector)
        classes = self.subjects(namespace, pod_selector)  # NP-17
        key = f"pods {_canonical(pod_selector)} of {namespace!r}"
        return PodPeers(key, classes - self._addressless)

    def pods_in(self, pods: LabelSelector, namespaces: LabelSelector) -> PodPeers:
        """Pods with an address that match one selector in namespaces that match the other."""
        key = f"pods {_canonical(pods)} in {_canonical(namespaces)}"
        classes = self.subjects_in(pods, namespaces) - self._addressless
        return PodPeers(key, classes)

    def or_doubtful(self, peers: PodPeers) -> PodPeers:
        """For a rule that denies: the same with the addresses that one of them may have
        (NP-60a)."""
        found = [
            each.endpoint_class
            for each in self._contested
            if any(holder.endpoint_class in peers.classes for holder in each.holders)
        ]
        if not found:
            return peers
        return replace(peers, key=f"{peers.key} or doubtful", classes=peers.classes | BitMap(found))

    def subjects_in(self, pods: LabelSelector, namespaces: LabelSelector) -> FrozenBitMap:
        """The same with pods that have no address yet."""
        return self._pods.select(pods) & self._of_namespaces(namespaces)

    def _of_namespaces(self, selector: LabelSelector) -> FrozenBitMap:
        found = self._in_namespaces.get(selector)
        if found is None:
            numbers = self._namespaces.select(selector)
            parts = (self._by_namespace.get(self._names[n], BitMap()) for n in numbers)
            found = self._in_namespaces[selector] = FrozenBitMap(BitMap.union(*parts, BitMap()))
        return found

    def block(self, block: Block) -> AddressPeers:
        """Every address of a block that the classes were cut at."""
        return self._addresses.peers(block)


def _canonical(selector: LabelSelector) -> str:
    """One text for selectors that say the same in another order; ``repr`` keeps it injective."""
    expressions = sorted(
        (r.key, r.operator.value, tuple(sorted(set(r.values)))) for r in selector.match_expressions
    )
    return f"{selector.match_labels!r}{expressions!r}"
