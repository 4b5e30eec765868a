"""Ends of flow records -> who they are in this cluster.

Rule: what cannot be resolved is said, never guessed. An address that podfence assumed for a pod of
a manifest resolves to nothing; a private address of an unknown owner is no address outside.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from ipaddress import ip_network
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from podfence.errors import PodfenceError
from podfence.flows.seen import EndKind, RecordedEnd, RecordedFlow
from podfence.model.cluster import Cluster, assign_addresses, undeclared
from podfence.model.meta import DEFAULT_NAMESPACE, ObjectRef
from podfence.model.objects import Pod
from podfence.model.workloads import WORKLOAD_KINDS
from podfence.policy.index import PolicyIndex
from podfence.questions.parties import PartyEnd as Named
from podfence.questions.parties import PartyLookup, literal
from podfence.questions.phrases.matched import workload_names
from podfence.questions.plan.edits import is_assumed
from podfence.questions.services import Services
from podfence.sets import AddressSet
from podfence.sets.addresses import IPAddress

_WHERE_PODS_LIVE: Final = tuple(
    ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)
"""The ranges that clusters take the addresses of pods from (RFC 1918, 6598 and 4193)."""
_SAFE: Final = "[bcdfghjklmnpqrstvwxz2456789]"
"""The letters of the names that controllers make up."""
_KINDS: Final = WORKLOAD_KINDS | {"Pod"}
_ENDINGS: Final = (
    (re.compile(rf"-{_SAFE}{{6,10}}-{_SAFE}{{5}}\Z"), frozenset({"Deployment"})),
    (re.compile(rf"-[0-9]{{8,10}}-{_SAFE}{{5}}\Z"), frozenset({"CronJob"})),
    (
        re.compile(rf"-{_SAFE}{{5}}\Z"),
        frozenset({"DaemonSet", "ReplicaSet", "ReplicationController", "Job"}),
    ),
    (re.compile(r"-[0-9]+\Z"), frozenset({"StatefulSet"})),
    (re.compile(rf"-{_SAFE}{{6,10}}-\*\Z"), frozenset({"Deployment"})),  # the same, of many pods
    (re.compile(r"-\*\Z"), WORKLOAD_KINDS),
    (re.compile(r"\*\Z"), WORKLOAD_KINDS),
)
"""How controllers make a name of their own, and which of them do. Of other controllers it is not
known how they do it."""


class KnownEnd(Struct, frozen=True):
    """An end that is known. ``workload``: all of its pods, or a pod that has none; else
    ``address``, which is outside the cluster or a node's, and None where it is not told; of a
    ``block``, addresses of one IP version that are meant as a whole, the first. ``name`` is text of
    the API: never print it raw."""

    name: str
    workload: ObjectRef | None = None
    address: IPAddress | None = None
    is_node: bool = False
    block: AddressSet | None = None


OUTSIDE: Final = KnownEnd("outside")
_SERVICE: Final = re.compile(r"service/([^/]+)/([^/]+)\Z")
"""As test files write a Service."""


class Unresolved(Exception):
    """The identity of an end is unknown; the message says why."""


class EndResolver:
    """Resolves ends in one index; remembers what it found."""

    def __init__(self, index: PolicyIndex) -> None:
        self._index = index
        cluster = index.cluster
        self._directory = PartyLookup(index)
        self._services = Services(index, self._directory)
        self._pods = {(pod.namespace, pod.name): pod for pod in cluster.pods}
        self.members: Mapping[ObjectRef, tuple[Pod, ...]] = _members(index)
        self.names = workload_names(self.members.keys())
        self._called: dict[tuple[str, str], list[ObjectRef]] = defaultdict(list)
        for ref in self.members:
            self._called[ref.namespace, ref.name].append(ref)
        self._of_services = {a for each in cluster.services for a in each.addresses}
        self._ranges = [cidr for node in cluster.nodes.values() for cidr in node.pod_cidrs]
        self._known: dict[RecordedEnd, KnownEnd] = {}

    def source(self, end: RecordedEnd) -> KnownEnd:
        """Who began. Raises Unresolved."""
        found = self._known.get(end)
        if found is None:
            found = self._known[end] = self._party(end)
        return found

    def destinations(
        self, end: RecordedEnd, protocol: str, port: int
    ) -> Iterator[tuple[KnownEnd, int]]:
        """Whom it reached on which port: what is behind a Service. Raises Unresolved."""
        word = _SERVICE.sub(r"\1/service/\2", end.word)
        address = literal(end.address) if end.address else None
        if not end.pod and not end.workload and (word or address in self._of_services):
            try:
                behind = self._services.behind(
                    word or end.address, DEFAULT_NAMESPACE, port, protocol
                )
            except PodfenceError as error:
                raise Unresolved(error.message) from error
            if behind is not None:
                ways = [(self._of_named(way), number) for way, number in behind.ways]
                yield from dict.fromkeys(ways)
                return
        yield self.source(end), port

    def is_of_node(self, party: KnownEnd, node: str) -> bool:
        """Whether it is the address of this node, or of this one as well (NP-52)."""
        return party.address is not None and self._index.is_of_node(party.address, node)

    # -- one end

    def _party(self, end: RecordedEnd) -> KnownEnd:
        if end.word:
            return self._of_word(end.word)
        if end.pod or end.workload:
            return self._of_pod(end)
        if end.address:
            return self._of_address(end)
        if end.sort is EndKind.OUTSIDE:
            return OUTSIDE
        if end.sort in (EndKind.NODE, EndKind.OWN_NODE):
            return KnownEnd("a node", is_node=True)
        raise Unresolved("the record names neither a pod nor an address")

    def _of_word(self, word: str) -> KnownEnd:
        if word == OUTSIDE.name:
            return OUTSIDE
        try:
            found = self._directory.find(word, DEFAULT_NAMESPACE)
        except PodfenceError as error:
            if (pod := pod_called(word)) is not None:  # it may be gone, and its workload be there
                with suppress(Unresolved):
                    return self._of_pod(pod)
            raise Unresolved(error.message) from error
        return self._of_named(found.ends[0])

    def _of_named(self, end: Named) -> KnownEnd:
        if end.endpoint is not None:
            return self._of(end.endpoint.pod)
        if not end.addresses:
            raise Unresolved(f"{end.name} has no address")
        return self._of_address(RecordedEnd(address=str(end.addresses[0])))

    def _of(self, pod: Pod) -> KnownEnd:
        ref = pod.owner or pod.ref
        return KnownEnd(self.names[ref], ref)

    def _of_pod(self, end: RecordedEnd) -> KnownEnd:
        pod = self._pods.get((end.namespace, end.pod))
        if pod is not None and pod.host_network:
            return self._host(pod)
        endpoint = self._index.endpoints.get(f"{end.namespace}/{end.pod}")
        if endpoint is not None and not is_assumed(endpoint.pod):
            return self._of(endpoint.pod)
        for name, kinds in _workloads(end):
            called = self._called.get((end.namespace, name), ())
            found = [ref for ref in called if ref.kind in kinds or ref.kind not in _KINDS]
            if len(found) > 1:
                raise Unresolved(f"several workloads are called {end.namespace}/{name}")
            if found:
                return KnownEnd(self.names[found[0]], found[0])
        if pod is not None:
            raise Unresolved(f"no pod of {end} is running")
        raise Unresolved(f"no pod or workload is called {end}")

    def _host(self, pod: Pod) -> KnownEnd:
        addresses = (*pod.addresses, *pod.host_addresses)
        name = f"{pod.namespace}/{pod.name}"
        return KnownEnd(name, address=addresses[0] if addresses else None, is_node=True)

    def _of_address(self, end: RecordedEnd) -> KnownEnd:
        address = literal(end.address)
        if address is None:
            raise Unresolved(f"{end.address} is not an address")
        if address.is_multicast or address.is_unspecified or address.is_loopback:
            raise Unresolved(f"{address} is not the address of a single host")
        index = self._index
        endpoint = index.by_address.get(address)
        if endpoint is not None and not is_assumed(endpoint.pod):
            return self._of(endpoint.pod)
        if address in index.contested:
            raise Unresolved(f"{address} may be that of several pods")
        is_node = address in index.by_node_address or end.sort in (EndKind.NODE, EndKind.OWN_NODE)
        outside = KnownEnd(str(address), address=address, is_node=is_node)
        if is_node or end.sort in (EndKind.OUTSIDE, EndKind.API_SERVER):
            return outside
        if address in self._of_services:
            raise Unresolved(f"{address} is the address of a Service, which opens no connections")
        if any(address in cidr for cidr in self._ranges):
            raise Unresolved(f"{address} is in the range of pods, and no pod has it now")
        if not self._ranges and any(address in cidr for cidr in _WHERE_PODS_LIVE):
            raise Unresolved(
                f"{address} is private, and it is unknown whether a pod had it: no Node of the "
                "input has spec.podCIDR"
            )
        return outside


def _members(index: PolicyIndex) -> dict[ObjectRef, tuple[Pod, ...]]:
    """The pods that policies see, by workload."""
    found: dict[ObjectRef, list[Pod]] = defaultdict(list)
    for endpoint in index.endpoints.values():
        pod = endpoint.pod
        found[pod.owner or pod.ref].append(pod)
    return {ref: tuple(pods) for ref, pods in found.items()}


def _workloads(end: RecordedEnd) -> Iterator[tuple[str, frozenset[str]]]:
    """What the workload of a pod may be called, the surest first, and of which kind it is then."""
    if end.pod:
        yield end.pod, _KINDS
    if end.workload:
        yield end.workload, _KINDS
    yield from _stems(end.pod)


def pod_called(word: str) -> RecordedEnd | None:
    """The end that ``namespace/pod`` names; None for a word of any other form."""
    namespace, _, name = word.partition("/")
    return RecordedEnd(namespace, name) if namespace and name and "/" not in name else None


def stems(pod: str) -> Iterator[str]:
    """What the controller of a pod may be called, to judge by the pod's name."""
    return (stem for stem, _ in _stems(pod))


