"""Uses are counted by rule; no claim without a time; memory is bounded."""

from __future__ import annotations

import msgspec
import pytest

from podfence.model.meta import ObjectRef, Revision
from podfence.usage.credit import Kind, Rule
from podfence.usage.ledger import HOLDS, KINDS, POLICIES, Entry, Kept, Ledger
from podfence.usage.record import Rules

DB, WEB = (ObjectRef("NetworkPolicy", "shop", name) for name in ("db", "web"))
FIRST: Rule = (DB, "spec.ingress[0]")
ONE = Kind((4, 1), (4, 2), "TCP", 80)
REVISIONS = {DB: Revision("u", 1), WEB: Revision("w", 1)}
WRITTEN = {DB: ("spec.ingress[0]", "spec.ingress[1]")}


def ledger(kept: Kept | None = None, now: float = 100.0) -> Ledger:
    made = Ledger("n1", lambda seconds: f"{seconds:.0f}", now, kept)
    made.survey(REVISIONS, WRITTEN, now)
    return made


def uses(found: Rules) -> dict[str, tuple[int, str]]:
    return {rule.path: (rule.uses, rule.last) for p in found.policies for rule in p.rules}


def test_connections_are_put_down_to_rules() -> None:
    made = ledger()
    made.looked([(ONE, 2)], 110.0)
    assert made.questions(10) == [ONE]
    made.answer(ONE, (FIRST,), 111.0)
    assert made.questions(10) == []
    assert uses(made.rules()) == {"spec.ingress[0]": (2, "111"), "spec.ingress[1]": (0, "")}


def test_an_answer_counts_for_a_while() -> None:
    made = ledger()
    made.looked([(ONE, 1)], 110.0)
    made.answer(ONE, (FIRST,), 110.0)
    made.looked([(ONE, 1)], 110.0 + HOLDS - 1)
    assert (made.questions(10), uses(made.rules())["spec.ingress[0]"][0]) == ([], 2)
    made.looked([(ONE, 1)], 110.0 + HOLDS)
    assert made.questions(10) == [ONE]


def test_another_revision_begins_anew() -> None:
    made = ledger()
    made.denied(FIRST, 110.0)
    made.survey({**REVISIONS, DB: Revision("u", 2)}, WRITTEN, 120.0)
    (policy,) = made.rules().policies
    assert (policy.generation, policy.since) == (2, "120")
    assert uses(made.rules())["spec.ingress[0]"] == (0, "")


def test_a_policy_that_is_gone_is_forgotten_and_one_whose_pods_are_gone_is_not() -> None:
    made = ledger()
    made.denied(FIRST, 110.0)
    made.survey(REVISIONS, {}, 120.0)
    assert uses(made.rules())["spec.ingress[0]"] == (1, "110")
    made.survey({WEB: REVISIONS[WEB]}, {}, 130.0)
    assert made.rules().policies == ()


def test_a_pod_that_comes_later_does_not_begin_the_count_anew() -> None:
    made = ledger()
    made.survey(REVISIONS, {**WRITTEN, WEB: ("spec.egress[0]",)}, 500.0)
    assert {p.policy: p.since for p in made.rules().policies} == {
        "shop/db": "100",
        "shop/web": "100",
    }


def test_one_namespace_alone() -> None:
    assert ledger().rules("shop").policies == ledger().rules().policies
    assert ledger().rules("other").policies == ()


def test_what_is_kept_over_a_restart() -> None:
    made = ledger()
    made.denied(FIRST, 110.0)
    made.looked([], 120.0)
    data = msgspec.json.encode(made.kept())
    again = ledger(msgspec.json.decode(data, type=Kept), now=150.0)
    found = again.rules()
    assert (found.since, found.away) == ("100", 30)
    assert uses(found) == uses(made.rules())
    assert [policy.since for policy in found.policies] == ["100"]


@pytest.mark.parametrize(
    "kept",
    [Kept(0.0, 0.0), Kept(200.0, 100.0), Kept(100.0, 5000.0), Kept(-1.0, 50.0)],
    ids=["nothing", "upside-down", "from-the-future", "negative"],
)
def test_times_that_cannot_be_begin_anew(kept: Kept) -> None:
    kept.policies.append((DB, Entry(Revision("u", 1), 1.0)))
    assert ledger(kept, now=1000.0).rules().since == "1000"


def test_no_more_kinds_wait_than_there_is_room_for() -> None:
    made = ledger()
    made.looked([(Kind((4, n), (4, 2)), 1) for n in range(KINDS + 5)], 110.0)
    assert (len(made.questions(2 * KINDS)), made.rules().missed) == (KINDS, 5)


def test_no_more_policies_than_there_is_room_for() -> None:
    made = ledger()
    many = {ObjectRef("NetworkPolicy", "many", str(n)): Revision("u", 1) for n in range(POLICIES)}
    made.survey({**REVISIONS, **many}, {}, 110.0)
    assert made.rules().uncounted == len(REVISIONS)
