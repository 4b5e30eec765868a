"""Which drops become Events on pods."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from podfence.drops.attempt import Attempt
from podfence.drops.events import BURST, REFILL, Denial, DropEvents
from podfence.drops.ledger import Attributed
from podfence.drops.record import Cause, FlowEnd, NamedRule
from podfence.model.meta import ObjectRef

TO_DB = Attempt("in_0", (4, 1), (4, 2), 6, "TCP", "TCP", 5432)
RULE_NAMED = NamedRule("NetworkPolicy", "shop/db-allow", "spec.podSelector")
NEAR = NamedRule("NetworkPolicy", "shop/db-allow", "spec.ingress[0]", "near miss: no peer does")
WEB, DB = FlowEnd("10.0.0.1", ("shop/web",)), FlowEnd("10.0.0.2", ("shop/db",))
NAMES = Attributed(WEB, DB, Cause("isolated", "NetworkPolicy", (RULE_NAMED,), (NEAR,)))
BY_RULE = Cause("rule", "Admin", (NamedRule("ClusterNetworkPolicy", "guard", "spec.egress[1]"),))


def test_the_pod_whose_policies_deny_is_told() -> None:
    assert DropEvents().denial(TO_DB, NAMES, 1.0) == Denial(
        ObjectRef("Pod", "shop", "db"),
        "ingress from shop/web at TCP/5432 is denied: isolated by shop/db-allow, no rule matches; "
        "spec.ingress[0]: near miss: no peer does",
    )


def test_of_an_audit_it_is_said_that_nothing_was_denied() -> None:
    audited = (NamedRule("NetworkPolicy", "shop/db-allow", ""),)
    names = replace(NAMES, cause=Cause("isolated", "NetworkPolicy", (RULE_NAMED,), audited=audited))
    assert DropEvents().denial(replace(TO_DB, denier="audit_in_0"), names, 1.0) == Denial(
        ObjectRef("Pod", "shop", "db"),
        "ingress from shop/web at TCP/5432 would be denied: isolated by shop/db-allow, no rule "
        "matches (audited: shop/db-allow)",
        audit=True,
    )


def test_of_egress_it_is_the_source() -> None:
    names = replace(NAMES, destination=FlowEnd("192.0.2.1"), cause=BY_RULE)
    attempt = replace(TO_DB, denier="eg_admin_0", shown="ICMP", port=None)
    assert DropEvents().denial(attempt, names, 1.0) == Denial(
        ObjectRef("Pod", "shop", "web"),
        "egress to 192.0.2.1 at ICMP is denied: guard spec.egress[1] denies",
    )


@pytest.mark.parametrize(
    ("attempt", "names"),
    [
        (replace(TO_DB, denier="unknown"), replace(NAMES, cause=Cause("unknown"))),
        (TO_DB, replace(NAMES, cause=Cause("past"))),
        (TO_DB, replace(NAMES, destination=FlowEnd("10.0.0.2"))),
        (TO_DB, replace(NAMES, destination=FlowEnd("10.0.0.2", ("shop/db", "shop/twin")))),
    ],
    ids=["no policy", "past", "no pod", "nobody knows which pod"],
)
def test_nobody_is_told(attempt: Attempt, names: Attributed) -> None:
    assert DropEvents().denial(attempt, names, 1.0) is None


def test_events_are_few_whatever_comes() -> None:
    events = DropEvents()
    now = 1000.0
    said = [events.denial(TO_DB, NAMES, now) for _ in range(1000)]
    assert sum(each is not None for each in said) == BURST
    assert events.denial(TO_DB, NAMES, now + REFILL / 2) is None
    assert events.denial(TO_DB, NAMES, now + REFILL) is not None
    assert events.denial(TO_DB, NAMES, now + REFILL) is None
    assert events.denial(TO_DB, NAMES, now - 500) is None  # a clock that is set back
    later = [events.denial(TO_DB, NAMES, now + 10_000) for _ in range(10)]
    assert sum(each is not None for each in later) == BURST
