"""What of a policy is not enforced on a node."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from podfence.agent.policycondition import unenforced
from podfence.model.facts import PolicyFacts

LEFT_OUT = ": names are for rules that accept; here they match nothing"
NAMES = {"domainNames": ["api.example.com"]}
NETWORKS = {"networks": ["10.0.0.0/8"]}


def policy(kind: str, *rules: list[Any], action: str = "Deny", **more: Any) -> PolicyFacts:
    egress = [{"action": action, "to": rule} for rule in rules]
    document = {"spec": {"egress": egress, **more}}
    return PolicyFacts(kind, "", "x", msgspec.json.encode(document))


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([[NAMES]], "spec.egress[0].to[0].domainNames" + LEFT_OUT),
        ([[NETWORKS], [NETWORKS, NAMES]], "spec.egress[1].to[1].domainNames" + LEFT_OUT),
        ([[NAMES, NAMES], [NAMES]], "spec.egress[0].to[0].domainNames and 2 more" + LEFT_OUT),
        ([[NETWORKS]], ""),
        ([[{"domainNames": []}]], ""),
    ],
)
def test_domain_names(rules: list[list[Any]], expected: str) -> None:
    assert unenforced(policy("ClusterNetworkPolicy", *rules)) == expected


def test_rules_that_accept_are_what_names_are_for() -> None:
    assert unenforced(policy("ClusterNetworkPolicy", [NAMES], action="Accept")) == ""
    assert unenforced(policy("AdminNetworkPolicy", [NAMES], action="Allow")) == ""


def test_the_word_elsewhere_is_none() -> None:
    assert unenforced(policy("ClusterNetworkPolicy", [NETWORKS], note='"domainNames"')) == ""


def test_other_kinds_have_none() -> None:
    assert unenforced(policy("NetworkPolicy", [NAMES])) == ""


def test_what_cannot_be_read_is_told_elsewhere() -> None:
    facts = PolicyFacts("ClusterNetworkPolicy", "", "x", b'{"spec":{"egress":{"domainNames":1}}}')
    assert unenforced(facts) == ""
