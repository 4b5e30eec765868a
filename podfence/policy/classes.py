"""Pods and outside addresses -> endpoint classes.

Rule: two endpoints share a class only if no policy of the cluster can tell them apart, so
everything after this works on classes. Clusters have few classes (workloads) and many pods.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain

from msgspec import Struct
from pyroaring import BitMap, FrozenBitMap

from podfence.model.claims import AddressClaim, claims
from podfence.model.cluster import Cluster
from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy
from podfence.model.meta import Labels
from podfence.model.networkpolicy import IPBlock, NetworkPolicy, NetworkPolicyRule, PolicyType
from podfence.model.objects import ContainerPort, Pod
from podfence.model.selectors import LabelSelector
from podfence.policy.addressblocks import AddressClasses, Block, Signature
from podfence.policy.index import ContestedAddress, Endpoint, EndpointClass, OutsideLookup
from podfence.sets import AddressSet, IntervalSet
from podfence.sets.addresses import IPAddress

ClassKey = tuple[
    str, Labels, tuple[ContainerPort, ...], tuple[tuple[int, Signature], ...], frozenset[int]
]
"""Namespace, labels that some selector asks for, named ports, what holds the address of each
family, and the families in which the address is doubtful (NP-60a)."""
Claims = dict[IPAddress, AddressClaim]


class Classes(Struct, frozen=True):
    """Everything that classification yields; ``addressless``: classes of pods without address."""

    all: tuple[EndpointClass, ...]
    members: tuple[tuple[Endpoint, ...], ...]
    endpoints: dict[str, Endpoint]
    by_address: dict[IPAddress, Endpoint]
    contested: dict[IPAddress, ContestedAddress]
    addressless: FrozenBitMap
    outside: OutsideLookup
    addresses: AddressClasses


def active_rules(policy: NetworkPolicy) -> Iterable[NetworkPolicyRule]:
    """Rules of the directions that the policy really has (NP-15)."""
    if PolicyType.INGRESS in policy.policy_types:
        yield from policy.ingress
    if PolicyType.EGRESS in policy.policy_types:
        yield from policy.egress


def ip_blocks_of(policy: NetworkPolicy) -> Iterator[IPBlock]:
    """Every ipBlock of the directions that a policy really has."""
    for rule in active_rules(policy):
        for peer in rule.peers:
            if peer.ip_block is not None:
                yield peer.ip_block


def classify(cluster: Cluster, others: Iterable[Block], pods: Iterable[Pod]) -> Classes:
    """Group these pods of a cluster. ``others``: blocks that are no NetworkPolicy's."""
    ip_blocks = chain.from_iterable(map(ip_blocks_of, cluster.policies))
    addresses = AddressClasses.of(ip_blocks, others)
    numbers: dict[ClassKey, int] = {}
    classes: list[EndpointClass] = []
    members: list[list[Endpoint]] = []
    endpoints: dict[str, Endpoint] = {}
    by_address: dict[IPAddress, Endpoint] = {}
    addressless = BitMap()
    policies: Iterable[NetworkPolicy | ClusterNetworkPolicy]
    policies = chain(cluster.policies, cluster.admin_policies)
    selectors = set(chain.from_iterable(map(_pod_selectors, policies)))
    asked = RelevantLabels(key for selector in selectors for key in selector.asked_keys)
    pods = tuple(pods)
    claimed = {claim.address: claim for claim in claims(pods)}
    for pod in pods:
        if not pod.is_seen:
            continue
        doubtful = doubtful_addresses(pod, claimed) if claimed else ()
        key = class_key(pod, asked.of(pod.labels), doubtful, addresses.signature)
        number = numbers.get(key)
        if number is None:
            number = numbers[key] = len(classes)
            classes.append(EndpointClass(number, *key[:3]))
            members.append([])
            for _, signature in key[3]:
                addresses.add(number, signature)
            if not pod.addresses:
                addressless.add(number)
        endpoint = Endpoint(pod, number, doubtful)
        members[number].append(endpoint)
        endpoints[f"{pod.namespace}/{pod.name}"] = endpoint
        for address in endpoint.addresses:
            by_address[address] = endpoint
    contested = dict(_contested(claimed.values(), endpoints, classes, addresses))
    outside = _outside(addresses, (*by_address, *contested), classes)
    members.extend([] for _ in range(len(classes) - len(members)))
    return Classes(
        tuple(classes),
        tuple(map(tuple, members)),
        endpoints,
        by_address,
        contested,
        FrozenBitMap(addressless),
        outside,
        addresses,
    )


