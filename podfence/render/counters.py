"""What agents count, as data for a page: one line for each node, the totals, and one line for each
rule.

Rule: a node without data is a line too, and is in no total. Texts from agents are hostile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from podfence.agent.fleet import NodeReply, is_well
from podfence.agent.nodereport import NodeReport, PacketTally
from podfence.render.fleet_text import node_notes, seconds_text
from podfence.render.rules import policy_words, rules_notes, second
from podfence.text import printable
from podfence.usage.record import NodeUsage
from podfence.usage.together import RuleTotal, together

MOST: Final = 1000
"""Nodes that a page holds."""
MOST_RULES: Final = 2000
"""Rules that it holds."""
Data = dict[str, object]


def page_data(
    nodes: Sequence[NodeReply[NodeReport]], rules: Sequence[NodeReply[NodeUsage]] = ()
) -> Data:
    """``counters``: one entry for each node, those with problems first. ``total``: packets and
    bytes by direction and reason. ``rules``: connections by rule. ``notes``: problems of nodes;
    ``missing``: what is not counted of rules. ``absent``: why there is nothing to show."""
    totals = together(each.answer for each in rules if each.answer)
    missing = [*rules_notes(rules)]
    if len(totals) > MOST_RULES:
        missing.append(f"{len(totals) - MOST_RULES} more rules: podfence rules")
    told = [each.answer for each in nodes if each.answer]
    shown = sorted(nodes, key=lambda each: (is_well(each), each.node))[:MOST]
    silent = sum(found.denied is None for found in told)
    notes = [*node_notes(shown)]
    if silent:
        notes.append(f"{silent} of {len(nodes)} agents are older and report no counters")
    if len(nodes) > MOST:
        notes.append(f"{len(nodes) - MOST} more nodes: podfence status")
    return {
        "counters": [_node(each) for each in shown],
        "total": _summed(tally for found in told for tally in found.denied or ()),
        "rules": [_rule(each) for each in totals[:MOST_RULES]],
        "missing": missing,
        "notes": notes,
        "absent": "" if told else "No agent of the cluster reports its state.",
    }


def _node(told: NodeReply[NodeReport]) -> Data:
    found = told.answer
    if found is None:
        return {"node": printable(told.node), "standing": "no answer", "well": False}
    return {
        "node": printable(told.node),
        "standing": _standing(found),
        "well": is_well(told),
        "for": seconds_text(found.uptime),
        "epoch": found.epoch,
        "pods": found.pods,
        "pending": len(found.pending),
        "closed": len(found.closed),
        "lag": seconds_text(found.lag),
        "denied": None if found.denied is None else _summed(found.denied),
    }


def _rule(total: RuleTotal) -> Data:
    """``last``: "" for never."""
    return {
        "policy": policy_words(total),
        "path": printable(total.path),
        "uses": total.uses,
        "last": second(total.last),
        "since": second(total.since),
    }


def _standing(found: NodeReport) -> str:
    if not found.alive:
        return "hangs"
    return "in sync" if found.in_sync else "not in sync"


def _summed(tallies: Iterable[PacketTally]) -> list[Data]:
    packets, amount = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for each in tallies:
        key = printable(each.direction), printable(each.reason)
        packets[key] += each.packets
        amount[key] += each.bytes
    return [
        {"direction": key[0], "reason": key[1], "packets": packets[key], "bytes": amount[key]}
        for key in sorted(packets)
    ]
