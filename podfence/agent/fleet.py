"""What all agents of a cluster say together: which nodes are well, and where a policy is in force.

Rule: a node of which nothing is known counts as not well, and as enforcing nothing. Pure.
"""

from __future__ import annotations

from enum import Enum
from typing import Generic, TypeVar

from msgspec import Struct

from podfence.agent.nodereport import NodeReport, PolicyReport
from podfence.model.meta import Revision

T = TypeVar("T")


class NodeReply(Struct, Generic[T], frozen=True):
    """The answer of the agent of a node. ``answer`` is None where there is none; ``fault`` says
    why."""

    node: str
    answer: T | None = None
    fault: str = ""


class EnforcementState(Enum):
    """How a node stands to one revision of a policy."""

    IN_FORCE = "in-force"
    OTHER = "other-revision"
    """Another revision is in force, or none; that may change in a moment."""
    REFUSED = "refused"
    """The agent cannot read the policy, or the kernel its rules for some pods: they are closed."""
    NOT_IN_SYNC = "not-in-sync"
    """The agent has not taken in everything yet, or hangs."""
    NOT_KNOWN = "not-known"
    """No agent, or none that answers."""


def is_well(told: NodeReply[NodeReport]) -> bool:
    """Whether a node is in sync, and nothing is wrong with it."""
    found = told.answer
    return found is not None and found.alive and found.in_sync and not found.conditions


def standing(told: NodeReply[PolicyReport], wanted: Revision) -> EnforcementState:
    """Whether a revision is in force on a node."""
    found = told.answer
    if found is None:
        return EnforcementState.NOT_KNOWN
    if not found.in_sync or not found.alive:
        return EnforcementState.NOT_IN_SYNC
    if not Revision(found.uid, found.generation).covers(wanted):
        return EnforcementState.OTHER
    if found.pods is None:  # nor is it known then which of them are closed
        return EnforcementState.NOT_IN_SYNC
    if found.refused or found.closed:
        return EnforcementState.REFUSED
    return EnforcementState.IN_FORCE
