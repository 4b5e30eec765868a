"""The core objects that policies talk about: Namespace, Node, Pod, Service.

Rule: only the fields that some rule of the semantics needs; shapes, no meaning.
"""

from __future__ import annotations

from msgspec import Struct

from podfence.errors import Source
from podfence.model.meta import Labels, ObjectRef
from podfence.model.networkpolicy import Protocol
from podfence.model.selectors import LabelSelector
from podfence.sets.addresses import IPAddress, IPNetwork


class Namespace(Struct, frozen=True):
    """``labels`` always hold the automatic name label, which wins over the manifest (NP-21)."""

    name: str
    labels: Labels = ()
    source: Source | None = None


class Node(Struct, frozen=True):
    """``addresses``: every ``status.addresses`` entry that is an IP address."""

    name: str
    labels: Labels = ()
    addresses: tuple[IPAddress, ...] = ()
    pod_cidrs: tuple[IPNetwork, ...] = ()
    source: Source | None = None


class ContainerPort(Struct, frozen=True, cache_hash=True):
    """A declared container port; ``name`` ``""``: unnamed."""

    name: str
    port: int
    """Not checked here: the decoder says every fault of a pod, and makes the value before it knows
    them all."""
    protocol: Protocol


class Pod(Struct, frozen=True):
    """A pod of the input or one expanded from a workload.

    ``addresses``: ``status.podIPs`` in their order, at most one a family. Empty with ``has_status``
    False: a manifest, an address will be assigned; empty with True: not yet given one (NP-58).
    ``ports``: of containers and of init containers that restart always (NP-34), unnamed included.
    ``finished``: phase Succeeded or Failed (NP-60). ``deleting``: it has a deletionTimestamp.
    ``created``: its creationTimestamp as written, "" where there is none.
    ``owner``: the workload it belongs to for grouping (Deployment, StatefulSet, ...), else None.
    """

    namespace: str
    name: str
    labels: Labels = ()
    addresses: tuple[IPAddress, ...] = ()
    ports: tuple[ContainerPort, ...] = ()
    node: str = ""
    host_addresses: tuple[IPAddress, ...] = ()
    host_network: bool = False
    finished: bool = False
    has_status: bool = False
    owner: ObjectRef | None = None
    source: Source | None = None
    deleting: bool = False
    created: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError for two addresses of one IP version."""
        versions = [address.version for address in self.addresses]
        if len(versions) > len(set(versions)):
            raise ValueError(f"pod {self.name} has two addresses of one IP version")

    @property
    def ref(self) -> ObjectRef:
        """Its name among all objects."""
        return ObjectRef("Pod", self.namespace, self.name)

    @property
    def is_seen(self) -> bool:
        """Whether policies see it: neither one on the host network (NP-50) nor a finished one
        (NP-60)."""
        return not (self.host_network or self.finished)


class ServicePort(Struct, frozen=True):
    """``target_port``: number or container port name; the port itself when the manifest has
    none."""

    name: str
    port: int
    target_port: int | str
    protocol: Protocol

    def on(self, pod: Pod) -> int | None:
        """The port of a pod behind it: a number as it is, a name as the pod declares it. None: the
        pod declares none, so it is not behind this port."""
        if isinstance(self.target_port, int):
            return self.target_port
        return next(
            (
                p.port
                for p in pod.ports
                if (p.name, p.protocol) == (self.target_port, self.protocol)
            ),
            None,
        )


class Service(Struct, frozen=True):
    """A Service and all addresses by which it is reached."""

    ref: ObjectRef
    selector: Labels = ()
    """Empty: no selector; what is behind it are its EndpointSlices."""
    cluster_ips: tuple[IPAddress, ...] = ()
    ports: tuple[ServicePort, ...] = ()
    source: Source | None = None
    headless: bool = False
    """``clusterIP: None``: its name stands for its pods, and no port is rewritten."""
    external_name: str = ""
    """Of type ExternalName: the name in DNS that it stands for."""
    external_ips: tuple[IPAddress, ...] = ()
    """``externalIPs`` and the load balancer's addresses that the proxy of a node answers for
    (``ipMode: VIP``)."""
    balancer_ips: tuple[IPAddress, ...] = ()
    """The load balancer's addresses that packets are really sent to (``ipMode: Proxy``)."""

    @property
    def addresses(self) -> tuple[IPAddress, ...]:
        """The destinations that are rewritten to what is behind the Service (NP-45)."""
        return (*self.cluster_ips, *self.external_ips)


class EndpointSubset(Struct, frozen=True):
    """Addresses that have the same ports; the ready ones."""

    addresses: tuple[IPAddress, ...]
    ports: tuple[tuple[str, Protocol, int], ...]
    """Name, as of the Service's port, protocol and number."""


class EndpointSlice(Struct, frozen=True):
    """What is behind a Service, as an EndpointSlice (one subset) or Endpoints tell it."""

    ref: ObjectRef
    service: str
    """Its Service, in the same namespace."""
    subsets: tuple[EndpointSubset, ...] = ()
    source: Source | None = None


# -- Policies of other APIs: nothing of them is judged, but it is known whom they may touch
# Rule: whom a policy may touch is never taken too small. A selector that is not understood means
# all pods of the namespace, or of the cluster.


class ForeignPolicy(Struct, frozen=True):
    """One policy of another API, or ``number`` of them of which no more than the kind is known."""

    kind: str
    """``CiliumNetworkPolicy.cilium.io``."""
    namespace: str | None = None
    """None: it may touch pods of every namespace."""
    name: str = ""
    selectors: tuple[LabelSelector, ...] = (LabelSelector(),)
    """It may touch pods that one of them matches; empty: none."""
    number: int = 1
    """-1: that cannot be told."""
    source: Source | None = None

    @property
    def short_kind(self) -> str:
        """``CiliumNetworkPolicy``."""
        return self.kind.partition(".")[0]

    def __str__(self) -> str:
        if not self.name:
            return f"{self.short_kind} ({'an unknown number' if self.number < 0 else self.number})"
        space = "" if self.namespace is None else f"{self.namespace}/"
        return f"{self.short_kind} {space}{self.name}"
