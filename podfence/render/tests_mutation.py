"""What the tests look at and would notice, as text and as data.

Rule: shares are rounded down, so only all is 100 %.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from podfence.errors import Locate
from podfence.questions.phrases.words import count
from podfence.questions.tests.coverage import Coverage
from podfence.questions.tests.mutants import Mutant, MutationOperator
from podfence.questions.tests.mutation import Mutation
from podfence.render.tests_formats import origin_data
from podfence.render.verdicts import origin_text

_SHOWN = 20


def coverage_lines(coverage: Coverage, locate: Locate) -> Iterator[str]:
    """How many rules some test covers, then the others."""
    touched, rules = coverage.share
    yield ""
    share = f"{percent(touched, rules)} %"
    yield f"{touched} of {count(rules, 'rule')} touched by a test ({share})"
    for origin in coverage.missed[:_SHOWN]:
        yield f"  not touched: {origin_text(origin, locate)}"
    if len(coverage.missed) > _SHOWN:
        yield f"  and {len(coverage.missed) - _SHOWN} more (-o json names all)"


def coverage_data(coverage: Coverage, locate: Locate) -> dict[str, Any]:
    """The same, as ``coverage`` of the JSON answer."""
    touched, rules = coverage.share
    untouched = [origin_data(each, locate) for each in coverage.missed]
    return {"touched": touched, "of": rules, "untouched": untouched}


def coverage_properties(coverage: Coverage) -> list[tuple[str, str]]:
    """The same, as properties of a suite."""
    touched, rules = coverage.share
    return [("rules.touched", str(touched)), ("rules", str(rules))]


def mutation_lines(mutation: Mutation, locate: Locate) -> Iterator[str]:
    """How many mistakes were noticed, then the others."""
    needed, rules = mutation.rules
    killed, every = mutation.score
    yield ""
    yield f"{needed} of {count(rules, 'rule')} needed by a test"
    yield from _not_needed(mutation, locate)
    yield (
        f"{count(every, 'mistake')} that change a verdict: {killed} noticed, "
        f"{len(mutation.survived)} not; {len(mutation.equal)} more change none"
        f"{f'; {mutation.left_out} not tried' if mutation.left_out else ''}"
        f"; score {percent(killed, every)} %"
    )
    others = [each for each in mutation.survived if each.operator is not MutationOperator.RULE]
    for mutant in others[:_SHOWN]:
        yield f"  not noticed: {mutant.operator.value}: {origin_text(mutant.origin, locate)}"
    if len(others) > _SHOWN:
        yield f"  and {len(others) - _SHOWN} more (-o json names all)"


def _not_needed(mutation: Mutation, locate: Locate) -> Iterator[str]:
    for mutant, why in (
        *((each, "no test notices when it is gone") for each in mutation.survived),
        *((each, "it changes no verdict now") for each in mutation.equal),
    ):
        if mutant.operator is MutationOperator.RULE:
            yield f"  not needed: {origin_text(mutant.origin, locate)}: {why}"


def percent(part: int, whole: int) -> int:
    """Rounded down; 100 where there is nothing to notice."""
    return part * 100 // whole if whole else 100


def mutation_data(mutation: Mutation, locate: Locate) -> dict[str, Any]:
    """``coverage`` and ``mutation`` of the JSON answer."""
    needed, rules = mutation.rules
    others = (*mutation.survived, *mutation.equal)
    return {
        "coverage": {
            "needed": needed,
            "of": rules,
            "missing": [
                origin_data(each.origin, locate)
                for each in others
                if each.operator is MutationOperator.RULE
            ],
        },
        "mutation": {
            "killed": len(mutation.killed),
            "survived": list(_mutants(mutation.survived, locate)),
            "equal": len(mutation.equal),
            "notTried": mutation.left_out,
        },
    }


def _mutants(mutants: Iterable[Mutant], locate: Locate) -> Iterator[dict[str, Any]]:
    for each in mutants:
        yield {"origin": origin_data(each.origin, locate), "operator": each.operator.value}


def mutation_properties(mutation: Mutation) -> list[tuple[str, str]]:
    """Figures of the whole, as properties of a suite."""
    needed, rules = mutation.rules
    killed, every = mutation.score
    return [
        ("rules.needed", str(needed)),
        ("rules", str(rules)),
        ("mutants.killed", str(killed)),
        ("mutants", str(every)),
    ]
