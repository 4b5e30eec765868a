"""The pods that the selectors and blocks of one policy match now.

Rule: selectors are evaluated by ``policy.select`` and nowhere else; this module turns the
classes it finds back into pods, and pods into workloads.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import copy
from functools import cached_property
from heapq import nsmallest
from itertools import accumulate

from msgspec import Struct
from pyroaring import BitMap, FrozenBitMap

from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import IPBlock, NetworkPolicy, NetworkPolicyPeer, Protocol
from podfence.model.objects import ContainerPort, Pod
from podfence.model.selectors import LabelSelector
from podfence.policy.addressblocks import AddressClasses, ip_block
from podfence.policy.flow import Direction
from podfence.policy.index import Endpoint, PolicyIndex
from podfence.policy.select import ClassSelector, scoped
from podfence.questions.phrases.ends import Ends
from podfence.questions.phrases.words import some
from podfence.sets import AddressSet
from podfence.sets.addresses import IPNetwork


class PodGroup(Struct, frozen=True):
    """Pods of one workload, or a pod that has none. ``name`` is ``namespace/name`` of the workload;
    ``kind`` its kind (``Pod`` for a single pod); ``pods``: names without the namespace, sorted."""

    name: str
    kind: str
    pods: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} ({len(self.pods)} pods)" if len(self.pods) > 1 else self.name

    @property
    def full_name(self) -> str:
        """``Deployment shop/web``: tells it from a workload of another kind."""
        return f"{self.kind} {self.name}"


def workload_of(pod: Pod) -> tuple[str, str]:
    """(``namespace/name``, kind) of the workload that a pod belongs to, else of the pod itself."""
    owner = pod.owner
    if owner is None:
        return f"{pod.namespace}/{pod.name}", "Pod"
    return f"{pod.namespace}/{owner.name}", owner.kind


def workload_names(workloads: Collection[ObjectRef]) -> dict[ObjectRef, str]:
    """Names of workloads, and of pods that have none: ``shop/web``, with the kind
    (``shop/Deployment/web``) where another kind has the name too."""
    shared = Counter(map(str, workloads))
    return {
        ref: str(ref) if shared[str(ref)] == 1 else f"{ref.namespace}/{ref.kind}/{ref.name}"
        for ref in workloads
    }


def names_by_pod(pods: Sequence[Pod]) -> dict[str, str]:
    """``namespace/pod`` -> the name of its workload, or its own."""
    names = workload_names({pod.owner or pod.ref for pod in pods})
    return {f"{pod.namespace}/{pod.name}": names[pod.owner or pod.ref] for pod in pods}


def grouped(endpoints: Iterable[Endpoint]) -> tuple[PodGroup, ...]:
    """Endpoints by workload, sorted by name."""
    members: dict[tuple[str, str], list[str]] = {}
    for endpoint in endpoints:
        members.setdefault(workload_of(endpoint.pod), []).append(endpoint.pod.name)
    return tuple(PodGroup(*key, tuple(sorted(names))) for key, names in sorted(members.items()))


def allows_everything(policy: NetworkPolicy, direction: Direction) -> bool:
    """Whether the policy has the direction and a rule ``{}`` in it (NP-11)."""
    return direction.policy_type in policy.policy_types and any(
        not rule.peers and not rule.ports for rule in policy.rules_of(direction.policy_type)
    )


def unfindable(pod: Pod) -> str:
    """Why no selector finds a pod, to follow "it" or "they"; "" if selectors do."""
    if pod.finished:
        return "finished"
    if pod.host_network:
        return "on the host network, where selectors match no pod; use an ipBlock of the nodes"
    return "" if pod.addresses else "without an address yet"


_PROTOCOLS = tuple(Protocol)
_Item = tuple[str, NetworkPolicyPeer]
"""An item of ``from``/``to``, and the namespace in which it looks if it names none."""


class MatchedPods:
    """Looks up pods for one index; what it has found out is kept."""

    def __init__(self, index: PolicyIndex) -> None:
        self.index = index
        pods = [c for c in index.classes if c.outside is None]
        addressless = (c.number for c in pods if not _has_address(index.members[c.number]))
        self._select = ClassSelector(
            pods, FrozenBitMap(addressless), index.cluster.namespaces, AddressClasses.of(())
        )
        self._peers: dict[_Item, Ends] = {}
        self._rules: dict[tuple[_Item, ...], Ends] = {}
        self._subjects: dict[tuple[str, LabelSelector], Ends] = {}
        self._open: dict[tuple[str, Direction], list[NetworkPolicy]] = {}
        self._in_blocks: dict[IPBlock, Ends] = {}

    def after(
        self, index: PolicyIndex, changed: Mapping[ObjectRef, NetworkPolicy | None]
    ) -> MatchedPods:
        """The same for an index in which some NetworkPolicies are others (None: gone). What is
        known of pods is kept if the pods are the same."""
        old, now = self.index.cluster, index.cluster
        same = index.members is self.index.members and index.endpoints is self.index.endpoints
        same &= now.pods is old.pods and now.namespaces is old.namespaces
        if not same or now.nodes is not old.nodes:
            return MatchedPods(index)
        new = copy(self)  # what is found out of pods is shared both ways
        new.index, new._open = index, {}
        policies = dict(self._policies)
        for name in {ref.namespace for ref in changed}:
            others = [each for each in policies.get(name, ()) if each.ref not in changed]
            come = (each for each in changed.values() if each and not each.audited)
            others += [each for each in come if each.ref.namespace == name]
            policies[name] = sorted(others, key=lambda each: each.ref.name)
        new._policies = policies
        return new

    def prepare(self) -> None:
        """Compute now what every policy needs."""
        _ = self._policies, self._pods, self._workloads, self._by_address, self.unfindable
        _ = self._declaring, self._declaring_none, self._with_status, self.pod_range

    def subjects(self, policy: NetworkPolicy | ClusterNetworkPolicy) -> Ends:
        """Pods that a policy selects; empty too if the index does not hold the policy."""
        selected = self.index.selected.get(policy.ref, FrozenBitMap())
        if isinstance(policy, ClusterNetworkPolicy) or not selected:
            return self._ends_of(selected)
        asked = policy.ref.namespace, policy.pod_selector
        found = self._subjects.get(asked)
        if found is None:
            found = self._subjects[asked] = self._ends_of(selected)
        return found

    def policies_of(self, namespace: str) -> list[NetworkPolicy]:
        """The NetworkPolicies of one namespace."""
        return self._policies.get(namespace, [])

    def open_policies(self, namespace: str, direction: Direction) -> list[NetworkPolicy]:
        """The NetworkPolicies of a namespace that allow every connection of a direction."""
        found = self._open.get((namespace, direction))
        if found is None:
            found = [p for p in self.policies_of(namespace) if allows_everything(p, direction)]
            self._open[namespace, direction] = found
        return found

    @cached_property
    def _policies(self) -> dict[str, list[NetworkPolicy]]:
        found: dict[str, list[NetworkPolicy]] = {}
        for policy in self.index.cluster.policies:
            found.setdefault(policy.ref.namespace, []).append(policy)
        return found

    def pods_of(self, namespace: str) -> Ends:
        """The pods of one namespace that are endpoints."""
        return self._ends(self._pods.get(namespace, BitMap()))

    @cached_property
    def _pods(self) -> dict[str, BitMap]:
        found: dict[str, BitMap] = {}
        for ordinal, endpoint in enumerate(self._endpoints):
            found.setdefault(endpoint.pod.namespace, BitMap()).add(ordinal)
        return found

    @cached_property
    def unfindable(self) -> list[Pod]:
        """The pods that no selector finds."""
        return [pod for pod in self.index.cluster.pods if unfindable(pod)]

    def peers(self, namespace: str, peer: NetworkPolicyPeer) -> Ends:
        """Pods that one item of ``from``/``to`` matches; for an ipBlock those with an address in it
        (NP-27). A pod without an address is not a peer (NP-58)."""
        item = scoped(namespace, peer), peer
        found = self._peers.get(item)
        if found is None:
            if peer.ip_block is None:
                found = self._ends_of(self._select.pods_of(namespace, peer))
            else:
                found = self._ends(self._with_address_in(ip_block(peer.ip_block).addresses))
            self._peers[item] = found
        return found

    def rule_peers(self, namespace: str, peers: Iterable[NetworkPolicyPeer]) -> Ends:
        """Pods that a rule means: the union of its peers, every pod if there is none (NP-12)."""
        items = tuple([(scoped(namespace, peer), peer) for peer in peers])
        found = self._rules.get(items)
        if found is None:
            if not items:
                found = self._ends_of(self._select.pods)
            elif len(items) == 1:
                found = self.peers(*items[0])
            else:
                found = self._ends(BitMap.union(*[self.peers(*item).ordinals for item in items]))
            self._rules[items] = found
        return found

    def names(self, endpoints: Iterable[Endpoint], shown: int, last: str = ", ") -> str:
        """``grouped`` in words, of which only the first few are made; ``last``: as in ``some``."""
        if not isinstance(endpoints, Ends):
            return self._named(endpoints, shown, last)
        if (shown, last) not in endpoints.names:
            endpoints.names[shown, last] = self._named(endpoints, shown, last)
        return endpoints.names[shown, last]

    def _named(self, endpoints: Iterable[Endpoint], shown: int, last: str) -> str:
        if isinstance(endpoints, Ends):
            sizes = Counter(map(self._workloads.__getitem__, endpoints.ordinals))
        else:
            sizes = Counter(map(self._workloads_by_identity.__getitem__, map(id, endpoints)))
        first = nsmallest(shown, sizes) if len(sizes) > shown else sorted(sizes)
        names = self._workload_names
        items = [f"{names[n]} ({sizes[n]} pods)" if sizes[n] > 1 else names[n] for n in first]
        if len(sizes) > shown:
            return f"{', '.join(items)} and {len(sizes) - shown} more"
        return some(items, shown, last)

    @cached_property
    def _workloads(self) -> list[int]:
        """Of each endpoint the number of its workload, by ordinal. Workloads are numbered in the
        order of their names."""
        keys = [workload_of(endpoint.pod) for endpoint in self._endpoints]
        numbers = {key: number for number, key in enumerate(sorted(set(keys)))}
        return [numbers[key] for key in keys]

    @cached_property
    def _workloads_by_identity(self) -> dict[int, int]:
        """The same by identity."""
        return dict(zip(map(id, self._endpoints), self._workloads, strict=True))

    @cached_property
    def _workload_names(self) -> list[str]:
        """The name of each workload, by number; see ``workload_names``."""
        workloads = {end.pod.owner or end.pod.ref for end in self._endpoints}
        names = workload_names(workloads)
        return [names[ref] for ref in sorted(workloads, key=lambda ref: (str(ref), ref.kind))]

    def port_lists(self, endpoints: Ends) -> list[tuple[ContainerPort, ...]]:
        """What pods declare, each list once: pods of one workload share it."""
        if endpoints.port_lists is None:
            ordinals = endpoints.ordinals
            if len(ordinals) > len(self._by_ports):
                lists = [ports for ports, having in self._by_ports if having.intersect(ordinals)]
            else:
                lists = list({id(end.pod.ports): end.pod.ports for end in endpoints}.values())
            endpoints.port_lists = lists
        return endpoints.port_lists

    def some_declares(self, endpoints: Ends, number: int, protocol: Protocol) -> bool:
        """Whether one of the pods declares a port."""
        having = self._declaring.get((number, protocol))
        return having is not None and having.intersect(endpoints.ordinals)

    def each_declares(self, endpoints: Ends, number: int, protocol: Protocol) -> bool:
        """Whether each of the pods declares a port."""
        return endpoints.ordinals <= self._declaring.get((number, protocol), BitMap())

    def some_declares_none(self, endpoints: Ends) -> bool:
        """Whether one of the pods declares no port at all."""
        return self._declaring_none.intersect(endpoints.ordinals)

    def protocols(self, endpoints: Ends, number: int) -> list[Protocol]:
        """The protocols for which one of the pods declares a number."""
        return [each for each in _PROTOCOLS if self.some_declares(endpoints, number, each)]

    @cached_property
    def _declaring_none(self) -> BitMap:
        """The ordinals of the pods that declare no port."""
        return BitMap.union(BitMap(), *(who for ports, who in self._by_ports if not ports))

    @cached_property
    def _declaring(self) -> dict[tuple[int, Protocol], BitMap]:
        """Of each port the ordinals of the pods that declare it."""
        found: dict[tuple[int, Protocol], BitMap] = {}
        for ports, having in self._by_ports:
            for port in ports:
                found.setdefault((port.port, port.protocol), BitMap()).update(having)
        return found

    @cached_property
    def _by_ports(self) -> list[tuple[tuple[ContainerPort, ...], BitMap]]:
        """Every list of ports that a pod declares, with the ordinals of the pods that have it."""
        found: dict[int, tuple[tuple[ContainerPort, ...], BitMap]] = {}
        for ordinal, end in enumerate(self._endpoints):
            found.setdefault(id(end.pod.ports), (end.pod.ports, BitMap()))[1].add(ordinal)
        return list(found.values())

    def by_label(self, endpoints: Ends) -> dict[tuple[str, str], list[Endpoint]]:
        """Every label with the pods that have it."""
        if endpoints.by_label is None:
            found: dict[tuple[str, str], list[Endpoint]] = {}
            for end in endpoints:
                for label in end.pod.labels:
                    found.setdefault(label, []).append(end)
            endpoints.by_label = found
        return endpoints.by_label

    def namespaces(self, selector: LabelSelector) -> list[str]:
        """The namespaces that a selector fits."""
        return self._select.namespaces(selector)

    def pods_in(self, pods: LabelSelector, namespaces: LabelSelector) -> Ends:
        """Pods with an address that match one selector in namespaces that match the other."""
        return self._ends_of(self._select.pods_in(pods, namespaces).classes)

    def in_networks(self, networks: Iterable[IPNetwork]) -> Ends:
        """Pods with an address in one of these (CNP-17)."""
        return self._ends(self._with_address_in(AddressSet.of(networks)))

    def in_block(self, block: IPBlock) -> Ends:
        """Pods whose address is in a block and was given by a cluster, not made up here."""
        found = self._in_blocks.get(block)
        if found is None:
            ordinals = self._with_address_in(ip_block(block).addresses)
            found = self._in_blocks[block] = self._ends(ordinals & self._with_status)
        return found

    @cached_property
    def _with_status(self) -> BitMap:
        return BitMap(ordinal for ordinal, end in enumerate(self._endpoints) if end.pod.has_status)

    @cached_property
    def pod_range(self) -> AddressSet:
        """The addresses that nodes give to pods, as far as the nodes say."""
        nodes = self.index.cluster.nodes.values()
        return AddressSet.of(cidr for node in nodes for cidr in node.pod_cidrs)

    def _with_address_in(self, addresses: AddressSet) -> BitMap:
        found: list[int] = []
        for version, (numbers, ordinals) in self._by_address.items():
            for low, high in addresses.family(version):
                found += ordinals[bisect_left(numbers, low) : bisect_right(numbers, high)]
        return BitMap(found)

    @cached_property
    def _endpoints(self) -> list[Endpoint]:
        """All endpoints, class by class; the position in the list is the ordinal."""
        return [endpoint for members in self.index.members for endpoint in members]

    @cached_property
    def _first(self) -> list[int]:
        """Of each class the ordinal of its first endpoint; at the end, behind the last one."""
        return [0, *accumulate(map(len, self.index.members))]

    def _ends_of(self, classes: FrozenBitMap) -> Ends:
        return Ends(self._endpoints, None, classes, self._first)

    def _ends(self, ordinals: BitMap) -> Ends:
        return Ends(self._endpoints, ordinals)

    @cached_property
    def _by_address(self) -> dict[int, tuple[list[int], list[int]]]:
        """For each IP version the addresses of pods as sorted numbers, each with the ordinal of its
        pod."""
        found: dict[int, list[tuple[int, int]]] = {4: [], 6: []}
        for ordinal, endpoint in enumerate(self._endpoints):
            for address in endpoint.pod.addresses:
                found[address.version].append((int(address), ordinal))
        return {
            version: ([number for number, _ in pairs], [ordinal for _, ordinal in pairs])
            for version, pairs in ((version, sorted(pairs)) for version, pairs in found.items())
        }


def _has_address(members: Iterable[Endpoint]) -> bool:
    return any(endpoint.pod.addresses for endpoint in members)
