"""Strict decoding: unknown fields and wrong JSON types, with the server's text and a hint."""

from __future__ import annotations

from typing import Any

import pytest

from podfence.admission.decode import decode
from podfence.errors import Severity
from tests.admission.policies import SOURCE, manifest, problems_of

UNKNOWN: list[tuple[str, Any, str, str]] = [
    ("misspelt", {"ingress": [{"form": []}]}, "spec.ingress[0].form", 'did you mean "from"?'),
    (
        "misspelt-selector",
        {"podSelecter": {}},
        "spec.podSelecter",
        'did you mean "podSelector"?',
    ),
    (
        "wrong-case",
        {"podselector": {}},
        "spec.podselector",
        'did you mean "podSelector"? Case matters',
    ),
    (
        "port-in-a-rule",
        {"egress": [{"port": 53}]},
        "spec.egress[0].port",
        '"port" belongs in spec.egress[].ports[]',
    ),
    (
        "ports-in-a-peer",
        {"ingress": [{"from": [{"podSelector": {}, "ports": []}]}]},
        "spec.ingress[0].from[0].ports",
        '"ports" belongs in spec.ingress[]',
    ),
    (
        "peer-in-a-rule",
        {"ingress": [{"podSelector": {}}]},
        "spec.ingress[0].podSelector",
        '"podSelector" belongs in spec.ingress[].from[]',
    ),
    (
        "to-in-ingress",
        {"ingress": [{"to": []}]},
        "spec.ingress[0].to",
        '"to" belongs in spec.egress[]',
    ),
    (
        "labels-without-matchLabels",
        {"podSelector": {"app": "web"}},
        "spec.podSelector.app",
        'labels go under "matchLabels"',
    ),
    (
        "cidr-in-a-peer",
        {"ingress": [{"from": [{"cidr": "::/0"}]}]},
        "spec.ingress[0].from[0].cidr",
        '"cidr" belongs in spec.ingress[].from[].ipBlock',
    ),
    (
        "endPort-spelt",
        {"ingress": [{"ports": [{"port": 1, "endport": 2}]}]},
        "spec.ingress[0].ports[0].endport",
        'did you mean "endPort"? Case matters',
    ),
    (
        "nothing-like-it",
        {"zzz": 1},
        "spec.zzz",
        "expected podSelector, policyTypes, ingress or egress",
    ),
]


@pytest.mark.parametrize(
    ("spec", "field", "hint"), [case[1:] for case in UNKNOWN], ids=[case[0] for case in UNKNOWN]
)
def test_unknown_field(spec: Any, field: str, hint: str) -> None:
    problem = problems_of(spec)[0]
    assert (problem.code, problem.severity) == ("PF201", Severity.ERROR)
    assert problem.message == f'strict decoding error: unknown field "{field}"; {hint}'
    assert problem.path == field


