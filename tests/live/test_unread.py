"""CNP-25: of a policy of the cluster that cannot be read as a whole, no denial is lost, and nothing
is accepted that it does not surely accept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from podfence.live.policystore import read_policy
from podfence.live.unread import Fallback
from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy, RuleAction
from podfence.model.facts import PolicyFacts

EVERYBODY: list[Any] = [{"namespaces": {}}]
ACCEPT = {"action": "Accept", "from": EVERYBODY}
DENY = {"action": "Deny", "from": EVERYBODY}
PASS = {"action": "Pass", "from": EVERYBODY}
A, D, P = RuleAction.ACCEPT, RuleAction.DENY, RuleAction.PASS


def read(
    *ingress: object, kind: str = "ClusterNetworkPolicy", audited: bool = False, **spec: Any
) -> tuple[ClusterNetworkPolicy | None, Fallback | None]:
    """A policy of some rules, and with other fields of ``spec``."""
    of_kind = {"tier": "Admin"} if kind == "ClusterNetworkPolicy" else {}
    whole = {**of_kind, "priority": 10, "subject": {"namespaces": {}}, "ingress": [*ingress]}
    version = "v1alpha2" if kind == "ClusterNetworkPolicy" else "v1alpha1"
    annotations = {"annotations": {"podfence.io/mode": "audit"}} if audited else {}
    manifest = {
        "apiVersion": f"policy.networking.k8s.io/{version}",
        "kind": kind,
        "metadata": {"name": "guard", **annotations},
        "spec": {**whole, **spec},
    }
    policy, refusal = read_policy(PolicyFacts(kind, "", "guard", json.dumps(manifest).encode()))
    assert policy is None or isinstance(policy, ClusterNetworkPolicy)
    return policy, refusal.instead if refusal is not None else None


def meanings(rules: tuple[Any, ...]) -> list[tuple[RuleAction, bool]]:
    """The action of each rule, and whether its peers can be read."""
    return [(rule.action, not any(peer.unknown for peer in rule.peers)) for rule in rules]


@pytest.mark.parametrize(
    ("unread", "meaning"),
    [
        pytest.param({**DENY, "log": True}, (D, False), id="a field of a newer API"),
        pytest.param({**ACCEPT, "log": True}, (A, False), id="the same where it accepts"),
        pytest.param({**PASS, "log": True}, (D, False), id="the same where it passes on"),
        pytest.param({**ACCEPT, "action": "Reject"}, (D, False), id="another action"),
        pytest.param({"from": EVERYBODY}, (D, False), id="no action"),
        pytest.param({**DENY, "from": []}, (D, False), id="no peers"),
        pytest.param({**ACCEPT, "from": ["all"]}, (A, False), id="peers of another form"),
        pytest.param({**DENY, "name": "x" * 101}, (D, False), id="too long a name"),
        pytest.param(None, (D, False), id="no rule at all"),
        pytest.param("deny", (D, False), id="a word"),
    ],
)
def test_a_rule_that_cannot_be_read_fails_closed_and_takes_no_other_away(
    unread: object, meaning: tuple[RuleAction, bool]
) -> None:
    policy, instead = read(DENY, unread, ACCEPT)
    assert instead is Fallback.RULES
    assert policy is not None
    assert meanings(policy.ingress) == [(D, True), meaning, (A, True)]


def test_rules_that_are_too_many_are_all_read() -> None:
    policy, instead = read(*[PASS] * 25, DENY, egress=None)
    assert instead is Fallback.RULES
    assert policy is not None
    assert meanings(policy.ingress) == [(P, True)] * 25 + [(D, True)]
    assert policy.egress == ()


def test_rules_that_are_no_list_deny() -> None:
    policy, instead = read(egress="none")
    assert instead is Fallback.RULES
    assert policy is not None
    assert meanings(policy.egress) == [(D, False)]


def test_of_older_kinds_too() -> None:
    allow = {"action": "Allow", "from": EVERYBODY}
    policy, instead = read(DENY, {**allow, "log": True}, kind="AdminNetworkPolicy")
    assert instead is Fallback.RULES
    assert policy is not None
    assert meanings(policy.ingress) == [(D, True), (A, False)]


def test_a_field_that_may_change_all_rules_leaves_the_denials() -> None:
    policy, instead = read(PASS, DENY, ACCEPT, sometimes={"from": "9:00"})
    assert instead is Fallback.DENIALS
    assert policy is not None
    assert meanings(policy.ingress) == [(A, False), (D, True), (A, False)]


@pytest.mark.parametrize(
    "spec", [{"tier": "Middle"}, {"priority": "first"}, {"subject": {"nodes": {}}}]
)
def test_whom_it_is_for_and_in_which_order_cannot_be_guessed(spec: dict[str, Any]) -> None:
    assert read(DENY, **spec) == (None, Fallback.NOTHING)


def test_one_that_is_audited_closes_nobody() -> None:
    policy, _ = read({**DENY, "log": True}, audited=True)
    assert policy is not None
    assert policy.audited


def test_one_that_can_be_read_is_as_written() -> None:
    policy, instead = read(DENY, PASS)
    assert instead is None
    assert policy is not None
    assert meanings(policy.ingress) == [(D, True), (P, True)]
