"""ClusterNetworkPolicy (v1beta1, v1alpha2) as values; the older kinds of v1alpha1 become the same.

Rule: shapes only. What a rule, a tier or an unknown element means is known to ``policy`` alone. The
schema of these kinds lets faulty parts be stored, so an element that cannot be read is a value too:
``unknown`` then holds the reason, and never changes what the rest of the object says.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from podfence.errors import Source
from podfence.model.meta import Labels, ObjectRef
from podfence.model.networkpolicy import PolicyType, Protocol, require_ports
from podfence.model.selectors import LabelSelector
from podfence.sets.addresses import IPNetwork

HIGHEST_PRIORITY = 1000
BASELINE_ADMIN_PRIORITY = HIGHEST_PRIORITY + 1
"""Priority of a BaselineAdminNetworkPolicy, whose API has none: after every ClusterNetworkPolicy of
the Baseline tier, so that there is never a tie between the two."""


class Tier(Enum):
    """Tiers of a ClusterNetworkPolicy: before and after the tier of NetworkPolicy (CNP-1)."""

    ADMIN = "Admin"
    BASELINE = "Baseline"


class RuleAction(Enum):
    """What a rule does; v1alpha1 spells ACCEPT as ``Allow``."""

    ACCEPT = "Accept"
    DENY = "Deny"
    PASS = "Pass"


def _require_one(what: str, *given: object) -> None:
    if sum(map(bool, given)) != 1:
        raise ValueError(f"a {what} has exactly one of its fields")


class NamespacedPod(Struct, frozen=True):
    """Pods that match ``pod_selector`` in namespaces that match ``namespace_selector``.

    ``namespace_selector`` None (not given): all namespaces, as ``{}`` (CNP-15). An empty
    ``pod_selector`` selects every pod.
    """

    pod_selector: LabelSelector
    namespace_selector: LabelSelector | None = None


class Subject(Struct, frozen=True):
    """The pods that a policy is about: exactly one field is given (CNP-5).

    ``namespaces``: all pods of the namespaces selected; ``{}`` selects every namespace. ``unknown``
    is the reason why the subject cannot be read (CNP-24), "" when it can.
    """

    namespaces: LabelSelector | None = None
    pods: NamespacedPod | None = None
    unknown: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError unless exactly one field is given."""
        _require_one("subject", self.namespaces is not None, self.pods is not None, self.unknown)


class Peer(Struct, frozen=True):
    """One item of ``from`` or ``to``: exactly one field is given; None and empty are not given.

    ``namespaces``: all pods of the namespaces selected, ``{}`` every pod (CNP-20). ``nodes``: the
    addresses of nodes, ``{}`` of all nodes (CNP-18). ``networks``: addresses, host bits masked
    (CNP-17). ``domain_names``: lower case, without the final dot; ``*.`` in front stands for one or
    more whole labels (CNP-19). ``unknown``: why the peer cannot be read (CNP-24, CNP-25). Of
    these, an ingress rule can only have ``namespaces``, ``pods`` and ``unknown`` (CNP-16).
    """

    namespaces: LabelSelector | None = None
    pods: NamespacedPod | None = None
    nodes: LabelSelector | None = None
    networks: tuple[IPNetwork, ...] = ()
    domain_names: tuple[str, ...] = ()
    unknown: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError unless exactly one field is given."""
        selectors = (each is not None for each in (self.namespaces, self.pods, self.nodes))
        _require_one("peer", *selectors, self.networks, self.domain_names, self.unknown)


class ProtocolMatch(Struct, frozen=True):
    """One item of ``protocols``: a ``protocol``, a ``named_port``, or ``unknown``.

    ``port`` None: every port of ``protocol`` (CNP-22). ``end_port`` makes an inclusive range and
    needs ``port``; None: that port alone. ``named_port`` names a container port, whose protocol it
    takes over (CNP-23); "": not given. ``unknown``: why the item cannot be read (CNP-25).
    """

    protocol: Protocol | None = None
    port: int | None = None
    end_port: int | None = None
    named_port: str = ""
    unknown: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError unless it is one of the three, and for a number that no port has."""
        _require_one("protocol", self.protocol is not None, self.named_port, self.unknown)
        if self.port is not None and self.protocol is not None:
            require_ports(self.port, self.end_port)
        elif self.port is not None or self.end_port is not None:
            raise ValueError("port needs protocol, and end_port needs port")


class TierRule(Struct, frozen=True):
    """An ingress or egress rule. ``peers`` (API ``from``/``to``) is never empty (CNP-20).

    ``protocols`` empty: every protocol, ICMP included (CNP-21). ``name`` is informative; "": none.
    """

    action: RuleAction
    peers: tuple[Peer, ...]
    protocols: tuple[ProtocolMatch, ...] = ()
    name: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError for a rule without peers."""
        if not self.peers:
            raise ValueError("a rule of a tier names its peers; {} in namespaces is every pod")


class ClusterNetworkPolicy(Struct, frozen=True):
    """A cluster-scoped policy; ``ref.kind`` tells the kind it was written as.

    ``priority`` 0..1000, lower is evaluated earlier inside the tier (CNP-6). ``ingress``/``egress``
    empty: the direction is not touched (CNP-4); otherwise their order counts (CNP-7). ``audited``:
    it is evaluated and enforces nothing (AUD-1).
    """

    ref: ObjectRef
    tier: Tier
    priority: int
    subject: Subject
    ingress: tuple[TierRule, ...] = ()
    egress: tuple[TierRule, ...] = ()
    labels: Labels = ()
    source: Source | None = None
    audited: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError for a priority that no server takes."""
        if not 0 <= self.priority <= BASELINE_ADMIN_PRIORITY:
            raise ValueError(f"priority {self.priority} is not within 0 to {HIGHEST_PRIORITY}")

    def rules_of(self, direction: PolicyType) -> tuple[TierRule, ...]:
        """The rules of one direction, in order."""
        return self.ingress if direction is PolicyType.INGRESS else self.egress
