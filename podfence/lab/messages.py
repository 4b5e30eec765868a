"""Messages from a command to a lab that is up: values that travel through its socket.

Rule: every message says which type its reply has (``lab.replies``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from podfence.drops.record import Drops
from podfence.lab.replies import (
    ApplyReply,
    DownReply,
    NetworkNamespace,
    StatusReply,
    TryReply,
    WhyReply,
)
from podfence.manifests.positions import Positions
from podfence.model.cluster import Cluster, ClusterObject
from podfence.model.meta import DEFAULT_NAMESPACE
from podfence.policy.domains import NO_NAMES, DomainTable
from podfence.questions.can import Can
from podfence.sets.addresses import IPAddress

R_co = TypeVar("R_co", covariant=True)


@dataclass(frozen=True, slots=True)
class LabInput:
    """A cluster as its objects, the positions of these, and the addresses of domain names."""

    objects: tuple[ClusterObject, ...]
    positions: Positions
    names: Mapping[str, frozenset[IPAddress]] = field(default_factory=dict)

    @classmethod
    def of(cls, cluster: Cluster, positions: Positions, names: DomainTable = NO_NAMES) -> LabInput:
        """What ``Cluster.of`` makes the same cluster of."""
        objects: tuple[ClusterObject, ...] = (
            *cluster.namespaces.values(),
            *cluster.nodes.values(),
            *cluster.pods,
            *cluster.services,
            *cluster.policies,
            *cluster.admin_policies,
            *cluster.audited,
            *cluster.endpoint_slices,
        )
        return cls(objects, positions, dict(names))


class Message(Generic[R_co]):
    """A request to a lab; the reply is an ``R_co``."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Apply(Message[ApplyReply]):
    """Become another cluster."""

    input: LabInput
    traffic: bool = False
    """Keep connections busy during the change, and report what happens to their messages."""


@dataclass(frozen=True, slots=True)
class Why(Message[WhyReply]):
    """Explain one question, and send its packet."""

    question: Can


@dataclass(frozen=True, slots=True)
class TryAll(Message[TryReply]):
    """Send every probe again."""


@dataclass(frozen=True, slots=True)
class TellDenied(Message[tuple[Drops, ...]]):
    """Report what was denied, node by node. ``since``: by node, the serial after which changes are
    wanted."""

    since: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Status(Message[StatusReply]):
    """Say what is there."""


@dataclass(frozen=True, slots=True)
class Exec(Message[NetworkNamespace]):
    """Where commands for a node named ``node``, or else for a pod or workload's first pod named
    ``pod``, have to run. ``namespace``: that of names of the form ``kind/name``."""

    node: str
    pod: str
    namespace: str = DEFAULT_NAMESPACE


@dataclass(frozen=True, slots=True)
class StepAside(Message[None]):
    """Leave ports to programs of a pod or node that ask for them. The descriptor of their bind
    notices follows the message."""

    party: str


@dataclass(frozen=True, slots=True)
class Down(Message[DownReply]):
    """End."""
