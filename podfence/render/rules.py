"""Which rules are used, as a table and as JSON data. Nothing is decided here.

Rule: texts from agents are hostile: a stranger may have answered in place of one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from podfence.agent.fleet import NodeReply
from podfence.questions.phrases.words import count
from podfence.render.fleet_text import seconds_text
from podfence.render.tables import table
from podfence.text import printable
from podfence.usage.record import NodeUsage
from podfence.usage.together import RuleTotal

SCHEMA = "podfence.rules/v1"
_COLUMNS = ("POLICY", "RULE", "USES", "LAST USED", "COUNTED SINCE")


def rules_text(totals: Sequence[RuleTotal]) -> str:
    """A line a rule."""
    return table(_COLUMNS, [_row(total) for total in totals])


def _row(total: RuleTotal) -> tuple[str, ...]:
    return (
        policy_words(total),
        printable(total.path),
        str(total.uses),
        second(total.last) or "never",
        second(total.since),
    )


def policy_words(total: RuleTotal) -> str:
    """The policy of a rule; of NetworkPolicies, which most are, without the kind."""
    kind = "" if total.kind == "NetworkPolicy" else f"{printable(total.kind)} "
    return f"{kind}{printable(total.policy)}"


def rules_notes(told: Sequence[NodeReply[NodeUsage]]) -> Iterator[str]:
    """What is missing, a line a node."""
    for each in told:
        node, found = printable(each.node), each.answer
        if found is None:
            yield f"node {node}: {printable(each.fault)}"
            continue
        if found.fault:
            looked = second(found.looked)
            fault = printable(found.fault)
            yield f"node {node} has not looked at connections since {looked}: {fault}"
        parts = []
        if found.away:
            parts.append(
                f"connections were not watched for {seconds_text(found.away)} of that time"
            )
        if found.cut:
            cut = f"{found.cut} of {count(found.looks, 'look')}"
            parts.append(f"{cut} saw only a part of the connections, because there were too many")
        if found.missed:
            parts.append(
                f"the rules of {count(found.missed, 'connection')} could not be determined"
            )
        if found.uncounted:
            parts.append(f"there is no room for {count(found.uncounted, 'policy')}")
        if parts:
            yield f"node {node} counts since {second(found.since)}: {'; '.join(parts)}"


def unused_notes(
    totals: Sequence[RuleTotal], told: Sequence[NodeReply[NodeUsage]], date: str
) -> Iterator[str]:
    """Why rules without a use since ``date`` may have been used after all. A node did not answer, a
    node that counts the rule does not look at connections, or the rule was counted for a shorter
    time. Nodes that count only since a later date are named too."""
    unused = [total for total in totals if not total.used_since(date)]
    silent = sum(each.answer is None for each in told)
    if unused and silent:
        rules, nodes = count(len(unused), "rule"), count(silent, "node")
        yield (
            f"no use of {rules} was seen, but {nodes} did not answer and may have seen one: "
            "podfence rules shows what the other nodes know"
        )
    blind = [total for total in unused if total.blind and not silent]
    if blind:
        rules = count(len(blind), "more rule")
        yield (
            f"no use of {rules} was seen, but a node that counts them does not look at connections"
        )
    young = [t for t in unused if not (silent or t.blind or t.unused_since(date))]
    if young:
        rules = count(len(young), "more rule")
        yield f"no use of {rules} was seen, but not for so long: see podfence rules"
    for each in told:
        if each.answer is not None and each.answer.since > date:
            node, since = printable(each.node), second(each.answer.since)
            yield f"node {node} counts only since {since}: what passed there before is unknown"


def rules_data(
    totals: Sequence[RuleTotal], told: Sequence[NodeReply[NodeUsage]], unused: str = ""
) -> dict[str, object]:
    """rules: ``podfence rules``. ``unused``: the time from which on the rules are unused."""
    asked = {"unusedSince": unused} if unused else {}
    return {
        "schema": SCHEMA,
        **asked,
        "rules": [_rule(total) for total in totals],
        "nodes": [_node(each) for each in told],
    }


def _rule(total: RuleTotal) -> object:
    return {"uses": 0, **msgspec.to_builtins(total)}


def _node(told: NodeReply[NodeUsage]) -> object:
    found = told.answer
    if found is None:
        return {"node": told.node, "answers": False, "fault": told.fault}
    blind = {"fault": found.fault, "looked": found.looked} if found.fault else {}
    return {
        "node": told.node,
        "answers": True,
        **blind,
        "since": found.since,
        "awaySeconds": found.away,
        "looks": found.looks,
        "cut": found.cut,
        "missed": found.missed,
        "uncounted": found.uncounted,
    }


def second(date: str) -> str:
    """A time without its fraction."""
    day, point, _ = printable(date).partition(".")
    return f"{day}Z" if point else day
