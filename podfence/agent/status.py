"""How the agent stands, as one frozen value that any thread may read.

Rule: the thread that enforces makes the value, and nobody changes it; a reader may keep it. Times
are seconds of the monotonic clock, so that only differences mean something. Counts never go back.
Names of pods are for people, and are never a label of a metric.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from podfence.agent.conditions import Condition
from podfence.agent.latency import Latency
from podfence.drops.ledger import DropCounts
from podfence.nft.lowering.sizes import Sizes

HUNG = 30.0
"""Seconds without a turn of the thread that enforces after which it counts as stuck."""


class WatchedKind(Struct, frozen=True):
    """One kind of objects, or one part of a kind."""

    kind: str
    part: str
    """"own" or "other" pods; "" for the whole kind."""
    standing: str
    """syncing, live, late, forbidden or absent."""
    message: str = ""
    heard: float | None = None
    """When the server last said anything about it, bookmarks included; None: never."""
    relists: Mapping[str, int] = {}
    """Lists that were started again, by reason."""


class WaitingPod(Struct, frozen=True):
    """A pod of this node that has no address yet, and passes nothing."""

    pod: str
    since: float


class TransactionCounts(Struct, frozen=True):
    """Transactions: ``taken`` by the kernel, ``refused``, ``unanswered`` (then the table was read
    back), with the operations in those that were taken, and how long each took."""

    taken: int = 0
    refused: int = 0
    unanswered: int = 0
    operations: int = 0
    duration: Latency = Latency()


class NameCounts(Struct, frozen=True):
    """``messages``: packets and messages, by what came of them. ``lost``: copies that nobody could
    look at. ``addresses``: addresses of names now, live or kept. ``evicted``: addresses that gave
    way to others."""

    messages: Mapping[str, int] = {}
    lost: int = 0
    addresses: int = 0
    evicted: int = 0


class NodeStatus(Struct, frozen=True):
    """One node."""

    node: str
    started: float
    turned: float
    """When the thread that enforces last made a turn."""
    in_sync: bool = False
    """Everything was listed, and the kernel holds what follows from it, except for what
    ``conditions`` name. It stays true."""
    sync_seconds: float | None = None
    """How long that took from the start."""
    epoch: int = 0
    """That of the rules in force."""
    bumps: int = 0
    """How often the epoch changed."""
    pods: int = 0
    """Pods of this node that policies see."""
    pending: tuple[WaitingPod, ...] = ()
    """Those of them that have no address."""
    conditions: tuple[Condition, ...] = ()
    sources: tuple[WatchedKind, ...] = ()
    events: Mapping[tuple[str, str], int] = {}
    """Events that were taken in, by kind and "put" or "gone"."""
    latency: Mapping[str, Latency] = {}
    """From the arrival of an event to the kernel's answer, by kind of object."""
    queued: int = 0
    """Events that wait."""
    writes: TransactionCounts = TransactionCounts()
    drifts: int = 0
    """Times that others changed the table."""
    reads: int = 0
    """Times that the table was read back."""
    sweeps: int = 0
    """Sweeps of old marks."""
    sizes: Sizes = Sizes()
    runtime: str = ""
    """The container runtime that holds up starts of pods for us; "" for none."""
    starts: Mapping[str, int] = {}
    """Starts of pods, by outcome."""
    drops: DropCounts = DropCounts()
    """Denied packets that were logged."""
    names: NameCounts = NameCounts()
    """What DNS answers told."""

    def is_alive(self, now: float) -> bool:
        """Whether the thread that enforces runs."""
        return now - self.turned < HUNG