def _stems(pod: str) -> Iterator[tuple[str, frozenset[str]]]:
    for ending, kinds in _ENDINGS:
        stem = ending.sub("", pod)
        if stem != pod:
            yield stem, kinds


# -- The cluster's DNS where manifests lack it
# Rule: pods of ``kube-system`` that received packets on port 53, in a cluster whose manifests have
# nothing of that namespace, are assumed to have the label that every distribution gives them.


_SPACE: Final = "kube-system"
LABELS: Final = (("k8s-app", "kube-dns"),)
"""Those of the DNS of every distribution."""
_PORT: Final = 53


def with_dns(
    cluster: Cluster, flows: Iterable[RecordedFlow]
) -> tuple[Cluster, tuple[ObjectRef, ...]]:
    """The cluster with pods for its DNS, and their workloads: none where it holds what it needs."""
    if any(pod.namespace == _SPACE for pod in cluster.pods):
        return cluster, ()
    owners = tuple(ObjectRef("Deployment", _SPACE, name) for name in sorted(set(_asked(flows))))
    if not owners:
        return cluster, ()
    pods = [Pod(_SPACE, owner.name, LABELS, owner=owner) for owner in owners]
    namespaces = {_SPACE: undeclared(_SPACE), **cluster.namespaces}
    every = assign_addresses((*cluster.pods, *pods))
    return replace(cluster, namespaces=namespaces, pods=every), owners


def _asked(flows: Iterable[RecordedFlow]) -> Iterator[str]:
    for flow in flows:
        end = flow.destination
        if end.word:
            end = pod_called(end.word) or end
        if end.namespace == _SPACE and flow.port == _PORT and (end.pod or end.workload):
            yield end.workload or next(stems(end.pod), end.pod)
