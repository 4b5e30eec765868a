"""Uses are counted by rule; no claim without a time; memory is bounded."""

from __future__ import annotations

import msgspec
import pytest

from podfence.agent.localsocket import LARGEST as OF_SOCKET
from podfence.drops.record import rfc3339
from podfence.kube.agents import LARGEST
from podfence.model.meta import ObjectRef, Revision
from podfence.usage.credit import ConnectionKind, RuleRef
from podfence.usage.kept import KeptPolicyUse, KeptRuleUse, KeptUsage
from podfence.usage.ledger import GAP, KINDS, NAME, POLICIES, ROOM, UsageLedger, unusable
from podfence.usage.record import NodeUsage

DB, WEB = (ObjectRef("NetworkPolicy", "shop", name) for name in ("db", "web"))
FIRST: RuleRef = (DB, "spec.ingress[0]")
ONE = ConnectionKind((4, 1), (4, 2), "TCP", 80)
REVISIONS = {DB: Revision("u", 1), WEB: Revision("w", 1)}
WRITTEN = {DB: ("spec.ingress[0]", "spec.ingress[1]")}


def ledger(kept: KeptUsage | None = None, now: float = 100.0) -> UsageLedger:
    made = UsageLedger(now, kept)
    made.survey(REVISIONS, WRITTEN, now)
    return made


def told(ledger: UsageLedger, now: float = 200.0, namespace: str = "") -> NodeUsage:
    return ledger.seen(now, namespace).rules("n1", lambda seconds: f"{seconds:.0f}")


def uses(found: NodeUsage) -> dict[str, tuple[int, str]]:
    return {rule.path: (rule.uses, rule.last) for p in found.policies for rule in p.rules}


def test_connections_are_put_down_to_rules() -> None:
    made = ledger()
    made.looked([(ONE, 2)], 110.0)
    assert made.questions(10) == [ONE]
    made.answer(ONE, (FIRST,), 111.0)
    assert made.questions(10) == []
    assert uses(told(made)) == {"spec.ingress[0]": (2, "111"), "spec.ingress[1]": (0, "")}


def test_an_answer_counts_until_it_may_be_another() -> None:
    made = ledger()
    made.looked([(ONE, 1)], 110.0)
    made.answer(ONE, (FIRST,), 110.0)
    made.looked([(ONE, 1)], 120.0)
    assert (made.questions(10), uses(told(made))["spec.ingress[0]"][0]) == ([], 2)
    made.forget()
    made.looked([(ONE, 1)], 130.0)
    assert made.questions(10) == [ONE]


def test_a_connection_that_lives_on_is_in_use_and_counted_once() -> None:
    made = ledger()
    made.looked([(ONE, 1)], 110.0)
    made.answer(ONE, (FIRST,), 110.0)
    made.looked([(ONE, 0)], 150.0)
    assert uses(told(made))["spec.ingress[0]"] == (1, "150")


def test_a_connection_that_lives_on_uses_the_next_revision() -> None:
    made = ledger()
    made.looked([(ONE, 1)], 110.0)
    made.answer(ONE, (FIRST,), 110.0)
    made.forget()
    made.looked([(ONE, 0)], 150.0)
    made.survey({**REVISIONS, DB: Revision("u", 2)}, WRITTEN, 151.0)
    made.answer(ONE, (FIRST,), 151.0)
    assert uses(told(made))["spec.ingress[0]"] == (0, "151")


@pytest.mark.parametrize("rule", [(DB, "spec.ingress[7]"), (WEB, "spec.ingress[0]")])
def test_a_rule_that_nobody_wrote_is_not_used(rule: RuleRef) -> None:
    made = ledger()
    made.denied(rule, 110.0)
    made.looked([(ONE, 1)], 110.0)
    made.answer(ONE, (rule,), 110.0)
    assert uses(told(made)) == dict.fromkeys(WRITTEN[DB], (0, ""))
    assert (made.knows([FIRST]), made.knows([FIRST, rule])) == (True, False)


