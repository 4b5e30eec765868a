"""What ``plan`` found, and how it is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from podfence.errors import Locate
from podfence.questions.plan.plan import Plan
from podfence.render.plan_edits import Edits

if TYPE_CHECKING:
    from podfence.flows.seen import FlowRecords
    from podfence.questions.tests.turning import TestChanges

FORMATS = ("text", "wide", "json", "markdown", "sarif", "html", "github")


class JudgedSides(Struct, frozen=True):
    """Tests that were judged on both sides, and where they stand."""

    __test__ = False

    turning: TestChanges
    locate: Locate


class PlanAnswer(Struct, frozen=True):
    """All that is to be shown. ``revisions``: what stands before the names of files that were read
    out of git; ``top``: causes at most, 0 for all; ``order``: whether that was asked for."""

    plan: Plan
    edits: Edits
    revisions: Sequence[str]
    top: int
    order: bool
    seen: FlowRecords | None = None
    tests: JudgedSides | None = None
    page: Callable[[Mapping[str, object]], str] | None = None
    """The page of NEW, with further parts."""


def answer_text(answer: PlanAnswer, output: str) -> str:
    """Everything, in one format."""
    if output == "json":
        return _json(answer)
    if output == "html":
        assert answer.page is not None
        return answer.page({"plan": _data(answer)})
    if output == "markdown":
        return _markdown(answer)
    if output in ("sarif", "github"):
        return _findings(answer, output)
    return _plain(answer, wide=output == "wide")


def _json(answer: PlanAnswer) -> str:
    from podfence.render.jsontext import json_text

    return f"{json_text(_data(answer))}\n"


def _data(answer: PlanAnswer) -> dict[str, Any]:
    from podfence.render.plan_json import plan_data

    data = plan_data(answer.plan, answer.edits, answer.seen)
    if answer.tests is not None:
        from podfence.render.plan_tests import turning_data

        data["tests"] = turning_data(answer.tests.turning, answer.tests.locate)
    return data


def _markdown(answer: PlanAnswer) -> str:
    from podfence.render.plan_markdown import render_markdown

    turning = None if answer.tests is None else answer.tests.turning
    return render_markdown(answer.plan, answer.edits.spots, answer.seen, turning)


def _findings(answer: PlanAnswer, output: str) -> str:
    from podfence.render.plan_findings import findings_of

    found = findings_of(answer.plan, answer.edits.spots)
    if output == "github":
        from podfence.render.plan_formats import workflow_commands

        return "".join(f"{line}\n" for line in workflow_commands(found, answer.revisions))
    from podfence.render.jsontext import json_text
    from podfence.render.plan_formats import sarif_data

    return f"{json_text(sarif_data(found, answer.revisions))}\n"


def _plain(answer: PlanAnswer, *, wide: bool) -> str:
    from podfence.render.plan_text import render_plan

    top = 0 if wide else answer.top
    text = render_plan(answer.plan, answer.edits.spots, top=top, wide=wide)
    if answer.seen is not None:
        from podfence.render.plan_used import render_used

        text += render_used(answer.plan, answer.seen, answer.edits.spots, wide=wide)
    if answer.tests is not None:
        from podfence.render.plan_tests import render_turning

        text += render_turning(answer.tests.turning, answer.tests.locate, wide=wide)
    if answer.order:
        from podfence.render.plan_order import render_order

        text += render_order(answer.plan.order)
    return text
