"""PolicyIndex: the one compiled form that both back ends read.

Rule: no case is left to decide. Selectors, ``except``, ``endPort``, defaults and named ports are
gone: a peer is a set of endpoint classes or of addresses, a port is a number. Everything keeps the
origin it was compiled from. ``policy.compile`` builds these values; nobody else does.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from itertools import chain
from typing import ClassVar

from msgspec import Struct, field
from pyroaring import FrozenBitMap

from podfence.model.cluster import Cluster
from podfence.model.meta import Labels, ObjectRef
from podfence.model.objects import ContainerPort, Pod
from podfence.policy.domains import DomainTable
from podfence.policy.flow import Action, Direction
from podfence.policy.origin import Origin
from podfence.policy.words import Selection
from podfence.sets import AddressSet, IntervalSet, PortSet
from podfence.sets.addresses import IPAddress


class EndpointClass(Struct, frozen=True):
    """All endpoints that no policy of the index can tell apart.

    Pods: same namespace, same values of the labels that some selector asks for, same named ports,
    and the same answer to every ipBlock boundary. ``labels`` are those labels.
    Outside (``outside`` set): addresses that lie in the same ipBlocks, meaning those of them that
    belong to no pod; the set is empty when pods hold them all. ``namespace`` is "".
    """

    number: int
    namespace: str = ""
    labels: Labels = ()
    named_ports: tuple[ContainerPort, ...] = ()
    outside: AddressSet | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for addresses outside that are in a namespace, or have what only pods
        have."""
        if self.outside is not None and (self.namespace or self.labels or self.named_ports):
            raise ValueError(f"class {self.number} is of pods and of addresses outside")


class Everyone(Struct, frozen=True):
    """Every pod, every node and every address outside the cluster: no restriction (NP-12)."""

    key: ClassVar[str] = "everyone"
    family: ClassVar[None] = None
    volatile: ClassVar[bool] = False

    def holds(self, endpoint_class: int, family: int) -> bool:
        """Whether an endpoint of a class, speaking IP version ``family``, is a peer."""
        return True

    def among(self, classes: FrozenBitMap) -> FrozenBitMap:
        """Those of ``classes`` that are peers, in the families that the peers speak."""
        return classes


EVERYONE = Everyone()


class PodPeers(Struct, frozen=True):
    """Pods that selectors name."""

    key: str
    """Where the set comes from (selectors), never its members, so it stays the same when pods come
    and go. Equal keys mean the same peers in one index. It holds text of the API: never print it
    raw."""
    classes: FrozenBitMap
    """The pods, as endpoint classes."""
    family: int | None = None
    """4 or 6: the pods' addresses of that IP version alone. None: of both."""
    selection: Selection | None = None
    """The pods in words; a reader without classes has these in their place."""
    volatile: ClassVar[bool] = True
    """Members come and go under one key."""

    def holds(self, endpoint_class: int, family: int) -> bool:
        """Whether an endpoint of a class, speaking IP version ``family``, is a peer."""
        return (self.family is None or self.family == family) and endpoint_class in self.classes

    def among(self, classes: FrozenBitMap) -> FrozenBitMap:
        """Those of ``classes`` that are peers, in the families that the peers speak."""
        return self.classes & classes


class AddressPeers(Struct, frozen=True):
    """Addresses of one IP version, those of pods included (NP-27)."""

    key: str
    """Where the addresses come from: CIDRs, a selector of nodes, domain names. Equal keys mean the
    same peers in one index. It holds text of the API: never print it raw."""
    family: int
    """The IP version of all addresses, 4 or 6."""
    addresses: IntervalSet
    """The addresses as integers."""
    classes: FrozenBitMap
    """The classes whose addresses of ``family`` lie in it, outside classes included."""
    volatile: bool = False
    """Whether addresses come and go under one key: nodes and domain names. The addresses of CIDRs
    follow from their key."""
    names: tuple[str, ...] = ()
    """The domain names, as policies write them, that have more addresses now and then (CNP-19)."""

    def __post_init__(self) -> None:
        """Raises ValueError for a family that is none."""
        if self.family not in (4, 6):
            raise ValueError(f"no IP version: {self.family}")

    def holds(self, endpoint_class: int, family: int) -> bool:
        """Whether an endpoint of a class, speaking IP version ``family``, is a peer."""
        return self.family == family and endpoint_class in self.classes

    def among(self, classes: FrozenBitMap) -> FrozenBitMap:
        """Those of ``classes`` that are peers, in the families that the peers speak."""
        return self.classes & classes


