"""PolicyIndex: the one compiled form that both back ends read.

Rule: no case is left to decide. Selectors, ``except``, ``endPort``, defaults and named ports are
gone: a peer is a set of endpoint classes or of addresses, a port is a number. Everything keeps the
origin it was compiled from. ``policy.compile`` builds these values; nobody else does.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field

from pyroaring import FrozenBitMap

from podfence.model.cluster import Cluster
from podfence.model.meta import Labels, ObjectRef
from podfence.model.objects import ContainerPort, IPAddress, Pod
from podfence.policy.domains import Names
from podfence.policy.flow import Action, Direction
from podfence.policy.origin import Origin
from podfence.sets import AddressSet, PortSet


@dataclass(frozen=True, slots=True)
class EndpointClass:
    """All endpoints that no policy of the index can tell apart.

    Pods: same namespace, labels and named ports, and the same answer to every ipBlock boundary.
    Outside (``outside`` set): addresses that lie in the same ipBlocks, meaning those of them that
    belong to no pod; the set is empty when pods hold them all. ``namespace`` is "".
    """

    number: int
    namespace: str = ""
    labels: Labels = ()
    named_ports: tuple[ContainerPort, ...] = ()
    outside: AddressSet | None = None


@dataclass(frozen=True, slots=True)
class Peers:
    """The remote ends that a match accepts.

    ``key``: names where the set comes from (selector, CIDRs), never its members, so it stays the
    same when pods come and go; equal keys mean the same peers in one index. It holds text of the
    API: never use it raw. ``everyone``: no restriction (NP-12), then the other fields are empty.
    ``classes``: the members as endpoint classes. ``addresses``: set for an ipBlock only; then the
    peers are exactly these addresses (pods included, NP-27), ``family`` is their IP version, and
    ``classes`` are those whose addresses *of that family* lie in it. ``family`` without
    ``addresses``: only the addresses of that family of the pods of ``classes``.
    """

    key: str
    everyone: bool = False
    classes: FrozenBitMap = field(default_factory=FrozenBitMap)
    addresses: AddressSet | None = None
    family: int | None = None

    def holds(self, endpoint_class: int, family: int) -> bool:
        """Whether an endpoint of a class, speaking IP version ``family``, is a peer."""
        return self.everyone or (
            (self.family is None or self.family == family) and endpoint_class in self.classes
        )


@dataclass(frozen=True, slots=True)
class Match:
    """Remote end in ``peers`` and destination port in ``ports``. ``path``: the peer item it comes
    from (``spec.ingress[0].from[1]``), or the rule's path when the rule has no peer list."""

    peers: Peers
    ports: PortSet
    path: str


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """Applies ``action`` to a flow that one of ``matches`` fits; with none it never applies."""

    action: Action
    matches: tuple[Match, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class Tier:
    """Rules in order; the first that fits decides. ``default`` is said when none fits: DENY for
    NetworkPolicy isolation, PASS for tiers that only decide what they name.
    ``isolated_by``: the policies that isolate (NetworkPolicy tier only)."""

    name: str
    rules: tuple[CompiledRule, ...]
    default: Action
    isolated_by: tuple[Origin, ...] = ()


NETWORK_POLICY_TIER = "NetworkPolicy"


@dataclass(frozen=True, slots=True, eq=False)
class DirectionPolicy:
    """What applies to a class in one direction: tiers in order; none decided: accept.

    One object is shared by every class that the same rules select, so identity is a group key;
    ``number`` is its place in ``PolicyIndex.direction_policies``. ``key`` names its origins.
    """

    number: int
    key: str
    direction: Direction
    tiers: tuple[Tier, ...] = ()

    @property
    def isolates(self) -> bool:
        """True when some tier can deny."""
        return bool(self.tiers)


@dataclass(frozen=True, slots=True)
class EndpointPolicy:
    """Both directions of one class."""

    ingress: DirectionPolicy
    egress: DirectionPolicy

    def of(self, direction: Direction) -> DirectionPolicy:
        """The policy of one direction."""
        return self.ingress if direction is Direction.INGRESS else self.egress


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A pod as policies see it: not finished, not on the host network (NP-50, NP-60).

    ``endpoint_class`` is its class number. A pod without addresses is a subject and never a peer
    (NP-58).
    """

    pod: Pod
    endpoint_class: int

    @property
    def addresses(self) -> tuple[IPAddress, ...]:
        """The addresses of the pod, at most one a family."""
        return self.pod.addresses


@dataclass(frozen=True, slots=True, eq=False)
class PolicyIndex:
    """Everything that is needed to judge any flow of one cluster, and to write it for a kernel.

    ``classes[n].number == n``; ``policies[n]`` is the policy of class n (outside classes: never
    asked). ``endpoints``: by "namespace/name". ``by_address``: pod address -> endpoint.
    ``by_node_address``: node (or host) address -> node name. ``names``: the table of domain names
    that it was compiled with.
    """

    cluster: Cluster
    classes: tuple[EndpointClass, ...]
    policies: tuple[EndpointPolicy, ...]
    direction_policies: tuple[DirectionPolicy, ...]
    endpoints: Mapping[str, Endpoint]
    by_address: Mapping[IPAddress, Endpoint]
    by_node_address: Mapping[IPAddress, str]
    members: tuple[tuple[Endpoint, ...], ...]
    selected: Mapping[ObjectRef, FrozenBitMap]
    outside_lookup: OutsideLookup
    names: Names = field(default_factory=dict)

    def class_of(self, address: IPAddress) -> int:
        """Number of the class that an address belongs to, pod or outside."""
        endpoint = self.by_address.get(address)
        return self.outside_lookup.find(address) if endpoint is None else endpoint.endpoint_class


@dataclass(frozen=True, slots=True)
class OutsideLookup:
    """Outside address -> class number, by bisection over disjoint segments of each family."""

    starts: Mapping[int, tuple[int, ...]]
    numbers: Mapping[int, tuple[int, ...]]

    def find(self, address: IPAddress) -> int:
        """Class number of an address that belongs to no pod."""
        at = bisect_right(self.starts[address.version], int(address)) - 1
        return self.numbers[address.version][at]