def test_another_revision_begins_anew() -> None:
    made = ledger()
    made.denied(FIRST, 110.0)
    made.survey({**REVISIONS, DB: Revision("u", 2)}, WRITTEN, 120.0)
    (policy,) = told(made).policies
    assert (policy.generation, policy.since) == (2, "120")
    assert uses(told(made))["spec.ingress[0]"] == (0, "")


def test_a_policy_that_is_gone_is_forgotten_and_one_whose_pods_are_gone_is_not() -> None:
    made = ledger()
    made.denied(FIRST, 110.0)
    made.survey(REVISIONS, {}, 120.0)
    assert uses(told(made))["spec.ingress[0]"] == (1, "110")
    made.survey({WEB: REVISIONS[WEB]}, {}, 130.0)
    assert told(made).policies == ()


def test_a_pod_that_comes_later_does_not_begin_the_count_anew() -> None:
    made = ledger()
    made.survey(REVISIONS, {**WRITTEN, WEB: ("spec.egress[0]",)}, 500.0)
    assert {p.policy: p.since for p in told(made).policies} == {
        "shop/db": "100",
        "shop/web": "100",
    }


def test_one_namespace_alone() -> None:
    assert told(ledger(), namespace="shop").policies == told(ledger()).policies
    assert told(ledger(), namespace="other").policies == ()


def test_what_is_kept_over_a_restart() -> None:
    made = ledger()
    made.denied(FIRST, 110.0)
    made.looked([], 120.0)
    data = msgspec.json.encode(made.kept())
    again = ledger(msgspec.json.decode(data, type=KeptUsage), now=150.0)
    found = told(again, 150.0)
    assert (found.since, found.away) == ("100", 30)
    assert uses(found) == uses(told(made))
    assert [policy.since for policy in found.policies] == ["100"]


def test_time_in_which_looks_fail_is_away_and_said() -> None:
    made = ledger()
    made.looked([], 110.0)
    made.failed("no such table")
    found = told(made, 170.0)
    assert (found.fault, found.looked, found.away) == ("no such table", "110", 60)
    made.looked([], 180.0)
    found = told(made, 190.0)
    assert (found.fault, found.looked, found.away, found.since) == ("", "", 70, "100")
    assert made.kept().away == 70


def test_an_agent_that_cannot_look_after_its_start_is_away_since_its_earlier_life() -> None:
    made = ledger(KeptUsage(100.0, 120.0), now=150.0)
    made.failed("no such table")
    assert told(made, 170.0).away == 50
    assert (made.kept().looked, made.kept().away) == (120, 0)


@pytest.mark.parametrize("now", [110.0 + GAP + 1, 1.8e9], ids=["an hour", "clock"])
def test_when_nobody_has_looked_for_an_hour_all_is_counted_anew(now: float) -> None:
    """For whatever reason: looks failed, or the node began with a clock of 1970."""
    made = ledger()
    made.denied(FIRST, 105.0)
    made.looked([], 110.0)
    assert "not looked at for an hour" in told(made, now).fault
    made.looked([], now)
    found = told(made, now)
    assert (found.since, found.away, found.fault) == (f"{now:.0f}", 0, "")
    assert [policy.since for policy in found.policies] == [f"{now:.0f}"]
    assert uses(found) == dict.fromkeys(WRITTEN[DB], (0, ""))


@pytest.mark.parametrize(
    "kept",
    [
        KeptUsage(0.0, 0.0),
        KeptUsage(200.0, 100.0),
        KeptUsage(100.0, 5000.0),
        KeptUsage(-1.0, 950.0),
        KeptUsage(100.0, 950.0, away=-1.0),
        KeptUsage(100.0, 950.0, away=1e300),
    ],
    ids=["nothing", "upside-down", "from-the-future", "negative", "away-less", "away-more"],
)
def test_times_that_cannot_be_are_of_no_use(kept: KeptUsage) -> None:
    kept.policies.append((DB, KeptPolicyUse(Revision("u", 1), 1.0)))
    assert "cannot be right" in unusable(kept, 1000.0)


