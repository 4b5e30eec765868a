"""Whose an address is that several live pods have (NP-60a)."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from msgspec.structs import replace

from podfence.model.claims import claim_problems, claims
from podfence.model.objects import Pod
from podfence.testing.builders import pod

SHARED = "10.0.0.1"


def holder(name: str, *addresses: str, deleting: bool = False, created: str = "") -> Pod:
    plain = pod(f"a/{name}", addresses=addresses or [SHARED])
    return replace(plain, deleting=deleting, created=created)


OLD = holder("old", created="2026-11-29T08:00:00Z")
NEW = holder("new", created="2026-11-29T09:00:00Z")
GOING = holder("going", created="2026-11-29T10:00:00Z", deleting=True)
GONE = holder("gone", deleting=True)
W, X = holder("w"), holder("x")


@pytest.mark.parametrize(
    ("pods", "holders", "heir"),
    [
        pytest.param([OLD, NEW], [OLD, NEW], NEW, id="the younger"),
        pytest.param([OLD, GOING], [OLD], OLD, id="the one that is not being deleted"),
        pytest.param([OLD, NEW, GOING], [OLD, NEW], NEW, id="two that are not"),
        pytest.param([GOING, GONE], [GOING, GONE], GOING, id="all are being deleted"),
        pytest.param([X, W], [X, W], W, id="name"),
    ],
)
def test_holders_are_those_that_stay_and_the_heir_is_the_youngest(
    pods: list[Pod], holders: list[Pod], heir: Pod
) -> None:
    (claim,) = claims(pods)
    assert (claim.address, list(claim.pods)) == (ip_address(SHARED), pods)
    assert (list(claim.holders), claim.heir) == (holders, heir)


@pytest.mark.parametrize(
    "pods",
    [
        [OLD, holder("other", "10.0.0.2", "fd00::1")],
        [OLD, replace(NEW, finished=True)],
        [OLD, replace(NEW, host_network=True)],
        [replace(OLD, host_network=True), replace(NEW, host_network=True)],
        [OLD, pod("a/waiting", has_status=True)],
        [holder("four", "0.0.0.1"), holder("six", "::1")],
    ],
)
def test_no_claim_where_one_live_pod_has_the_address(pods: list[Pod]) -> None:
    assert claims(pods) == ()


def test_the_warning_names_both_pods_and_whose_the_address_is() -> None:
    (unclear,) = claim_problems([OLD, NEW])
    assert (unclear.code, unclear.object) == ("PF120", "Pod a/new")
    assert unclear.message.startswith("10.0.0.1 is also the address of a/old; while several")
    (clear,) = claim_problems([GOING, OLD])
    assert "a/old owns it, because it is not being deleted" in clear.message
