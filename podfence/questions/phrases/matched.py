"""Who is meant now: the pods behind the selectors and blocks of one policy.

Rule: selectors are evaluated by ``policy.select`` and nowhere else; this module turns the
classes it finds back into pods, and pods into workloads.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from functools import cached_property
from heapq import nsmallest

from msgspec import Struct
from pyroaring import FrozenBitMap

from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import IPNetwork, NetworkPolicy, NetworkPolicyPeer
from podfence.model.objects import ContainerPort, Pod
from podfence.model.selectors import LabelSelector
from podfence.policy.addressblocks import AddressClasses, ip_block
from podfence.policy.flow import Direction
from podfence.policy.index import Endpoint, PolicyIndex
from podfence.policy.select import ClassSelector, scoped
from podfence.questions.phrases.words import some
from podfence.sets import AddressSet


class PodGroup(Struct, frozen=True):
    """Pods of one workload, or a pod that has none. ``name`` is ``namespace/name`` of the workload;
    ``kind`` its kind (``Pod`` for a single pod); ``pods``: names without the namespace, sorted."""

    name: str
    kind: str
    pods: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} ({len(self.pods)} pods)" if len(self.pods) > 1 else self.name


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
        return "on the network of a node, where no selector finds pods; use an ipBlock of the nodes"
    return "" if pod.addresses else "without an address yet"


_Ends = tuple[Endpoint, ...]
_Item = tuple[str, NetworkPolicyPeer]
"""An item of ``from``/``to``, and the namespace that it looks into if it tells none itself."""


class Matched:
    """Looks up pods for one index; what it has found out is kept."""

    def __init__(self, index: PolicyIndex) -> None:
        self.index = index
        pods = [c for c in index.classes if c.outside is None]
        addressless = (c.number for c in pods if not _has_address(index.members[c.number]))
        self._select = ClassSelector(
            pods, FrozenBitMap(addressless), index.cluster.namespaces, AddressClasses.of(())
        )
        self._peers: dict[_Item, tuple[Endpoint, ...]] = {}
        self._rules: dict[tuple[_Item, ...], tuple[Endpoint, ...]] = {}
        self._open: dict[tuple[str, Direction], list[NetworkPolicy]] = {}
        # By identity, beside what is known by it: so no other tuple gets the same one.
        self._port_lists: dict[int, tuple[_Ends, list[tuple[ContainerPort, ...]]]] = {}
        self._by_label: dict[int, tuple[_Ends, dict[tuple[str, str], list[Endpoint]]]] = {}
        self._spaces: dict[LabelSelector, list[str]] = {}

    def subjects(self, policy: NetworkPolicy | ClusterNetworkPolicy) -> tuple[Endpoint, ...]:
        """Pods that a policy selects; empty too if the index does not hold the policy."""
        return self._members(self.index.selected.get(policy.ref, FrozenBitMap()))

    def policies_of(self, namespace: str) -> list[NetworkPolicy]:
        """The NetworkPolicies of one namespace."""
        return self._policies.get(namespace, [])

    def open_policies(self, namespace: str, direction: Direction) -> list[NetworkPolicy]:
        """Those of them that allow every connection of a direction."""
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

    def pods_of(self, namespace: str) -> tuple[Endpoint, ...]:
        """The pods of one namespace that are endpoints."""
        return self._pods.get(namespace, ())

    @cached_property
    def _pods(self) -> dict[str, tuple[Endpoint, ...]]:
        found: dict[str, list[Endpoint]] = {}
        for endpoint in self.index.endpoints.values():
            found.setdefault(endpoint.pod.namespace, []).append(endpoint)
        return {namespace: tuple(ends) for namespace, ends in found.items()}

    @cached_property
    def unfindable(self) -> list[Pod]:
        """The pods that no selector finds."""
        return [pod for pod in self.index.cluster.pods if unfindable(pod)]

    def peers(self, namespace: str, peer: NetworkPolicyPeer) -> tuple[Endpoint, ...]:
        """Pods that one item of ``from``/``to`` means; for an ipBlock those whose address lies
        in it (NP-27). Pods without an address are nobody's peer (NP-58)."""
        item = scoped(namespace, peer), peer
        found = self._peers.get(item)
        if found is None:
            if peer.ip_block is None:
                classes = self._select.peers(namespace, peer).among(self._select.pods)
                found = self._members(classes)
            else:
                found = self._with_address_in(ip_block(peer.ip_block).addresses)
            self._peers[item] = found
        return found

    def rule_peers(
        self, namespace: str, peers: Iterable[NetworkPolicyPeer]
    ) -> tuple[Endpoint, ...]:
        """Pods that a rule means: the union of its peers, every pod if there is none (NP-12)."""
        items = tuple([(scoped(namespace, peer), peer) for peer in peers])
        found = self._rules.get(items)
        if found is None:
            if not items:
                found = self._members(self._select.pods)
            elif len(items) == 1:
                found = self.peers(*items[0])
            else:
                parts = (self.peers(*item) for item in items)
                found = tuple({id(e): e for part in parts for e in part}.values())
            self._rules[items] = found
        return found

    def names(self, endpoints: Iterable[Endpoint], shown: int, last: str = ", ") -> str:
        """``grouped`` in words, of which only the first few are made; ``last`` as of ``some``."""
        sizes = Counter(map(self._workloads.__getitem__, map(id, endpoints)))
        first = nsmallest(shown, sizes) if len(sizes) > shown else sorted(sizes)
        items = [f"{key[0]} ({sizes[key]} pods)" if sizes[key] > 1 else key[0] for key in first]
        if len(sizes) > shown:
            return f"{', '.join(items)} and {len(sizes) - shown} more"
        return some(items, shown, last)

    @cached_property
    def _workloads(self) -> dict[int, tuple[str, str]]:
        """Of each endpoint of the index, by identity: the pods of one workload are told apart only
        where texts are made, and that is often."""
        shared: dict[tuple[str, str], tuple[str, str]] = {}
        found = {}
        for endpoint in self._endpoints:
            key = workload_of(endpoint.pod)
            found[id(endpoint)] = shared.setdefault(key, key)
        return found

    def port_lists(self, endpoints: tuple[Endpoint, ...]) -> list[tuple[ContainerPort, ...]]:
        """What pods declare, each list once: pods of one workload share it."""
        known = self._port_lists.get(id(endpoints))
        if known is None:
            lists = {id(end.pod.ports): end.pod.ports for end in endpoints}
            known = self._port_lists[id(endpoints)] = endpoints, list(lists.values())
        return known[1]

    def by_label(self, endpoints: tuple[Endpoint, ...]) -> dict[tuple[str, str], list[Endpoint]]:
        """Every label with the pods that have it."""
        known = self._by_label.get(id(endpoints))
        if known is None:
            found: dict[tuple[str, str], list[Endpoint]] = {}
            for end in endpoints:
                for label in end.pod.labels:
                    found.setdefault(label, []).append(end)
            known = self._by_label[id(endpoints)] = endpoints, found
        return known[1]

    def namespaces(self, selector: LabelSelector) -> list[str]:
        """The namespaces that a selector fits."""
        found = self._spaces.get(selector)
        if found is None:
            known = self.index.cluster.namespaces
            found = [name for name, each in known.items() if selector.matches(dict(each.labels))]
            self._spaces[selector] = found
        return found

    def pods_in(self, pods: LabelSelector, namespaces: LabelSelector) -> tuple[Endpoint, ...]:
        """Pods with an address that match one selector in namespaces that match the other."""
        return self._members(self._select.pods_in(pods, namespaces).classes)

    def in_networks(self, networks: Iterable[IPNetwork]) -> tuple[Endpoint, ...]:
        """Pods with an address in one of these (CNP-17)."""
        return self._with_address_in(AddressSet.of(networks))

    def _with_address_in(self, addresses: AddressSet) -> tuple[Endpoint, ...]:
        found: list[int] = []
        for version, (numbers, places) in self._by_address.items():
            for low, high in addresses.family(version):
                found += places[bisect_left(numbers, low) : bisect_right(numbers, high)]
        return tuple(self._endpoints[place] for place in sorted(set(found)))

    @cached_property
    def _endpoints(self) -> list[Endpoint]:
        return list(self.index.endpoints.values())

    @cached_property
    def _by_address(self) -> dict[int, tuple[list[int], list[int]]]:
        """For each IP version the addresses of pods as numbers, in order, and beside each the place
        of its pod among all."""
        found: dict[int, list[tuple[int, int]]] = {4: [], 6: []}
        for place, endpoint in enumerate(self._endpoints):
            for address in endpoint.pod.addresses:
                found[address.version].append((int(address), place))
        return {
            version: ([number for number, _ in pairs], [place for _, place in pairs])
            for version, pairs in ((version, sorted(pairs)) for version, pairs in found.items())
        }

    def _members(self, classes: FrozenBitMap) -> tuple[Endpoint, ...]:
        return tuple(endpoint for number in classes for endpoint in self.index.members[number])


def _has_address(members: Iterable[Endpoint]) -> bool:
    return any(endpoint.pod.addresses for endpoint in members)