def doubtful_addresses(pod: Pod, claimed: Claims) -> tuple[IPAddress, ...]:
    """The addresses of a pod that are not surely its own (NP-60a)."""
    return tuple(a for a in pod.addresses if a in claimed and claimed[a].holders != (pod,))


def _contested(
    claimed: Iterable[AddressClaim],
    endpoints: Mapping[str, Endpoint],
    classes: list[EndpointClass],
    addresses: AddressClasses,
) -> Iterator[tuple[IPAddress, ContestedAddress]]:
    """A class for each address that is no pod's for certain; nothing is outside in it."""
    for claim in claimed:
        if len(claim.holders) == 1:
            continue
        names = sorted((pod.namespace, pod.name) for pod in claim.holders)
        holders = tuple(endpoints[f"{namespace}/{name}"] for namespace, name in names)
        number = len(classes)
        classes.append(EndpointClass(number, outside=AddressSet()))
        addresses.add(number, addresses.signature(claim.address))
        yield claim.address, ContestedAddress(number, holders)


class RelevantLabels:
    """Labels cut down to the keys that some selector asks for: a label that nobody asks for, such
    as the ordinal of a StatefulSet's pod, must not make a class of its own for each pod."""

    def __init__(self, keys: Iterable[str]) -> None:
        self.keys = frozenset(keys)
        self._memo: dict[Labels, Labels] = {}

    def of(self, labels: Labels) -> Labels:
        """The labels that can make a difference."""
        found = self._memo.get(labels)
        if found is None:
            found = tuple((key, value) for key, value in labels if key in self.keys)
            self._memo[labels] = found
        return found


def asked_keys(policy: NetworkPolicy | ClusterNetworkPolicy) -> Iterator[str]:
    """The keys of the labels of pods that a policy asks for."""
    for selector in _pod_selectors(policy):
        yield from selector.asked_keys


def _pod_selectors(policy: NetworkPolicy | ClusterNetworkPolicy) -> Iterator[LabelSelector]:
    if isinstance(policy, NetworkPolicy):
        yield policy.pod_selector
        for rule in (*policy.ingress, *policy.egress):
            for peer in rule.peers:
                if peer.pod_selector is not None:
                    yield peer.pod_selector
        return
    if policy.subject.pods is not None:
        yield policy.subject.pods.pod_selector
    for tier_rule in (*policy.ingress, *policy.egress):
        for tier_peer in tier_rule.peers:
            if tier_peer.pods is not None:
                yield tier_peer.pods.pod_selector


def class_key(
    pod: Pod,
    labels: Labels,
    doubtful: tuple[IPAddress, ...],
    signature: Callable[[IPAddress], Signature],
) -> ClassKey:
    """What decides about the class of a pod. ``labels``: those that some selector asks for;
    ``signature``: of an address, the blocks that hold it."""
    signatures = tuple([(a.version, signature(a)) for a in pod.addresses])
    if len(signatures) > 1:
        signatures = tuple(sorted(signatures, key=lambda pair: pair[0]))
    named = tuple([port for port in pod.ports if port.name])
    if len(named) > 1:
        named = tuple(sorted(set(named), key=lambda p: (p.name, p.port, p.protocol.value)))
    families = frozenset([a.version for a in doubtful]) if doubtful else _NO_FAMILY
    return pod.namespace, labels, named, signatures, families


_NO_FAMILY: frozenset[int] = frozenset()


def _outside(
    addresses: AddressClasses, pods: Iterable[IPAddress], classes: list[EndpointClass]
) -> OutsideLookup:
    """One class for each signature that an address outside every pod can have."""
    inhabited: dict[tuple[int, Signature], int] = defaultdict(int)
    for address in pods:
        inhabited[address.version, addresses.signature(address)] += 1
    starts: dict[int, tuple[int, ...]] = {}
    numbers: dict[int, tuple[int, ...]] = {}
    for family, segments in addresses.segments.items():
        of_signature: dict[Signature, int] = {}
        for signature, members in segments.by_signature(family):
            number = of_signature[signature] = len(classes)
            full = members.size == inhabited[family, signature]
            classes.append(EndpointClass(number, outside=outside_set(family, members, empty=full)))
            addresses.add(number, signature)
        starts[family] = segments.starts
        numbers[family] = tuple(of_signature[signature] for signature in segments.signatures)
    return OutsideLookup(starts, numbers)


def outside_set(family: int, members: IntervalSet, *, empty: bool) -> AddressSet:
    """``empty``: pods hold every one of these addresses, so nothing is outside."""
    if empty:
        return AddressSet()
    return AddressSet(v4=members) if family == 4 else AddressSet(v6=members)
