"""A mapping that became a text, because no space follows its colon."""

from __future__ import annotations

from typing import Any

import pytest

from podfence.admission.decode import decode
from podfence.admission.decode_strict import missing_space
from tests.admission import clusterpolicies
from tests.admission.policies import SOURCE, manifest, problems_of

HINT = "a space is missing after the colon of"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('policy-group.example.io/ingress:""', 'policy-group.example.io/ingress:""'),
        ("app:web", "app:web"),
        ("app:web tier:db", "app:web"),
        ('"app.kubernetes.io/name":web', '"app.kubernetes.io/name":web'),
        ("a_b.c:1", "a_b.c:1"),
        (f"a:{'b' * 100}", f"a:{'b' * 78}..."),
    ],
)
def test_a_key_and_a_value(text: str, shown: str) -> None:
    assert missing_space(text) == f"{HINT} `{shown}`"


@pytest.mark.parametrize(
    "value", ["web", "app=web", "app:", ":web", "http://example.com", "", None, 5, ["a:b"]]
)
def test_no_hint_for_any_other_value(value: Any) -> None:
    assert missing_space(value) == ""


@pytest.mark.parametrize(
    "spec",
    [
        {"podSelector": {"matchLabels": "app:web"}},
        {"podSelector": "matchLabels:app"},
        {"podSelector": {"matchExpressions": ["key:app"]}},
        {"ingress": [{"from": ["podSelector:{}"]}]},
        {"ingress": [{"from": [{"namespaceSelector": {"matchLabels": "example.io/a:b"}}]}]},
        {"egress": [{"ports": ["port:80"]}]},
        {"egress": [{"to": [{"ipBlock": "cidr:10.0.0.0/8"}]}]},
        pytest.param({"podSelector": {"matchLabels": {"app:web": None}}}, id="flow mapping"),
        pytest.param({"podSelector": {"matchLabels:app": None}}, id="flow mapping, a field"),
    ],
)
def test_networkpolicy(spec: Any) -> None:
    assert HINT in problems_of(spec)[0].message


@pytest.mark.parametrize("field", ["labels", "annotations"])
def test_metadata(field: str) -> None:
    for policy in (manifest({}), clusterpolicies.manifest()):
        data = {**policy, "metadata": {**policy["metadata"], field: "example.com/a:b"}}
        (problem,) = decode(data, SOURCE).problems
        assert problem.message.endswith(f"{HINT} `example.com/a:b`")


@pytest.mark.parametrize(
    "subject",
    [
        {"namespaces": {"matchLabels": "app:web"}},
        {"namespaces": "matchLabels:app"},
        {"pods": "podSelector:{}"},
        {"namespaces": {"matchLabels": {"app:web": None}}},
    ],
)
def test_clusternetworkpolicy(subject: Any) -> None:
    problems = clusterpolicies.decoded({"subject": subject})[1]
    assert any(HINT in problem.message for problem in problems)


@pytest.mark.parametrize(
    "pod",
    [
        {"metadata": {"name": "p", "labels": "app:web"}},
        {"metadata": "name:p"},
        {"metadata": {"name": "p"}, "spec": {"containers": ["name:c"]}},
    ],
)
def test_pod(pod: Any) -> None:
    problems = decode({"apiVersion": "v1", "kind": "Pod", **pod}, SOURCE).problems
    assert any(HINT in problem.message for problem in problems)
