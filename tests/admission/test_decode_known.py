"""A part that was met before says what it said the first time, and nothing else is ever taken for
it."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podfence.admission.decode_known import decode_known
from podfence.admission.decode_policy import decode_policy, decode_unknown
from podfence.testing.manifest import to_manifest
from tests.admission.policies import SOURCE
from tests.admission.test_decode_properties import SCALARS, TREES, policies

MANIFEST: dict[str, Any] = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "db", "namespace": "shop", "labels": {"team": "red"}},
    "spec": {
        "podSelector": {"matchLabels": {"app": "db"}},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [
            {
                "from": [
                    {"podSelector": {"matchLabels": {"app": "web"}}},
                    {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}},
                ],
                "ports": [{"port": 1}, {"protocol": "UDP", "port": 53, "endPort": 60}],
            }
        ],
        "egress": [{"to": [{"namespaceSelector": {}}]}],
    },
}


def _agree(manifest: Any) -> None:
    for strict_cidrs in (True, False):
        expected = decode_unknown(manifest, SOURCE, strict_cidrs)
        assert decode_policy(manifest, SOURCE, strict_cidrs) == expected


def _changed(path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    manifest = deepcopy(MANIFEST)
    inner: Any = manifest
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return manifest


def test_a_sound_policy_needs_no_other_decoder() -> None:
    assert decode_known(MANIFEST, SOURCE) is not None
    _agree(MANIFEST)


RULE = ("spec", "ingress", 0)

PATHS: tuple[tuple[str | int, ...], ...] = (
    ("apiVersion",),
    ("metadata",),
    ("metadata", "name"),
    ("metadata", "namespace"),
    ("metadata", "labels"),
    ("metadata", "labels", "team"),
    ("metadata", "annotations"),
    ("metadata", "generation"),
    ("metadata", "creationTimestamp"),
    ("metadata", "unknown"),
    ("spec",),
    ("spec", "unknown"),
    ("spec", "podSelector"),
    ("spec", "podSelector", "matchLabels"),
    ("spec", "podSelector", "matchLabels", "app"),
    ("spec", "podSelector", "matchExpressions"),
    ("spec", "policyTypes"),
    ("spec", "policyTypes", 0),
    ("spec", "ingress"),
    ("spec", "egress"),
    ("spec", "egress", 0),
    ("spec", "egress", 0, "to"),
    ("spec", "egress", 0, "from"),
    RULE,
    (*RULE, "unknown"),
    (*RULE, "from"),
    (*RULE, "from", 0),
    (*RULE, "from", 0, "ipBlock"),
    (*RULE, "from", 1, "ipBlock", "cidr"),
    (*RULE, "from", 1, "ipBlock", "except"),
    (*RULE, "from", 1, "ipBlock", "except", 0),
    (*RULE, "ports"),
    (*RULE, "ports", 0),
    (*RULE, "ports", 0, "port"),
    (*RULE, "ports", 0, "protocol"),
    (*RULE, "ports", 1, "endPort"),
)
"""Fields that the policy has, or could have."""

VALUES: tuple[Any, ...] = (
    None,
    "",
    0,
    False,
    [],
    {},
    True,
    1,
    1.0,
    "1",
    "TCP",
    "Upper_Case-",
    "10.0.0.1/8",
    "2001:db8:0::/32",
    [None],
    [{}],
    [""],
    {"": ""},
    {"a": None},
    {"a": "b"},
    ["Egress"],
    ["Egress", "Egress", "Egress"],
    "2020-01-01T00:00:00Z",
)
"""Values that are easily taken for one another, and values that deserve a remark."""


@pytest.mark.parametrize("path", PATHS, ids=lambda path: ".".join(map(str, path)))
def test_one_other_field_is_read_as_if_nothing_was_met_before(path: tuple[str | int, ...]) -> None:
    for value in (*VALUES, *reversed(VALUES)):
        _agree(_changed(path, value))


@given(st.sampled_from(PATHS), TREES | SCALARS)
def test_any_other_field_is_read_as_if_nothing_was_met_before(
    path: tuple[str | int, ...], value: Any
) -> None:
    _agree(_changed(path, value))


@given(policies())
def test_every_sound_policy_is_known_in_parts(policy: Any) -> None:
    manifest = to_manifest(policy)
    assert decode_known(manifest, SOURCE) == policy
    _agree(manifest)


@pytest.mark.parametrize("number", [True, 1.0, "1"])
def test_a_port_that_equals_another_in_python_is_another(number: Any) -> None:
    assert decode_policy(_changed((*RULE, "ports", 0, "port"), 1), SOURCE)[1] == ()
    policy, problems = decode_policy(_changed((*RULE, "ports", 0, "port"), number), SOURCE)
    assert policy is None
    assert problems


def test_what_is_met_is_forgotten_before_it_fills_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("podfence.admission.decode_known._MAX_KNOWN", 2)
    for port in range(1, 20):
        _agree(_changed((*RULE, "ports", 0, "port"), port))
