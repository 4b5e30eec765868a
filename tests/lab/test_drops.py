"""What a lab denied is named as an agent names it: real packets, and the engine beside it."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from podfence.drops.record import Drop
from podfence.lab.session import Session, world
from podfence.lab.trial import LabOptions
from podfence.questions.can import Can, QueryEvaluator
from podfence.render.drops import drop_text
from podfence.testing.builders import peer, pod, policy, rule
from tests.lab.clusters import SHOP
from tests.lab.test_session import read, running

pytestmark = pytest.mark.kernel

WEB = pod("shop/web", {"app": "web"}, addresses=["10.1.0.1"])
DB = pod("shop/db", {"app": "db"}, addresses=["10.1.0.2"])
CRON = pod("shop/cron", {"app": "cron"}, addresses=["10.1.0.3"])
CLOSED = policy(
    "shop/db-allow", {"app": "db"}, ingress=[rule(peer(pods={"app": "web"}), ports=[5432])]
)


def denied(session: Session, until: Callable[[list[Drop]], bool] = bool) -> list[Drop]:
    """What it tells, asked until it is what is waited for: the kernel hands copies over in a
    moment."""
    end = time.monotonic() + 60
    while True:
        found = [drop for each in session.denied({}) for drop in each.drops]
        if until(found) or time.monotonic() > end:
            return found
        time.sleep(0.05)


def words(drop: Drop) -> str:
    """As it is printed, without its time, its count and near misses."""
    return drop_text(drop).splitlines()[0].split("x ", 1)[1]


def test_a_denied_packet_is_named() -> None:
    with running(WEB, DB, CRON, CLOSED) as session:
        session.why(Can("shop/cron", "shop/db", 5432))
        found = denied(session)
    assert {words(drop) for drop in found} == {
        "shop/cron -> shop/db TCP/5432 ingress: isolated by shop/db-allow, no rule matches"
    }
    (near,) = found[0].cause.near
    assert (near.path, near.said) == (
        "spec.ingress[0]",
        "near miss: the port fits (TCP/5432), but no peer does",
    )


def test_nothing_denied_is_nothing_told() -> None:
    with running(WEB, DB, CLOSED) as session:
        session.why(Can("shop/web", "shop/db", 5432))
        assert denied(session, lambda _: True) == []


def test_a_packet_is_named_by_the_policies_that_denied_it() -> None:
    """And not by those of now, although it is asked for later."""
    with running(WEB, DB, CRON, CLOSED) as session:
        session.why(Can("shop/cron", "shop/db", 5432))
        time.sleep(1)  # the kernel has handed the copy over
        session.apply(read(WEB, DB, CRON))
        found = denied(session)
    assert {drop.cause.reason for drop in found} == {"isolated"}


def test_what_an_audited_policy_would_drop_is_told_and_passes() -> None:
    audited = replace(CLOSED, audited=True)
    with running(WEB, DB, CRON, audited) as session:
        assert session.why(Can("shop/cron", "shop/db", 5432)).agrees
        found = denied(session)
    (said,) = {words(drop) for drop in found}
    assert said == (
        "shop/cron -> shop/db TCP/5432 ingress: would drop: isolated by shop/db-allow, "
        "no rule matches (audited: shop/db-allow)"
    )


def test_whatever_is_denied_when_all_is_probed_is_denied_by_the_engine() -> None:
    judge = QueryEvaluator(world(read(*SHOP), LabOptions(nodes=2)).index)
    with running(*SHOP) as session:
        session.test()
        found = denied(session)
    asked = [drop for drop in found if drop.source.pods and drop.destination.pods]
    for drop in asked:
        (source,), (target,) = drop.source.pods, drop.destination.pods
        if drop.port is not None and not drop.reply:
            assert not judge.can(Can(source, target, drop.port, drop.protocol)).allowed, drop
    assert asked
    assert {drop.cause.reason for drop in asked} == {"isolated"}