Peers = Everyone | PodPeers | AddressPeers
"""The remote ends that a match accepts."""


class Match(Struct, frozen=True):
    """Remote end in ``peers`` and destination port in ``ports``. ``path``: the peer item it comes
    from (``spec.ingress[0].from[1]``), or the rule's path when the rule has no peer list."""

    peers: Peers
    ports: PortSet
    path: str


class CompiledRule(Struct, frozen=True):
    """Applies ``action`` to a flow that one of ``matches`` fits; with none it never applies."""

    number: int
    """Tells the rule from every other of one index, so memos hang on it. One written rule is
    several compiled ones where its port names mean other numbers on other pods."""
    action: Action
    matches: tuple[Match, ...]
    origin: Origin


class CompiledTier(Struct, frozen=True):
    """Rules in order; the first that fits decides."""

    number: int
    """Tells the tier from every other of one index, so memos hang on it."""
    name: str
    """``Admin``, ``Baseline`` or NETWORK_POLICY_TIER."""
    key: str
    """Names the policies, and how their port names were resolved: equal keys, equal tiers."""
    rules: tuple[CompiledRule, ...]
    default: Action
    """Said when no rule fits: DENY for NetworkPolicy isolation (NP-5), PASS for tiers that decide
    only what they name."""
    isolated_by: tuple[Origin, ...] = ()
    """The policies that isolate (NetworkPolicy tier only)."""

    def __post_init__(self) -> None:
        """Raises ValueError for rules that deny or pass beside a default that denies: no policy
        says that, and both back ends rely on it."""
        if not self.ordered and any(r.action is not Action.ACCEPT for r in self.rules):
            raise ValueError(f"tier {self.name} denies by default, so its rules can only accept")

    @property
    def ordered(self) -> bool:
        """Whether the order of the rules counts. It does not where all else is denied and rules
        only accept (NP-7): that tier is the union of its rules."""
        return self.default is not Action.DENY

    @property
    def can_accept(self) -> bool:
        """Whether the tier accepts anything, by a rule or by default."""
        return self._can(Action.ACCEPT)

    @property
    def can_deny(self) -> bool:
        """Whether the tier denies anything, by a rule or by default."""
        return self._can(Action.DENY)

    @property
    def can_pass(self) -> bool:
        """Whether the tier passes anything on to the next, by a rule or by default."""
        return self._can(Action.PASS)

    def _can(self, action: Action) -> bool:
        return self.default is action or any(r.action is action and r.matches for r in self.rules)


NETWORK_POLICY_TIER = "NetworkPolicy"


class DirectionPolicy(Struct, frozen=True, eq=False):
    """What applies to a class in one direction: tiers in order; none decided: accept.

    One object is shared by every class that the same rules select: ``number`` tells groups of pods
    apart.
    """

    number: int
    """Tells it from every other of one index."""
    key: str
    """Names the policies of all tiers: equal keys, equal policies."""
    direction: Direction
    tiers: tuple[CompiledTier, ...] = ()
    """Admin, NetworkPolicy, Baseline (CNP-1), without those that no policy applies in."""
    audited: bool = False
    """Whether audited policies are among them: it says what would be (AUD-3), and is enforced
    nowhere."""

    @property
    def isolates(self) -> bool:
        """Whether some policy applies."""
        return bool(self.tiers)

    @property
    def policies(self) -> tuple[ObjectRef, ...]:
        """The policies that apply, in their order."""
        each = ((*tier.isolated_by, *(rule.origin for rule in tier.rules)) for tier in self.tiers)
        return tuple(dict.fromkeys(origin.policy for origin in chain.from_iterable(each)))

    @property
    def in_force(self) -> tuple[CompiledTier, ...]:
        """The tiers up to the first that passes nothing on (CNP-13)."""
        for at, tier in enumerate(self.tiers, start=1):
            if not tier.can_pass:
                return self.tiers[:at]
        return self.tiers


