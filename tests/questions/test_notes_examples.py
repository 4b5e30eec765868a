"""The examples: every mistake that they show is noted, and what is right gets no note."""

from __future__ import annotations

from pathlib import Path

import pytest

from podfence.manifests.load import load
from podfence.policy.compile import compile_cluster
from podfence.questions.lint.notes import notes_for

EXAMPLES = Path(__file__).parents[2] / "examples"
TUTORIALS = EXAMPLES / "tutorials"
MISTAKES: dict[str, dict[str, list[str]]] = {
    "gotchas": {
        "bank/ledger-metrics": ["PF315"],
        "bank/ledger-from-teller": ["PF329"],
        "bank/teller-egress": ["PF304"],
        "bank/teller-closed": ["PF320"],
        "watch/watcher-egress": ["PF340", "PF308"],
    },
    "tutorials/01-database-access": {
        "clinic/portal-and-database": ["PF318"],
        "clinic/deny-portal-billing": ["PF301"],
        "clinic/allow-portal-db-deny-portal-billing": ["PF301", "PF318"],
    },
    "tutorials/02-first-steps": {
        "library/website-to-catalog": ["PF317"],
        "library/isolate-loans-db": ["PF302"],
        "library/importer-to-supplier": ["PF303"],
    },
    "tutorials/03-selectors-and-blocks": {
        "orders/store-out": ["PF318"],
        "orders/audit-from-store-and-prod": ["PF314"],
        "orders/store-from-prod-batch": ["PF315"],
    },
    "tutorials/04-reference-policy": {
        "bookings/cache": ["PF316"],
        "bookings/allow-all-egress": ["PF303"],
        "newsletter/allow-all-egress": ["PF303"],
    },
    "tutorials/05-one-liner": {},
    "shop": {},
}
"""Directory -> policy -> codes; a policy that is not named has none."""


def noted(*paths: Path) -> dict[str, list[str]]:
    """Codes of all notes about all policies of these files."""
    loaded = load([str(path) for path in paths])
    assert not loaded.problems
    index = compile_cluster(loaded.cluster)
    found = {
        str(policy.ref): [note.code for note in notes_for(index, policy, loaded.raw(policy.source))]
        for policy in loaded.cluster.policies
    }
    assert found
    return {policy: codes for policy, codes in found.items() if codes}


@pytest.mark.parametrize("directory", MISTAKES)
def test_notes_of_an_example(directory: str) -> None:
    assert noted(EXAMPLES / directory) == MISTAKES[directory]


@pytest.mark.parametrize("fixed", sorted((TUTORIALS / "fixed").iterdir()), ids=lambda p: p.name)
def test_corrected_policies_have_no_note(fixed: Path) -> None:
    assert noted(TUTORIALS / fixed.name / "pods.yaml", fixed) == {}


def test_the_policy_printed_as_one_line_is_refused_with_its_position() -> None:
    path = TUTORIALS / "05-one-liner-as-printed" / "policy.yaml"
    [problem] = load([str(path)]).problems

    assert problem.position is not None
    assert problem.position.line == 1
