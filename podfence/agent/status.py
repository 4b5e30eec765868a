"""How the agent stands, as one frozen value that any thread may read.

Rule: the value is made by the thread that enforces, and by nobody else changed; who reads it may
keep it. Times are seconds of the monotonic clock, so that only differences mean something. Counts
never go back. Names of pods are in here for people, and never in what is counted by label.
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
    """One kind of objects, or one part of a kind (``part``: "own" or "other" pods). ``standing``:
    syncing, live, late, forbidden or absent. ``heard``: when the server last said anything about
    it, bookmarks included; None: never. ``relists``: lists that were begun again, by reason."""

    kind: str
    part: str
    standing: str
    message: str = ""
    heard: float | None = None
    relists: Mapping[str, int] = {}


class Waiting(Struct, frozen=True):
    """A pod of this node that has no address yet, and passes nothing."""

    pod: str
    since: float


class Writes(Struct, frozen=True):
    """Transactions: ``taken`` by the kernel, ``refused``, ``unanswered`` (then the table was read
    back), with the operations in those that were taken, and how long each took."""

    taken: int = 0
    refused: int = 0
    unanswered: int = 0
    operations: int = 0
    duration: Latency = Latency()


class NameCounts(Struct, frozen=True):
    """``messages``: packets and messages, by what came of them. ``lost``: copies that nobody could
    look at. ``addresses``: those of names now, live or kept; ``evicted``: those that gave way."""

    messages: Mapping[str, int] = {}
    lost: int = 0
    addresses: int = 0
    evicted: int = 0


class NodeStatus(Struct, frozen=True):
    """One node.

    ``in_sync``: everything was listed, and the kernel holds what follows from it, but for what
    ``conditions`` name; it stays true. ``sync_seconds``: how long that took from the start.
    ``turned``: when the thread that enforces last came round. ``epoch``: of the rules in force;
    ``bumps``: how often it changed. ``pods``: of this node, that policies see; ``pending``: those
    of them without address. ``events``: taken in, by kind and "put" or "gone".
    ``latency``: from the arrival of an event to the kernel's answer, by
    kind of object. ``queued``: events that wait. ``drifts``: times that others changed the table;
    ``reads``: times that it was read back; ``sweeps``: of old marks. ``runtime``: the container
    runtime that holds up starts of pods for us, "" for none; ``starts``: how many, by outcome.
    ``drops``: denied packets that were logged. ``names``: what answers of DNS told.
    """

    node: str
    started: float
    turned: float
    in_sync: bool = False
    sync_seconds: float | None = None
    epoch: int = 0
    bumps: int = 0
    pods: int = 0
    pending: tuple[Waiting, ...] = ()
    conditions: tuple[Condition, ...] = ()
    sources: tuple[WatchedKind, ...] = ()
    events: Mapping[tuple[str, str], int] = {}
    latency: Mapping[str, Latency] = {}
    queued: int = 0
    writes: Writes = Writes()
    drifts: int = 0
    reads: int = 0
    sweeps: int = 0
    sizes: Sizes = Sizes()
    runtime: str = ""
    starts: Mapping[str, int] = {}
    drops: DropCounts = DropCounts()
    names: NameCounts = NameCounts()

    def is_alive(self, now: float) -> bool:
        """Whether the thread that enforces comes round."""
        return now - self.turned < HUNG
