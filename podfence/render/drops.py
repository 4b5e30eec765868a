"""What was denied, as lines and as JSON data. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from podfence.agent.fleet import NodeReply
from podfence.drops.record import ISOLATED, PAST, RULE, Drop, Drops, FlowEnd, NamedRule
from podfence.text import printable

SCHEMA = "podfence.drops/v1"
_REASONS = {
    PAST: "the current policies would allow it",
    "unknown": "no pod that the API server knows has this address yet",
    "stateless": "not part of a connection that the kernel tracks",
    "closed": "the pod is closed because its rules are not enforced: see the agent's conditions",
}
_INDENT = "    "
_MOST_NOTES = 20


def drop_text(drop: Drop, *, with_node: bool = False) -> str:
    """``2026-11-29T15:35:52Z 3x shop/web -> shop/db TCP/5432 ingress: isolated by shop/db-allow, no
    rule matches``, and a line for each near miss."""
    port = drop.protocol if drop.port is None else f"{drop.protocol}/{drop.port}"
    answer = " (answers)" if drop.reply else ""
    where = f"{printable(drop.node)} " if with_node else ""
    direction = f"{printable(drop.direction)}: " if drop.direction else ""
    head = (
        f"{_second(drop.last)} {where}{drop.count}x {_end(drop.source)} -> "
        f"{_end(drop.destination)} {printable(port)}{answer} {direction}"
        f"{'would drop: ' if drop.audit else ''}{_cause(drop)}{_audited(drop)}"
    )
    return "".join(f"{line}\n" for line in (head, *_near(drop)))


def lost_text(drops: Drops) -> str:
    """What is missing; "" where nothing is."""
    parts = []
    if drops.lost:
        parts.append(f"{drops.lost} logged packets could not be examined")
    if drops.forgotten:
        parts.append(f"{drops.forgotten} older drops were discarded")
    return f"node {printable(drops.node)}: {'; '.join(parts)}" if parts else ""


def drops_data(nodes: Sequence[NodeReply[Drops]]) -> dict[str, object]:
    """By node; of one that did not answer, why."""
    return {"schema": SCHEMA, "nodes": [_node(each) for each in nodes]}


MOST: Final = 500
"""Drops that a page holds."""


def page_data(nodes: Sequence[NodeReply[Drops]]) -> dict[str, object]:
    """For a page: the latest first, with causes in words. ``notes``: what is missing. ``absent``:
    why there is nothing to show, "" where drops are reported."""
    found = [drop for each in nodes if each.answer for drop in each.answer.drops]
    latest = sorted(found, key=lambda drop: drop.last, reverse=True)[:MOST]
    faults = [f"node {printable(each.node)}: {each.fault}" for each in nodes if not each.answer]
    lost = [text for each in nodes if each.answer and (text := lost_text(each.answer))]
    told = any(each.answer for each in nodes)
    return {
        "drops": [_row(drop) for drop in latest],
        "notes": [printable(text) for text in faults[:_MOST_NOTES]] + lost,
        "absent": "" if told else "No agent of the cluster reports drops.",
    }


def _row(drop: Drop) -> dict[str, object]:
    """``pods``: of both ends; the port as an address asks for it."""
    return {
        "node": drop.node,
        "last": _second(drop.last),
        "count": drop.count,
        "from": _end(drop.source),
        "to": _end(drop.destination),
        "pods": [list(drop.source.pods), list(drop.destination.pods)],
        "protocol": drop.protocol,
        "port": drop.port,
        "reply": drop.reply,
        "direction": drop.direction,
        "cause": _cause(drop),
        "near": [line.strip() for line in _near(drop)],
    }


def _node(told: NodeReply[Drops]) -> object:
    if told.answer is None:
        return {"node": told.node, "fault": told.fault}
    return _data(told.answer)


def drop_data(drop: Drop) -> dict[str, object]:
    """One drop, as a line of ``--follow -o json``."""
    return {"schema": SCHEMA, "drop": _data(drop)}


def _data(value: Drop | Drops) -> object:
    return msgspec.to_builtins(value)


def _second(date: str) -> str:
    """Without its fraction."""
    day, point, _ = printable(date).partition(".")
    return f"{day}Z" if point else day


def _end(end: FlowEnd) -> str:
    if end.pods:
        return " or ".join(map(printable, end.pods))
    address = printable(end.address)
    return f"{address} (node {printable(end.node)})" if end.node else address


def _cause(drop: Drop) -> str:
    cause = drop.cause
    # Who may see one namespace alone is not told of policies of others.
    names = [_rule(rule) for rule in cause.policies] or ["policies of another namespace"]
    if cause.reason == ISOLATED:
        more = f" and {cause.more} more" if cause.more else ""
        return f"isolated by {', '.join(names)}{more}, no rule matches"
    if cause.reason == RULE:
        return f"denied by {', '.join(names)} (tier {printable(cause.tier)})"
    return _REASONS.get(cause.reason, printable(cause.reason))


def _audited(drop: Drop) -> str:
    """The policies that are not enforced; none where only others deny already."""
    names = ", ".join(map(_rule, drop.cause.audited))
    return f" (audited: {names})" if names else ""


def _rule(rule: NamedRule) -> str:
    """NetworkPolicies go by their name, as everywhere; who isolates needs no path."""
    kind = "" if rule.kind == "NetworkPolicy" else f"{printable(rule.kind)} "
    path = "" if rule.path in ("", "spec.podSelector") else f" {printable(rule.path)}"
    return f"{kind}{printable(rule.policy)}{path}"


def _near(drop: Drop) -> Iterator[str]:
    for rule in drop.cause.near:
        yield f"{_INDENT}{_rule(rule)}: {printable(rule.said)}"
