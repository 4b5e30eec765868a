"""How one node stands, as an agent tells those who may know: what goes over the wire.

Rule: seconds are ages, not times, since clocks of nodes differ; names are as the API has them. Who
reads it ignores fields that it does not know. Pure.
"""

from __future__ import annotations

from msgspec import Struct

from podfence._version import __version__
from podfence.agent.conditions import Kind
from podfence.agent.status import Status


class Pending(Struct, frozen=True):
    """A pod that has no address yet, for so many seconds, and passes nothing."""

    pod: str
    seconds: float


class Held(Struct, frozen=True):
    """A condition, for so many seconds. ``closed``: pods that are closed for it."""

    condition: str
    subject: str
    message: str
    seconds: float
    closed: tuple[str, ...] = ()


class Heard(Struct, frozen=True):
    """A kind of objects, or a part of one. ``seconds``: since the API server said anything of it,
    None: it never did."""

    kind: str
    part: str
    standing: str
    seconds: float | None = None


class NodeReport(Struct, frozen=True):
    """One node. ``alive``: the thread that enforces comes round. ``lag``: seconds since the API
    server has said anything of the kind of which it has been silent the longest; it says something
    each minute. ``queued``: events that wait."""

    node: str
    version: str = ""
    alive: bool = True
    in_sync: bool = False
    uptime: float = 0.0
    epoch: int = 0
    pods: int = 0
    pending: tuple[Pending, ...] = ()
    conditions: tuple[Held, ...] = ()
    sources: tuple[Heard, ...] = ()
    lag: float | None = None
    queued: int = 0

    @property
    def refused(self) -> tuple[str, ...]:
        """Objects that cannot be read."""
        return tuple(c.subject for c in self.conditions if c.condition == Kind.REFUSED.value)

    @property
    def closed(self) -> tuple[str, ...]:
        """Pods that are closed for a condition."""
        return tuple(sorted({pod for held in self.conditions for pod in held.closed}))


def node_report(status: Status, now: float) -> NodeReport:
    """``now``: seconds of the clock of ``status``."""
    sources = tuple(
        Heard(s.kind, s.part, s.standing, None if s.heard is None else _age(now, s.heard))
        for s in status.sources
    )
    return NodeReport(
        node=status.node,
        version=__version__,
        alive=status.is_alive(now),
        in_sync=status.in_sync,
        uptime=_age(now, status.started),
        epoch=status.epoch,
        pods=status.pods,
        pending=tuple(Pending(each.pod, _age(now, each.since)) for each in status.pending),
        conditions=tuple(
            Held(c.kind.value, c.subject, c.message, _age(now, c.since), c.closed)
            for c in status.conditions
        ),
        sources=sources,
        lag=max((s.seconds for s in sources if s.seconds is not None), default=None),
        queued=status.queued,
    )


def _age(now: float, since: float) -> float:
    return round(max(0.0, now - since), 3)
