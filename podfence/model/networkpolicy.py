"""networking.k8s.io/v1 NetworkPolicy as values: decoded, defaulted and valid.

Rule: shapes only. A value of these types has passed ``model.validate``; what it means is known to
``policy.compile`` alone.
"""

from __future__ import annotations

from enum import Enum
from ipaddress import IPv4Network, IPv6Network

from msgspec import Struct

from podfence.errors import Source
from podfence.model.meta import Labels, ObjectRef
from podfence.model.selectors import LabelSelector

IPNetwork = IPv4Network | IPv6Network


class PolicyType(Enum):
    """Directions that a policy can isolate."""

    INGRESS = "Ingress"
    EGRESS = "Egress"


class Protocol(Enum):
    """Protocols that a policy can name."""

    TCP = "TCP"
    UDP = "UDP"
    SCTP = "SCTP"


class IPBlock(Struct, frozen=True):
    """Addresses in ``cidr`` and in none of ``except_`` (NP-24); host bits are masked (NP-29)."""

    cidr: IPNetwork
    except_: tuple[IPNetwork, ...] = ()


class NetworkPolicyPeer(Struct, frozen=True):
    """One item of ``from`` or ``to``: an ``ip_block`` alone, or one or both selectors (NP-16)."""

    pod_selector: LabelSelector | None = None
    namespace_selector: LabelSelector | None = None
    ip_block: IPBlock | None = None


class NetworkPolicyPort(Struct, frozen=True):
    """One item of ``ports``. ``port`` None: every port of the protocol (NP-31); a str names a
    container port (NP-32). ``end_port`` makes an inclusive range and needs a number (NP-37)."""

    protocol: Protocol = Protocol.TCP
    port: int | str | None = None
    end_port: int | None = None


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

    def rules_of(self, direction: PolicyType) -> tuple[NetworkPolicyRule, ...]:
        """The rules that are written for a direction, whether the policy has it or not (NP-15)."""
        return self.ingress if direction is PolicyType.INGRESS else self.egress

    def selects(self, namespace: str, labels: Labels) -> bool:
        """Whether it is about a pod of these labels, if policies see that pod at all (NP-3)."""
        return self.ref.namespace == namespace and self.pod_selector.matches(dict(labels))
