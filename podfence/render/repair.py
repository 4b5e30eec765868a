"""A proposed repair as text and as data: the lines that differ, and all that they change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher

from msgspec import Struct

from podfence.questions.plan.outcomes import Outcome
from podfence.questions.plan.plan import Plan
from podfence.render.plan_json import outcome_data
from podfence.render.plan_text import outcome_words
from podfence.text import printable

_SHOWN = 20


class Proposal(Struct, frozen=True):
    """``texts``: old and new by file. ``plan``: of the edits. ``because``: why there are none."""

    texts: Mapping[str, tuple[str, str]] = {}
    plan: Plan | None = None
    because: str = ""

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """Of existing pods, then of pods to come."""
        return () if self.plan is None else (*self.plan.outcomes, *self.plan.newcomers)


def repair_text(proposal: Proposal) -> str:
    """The lines of a repair."""
    return "".join(f"{line}\n" for line in _lines(proposal))


def _lines(proposal: Proposal) -> Iterator[str]:
    yield ""
    if proposal.because:
        yield f"repair: none: {printable(proposal.because)}"
        return
    yield "repair:"
    for file, (before, after) in sorted(proposal.texts.items()):
        number = next((n for n, _, _ in _changed_lines(before, after)), 1)
        yield f"  {printable(file)}:{number}"
        for _, sign, line in _changed_lines(before, after):
            yield f"    {sign} {printable(line)}"
    yield "  it changes, pods to come included (+):"
    found = [outcome_words(each) for each in proposal.outcomes]
    yield from (f"    {line}" for line in found[:_SHOWN])
    if len(found) > _SHOWN:
        yield f"    and {len(found) - _SHOWN} more (-o json)"


def repair_data(proposal: Proposal) -> dict[str, object]:
    """The same for ``-o json``."""
    if proposal.because:
        return {"because": proposal.because}
    return {
        "files": [
            {
                "file": file,
                "lines": [
                    {"line": number, "sign": sign, "text": line}
                    for number, sign, line in _changed_lines(before, after)
                ],
            }
            for file, (before, after) in sorted(proposal.texts.items())
        ],
        "changes": [_outcome(each) for each in proposal.outcomes],
    }


def _outcome(outcome: Outcome) -> dict[str, object]:
    data = {key: value for key, value in outcome_data(outcome).items() if key != "blame"}
    return {**data, "toCome": outcome.newcomers}


def _changed_lines(before: str, after: str) -> Iterator[tuple[int, str, str]]:
    """The lines that differ, in order: their number in the text that has them (from 1), ``-`` or
    ``+``, and the line."""
    old, new = before.split("\n"), after.split("\n")
    for tag, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            yield from ((n + 1, "-", old[n]) for n in range(a, b))
            yield from ((n + 1, "+", new[n]) for n in range(c, d))
