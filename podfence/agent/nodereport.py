"""How a node and a policy on it stand, as an agent tells those who may know.

Rule: seconds are ages, not times, since clocks of nodes differ. Names are as the API has them.
Readers ignore fields that they do not know. Pure.
"""

from __future__ import annotations

from msgspec import Struct

from podfence._version import __version__
from podfence.agent.conditions import Condition, ConditionKind
from podfence.agent.revisions import SelectedPods
from podfence.agent.status import NodeStatus
from podfence.model.meta import Count, ObjectRef, Revision


class PendingPod(Struct, frozen=True):
    """A pod that has had no address for so many seconds, and passes nothing."""

    pod: str
    seconds: float


class ConditionReport(Struct, frozen=True):
    """A condition that has held for so many seconds. ``closed``: the pods that are closed because
    of it."""

    condition: str
    subject: str
    message: str
    seconds: float
    closed: tuple[str, ...] = ()


class KindReport(Struct, frozen=True):
    """A kind of objects, or a part of one. ``seconds``: since the API server last said anything
    about it; None: it never did."""

    kind: str
    part: str
    standing: str
    seconds: float | None = None


class PacketTally(Struct, frozen=True):
    """Packets that one cause has denied on the node since the agent started. ``direction``:
    ingress, egress, or any where no policy is asked. ``reason``: policy, unknown, stateless or
    closed. With the reason audit the packets passed, and audited policies would have denied
    them."""

    direction: str
    reason: str
    packets: Count
    bytes: Count


class NodeReport(Struct, frozen=True):
    """One node."""

    node: str
    version: str = ""
    alive: bool = True
    """Whether the thread that enforces runs."""
    in_sync: bool = False
    uptime: float = 0.0
    epoch: Count = 0
    pods: Count = 0
    pending: tuple[PendingPod, ...] = ()
    conditions: tuple[ConditionReport, ...] = ()
    sources: tuple[KindReport, ...] = ()
    lag: float | None = None
    """Seconds since the API server said anything about the kind of which it has been silent the
    longest; it says something each minute. None: nothing has been heard of any kind yet."""
    queued: Count = 0
    """Events that wait."""
    denied: tuple[PacketTally, ...] | None = None
    """As the kernel counts; None: not told."""

    @property
    def refused(self) -> tuple[str, ...]:
        """Objects that cannot be read."""
        return tuple(
            c.subject for c in self.conditions if c.condition == ConditionKind.REFUSED.value
        )

    @property
    def closed(self) -> tuple[str, ...]:
        """Pods that are closed for a condition."""
        return tuple(sorted({pod for held in self.conditions for pod in held.closed}))


class PolicyReport(Struct, frozen=True):
    """One policy on one node."""

    node: str
    in_sync: bool = False
    alive: bool = True
    uid: str = ""
    """Of the revision in force; "" for none."""
    generation: Count = 0
    """Of the revision in force."""
    audited: bool | None = None
    """Whether that revision is audited (AUD-1); None: the agent is too old to tell."""
    pods: Count | None = None
    """How many pods of this node the policy selects; None where that could not be told in time."""
    closed: Count = 0
    """Those of them whose rules the kernel refuses."""
    conditions: tuple[ConditionReport, ...] = ()
    """Those about the policy."""

    @property
    def refused(self) -> str:
        """Why it cannot be read, "" where it can."""
        refused = (c.message for c in self.conditions if c.condition == ConditionKind.REFUSED.value)
        return next(refused, "")


def policy_report(
    status: NodeStatus,
    now: float,
    policy: ObjectRef,
    revision: Revision | None,
    found: SelectedPods | None,
) -> PolicyReport:
    """``revision``: the one in force; ``found``: whom it selects here, if that is known."""
    return PolicyReport(
        node=status.node,
        in_sync=status.in_sync,
        alive=status.is_alive(now),
        uid=revision.uid if revision else "",
        generation=revision.generation if revision else 0,
        audited=revision.audited if revision else None,
        pods=found.pods if found else None,
        closed=found.closed if found else 0,
        conditions=tuple(
            _held(c, now) for c in status.conditions if c.subject == f"{policy.kind} {policy}"
        ),
    )


def node_report(
    status: NodeStatus, now: float, denied: tuple[PacketTally, ...] | None = None
) -> NodeReport:
    """``now``: seconds of the clock of ``status``."""
    sources = tuple(
        KindReport(s.kind, s.part, s.standing, None if s.heard is None else _age(now, s.heard))
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
        pending=tuple(PendingPod(each.pod, _age(now, each.since)) for each in status.pending),
        conditions=tuple(_held(each, now) for each in status.conditions),
        sources=sources,
        lag=max((s.seconds for s in sources if s.seconds is not None), default=None),
        queued=status.queued,
        denied=denied,
    )


def _held(found: Condition, now: float) -> ConditionReport:
    since = _age(now, found.since)
    return ConditionReport(found.kind.value, found.subject, found.message, since, found.closed)


def _age(now: float, since: float) -> float:
    return round(max(0.0, now - since), 3)
