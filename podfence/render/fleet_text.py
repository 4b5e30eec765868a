"""What agents report, as text: one line for each node, and the problems below.

Rule: texts from agents are hostile: a stranger may have answered in place of one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from podfence.agent.fleet import EnforcementState, NodeReply, is_there, on_nodes, standing
from podfence.agent.nodereport import ConditionReport, NodeReport, PolicyReport
from podfence.model.meta import ObjectRef, Revision
from podfence.questions.phrases.words import count, some
from podfence.render.tables import table
from podfence.text import printable

_NAMED = 5
_NODE_COLUMNS = (
    "NODE",
    "IN SYNC",
    "EPOCH",
    "PODS",
    "PENDING",
    "CLOSED",
    "REFUSED",
    "API LAG",
    "VERSION",
)
_POLICY_COLUMNS = ("NODE", "IN FORCE", "GENERATION", "PODS", "CLOSED")
_NOTHING = "-"


def seconds_text(seconds: float | None) -> str:
    """An age, as kubectl writes one."""
    if seconds is None:
        return _NOTHING
    whole = int(seconds)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if whole >= 2 * size:
            return f"{whole // size}{unit}"
    return f"{whole}s"


def nodes_text(told: Sequence[NodeReply[NodeReport]]) -> str:
    """``podfence status``."""
    rows = [_node_row(each) for each in told]
    return table(_NODE_COLUMNS, rows) + "".join(f"{line}\n" for line in node_notes(told))


def _node_row(told: NodeReply[NodeReport]) -> tuple[str, ...]:
    found = told.answer
    if found is None:
        return (printable(told.node), "unknown", *[_NOTHING] * (len(_NODE_COLUMNS) - 2))
    in_sync = "yes" if found.in_sync else "no"
    return (
        printable(told.node),
        in_sync if found.alive else "hangs",
        str(found.epoch),
        str(found.pods),
        str(len(found.pending)),
        str(len(found.closed)),
        str(len(found.refused)),
        seconds_text(found.lag),
        printable(found.version),
    )


def node_notes(told: Sequence[NodeReply[NodeReport]]) -> Iterator[str]:
    """What is wrong with nodes, a line each."""
    for each in told:
        node, found = printable(each.node), each.answer
        if found is None:
            yield f"{node}: {printable(each.fault)}"
            continue
        waiting = [s for s in found.sources if s.standing not in ("live", "absent")]
        if waiting:
            kinds = [printable(f"{s.kind} {s.part}".strip()) for s in waiting]
            yield f"{node}: not followed yet: {some(kinds, _NAMED)}"
        if found.pending:
            pods = [f"{printable(p.pod)} for {seconds_text(p.seconds)}" for p in found.pending]
            yield f"{node}: without address, so closed: {some(pods, _NAMED)}"
        yield from _condition_notes(node, found.conditions)


def policy_text(
    policy: ObjectRef, revision: Revision, told: Sequence[NodeReply[PolicyReport]]
) -> str:
    """``podfence status POLICY``."""
    head = _head(policy, revision, told)
    rows = [_policy_row(each, revision) for each in told]
    notes = "".join(f"{line}\n" for line in _policy_notes(told))
    return head + table(_POLICY_COLUMNS, rows) + notes


def waited_text(
    policy: ObjectRef, revision: Revision, told: Sequence[NodeReply[PolicyReport]]
) -> str:
    """``podfence wait POLICY``: one line where all is well, else the nodes that miss."""
    missing = [each for each in told if not is_there(each, revision)]
    if not missing:
        return _head(policy, revision, told)
    rows = [_policy_row(each, revision) for each in missing]
    notes = "".join(f"{line}\n" for line in _policy_notes(missing))
    return _head(policy, revision, told) + table(_POLICY_COLUMNS, rows) + notes


def _head(policy: ObjectRef, revision: Revision, told: Sequence[NodeReply[PolicyReport]]) -> str:
    what = f"{policy.kind} {printable(str(policy))}, generation {revision.generation}"
    return f"{what}: {on_nodes(told, revision)}\n"


_STANDINGS = {
    EnforcementState.IN_FORCE: "yes",
    EnforcementState.AUDITED: "audited",
    EnforcementState.OTHER: "not yet",
    EnforcementState.REFUSED: "refused",
    EnforcementState.NOT_IN_SYNC: "not in sync",
    EnforcementState.NOT_KNOWN: "unknown",
}


def _policy_row(told: NodeReply[PolicyReport], revision: Revision) -> tuple[str, ...]:
    word = _STANDINGS[standing(told, revision)]
    found = told.answer
    if found is None:
        return (printable(told.node), word, *[_NOTHING] * 3)
    generation = _NOTHING
    if found.uid:
        same = found.uid == revision.uid
        generation = str(found.generation) if same else "of another object"
    pods = _NOTHING if found.pods is None else str(found.pods)
    return printable(told.node), word, generation, pods, str(found.closed)


def _policy_notes(told: Sequence[NodeReply[PolicyReport]]) -> Iterator[str]:
    for each in told:
        node, found = printable(each.node), each.answer
        if found is None:
            yield f"{node}: {printable(each.fault)}"
            continue
        if found.closed:
            closed = count(found.closed, "pod")
            yield f"{node}: the kernel refuses rules of {closed}, closed until it takes them"
        yield from _condition_notes(node, found.conditions)


def _condition_notes(node: str, conditions: Sequence[ConditionReport]) -> Iterator[str]:
    for held in conditions:
        subject = f" {printable(held.subject)}" if held.subject else ""
        age = seconds_text(held.seconds)
        yield f"{node}: {printable(held.condition)}{subject} for {age}: {printable(held.message)}"