@pytest.mark.parametrize(
    "entry",
    [
        KeptPolicyUse(Revision("u", 1), 1e300),
        KeptPolicyUse(Revision("u", 1), 1001.0 + GAP),
        KeptPolicyUse(Revision("u", 1), -1.0),
        KeptPolicyUse(Revision("u", 1), 500.0, {"spec.ingress[0]": KeptRuleUse(1, 1e18)}),
        KeptPolicyUse(Revision("u", 1), 500.0, {"spec.ingress[0]": KeptRuleUse(1, -1.0)}),
        KeptPolicyUse(Revision("u", 1), 500.0, {str(n): KeptRuleUse() for n in range(ROOM)}),
    ],
)
def test_policies_that_cannot_be_are_of_no_use(entry: KeptPolicyUse) -> None:
    assert unusable(KeptUsage(100.0, 950.0, policies=[(DB, entry)]), 1000.0)


def test_an_earlier_life_of_more_than_an_hour_ago_is_of_no_use() -> None:
    kept = KeptUsage(100.0, 120.0)
    assert unusable(kept, 120.0 + GAP) == ""
    assert "for an hour" in unusable(kept, 121.0 + GAP)


def test_a_clock_that_was_set_back_by_less_than_an_hour_is_gone_on_with() -> None:
    """What is known of a time to come counts as a use then."""
    entry = KeptPolicyUse(Revision("u", 1), 500.0, {"spec.ingress[0]": KeptRuleUse(1, 900.0)})
    kept = KeptUsage(100.0, 950.0, policies=[(DB, entry)])
    assert unusable(kept, 500.0) == ""
    found = told(ledger(kept, now=500.0), 500.0)
    assert (found.away, uses(found)[FIRST[1]]) == (0, (1, "900"))


def test_no_more_kinds_wait_than_there_is_room_for() -> None:
    made = ledger()
    made.looked([(ConnectionKind((4, n), (4, 2)), n % 2) for n in range(KINDS + 5)], 110.0)
    assert (len(made.questions(2 * KINDS)), told(made).missed) == (KINDS, 5)


def test_no_more_policies_than_there_is_room_for() -> None:
    made = ledger()
    many = {ObjectRef("NetworkPolicy", "many", str(n)): Revision("u", 1) for n in range(POLICIES)}
    made.survey({**REVISIONS, **many}, {}, 110.0)
    assert told(made).uncounted == len(REVISIONS)


def test_no_more_rules_than_there_is_room_for() -> None:
    """A policy is counted in whole, or it is said that it is not; who goes makes room."""
    made = UsageLedger(100.0)
    here = len(WRITTEN[DB]) + NAME
    many = {WEB: tuple(map(str, range(ROOM - NAME - here + 1)))}
    made.survey(REVISIONS, {**WRITTEN, **many}, 110.0)
    found = told(made)
    assert ([policy.policy for policy in found.policies], found.uncounted) == (["shop/db"], 1)
    made.survey({WEB: REVISIONS[WEB]}, many, 120.0)
    found = told(made)
    assert ([policy.policy for policy in found.policies], found.uncounted) == (["shop/web"], 0)


@pytest.mark.parametrize("policies", [1, POLICIES])
def test_all_that_there_is_room_for_can_be_told(policies: int) -> None:
    """With the longest names that the API takes; who asks reads no more than so much."""
    refs = [ObjectRef("ClusterNetworkPolicy", "n" * 63, f"{n:0253}") for n in range(policies)]
    paths = tuple(f"spec.ingress[{n + 10_000}]" for n in range(ROOM // policies - NAME))
    made = UsageLedger(1.8e9)
    made.survey(dict.fromkeys(refs, Revision("u" * 36, 100)), dict.fromkeys(refs, paths), 1.8e9)
    for ref in refs:
        for path in paths:
            made.denied((ref, path), 1.8e9)
    found = made.seen(1.8e9).rules("n1", rfc3339)
    assert (len(found.policies), found.uncounted) == (policies, 0)
    assert len(msgspec.json.encode(found)) < 12_000_000 < min(LARGEST, OF_SOCKET)


def test_what_is_seen_changes_no_more() -> None:
    made = ledger()
    seen, kept = made.seen(105.0), made.kept()
    made.denied(FIRST, 110.0)
    for found in (seen.policies, kept.policies):
        assert dict(found)[DB].rules["spec.ingress[0]"] == KeptRuleUse()