class EndpointPolicy(Struct, frozen=True):
    """Both directions of one class. ``audit_ingress`` and ``audit_egress``: what would apply if
    audited policies were enforced, for callers that follow one node; None where none of them
    applies, and in an index of a whole cluster (see ``compile.audit_of``)."""

    ingress: DirectionPolicy
    egress: DirectionPolicy
    audit_ingress: DirectionPolicy | None = None
    audit_egress: DirectionPolicy | None = None

    def of(self, direction: Direction) -> DirectionPolicy:
        """The policy of one direction."""
        return self.ingress if direction is Direction.INGRESS else self.egress

    def audit(self, direction: Direction) -> DirectionPolicy | None:
        """What an audit asks in one direction, if anything."""
        return self.audit_ingress if direction is Direction.INGRESS else self.audit_egress

    @property
    def all(self) -> tuple[DirectionPolicy, ...]:
        """Of both directions, enforced and audited."""
        audits = (self.audit_ingress, self.audit_egress)
        return (self.ingress, self.egress, *(each for each in audits if each is not None))


class Endpoint(Struct, frozen=True):
    """A pod as policies see it: not finished, not on the host network (NP-50, NP-60).

    ``endpoint_class`` is its class number. A pod without addresses is a subject and never a peer
    (NP-58). ``doubtful``: those of its addresses that are not surely its own (NP-60a).
    """

    pod: Pod
    endpoint_class: int
    doubtful: tuple[IPAddress, ...] = ()

    @property
    def addresses(self) -> tuple[IPAddress, ...]:
        """The addresses that are the pod's for certain, at most one a family."""
        if not self.doubtful:
            return self.pod.addresses
        return tuple(a for a in self.pod.addresses if a not in self.doubtful)


def doubtful_key(key: str) -> str:
    """The key of peers with the addresses that one of them may have (NP-60a)."""
    return f"{key} or doubtful"


class ContestedAddress(Struct, frozen=True):
    """What is known of an address that several pods may have (NP-60a).

    ``endpoint_class``: a class of its own, outside every pod; only rules that deny take it for one
    of the ``holders``. Each of these judges what is sent from the address or to it.
    """

    endpoint_class: int
    holders: tuple[Endpoint, ...]


class PolicyIndex(Struct, frozen=True, eq=False):
    """Everything that is needed to judge any flow of one cluster, and to write it for a kernel.

    ``classes[n].number == n``; ``policies[n]`` is the policy of class n (outside classes: never
    asked). ``endpoints``: by "namespace/name". ``by_address``: address -> the one pod that has it;
    ``contested``: addresses that several may have.
    ``by_node_address``: node (or host) address -> node name. ``shared_node_addresses``: the names
    of further nodes that have it, where there are any. ``names``: the table of domain names that
    it was compiled with.
    """

    cluster: Cluster
    classes: tuple[EndpointClass, ...]
    policies: tuple[EndpointPolicy, ...]
    endpoints: Mapping[str, Endpoint]
    by_address: Mapping[IPAddress, Endpoint]
    contested: Mapping[IPAddress, ContestedAddress]
    by_node_address: Mapping[IPAddress, str]
    members: tuple[tuple[Endpoint, ...], ...]
    selected: Mapping[ObjectRef, FrozenBitMap]
    outside_lookup: OutsideLookup
    names: DomainTable = field(default_factory=dict)
    shared_node_addresses: Mapping[IPAddress, frozenset[str]] = field(default_factory=dict)

    @property
    def direction_policies(self) -> dict[int, DirectionPolicy]:
        """The policies of both directions, each once, by number. Gathered again at every call."""
        each = chain.from_iterable((p.ingress, p.egress) for p in self.policies)
        return {policy.number: policy for policy in each}

    def class_of(self, address: IPAddress) -> int:
        """Number of the class that an address belongs to, pod or outside."""
        found = self.by_address.get(address) or self.contested.get(address)
        return self.outside_lookup.find(address) if found is None else found.endpoint_class

    def is_of_node(self, address: IPAddress, node: str) -> bool:
        """Whether a node has an address, alone or with others (NP-52)."""
        if self.by_node_address.get(address) == node:
            return True
        return node in self.shared_node_addresses.get(address, ())

    def subjects_at(self, address: IPAddress) -> tuple[Endpoint, ...]:
        """The pods whose policies judge what is sent from an address or to it."""
        endpoint = self.by_address.get(address)
        if endpoint is not None:
            return (endpoint,)
        contested = self.contested.get(address)
        return () if contested is None else contested.holders


class OutsideLookup(Struct, frozen=True):
    """Outside address -> class number, by bisection over disjoint segments of each family."""

    starts: Mapping[int, tuple[int, ...]]
    numbers: Mapping[int, tuple[int, ...]]

    def find(self, address: IPAddress) -> int:
        """Class number of an address that belongs to no pod."""
        at = bisect_right(self.starts[address.version], int(address)) - 1
        return self.numbers[address.version][at]