@pytest.mark.parametrize(
    ("extra", "hint"),
    [
        ({"status": {}}, "NetworkPolicy has no status: delete it"),
        ({"podSelector": {}}, '"podSelector" belongs in spec'),
        ({"Spec": {}}, 'did you mean "spec"? Case matters'),
        ({"namespace": "a"}, '"namespace" belongs in metadata'),
        ({"data": {}}, None),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_unknown_top_level_field(extra: dict[str, Any], hint: str | None) -> None:
    (problem,) = decode({**manifest({}), **extra}, SOURCE).problems
    (key,) = extra
    text, _, given = problem.message.partition("; ")
    assert text == f'strict decoding error: unknown field "{key}"'
    assert given == hint or hint is None


def test_unknown_field_with_strange_name_keeps_a_readable_path() -> None:
    (problem,) = problems_of({"a.b]": 1})
    assert problem.message.startswith('strict decoding error: unknown field "spec.a.b]"; ')
    assert problem.path == 'spec["a.b]"]'


def test_unknown_fields_do_not_hide_validation_errors() -> None:
    spec = {"ingress": [{"form": []}], "policyTypes": ["x"]}
    assert [problem.code for problem in problems_of(spec)] == ["PF201", "PF203"]


LABELS = "LabelSelector.spec.podSelector.matchLabels of type"
TYPES: list[tuple[str, Any, str, str]] = [
    (
        "label-number",
        {"podSelector": {"matchLabels": {"version": 1.10}}},
        f"number into Go struct field {LABELS} string; unquoted, became number 1.1: quote it",
        "spec.podSelector.matchLabels[version]",
    ),
    (
        "label-boolean",
        {"podSelector": {"matchLabels": {"example.com/on": True}}},
        f"bool into Go struct field {LABELS} string; unquoted, became boolean true: quote it",
        "spec.podSelector.matchLabels[example.com/on]",
    ),
    (
        "label-list",
        {"podSelector": {"matchLabels": {"a": ["b"]}}},
        f"array into Go struct field {LABELS} string; expected a string",
        "spec.podSelector.matchLabels[a]",
    ),
    (
        "labels-text",
        {"podSelector": {"matchLabels": "a=b"}},
        f"string into Go struct field {LABELS} map[string]string; expected an object of strings",
        "spec.podSelector.matchLabels",
    ),
    (
        "selector-text",
        {"podSelector": "web"},
        (
            "string into Go struct field NetworkPolicySpec.spec.podSelector of type "
            "v1.LabelSelector; expected an object with matchLabels or matchExpressions"
        ),
        "spec.podSelector",
    ),
    (
        "peer-selector-list",
        {"ingress": [{"from": [{"podSelector": []}]}]},
        (
            "array into Go struct field NetworkPolicyPeer.spec.ingress.from.podSelector of type "
            "v1.LabelSelector; expected an object with matchLabels or matchExpressions"
        ),
        "spec.ingress[0].from[0].podSelector",
    ),
    (
        "rules-object",
        {"ingress": {}},
        (
            "object into Go struct field NetworkPolicySpec.spec.ingress of type "
            '[]v1.NetworkPolicyIngressRule; expected a list, each item after "- "'
        ),
        "spec.ingress",
    ),
    (
        "rule-text",
        {"egress": ["all"]},
        (
            "string into Go struct field NetworkPolicySpec.spec.egress of type "
            "v1.NetworkPolicyEgressRule; expected an object with ports or to"
        ),
        "spec.egress[0]",
    ),
    (
        "peers-object",
        {"egress": [{"to": {"podSelector": {}}}]},
        (
            "object into Go struct field NetworkPolicyEgressRule.spec.egress.to of type "
            '[]v1.NetworkPolicyPeer; expected a list, each item after "- "'
        ),
        "spec.egress[0].to",
    ),
    (
        "port-float",
        {"ingress": [{"ports": [{"port": 80.0}]}]},
        (
            "number 80.0 into Go struct field NetworkPolicyPort.spec.ingress.ports.port of "
            "type int32; expected an integer: 80"
        ),
        "spec.ingress[0].ports[0].port",
    ),
    (
        "port-boolean",
        {"ingress": [{"ports": [{"port": True}]}]},
        (
            "bool into Go struct field NetworkPolicyPort.spec.ingress.ports.port of type int32; "
            "expected an integer"
        ),
        "spec.ingress[0].ports[0].port",
    ),
    (
        "port-too-large",
        {"ingress": [{"ports": [{"port": 2**31}]}]},
        (
            "number 2147483648 into Go struct field NetworkPolicyPort.spec.ingress.ports.port of "
            "type int32; expected an integer"
        ),
        "spec.ingress[0].ports[0].port",
    ),
    (
        "end-port-text",
        {"ingress": [{"ports": [{"port": 80, "endPort": "90"}]}]},
        (
            "string into Go struct field NetworkPolicyPort.spec.ingress.ports.endPort of type "
            "int32; quoted, became a string: remove the quotes"
        ),
        "spec.ingress[0].ports[0].endPort",
    ),
    (
        "protocol-number",
        {"egress": [{"ports": [{"protocol": 6}]}]},
        (
            "number into Go struct field NetworkPolicyPort.spec.egress.ports.protocol of type "
            "v1.Protocol; unquoted, became number 6: quote it"
        ),
        "spec.egress[0].ports[0].protocol",
    ),
    (
        "policy-types-text",
        {"policyTypes": "Ingress"},
        (
            "string into Go struct field NetworkPolicySpec.spec.policyTypes of type "
            '[]v1.PolicyType; expected a list, each item after "- "'
        ),
        "spec.policyTypes",
    ),
    (
        "policy-type-number",
        {"policyTypes": [1]},
        (
            "number into Go struct field NetworkPolicySpec.spec.policyTypes of type v1.PolicyType; "
            "unquoted, became number 1: quote it"
        ),
        "spec.policyTypes[0]",
    ),
    (
        "operator-boolean",
        {"podSelector": {"matchExpressions": [{"key": "a", "operator": False}]}},
        (
            "bool into Go struct field LabelSelectorRequirement.spec.podSelector.matchExpressions"
            ".operator of type v1.LabelSelectorOperator; unquoted, became boolean false: quote it"
        ),
        "spec.podSelector.matchExpressions[0].operator",
    ),
    (
        "cidr-number",
        {"egress": [{"to": [{"ipBlock": {"cidr": 10.0}}]}]},
        (
            "number into Go struct field IPBlock.spec.egress.to.ipBlock.cidr of type string; "
            "unquoted, became number 10.0: quote it"
        ),
        "spec.egress[0].to[0].ipBlock.cidr",
    ),
    (
        "spec-list",
        [],
        (
            "array into Go struct field NetworkPolicy.spec of type v1.NetworkPolicySpec; "
            "expected an object with podSelector, policyTypes, ingress or egress"
        ),
        "spec",
    ),
]


@pytest.mark.parametrize(
    ("spec", "text", "path"), [case[1:] for case in TYPES], ids=[case[0] for case in TYPES]
)
def test_wrong_type(spec: Any, text: str, path: str) -> None:
    (problem,) = problems_of(spec)
    assert (problem.code, problem.severity) == ("PF202", Severity.ERROR)
    assert problem.message == f"json: cannot unmarshal {text}"
    assert problem.path == path


def test_wrong_type_in_metadata() -> None:
    (problem,) = problems_of({}, labels={"a": 1})
    assert problem.message == (
        "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type "
        "string; unquoted, became number 1: quote it"
    )


def test_every_wrong_type_is_reported_and_the_rest_is_validated() -> None:
    spec = {"podSelector": 1, "policyTypes": ["x"], "ingress": [{"ports": 1}, {"from": 1}]}
    assert [(problem.code, problem.path) for problem in problems_of(spec)] == [
        ("PF202", "spec.podSelector"),
        ("PF202", "spec.ingress[0].ports"),
        ("PF202", "spec.ingress[1].from"),
        ("PF203", "spec.policyTypes[0]"),
    ]


@pytest.mark.parametrize("key", [1, True, None, 1.5], ids=str)
@pytest.mark.parametrize("where", ["spec", "podSelector", "matchLabels"])
def test_key_that_is_no_string(key: Any, where: str) -> None:
    inner: dict[Any, Any] = {key: "x"}
    spec = {
        "spec": inner,
        "podSelector": {"podSelector": inner},
        "matchLabels": {"podSelector": {"matchLabels": inner}},
    }[where]
    (problem,) = problems_of(spec)
    assert problem.code == "PF202"
    assert problem.message.startswith("map key ")
    assert problem.message.endswith("not a string; quote it")


def test_huge_number_is_reported_without_its_digits() -> None:
    (problem,) = problems_of({"ingress": [{"ports": [{"port": 10**5000}]}]})
    assert "number of 16610 bits into" in problem.message


def test_a_name_of_a_field_is_quoted_as_by_go() -> None:
    (problem,) = problems_of({"podSelector": {}, 'a"b\n': 1})
    assert problem.message.startswith('strict decoding error: unknown field "spec.a\\"b\\n"; ')
