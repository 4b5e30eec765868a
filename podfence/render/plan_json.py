"""A plan as data; its schema is docs/schemas/plan.schema.json."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from podfence.flows.seen import FlowRecords
from podfence.questions.plan.edits import Edit
from podfence.questions.plan.ends import WorkloadPods
from podfence.questions.plan.outcomes import Outcome, OutcomeEnd
from podfence.questions.plan.plan import Plan, summary
from podfence.render.jsontext import position_data
from podfence.render.plan_edits import EditedField, Edits
from podfence.render.plan_order import order_data
from podfence.render.plan_used import used_data

PLAN_SCHEMA = "podfence.plan/v1"


def plan_data(plan: Plan, edits: Edits, seen: FlowRecords | None = None) -> dict[str, object]:
    """Everything that text in its wide form says, and the paths of fields. ``seen``: the flows that
    were given."""
    total = summary(plan.outcomes)
    asked: dict[str, object] = {}
    if plan.order is not None:
        by_ref = {edit.ref: edits.manifest(edit) for edit in plan.edits}
        asked["order"] = order_data(plan.order, by_ref.get)
    if plan.used is not None and seen is not None:
        asked["flows"] = used_data(plan.used, seen)
    return asked | {
        "schema": PLAN_SCHEMA,
        "changes": plan.changes_something,
        "summary": {
            "edits": len(plan.edits),
            "silentEdits": len(plan.silent),
            "opened": total.opened,
            "closed": total.closed,
            "waysIn": total.ways_in,
            "waysOut": total.ways_out,
            "waysInClosed": total.shut_in,
            "waysOutClosed": total.shut_out,
        },
        "edits": [_edit(edit, edits.spots(edit)) for edit in plan.edits],
        "outcomes": [outcome_data(each) for each in plan.outcomes],
        "newcomers": [outcome_data(each) for each in plan.newcomers],
        "arrives": _lines(plan.arrives),
        "leaves": _lines(plan.leaves),
        "becomes": [
            {"namespace": ref.namespace, "name": ref.name, "was": was.kind, "is": ref.kind}
            for was, ref in plan.became
        ],
        "renamed": [{"removed": was.number, "added": now.number} for was, now in plan.renamed],
        "undecided": plan.undecided,
        "familiesNotCompared": [f"IPv{family}" for family in plan.families],
    }


def _edit(edit: Edit, spots: Iterable[EditedField]) -> dict[str, object]:
    ref = edit.ref
    was, is_now = edit.audited
    audited = {"audited": {"before": was, "after": is_now}} if was or is_now else {}
    return {
        **audited,
        "id": edit.number,
        "change": edit.kind.value,
        "kind": ref.kind,
        "namespace": ref.namespace,
        "name": ref.name,
        "fields": [
            {
                "path": spot.path,
                "words": spot.words,
                "side": "old" if spot.old else "new",
                **position_data(spot.position),
            }
            for spot in spots
        ],
    }


def outcome_data(outcome: Outcome) -> dict[str, Any]:
    """What opens and closes, and why."""
    data: dict[str, Any] = {
        "scope": outcome.scope.value,
        "from": _who(outcome.sources),
        "to": _who(outcome.destinations),
        "opened": _ports(outcome.opened),
        "closed": _ports(outcome.closed),
        "pairs": outcome.pairs,
        "blame": {
            "edits": outcome.blame.edits,
            "mode": outcome.blame.mode.value,
            "proved": outcome.blame.proved,
        },
    }
    if outcome.meetings:
        data["tenants"] = [{"from": one, "to": other} for one, other in outcome.meetings]
    if outcome.family:
        data["family"] = f"IPv{outcome.family}"
    return data


def _ports(ports: object) -> list[str]:
    return str(ports).split(" ") if ports else []


def _who(who: OutcomeEnd) -> list[str]:
    if who.outside is not None:
        return [str(network) for network in who.outside.networks()]
    return [line.name for line in who.lines]


def _lines(lines: Iterable[WorkloadPods]) -> list[str]:
    return [line.name for line in lines]
