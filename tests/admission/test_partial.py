"""A field of the wrong type hides no other error, and makes none up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from podfence.admission.decode import decode
from podfence.errors import Problem
from tests.admission.policies import SOURCE

SELECTOR: dict[str, Any] = {
    "matchLabels": {"app": "web", "tier": "front"},
    "matchExpressions": [
        {"key": "a", "operator": "In", "values": ["x", "y"]},
        {"key": "b", "operator": "Exists"},
    ],
}
BLOCK: dict[str, Any] = {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}
PEERS: list[Any] = [{"podSelector": SELECTOR, "namespaceSelector": SELECTOR}, BLOCK]
PORTS: list[Any] = [{"protocol": "UDP", "port": 80, "endPort": 90}, {"port": "http"}]
VALID: dict[str, Any] = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {
        "name": "db",
        "namespace": "shop",
        "generation": 1,
        "labels": {"app": "db"},
        "annotations": {"a": "b"},
        "finalizers": ["example.com/x"],
        "ownerReferences": [
            {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "1", "controller": True}
        ],
    },
    "spec": {
        "podSelector": SELECTOR,
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": PEERS, "ports": PORTS}],
        "egress": [{"to": PEERS, "ports": PORTS}],
    },
}
BAD_SELECTOR: dict[str, Any] = {
    "matchLabels": {"-": "web", "app": "-"},
    "matchExpressions": [
        {"key": "-", "operator": "In"},
        {"key": "b", "operator": "Exists", "values": ["-"]},
        {"key": "b", "operator": "is"},
    ],
}
BAD_PEERS: list[Any] = [
    {"podSelector": BAD_SELECTOR, "ipBlock": {"cidr": "10.0.0.1/8", "except": ["10/8", "::/0"]}},
    {"ipBlock": {"except": ["10.0.0.0/8"]}},
    {},
]
BAD_PORTS: list[Any] = [
    {"protocol": "ICMP", "port": 0, "endPort": 70000},
    {"endPort": 9},
    {"port": "http-", "endPort": 9},
]
INVALID: dict[str, Any] = {
    **VALID,
    "metadata": {"name": "DB", "namespace": "-", "labels": {"-": "-"}, "finalizers": ["x"]},
    "spec": {
        "podSelector": BAD_SELECTOR,
        "policyTypes": ["ingress", "Ingress", "Egress"],
        "ingress": [{"from": BAD_PEERS, "ports": BAD_PORTS}],
        "egress": [{"to": BAD_PEERS, "ports": BAD_PORTS}],
    },
}
WRONG: tuple[Any, ...] = (5, 1.5, True, "text", [], [5], {}, {"a": 5})

Steps = tuple[str | int, ...]


def paths(value: Any, steps: Steps = ()) -> Iterator[Steps]:
    """Every field and item below the identity of the object."""
    members: Any = ()
    if isinstance(value, dict):
        members = value.items()
    elif isinstance(value, list):
        members = enumerate(value)
    for key, member in members:
        here = (*steps, key)
        if here[0] in ("metadata", "spec"):
            yield here
        yield from paths(member, here)


def spoilt(manifest: dict[str, Any], steps: Steps, value: Any) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(manifest))
    at: Any = copy
    for step in steps[:-1]:
        at = at[step]
    at[steps[-1]] = value
    return copy


def said(manifest: dict[str, Any]) -> tuple[Problem, ...]:
    return decode(manifest, SOURCE).problems


def errors(manifest: dict[str, Any]) -> set[str]:
    return {problem.message for problem in said(manifest) if problem.code == "PF203"}


def cases(manifest: dict[str, Any]) -> list[Any]:
    return [pytest.param(s, id=".".join(map(str, s))) for s in paths(manifest)]


@pytest.mark.parametrize("steps", cases(VALID))
def test_a_wrong_type_makes_up_no_error(steps: Steps) -> None:
    for value in WRONG:
        manifest = spoilt(VALID, steps, value)
        if any(problem.code == "PF202" for problem in said(manifest)):
            assert errors(manifest) == set()


@pytest.mark.parametrize("steps", cases(INVALID))
def test_beside_a_wrong_type_only_errors_of_the_rest_are_told(steps: Steps) -> None:
    for value in WRONG:
        manifest = spoilt(INVALID, steps, value)
        if any(problem.code == "PF202" for problem in said(manifest)):
            assert errors(manifest) <= errors(INVALID)


@pytest.mark.parametrize(
    ("steps", "value"),
    [
        pytest.param(("spec", "podSelector", "matchLabels", "app"), 1, id="a label"),
        pytest.param(("spec", "policyTypes"), "Ingress", id="the types"),
        pytest.param(("metadata", "labels", "app"), 1, id="a label of its own"),
        pytest.param(("spec", "ingress", 0, "ports", 1), 80, id="another port"),
        pytest.param(("spec", "ingress", 0, "from", 0, "podSelector"), [], id="a peer"),
    ],
)
def test_an_error_elsewhere_is_told_beside_a_wrong_type(steps: Steps, value: Any) -> None:
    manifest = spoilt(spoilt(VALID, ("spec", "egress", 0, "ports", 0, "port"), 0), steps, value)
    assert [problem.code for problem in said(manifest)] == ["PF202", "PF203"]


def test_a_warning_is_told_beside_a_wrong_type() -> None:
    manifest = spoilt(VALID, ("spec", "egress", 0, "to", 1, "ipBlock"), {"cidr": "FD00::/64"})
    manifest = spoilt(manifest, ("spec", "policyTypes"), "Egress")
    assert [problem.code for problem in said(manifest)] == ["PF202", "PF206"]
