"""Which drops are told as a Kubernetes Event on the pod whose policies deny. Pure.

Rule: an Event is for somebody who runs `kubectl describe pod`, and there are few of them, whatever
comes. Only the pod whose policies deny is told, so that nobody learns of policies of other
namespaces. A repeated Event has the same words, so that the writer of Events folds it.
"""

from __future__ import annotations

from msgspec import Struct

from podfence.drops.attempt import Attempt
from podfence.drops.ledger import Attributed
from podfence.drops.record import ISOLATED, RULE, FlowEnd, NamedRule
from podfence.model.meta import ObjectRef
from podfence.policy.flow import Direction

BURST = 3
"""Events at once."""
REFILL = 20.0
"""Seconds after which there may be one more; what is said on behalf of policies needs room too."""
_REASONS = (ISOLATED, RULE)


class Denial(Struct, frozen=True):
    """What is said of a pod. ``audit``: nothing was denied, and audited policies would have denied
    it."""

    pod: ObjectRef
    note: str
    audit: bool = False


class DropEvents:
    """For one thread; ``now``: seconds of any clock that does not go back far."""

    def __init__(self) -> None:
        self._left = float(BURST)
        self._at = float("-inf")

    def denial(self, attempt: Attempt, names: Attributed, now: float) -> Denial | None:
        """What is to be said now; None: nothing, or not now."""
        direction = attempt.direction
        if direction is None or names.cause.reason not in _REASONS:
            return None
        is_egress = direction is Direction.EGRESS
        subject = names.source if is_egress else names.destination
        if len(subject.pods) != 1 or not self._may(now):
            return None
        namespace, _, name = subject.pods[0].partition("/")
        remote = names.destination if is_egress else names.source
        port = attempt.shown if attempt.port is None else f"{attempt.shown}/{attempt.port}"
        word = f"to {_end(remote)} at {port}" if is_egress else f"from {_end(remote)} at {port}"
        be = "would be" if attempt.audit else "is"
        return Denial(
            ObjectRef("Pod", namespace, name),
            f"{direction.value} {word} {be} denied: {_why(names)}",
            attempt.audit,
        )

    def _may(self, now: float) -> bool:
        self._left = min(float(BURST), self._left + max(0.0, now - self._at) / REFILL)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


def _end(end: FlowEnd) -> str:
    return " or ".join(end.pods) or end.address


def _why(names: Attributed) -> str:
    policies = ", ".join(map(_shown, names.cause.policies))
    if names.cause.reason == ISOLATED:
        near = "".join(f"; {rule.path}: {rule.said}" for rule in names.cause.near[:1])
        return f"isolated by {policies}, no rule matches{near}{_audited(names)}"
    return f"{policies} denies{_audited(names)}"


def _audited(names: Attributed) -> str:
    audited = ", ".join(rule.policy for rule in names.cause.audited)
    return f" (audited: {audited})" if audited else ""


def _shown(rule: NamedRule) -> str:
    path = "" if rule.path == "spec.podSelector" else f" {rule.path}"
    return f"{rule.policy}{path}"
