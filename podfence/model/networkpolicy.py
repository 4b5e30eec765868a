"""networking.k8s.io/v1 NetworkPolicy as values: decoded, defaulted and valid.

Rule: shapes only. ``admission`` makes these values of objects that a server would take, and says
what is wrong with others. A value that could have no meaning raises ValueError. What a value means
is known to ``policy.compile`` alone.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from podfence.errors import Source
from podfence.model.meta import Labels, ObjectRef
from podfence.model.selectors import LabelSelector
from podfence.sets.addresses import IPNetwork
from podfence.sets.ports import MAX_PORT


class PolicyType(Enum):
    """Directions that a policy can isolate."""

    INGRESS = "Ingress"
    EGRESS = "Egress"

    __hash__ = object.__hash__  # as of what is compared by identity; that of Enum is slow


class Protocol(Enum):
    """Protocols that a policy can name."""

    TCP = "TCP"
    UDP = "UDP"
    SCTP = "SCTP"

    __hash__ = object.__hash__  # as of PolicyType


def require_ports(low: int, high: int | None) -> None:
    """Raises ValueError unless these are a port, or the ends of a range of ports."""
    if not 1 <= low <= (low if high is None else high) <= MAX_PORT:
        range_ = low if high is None else f"{low}-{high}"
        raise ValueError(f"no port and no range of ports: {range_}")


class IPBlock(Struct, frozen=True, cache_hash=True):
    """Addresses in ``cidr`` and in none of ``except_`` (NP-24); host bits are masked (NP-29).

    No ``except_`` is refused: the API server compares lengths as they are written, and takes
    ``::ffff:10.0.0.0/104`` in ``10.0.0.0/8``, which is all of it.
    """

    cidr: IPNetwork
    except_: tuple[IPNetwork, ...] = ()


class NetworkPolicyPeer(Struct, frozen=True, cache_hash=True):
    """One item of ``from`` or ``to``: an ``ip_block`` alone, or one or both selectors (NP-16)."""

    pod_selector: LabelSelector | None = None
    namespace_selector: LabelSelector | None = None
    ip_block: IPBlock | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for a peer of nobody, or of a block and pods."""
        no_pods = self.pod_selector is None and self.namespace_selector is None
        if (self.ip_block is not None) is not no_pods:
            raise ValueError("a peer is an ip_block alone, or has one or both selectors")


class NetworkPolicyPort(Struct, frozen=True, cache_hash=True):
    """One item of ``ports``. ``port`` None: every port of the protocol (NP-31); a str names a
    container port (NP-32). ``end_port`` makes an inclusive range and needs a number (NP-37)."""

    protocol: Protocol = Protocol.TCP
    port: int | str | None = None
    end_port: int | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for a number that no port has, and for a range of none."""
        if isinstance(self.port, int):
            require_ports(self.port, self.end_port)
        elif self.end_port is not None:
            raise ValueError("end_port needs a number in port")


class NetworkPolicyRule(Struct, frozen=True):
    """An ingress or egress rule. ``peers`` (API ``from``/``to``) empty: everyone, outside included
    (NP-12). ``ports`` empty: every port of every protocol (NP-13)."""

    peers: tuple[NetworkPolicyPeer, ...] = ()
    ports: tuple[NetworkPolicyPort, ...] = ()


class NetworkPolicy(Struct, frozen=True):
    """A policy after the server's defaulting: ``policy_types`` is never empty (NP-8).

    ``ingress``/``egress`` empty: the direction has no rules and allows nothing (NP-9).
    ``declared_types`` tells whether the manifest itself had a non-empty policyTypes list.
    ``audited``: it is evaluated and enforces nothing (AUD-1).
    """

    ref: ObjectRef
    pod_selector: LabelSelector = LabelSelector()
    policy_types: frozenset[PolicyType] = frozenset({PolicyType.INGRESS})
    ingress: tuple[NetworkPolicyRule, ...] = ()
    egress: tuple[NetworkPolicyRule, ...] = ()
    labels: Labels = ()
    declared_types: bool = True
    source: Source | None = None
    audited: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError for a policy of no direction."""
        if not self.policy_types:
            raise ValueError("policy_types is empty; if it is left out, it is Ingress")

    def rules_of(self, direction: PolicyType) -> tuple[NetworkPolicyRule, ...]:
        """The rules that are written for a direction, whether the policy has it or not (NP-15)."""
        return self.ingress if direction is PolicyType.INGRESS else self.egress

    def selects(self, namespace: str, labels: Labels) -> bool:
        """Whether it is about a pod of these labels, if policies see that pod at all (NP-3)."""
        return self.ref.namespace == namespace and self.pod_selector.matches(dict(labels))
