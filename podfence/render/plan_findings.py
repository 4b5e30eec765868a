"""A plan as findings with positions, for code scanning and annotations.

Rule: one finding for each cause and kind of outcome; its position is that of the edit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from podfence.questions.phrases.words import count
from podfence.questions.plan.blame import Blame
from podfence.questions.plan.order import Order
from podfence.questions.plan.outcomes import Outcome, OutcomeScope
from podfence.questions.plan.plan import Plan
from podfence.questions.plan.used import ChangedUse
from podfence.render.plan_edits import SIGNS, EditedField
from podfence.render.plan_order import step_words
from podfence.render.plan_text import (
    Spots,
    causes_of,
    counted,
    edit_name,
    mode_words,
    outcome_words,
)
from podfence.render.suggest import connection_text

PLAN_CODES: Mapping[str, str] = {
    "PF401": "a change opens connections between pods",
    "PF402": "a change closes connections",
    "PF403": "a change opens a way in from outside addresses",
    "PF404": "a change opens a way out to outside addresses",
    "PF405": "a change opens something for pods to come",
    "PF406": "a change closes connections that passed when they were seen",
    "PF407": "a change has no order that is safe at every step",
}
"""Codes of what a plan finds, with their meaning in one line."""
CLOSES, CUTS, UNSAFE = "PF402", "PF406", "PF407"
_SHOWN = 4


class PlanFinding(Struct, frozen=True):
    """One finding. ``message`` is safe to print. ``spots``: the positions of the edits; ``key``
    identifies the finding, whatever line it is on."""

    code: str
    message: str
    spots: tuple[EditedField, ...]
    key: str


def findings_of(plan: Plan, spots: Spots) -> Iterator[PlanFinding]:
    """All findings: of ways in and out first, steps that do harm last."""
    yield from _of_causes(plan, spots)
    if plan.order is not None:
        yield from _of_steps(plan, plan.order, spots)


def _of_causes(plan: Plan, spots: Spots) -> Iterator[PlanFinding]:
    for outcomes, coming in ((plan.outcomes, False), (plan.newcomers, True)):
        for cause in causes_of(outcomes):
            by_code: dict[str, list[Outcome]] = {}
            for outcome in cause.outcomes:
                for code in _codes(outcome, coming=coming):
                    by_code.setdefault(code, []).append(outcome)
            edits = [plan.edits[number] for number in cause.blame.edits]
            title = ", ".join(f"{SIGNS[edit.kind]} {edit_name(edit)}" for edit in edits)
            found = tuple(spot for edit in edits for spot in spots(edit))
            remark = mode_words(cause.blame, len(edits))
            cut = [] if coming else _cut(plan, cause.blame)
            if cut and CLOSES in by_code:
                by_code[CUTS] = by_code.pop(CLOSES)
            for code, members in sorted(by_code.items()):
                lines = [f"{PLAN_CODES[code]}: {title}", *([remark] if remark else [])]
                lines += _outcomes(members)
                lines += _uses(cut) if code == CUTS else []
                key = f"{code} {cause.blame.mode.value} {title}"
                yield PlanFinding(code, "\n".join(lines), found, key)


def _of_steps(plan: Plan, order: Order, spots: Spots) -> Iterator[PlanFinding]:
    edits = {edit.ref: edit for edit in plan.edits}
    edits |= {was: edits[ref] for was, ref in plan.became if ref in edits}
    for number, step in enumerate(order.steps, start=1):
        if step.cuts or step.opens:
            line = f"{PLAN_CODES[UNSAFE]}: step {number} of {len(order.steps)}: {step_words(step)}"
            edit = edits.get(step.ref)
            found = () if edit is None else tuple(spots(edit))
            key = f"{UNSAFE} {step.verb.value} {step.ref.kind} {step.ref}"
            yield PlanFinding(UNSAFE, line, found, key)


def _codes(outcome: Outcome, *, coming: bool) -> Iterator[str]:
    if coming:
        if outcome.opened:
            yield "PF405"
        return
    if outcome.opened:
        yield {OutcomeScope.IN: "PF403", OutcomeScope.OUT: "PF404", OutcomeScope.PODS: "PF401"}[
            outcome.scope
        ]
    if outcome.closed:
        yield CLOSES


def _cut(plan: Plan, blame: Blame) -> list[ChangedUse]:
    """What a cause closes of the traffic that was seen."""
    return [use for use in plan.used.cut if blame in use.blames] if plan.used is not None else []


def _uses(uses: Sequence[ChangedUse]) -> Iterator[str]:
    for use in uses[:_SHOWN]:
        yield f"passed when it was seen: {connection_text(use.connection)}"
    if len(uses) > _SHOWN:
        yield f"and {count(len(uses) - _SHOWN, 'connection')} more that passed when seen"


def _outcomes(members: Sequence[Outcome]) -> Iterator[str]:
    if len(members) > _SHOWN:
        yield from counted(members)
    else:
        yield from map(outcome_words, members)
