"""Replies of a lab: values that travel through its socket. Pure.

Rule: a reply is data; ``render.lab`` turns it into text, ``render.lab_json`` into JSON. A refusal
comes back as its PodfenceError.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from msgspec import Struct

from podfence.errors import Position, Source
from podfence.lab.testbed.livetraffic import TrafficLosses
from podfence.lab.testbed.probeplan import LabNode, ProbeParty
from podfence.lab.testbed.report import LabReport, SentProbe
from podfence.model.objects import Service
from podfence.policy.origin import Origin
from podfence.questions.diff import VerdictChange
from podfence.questions.why import WhyAnswer


class RulePositions(Struct, frozen=True):
    """Where the policies and rules of one answer are written."""

    known: Mapping[tuple[Source, str], Position]

    @classmethod
    def of(
        cls, origins: Iterable[Origin], locate: Callable[[Source, str], Position | None]
    ) -> RulePositions:
        """Those of some origins, found by ``locate``."""
        wanted = {(o.source, o.path) for o in origins if o.source is not None}
        found = ((source, path, locate(source, path)) for source, path in wanted)
        return cls(
            {(source, path): position for source, path, position in found if position is not None}
        )

    def locate(self, source: Source | None, path: str) -> Position | None:
        """The position of a field; None when the origin has none, or is not of this answer."""
        return None if source is None else self.known.get((source, path))


class NodeState(Struct, frozen=True):
    """A node of a lab."""

    node: LabNode
    epoch: int | None
    """Increases when live connections are judged again; None where only an agent knows it."""
    pods: tuple[ProbeParty, ...]


class FollowedServer(Struct, frozen=True):
    """The API server that a lab follows, and the agents that enforce. ``agents``: the process of
    each node's."""

    url: str
    kubeconfig: str
    version: str
    agents: Mapping[str, int]


class StatusReply(Struct, frozen=True):
    """What a lab is made of."""

    name: str
    since: datetime
    rootless: bool
    policies: int
    nodes: tuple[NodeState, ...]
    outside: tuple[str, ...]
    services: tuple[Service, ...]
    """Those with an address that can be dialled."""
    notes: tuple[str, ...]
    api: FollowedServer | None = None
    """None: files are its input."""

    @property
    def pods(self) -> int:
        """How many take part."""
        return sum(len(node.pods) for node in self.nodes)


class ApplyReply(Struct, frozen=True):
    """What a change led to."""

    came: tuple[ProbeParty, ...]
    """New pods, and pods with another node or address."""
    gone: tuple[ProbeParty, ...]
    """The other way round."""
    changes: tuple[VerdictChange, ...]
    nodes: int
    changed: int
    """Nodes that got other rules."""
    judged: int
    """Nodes on which live connections are judged again."""
    seconds: float
    notes: tuple[str, ...]
    traffic: TrafficLosses | None = None
    """What live connections noticed; None: there were none."""


class NotSent(Struct, frozen=True):
    """Why no packet was sent for a question."""

    reason: str


class WhyReply(Struct, frozen=True):
    """The engine's reasons, and what became of a real packet."""

    answer: WhyAnswer
    positions: RulePositions
    packet: SentProbe | NotSent
    agrees: bool = True
    """The packet did what the engine says, or none was sent."""
    control: SentProbe | None = None
    """To the same port, from an end that no policy keeps out; None where the packet is open."""
    held: bool = False
    """A program in the target has the port, so the packet was a lone SYN."""


class TryReply(Struct, frozen=True):
    """Every probe of a lab beside the engine's answer."""

    report: LabReport
    positions: RulePositions


class DownReply(Struct, frozen=True):
    """The lab ends."""

    name: str


class NetworkNamespace(Struct, frozen=True):
    """A network namespace, as a process holds it."""

    pid: int
    number: int
    """The descriptor."""
    rootless: bool
    """The process has a user namespace of its own, which has to be entered first."""
    party: str
    """The name of the pod or node."""
    files: Mapping[str, str]
    """Files that programs in it see with other contents, by their paths."""
