"""A plan as Markdown for a comment or a step summary.

Rule: both hold 65,536 characters, and a longer text would not be posted at all. Every name is
written as code, where it neither becomes Markdown nor mentions a user.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from podfence.flows.seen import FlowRecords
from podfence.questions.phrases.words import count
from podfence.questions.plan.outcomes import Outcome, OutcomeScope
from podfence.questions.plan.plan import Plan
from podfence.questions.plan.used import TrafficImpact
from podfence.questions.tests.turning import TestChanges
from podfence.render.plan_edits import SIGNS
from podfence.render.plan_tests import turning_words
from podfence.render.plan_text import Spots, causes_of, edit_name, headline, render_plan
from podfence.render.plan_used import render_used, used_words
from podfence.render.suggest import connection_text
from podfence.text import printable

LIMIT = 60_000
MARKER = "<!-- podfence-plan -->"
"""The first line, by which a step finds its own comment in order to update it."""
_ROWS = 20
_EDITS = 3
_CONNECTIONS = 10
_TICKS = re.compile("`+")


def render_markdown(
    plan: Plan, spots: Spots, seen: FlowRecords | None = None, tests: TestChanges | None = None
) -> str:
    """The whole text, with a newline at its end. ``seen``, ``tests``: the flows and the tests that
    were given."""
    lines = [MARKER, f"### Network policy: {headline(plan)}", ""]
    lines += _table(plan)
    if plan.newcomers:
        lines += ["", f"**Pods to come**: {count(len(plan.newcomers), 'outcome')}, listed below."]
    if plan.undecided:
        lines += ["", f"**Not certain**: {count(len(plan.undecided), 'workload')}."]
    whole = render_plan(plan, spots, top=0, wide=True)
    if plan.used is not None and seen is not None:
        lines += _used(plan.used)
        whole = render_used(plan, seen, spots, wide=True).lstrip("\n") + "\n" + whole
    if tests is not None:
        lines += _tests(tests)
    head = "\n".join([*lines, ""])
    return head + _details(whole, LIMIT - len(head))


def _tests(found: TestChanges) -> Iterator[str]:
    """Tests whose result changes, new failures first."""
    yield ""
    yield f"**Tests**: {turning_words(found)}."
    turns = sorted(found.turns, key=lambda turn: turn.after.is_good)
    if turns:
        yield ""
    for turn in turns[:_CONNECTIONS]:
        title = "passes now" if turn.after.is_good else ":warning: no longer passes"
        yield f"- {title}: {code(printable(turn.after.test.name))}"
    if len(turns) > _CONNECTIONS:
        yield f"- {count(len(turns) - _CONNECTIONS, 'test')} more"


def _used(used: TrafficImpact) -> Iterator[str]:
    """What would be cut and let through, the most used first."""
    yield ""
    yield f"**Traffic that was seen**: {used_words(used)}."
    for title, uses in ((":warning: cut", used.cut), ("let through", used.opened)):
        by_count = sorted(uses, key=lambda use: -use.connection.count)
        if by_count:
            yield ""
        yield from (
            f"- {title}: {code(connection_text(use.connection))}" for use in by_count[:_CONNECTIONS]
        )
        if len(by_count) > _CONNECTIONS:
            yield f"- {title}: {count(len(by_count) - _CONNECTIONS, 'connection')} more"


def _table(plan: Plan) -> Iterator[str]:
    causes = causes_of(plan.outcomes)
    if not causes:
        return
    yield "| | cause | opens | closes |"
    yield "|---|---|---:|---:|"
    for cause in causes[:_ROWS]:
        edits = [plan.edits[number] for number in cause.blame.edits]
        names = [cell(f"{SIGNS[edit.kind]} {edit_name(edit)}") for edit in edits[:_EDITS]]
        if len(edits) > _EDITS:
            names.append(f"{len(edits) - _EDITS} more")
        warn = any(o.scope is not OutcomeScope.PODS and o.opened for o in cause.outcomes)
        opens = _pairs(o for o in cause.outcomes if o.opened)
        closes = _pairs(o for o in cause.outcomes if o.closed)
        yield f"| {':warning:' if warn else ''} | {', '.join(names)} | {opens} | {closes} |"
    if len(causes) > _ROWS:
        yield f"| | {count(len(causes) - _ROWS, 'cause')} more | | |"


def _pairs(outcomes: Iterator[Outcome]) -> str:
    return str(sum(each.pairs for each in outcomes) or "")


def _details(text: str, room: int) -> str:
    """The text of the plan, folded; cut at a line where it is too long."""
    fence = "`" * max(3, 1 + max((len(run) for run in _TICKS.findall(text)), default=0))
    frame = f"\n<details><summary>Everything, by cause</summary>\n\n{fence}text\n"
    end = f"{fence}\n\n</details>\n"
    cut = "... cut here: podfence plan -o wide has all of it\n"
    left = room - len(frame) - len(end)
    if len(text) > left:
        text = text[: text.rfind("\n", 0, left - len(cut)) + 1] + cut
    return frame + text + end


def code(text: str) -> str:
    """``text`` as code, whatever it holds."""
    ticks = "`" * (1 + max((len(run) for run in _TICKS.findall(text)), default=0))
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{pad}{text}{pad}{ticks}"


def cell(text: str) -> str:
    """The same in a cell of a table."""
    return code(text).replace("|", "\\|")
