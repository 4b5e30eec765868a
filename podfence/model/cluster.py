"""Cluster: a frozen snapshot of all objects that judgements depend on.

Rule: from here on nothing can fail on input.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy
from podfence.model.doubt import Doubt
from podfence.model.meta import METADATA_NAME_LABEL, ObjectRef
from podfence.model.networkpolicy import NetworkPolicy
from podfence.model.objects import EndpointSlice, Namespace, Node, Pod, Service
from podfence.sets.addresses import IPAddress

ClusterObject = (
    Namespace | Node | Pod | Service | EndpointSlice | NetworkPolicy | ClusterNetworkPolicy
)

Policy = NetworkPolicy | ClusterNetworkPolicy

ASSUMED_V4 = IPv4Address("10.244.0.0")
ASSUMED_V6 = IPv6Address("fd00:10:244::")
"""Manifests carry no pod addresses: those without one get the next address after these."""


class Cluster(Struct, frozen=True):
    """``namespaces`` hold every namespace that any object names, with the automatic label (NP-21).

    ``policies`` are sorted by namespace and name, so that nothing depends on the order of files.
    ``doubts``: objects that are there, too, and could not be read. ``audited``: policies that are
    evaluated and enforce nothing (AUD-1): they are in neither of the other two, so that code that
    asks what holds cannot meet them.
    """

    namespaces: Mapping[str, Namespace]
    nodes: Mapping[str, Node]
    pods: tuple[Pod, ...]
    services: tuple[Service, ...] = ()
    policies: tuple[NetworkPolicy, ...] = ()
    admin_policies: tuple[ClusterNetworkPolicy, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    endpoint_slices: tuple[EndpointSlice, ...] = ()
    audited: tuple[Policy, ...] = ()
    idle: tuple[ObjectRef, ...] = ()
    """Workloads of the input that run no pod now: no question is about one of theirs."""

    @classmethod
    def of(cls, objects: Iterable[ClusterObject]) -> Cluster:
        """The snapshot of these objects; of two with one name the later wins, as for ``apply``."""
        namespaces: dict[str, Namespace] = {}
        nodes: dict[str, Node] = {}
        pods: dict[tuple[str, str], Pod] = {}
        services: dict[tuple[str, str], Service] = {}
        slices: dict[ObjectRef, EndpointSlice] = {}
        policies: dict[tuple[str, str], NetworkPolicy] = {}
        admin_policies: dict[tuple[str, str], ClusterNetworkPolicy] = {}
        for thing in objects:
            match thing:
                case Namespace():
                    namespaces[thing.name] = with_name_label(thing)
                case Node():
                    nodes[thing.name] = thing
                case Pod():
                    pods[thing.namespace, thing.name] = thing
                case Service():
                    services[thing.ref.namespace, thing.ref.name] = thing
                case EndpointSlice():
                    slices[thing.ref] = thing
                case NetworkPolicy():
                    policies[thing.ref.namespace, thing.ref.name] = thing
                case ClusterNetworkPolicy():
                    admin_policies[thing.ref.name, thing.ref.kind] = thing
        for namespace, _ in (*pods, *policies, *services):
            if namespace not in namespaces:
                namespaces[namespace] = undeclared(namespace)
        return cls(
            MappingProxyType(namespaces),
            MappingProxyType(nodes),
            tuple(pods.values()),
            tuple(services.values()),
            tuple(policies[key] for key in sorted(policies)),
            tuple(admin_policies[key] for key in sorted(admin_policies)),
            endpoint_slices=tuple(slices.values()),
        )._with_audited_apart()

    def with_audited(self) -> Cluster:
        """The cluster in which its audited policies are enforced (AUD-3)."""
        if not self.audited:
            return self
        enforced = [replace(policy, audited=False) for policy in self.audited]
        plain = [policy for policy in enforced if isinstance(policy, NetworkPolicy)]
        tiered = [policy for policy in enforced if isinstance(policy, ClusterNetworkPolicy)]
        return replace(
            self,
            policies=tuple(sorted((*self.policies, *plain), key=_by_namespace)),
            admin_policies=tuple(sorted((*self.admin_policies, *tiered), key=_by_kind)),
            audited=(),
        )

    def _with_audited_apart(self) -> Cluster:
        every: tuple[Policy, ...] = (*self.policies, *self.admin_policies)
        audited = tuple(policy for policy in every if policy.audited)
        if not audited:
            return self
        return replace(
            self,
            policies=tuple(policy for policy in self.policies if not policy.audited),
            admin_policies=tuple(policy for policy in self.admin_policies if not policy.audited),
            audited=audited,
        )


def _by_namespace(policy: NetworkPolicy) -> tuple[str, str]:
    return policy.ref.namespace, policy.ref.name


def _by_kind(policy: ClusterNetworkPolicy) -> tuple[str, str]:
    return policy.ref.name, policy.ref.kind


def undeclared(name: str) -> Namespace:
    """A namespace that objects name and that is no object of the input."""
    return with_name_label(Namespace(name))


def with_name_label(namespace: Namespace) -> Namespace:
    """The automatic label wins over what the manifest says (NP-21)."""
    labels = {**dict(namespace.labels), METADATA_NAME_LABEL: namespace.name}
    return replace(namespace, labels=tuple(sorted(labels.items())))


def assign_addresses(pods: Iterable[Pod]) -> tuple[Pod, ...]:
    """Give every pod that was read without a status an address of each family in use.

    A pod *with* a status and no address is really waiting for one and keeps none (NP-58). Families
    in use are those of the pods that do have addresses, both when none has: manifests alone say
    nothing.
    """
    pods = tuple(pods)
    taken = {address for pod in pods for address in (*pod.addresses, *pod.host_addresses)}
    versions = {a.version for pod in pods for a in pod.addresses} or {4, 6}
    pools: list[Iterator[IPAddress]] = []
    if 4 in versions:
        pools.append(_free(ASSUMED_V4, taken))
    if 6 in versions:
        pools.append(_free(ASSUMED_V6, taken))
    return tuple(
        replace(pod, addresses=tuple(next(pool) for pool in pools)) if _wants_address(pod) else pod
        for pod in pods
    )


def _wants_address(pod: Pod) -> bool:
    return not (pod.addresses or pod.has_status or pod.host_network or pod.finished)


def _free(start: IPAddress, taken: set[IPAddress]) -> Iterator[IPAddress]:
    address = start
    while True:
        address += 1
        if address not in taken:
            yield address
