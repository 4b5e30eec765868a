"""What is said of a policy in its status follows from what agents told."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from podfence.agent.fleet import NodeReply
from podfence.agent.nodereport import ConditionReport, PolicyReport
from podfence.agent.policycondition import TYPE, PolicyCondition, condition_of
from podfence.model.meta import Revision

HERE = Revision("u", 3)
HOLDS = PolicyReport("n", in_sync=True, uid="u", generation=3, pods=1)
OLD = replace(HOLDS, generation=2)
REFUSED = replace(HOLDS, conditions=(ConditionReport("Refused", "x", "cannot be read", 1.0),))
SILENT = NodeReply[PolicyReport]("n3", None, "no answer")


def told(*reports: PolicyReport) -> list[NodeReply[PolicyReport]]:
    return [NodeReply(f"n{number}", report) for number, report in enumerate(reports)]


@pytest.mark.parametrize(
    ("nodes", "audited", "status", "reason", "message"),
    [
        (told(HOLDS, HOLDS), False, "True", "InForce", "in force on 2 of 2 nodes"),
        (told(HOLDS, OLD), False, "False", "NotYet", "in force on 1 of 2 nodes; not on n1"),
        (
            [*told(HOLDS), SILENT],
            False,
            "Unknown",
            "NodesSilent",
            "in force on 1 of 2 nodes; not on n3",
        ),
        (
            [*told(OLD), SILENT],
            False,
            "False",
            "NotYet",
            "in force on 0 of 2 nodes; not on n0, n3",
        ),
        ([], False, "Unknown", "NoNodes", "no node is known"),
        ([], True, "Unknown", "NoNodes", "no node is known"),
        (told(REFUSED, OLD), True, "False", "Refused", None),
        (
            told(HOLDS),
            True,
            "False",
            "Audited",
            "audited on 1 of 1 node, so it enforces nothing",
        ),
        (
            [*told(HOLDS), SILENT],
            True,
            "False",
            "Audited",
            "audited on 1 of 2 nodes, so it enforces nothing; not on n3",
        ),
    ],
)
def test_what_is_said(
    nodes: list[NodeReply[PolicyReport]],
    audited: bool,
    status: str,
    reason: str,
    message: str | None,
) -> None:
    found = condition_of(replace(HERE, audited=audited), nodes, "now", None)
    assert (found.type, found.status, found.reason) == (TYPE, status, reason)
    assert (found.observed_generation, found.last_transition_time) == (3, "now")
    assert message in (None, found.message)


def test_the_time_is_that_of_the_last_change_of_status() -> None:
    before = PolicyCondition(TYPE, "True", "InForce", "", 2, "then")
    same = condition_of(HERE, told(HOLDS), "now", before)
    other = condition_of(HERE, told(OLD), "now", before)
    assert (same.last_transition_time, other.last_transition_time) == ("then", "now")


def test_names_of_nodes_are_few_and_harmless() -> None:
    many = [NodeReply[PolicyReport](f"n{n}\x1b[2J", None, "") for n in range(500)]
    found = condition_of(HERE, many, "now", None)
    assert "\x1b" not in found.message
    assert found.message.endswith(" and 495 more")
