"""What is wrong at present, as values: raised when it begins, cleared when it ends.

Rule: a condition is a kind and a subject, and is told once when it begins, once when its message
changes, and once when it ends.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from podfence.model.meta import ObjectRef


class ConditionKind(Enum):
    """Kinds of conditions, by the names that users see."""

    API_UNREACHABLE = "ApiUnreachable"
    """The API server has not been heard of for a while; ``subject``: the kind of objects."""
    MIRROR_AWAY = "MirrorAway"
    """The mirror cannot be asked, and the API server tells what it would."""
    FORBIDDEN = "Forbidden"
    """A kind may not be listed and watched; the message names the RBAC rule that would do."""
    REFUSED = "Refused"
    """An object cannot be read; where it is a policy, the message says what holds instead."""
    PARTLY_ENFORCED = "PartlyEnforced"
    """Some of a policy does nothing; the rest is enforced."""
    KERNEL_REFUSED = "KernelRefused"
    """The kernel refuses the rules of a group of pods: they are closed, all others enforced."""
    TABLE_REFUSED = "TableRefused"
    """The kernel refuses a change that cannot be taken apart: the rules stay as they were."""
    DRIFT = "Drift"
    """Somebody else changes our table."""
    SWEEP_FAILED = "SweepFailed"
    """Connections may keep marks of old epochs."""
    NOT_FAIL_CLOSED = "NotFailClosed"
    """The pod ranges of the node are unknown: a pod that the API does not have yet is not
    closed."""
    BYPASSED = "Bypassed"
    """Packets of pods do not meet the rules: a bridge, eBPF, Open vSwitch, IPVS, a flowtable."""
    SECOND_ENFORCER = "SecondEnforcer"
    """Somebody else enforces policies on this node."""
    MARK_IN_USE = "MarkInUse"
    """Other rules write our bits of conntrack marks: a connection may pass unjudged."""
    UNSUPPORTED = "Unsupported"
    """The kernel, or who runs the agent, does not let rules be written; told at a start."""
    NAMES_UNREAD = "NamesUnread"
    """Answers of DNS cannot be read: domain names get no new addresses."""
    CONNTRACK_FULL = "ConntrackFull"
    """The kernel can track hardly any more connections: new ones will be lost."""


class Condition(Struct, frozen=True):
    """``since`` is in monotonic seconds. ``closed`` names the pods that are closed because of it,
    as namespace/name. ``about`` is the object that it is about, where there is one."""

    kind: ConditionKind
    subject: str
    message: str
    since: float
    closed: tuple[str, ...] = ()
    about: ObjectRef | None = None


class ConditionListener(Protocol):
    """Who is told of conditions (``EventLog``)."""

    def info(self, event: str, **fields: str | int | float | bool | None) -> None:
        """What is as it should be."""

    def warning(self, event: str, **fields: str | int | float | bool | None) -> None:
        """What somebody should know."""


class Conditions:
    """The conditions that hold. One thread uses it; ``now`` makes a value that others may keep."""

    def __init__(self, log: ConditionListener) -> None:
        self._log = log
        self._held: dict[tuple[ConditionKind, str], Condition] = {}

    def hold(
        self,
        kind: ConditionKind,
        subject: str,
        message: str,
        at: float,
        closed: tuple[str, ...] = (),
        about: ObjectRef | None = None,
    ) -> None:
        """A condition holds."""
        known = self._held.get((kind, subject))
        since = at if known is None else known.since
        found = Condition(kind, subject, message, since, closed, about)
        self._held[kind, subject] = found
        if known is None or replace(known, closed=closed) != found:
            pods = ", ".join(closed) or None
            self._log.warning(
                "condition", condition=kind.value, subject=subject, message=message, closed=pods
            )

    def end(self, kind: ConditionKind, subject: str) -> None:
        """A condition holds no more, if it did."""
        if self._held.pop((kind, subject), None) is not None:
            self._log.info("condition ended", condition=kind.value, subject=subject)

    def holds(self, kind: ConditionKind, subject: str) -> bool:
        """Whether a condition holds."""
        return (kind, subject) in self._held

    def only(self, kind: ConditionKind, subjects: frozenset[str]) -> None:
        """Of a kind, no others hold."""
        for known, subject in [*self._held]:
            if known is kind and subject not in subjects:
                self.end(kind, subject)

    def now(self) -> tuple[Condition, ...]:
        """All that hold."""
        return tuple(self._held.values())
