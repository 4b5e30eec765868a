"""What all agents of a cluster say together: which nodes are well, and where a policy is in force.

Rule: a node of which nothing is known counts as not well, and as enforcing nothing. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Generic, TypeVar

from msgspec import Struct

from podfence.agent.nodereport import NodeReport, PolicyReport
from podfence.model.meta import Revision
from podfence.questions.phrases.words import count

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
    AUDITED = "audited"
    """The kernel holds the revision, which is audited: it counts, and enforces nothing (AUD-2)."""
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
    """How a node stands to a revision."""
    found = told.answer
    if found is None:
        return EnforcementState.NOT_KNOWN
    if not found.in_sync or not found.alive:
        return EnforcementState.NOT_IN_SYNC
    audited = wanted.audited if found.audited is None else found.audited
    if not Revision(found.uid, found.generation, audited).covers(wanted):
        return EnforcementState.OTHER
    if found.pods is None:  # nor is it known then which of them are closed
        return EnforcementState.NOT_IN_SYNC
    if found.refused or found.closed:
        return EnforcementState.REFUSED
    return EnforcementState.AUDITED if wanted.audited else EnforcementState.IN_FORCE


def is_there(told: NodeReply[PolicyReport], wanted: Revision) -> bool:
    """Whether the kernel of a node holds a revision, which enforces nothing where it is audited."""
    return standing(told, wanted) in (EnforcementState.IN_FORCE, EnforcementState.AUDITED)


def on_nodes(told: Sequence[NodeReply[PolicyReport]], wanted: Revision) -> str:
    """On how many nodes a revision is in force, or audited."""
    there = sum(is_there(each, wanted) for each in told)
    of_all = f"on {there} of {count(len(told), 'node')}"
    return f"audited {of_all}, so it enforces nothing" if wanted.audited else f"in force {of_all}"
