"""The vocabulary of a judgement: direction, flow, decision, verdict. Shared by both back ends."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from podfence.model.networkpolicy import PolicyType
from podfence.policy.origin import Origin
from podfence.sets.addresses import IPAddress
from podfence.sets.ports import MAX_PORT, OTHER, PROTOCOLS


class Direction(Enum):
    """Seen from the pod whose policies are asked: EGRESS at the source, INGRESS at the
    destination."""

    EGRESS = "egress"
    INGRESS = "ingress"

    __hash__ = object.__hash__  # as of what is compared by identity; that of Enum is slow

    policy_type: PolicyType
    """The item of ``policyTypes`` that names the direction (NP-8)."""
    peer_field: str
    """The field of a rule that lists its peers."""

    def __init__(self, value: str) -> None:
        is_egress = value == "egress"
        self.policy_type = PolicyType.EGRESS if is_egress else PolicyType.INGRESS
        self.peer_field = "to" if is_egress else "from"


AS_WRITTEN = (Direction.INGRESS, Direction.EGRESS)
"""The order in which manifests have the directions."""
DIRECTIONS = tuple(Direction)
"""For loops that are run for every policy: one over the class asks each time who is in it."""


class Action(Enum):
    """What a rule or a tier says. PASS goes on to the next tier."""

    ACCEPT = "accept"
    DENY = "deny"
    PASS = "pass"


class Reason(Enum):
    """Why one direction was decided as it was."""

    RULE = "rule"  # a rule matched
    ISOLATED = "isolated"  # policies isolate the pod and no rule of theirs matches (NP-5, NP-7)
    DEFAULT = "default"  # policies apply to the pod, but no tier decides: accepted (CNP-28)
    NOT_ISOLATED = "not-isolated"  # no policy selects the pod in this direction (NP-2)
    NOT_A_POD = "not-a-pod"  # an outside address or a node: policies do not judge that end (NP-1)
    SELF = "self"  # a pod cannot block itself (NP-54)
    OWN_NODE = "own-node"  # traffic from the pod's own node (NP-52)


class Flow(Struct, frozen=True):
    """One new connection attempt, as seen after Service DNAT and before SNAT (NP-28)."""

    source: IPAddress
    destination: IPAddress
    """Of the IP version of ``source``."""
    protocol: str
    """``TCP``, ``UDP``, ``SCTP``, or ``sets.ports.OTHER`` for protocols without ports."""
    port: int
    """The destination port; 0 for OTHER."""

    def __post_init__(self) -> None:
        """Raises ValueError for what no packet can be."""
        if self.source.version != self.destination.version:
            raise ValueError("source and destination are of different IP families")
        if self.protocol == OTHER:
            if self.port:
                raise ValueError("protocols without ports have port 0")
        elif self.protocol not in PROTOCOLS or not 0 <= self.port <= MAX_PORT:
            raise ValueError(f"no such port: {self.protocol}/{self.port}")


class Decision(Struct, frozen=True):
    """The judgement of one direction.

    ``origins``: for RULE every rule that permits the flow (same tier, or the first for ordered
    tiers), for ISOLATED every policy that isolates; else empty.
    """

    allowed: bool
    reason: Reason
    origins: tuple[Origin, ...] = ()

    def __post_init__(self) -> None:
        """Raises ValueError for a rule that is not named, and for something else than a rule or an
        isolation that denies or names policies."""
        if self.reason is Reason.RULE:
            if not self.origins:
                raise ValueError("a rule decides that is not named")
        elif self.reason is not Reason.ISOLATED and (self.origins or not self.allowed):
            raise ValueError(f"{self.reason.value} never denies, and names no policy")


class Verdict(Struct, frozen=True):
    """Both directions; a connection needs both (NP-6)."""

    egress: Decision
    ingress: Decision

    def of(self, direction: Direction) -> Decision:
        """The judgement of one direction."""
        return self.ingress if direction is Direction.INGRESS else self.egress

    @property
    def allowed(self) -> bool:
        """Whether both directions allow the connection."""
        return self.egress.allowed and self.ingress.allowed
