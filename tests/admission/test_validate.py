"""Every check that the API server makes when a NetworkPolicy is created, text by text."""

from __future__ import annotations

from typing import Any

import pytest

from podfence.admission.validate import validate
from tests.admission.policies import messages_of, problems_of
from tests.admission.texts import expression, labels_of

SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    r"for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used "
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
KEY_PATTERN = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
KEY = f"name part {KEY_PATTERN}"
TWO_SLASHES = (
    f"a valid label key {KEY_PATTERN} with an optional DNS subdomain prefix and '/' "
    "(e.g. 'example.com/MyName')"
)
VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  "
    "or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)

OWNER = {"apiVersion": "v1", "kind": "A", "name": "a", "uid": "1", "controller": True}
OTHER_OWNER = {**OWNER, "uid": "2", "controller": False}
METADATA: list[tuple[str, dict[str, Any], list[str]]] = [
    (
        "no-name",
        {"name": None},
        ["metadata.name: Required value: name or generateName is required"],
    ),
    (
        "name-too-long",
        {"name": "a" * 254},
        [f'metadata.name: Invalid value: "{"a" * 254}": must be no more than 253 characters'],
    ),
    ("name-253", {"name": "a" * 253}, []),
    ("name-not-dns", {"name": "My_P"}, [f'metadata.name: Invalid value: "My_P": {SUBDOMAIN}']),
    ("name-with-dots", {"name": "a.b"}, []),
    ("name-final-newline", {"name": "p\n"}, [f'metadata.name: Invalid value: "p\\n": {SUBDOMAIN}']),
    ("generate-name-dash", {"generateName": "p-"}, []),
    (
        "generate-name-letter-before-the-dash-unchecked",
        {"generateName": "P-"},
        [],
    ),
    (
        "generate-name-bad-start",
        {"generateName": "_p"},
        [f'metadata.generateName: Invalid value: "_p": {SUBDOMAIN}'],
    ),
    (
        "namespace-too-long",
        {"namespace": "a" * 64},
        [f'metadata.namespace: Invalid value: "{"a" * 64}": must be no more than 63 characters'],
    ),
    (
        "namespace-dots",
        {"namespace": "a.b"},
        ['metadata.namespace: Invalid value: "a.b": must not contain dots'],
    ),
    ("namespace-other", {"namespace": "A"}, [f'metadata.namespace: Invalid value: "A": {LABEL}']),
    ("label-key", {"labels": {"-a": "b"}}, [f'metadata.labels: Invalid value: "-a": {KEY}']),
    ("label-value", {"labels": {"a": "b c"}}, [f'metadata.labels: Invalid value: "b c": {VALUE}']),
    (
        "annotation-key",
        {"annotations": {"Bad!": "x"}},
        [f'metadata.annotations: Invalid value: "Bad!": {KEY}'],
    ),
    ("annotation-key-upper-prefix", {"annotations": {"Example.COM/a": "x"}}, []),
    (
        "annotations-too-long",
        {"annotations": {"a": "é" * 131072}},
        ["metadata.annotations: Too long: may not be more than 262144 bytes"],
    ),
    ("annotations-exact-size", {"annotations": {"ab": "é" * 131071}}, []),
    ("generation-is-replaced-first", {"generation": -1}, []),
    (
        "owner-reference",
        {"ownerReferences": [{}]},
        [
            f"metadata.ownerReferences[0].{field}: Required value: must not be empty"
            for field in ("apiVersion", "kind", "name", "uid")
        ],
    ),
    *(
        (
            f"owner-version-{version}",
            {"ownerReferences": [OWNER, {**OTHER_OWNER, "apiVersion": version}]},
            [
                (
                    f'metadata.ownerReferences[1].apiVersion: Invalid value: "{version}": '
                    "must be <group>/<version> or <version>"
                )
            ],
        )
        for version in ("a/b/c", "apps/", "/")
    ),
    (
        "owner-event",
        {"ownerReferences": [{**OWNER, "kind": "Event"}]},
        [
            (
                'metadata.ownerReferences[0]: Invalid value: {"apiVersion":"v1","kind":"Event",'
                '"name":"a","uid":"1","controller":true}: '
                "/v1, Kind=Event is disallowed from being an owner"
            )
        ],
    ),
    ("owner-twice-the-same", {"ownerReferences": [OWNER, {**OWNER}]}, []),
    (
        "finalizer",
        {"finalizers": ["mine"]},
        [
            (
                'metadata.finalizers[0]: Invalid value: "mine": name is neither a standard '
                "finalizer name nor is it fully qualified"
            )
        ],
    ),
]


@pytest.mark.parametrize(
    ("metadata", "expected"), [case[1:] for case in METADATA], ids=[case[0] for case in METADATA]
)
def test_metadata(metadata: dict[str, Any], expected: list[str]) -> None:
    assert messages_of({}, **metadata) == expected


def test_two_controllers() -> None:
    (message,) = messages_of({}, ownerReferences=[OWNER, {**OWNER, "name": "b"}])
    assert message.endswith(
        ": Only one reference can have Controller set to true. "
        'Found "true" in references for A/a and A/b'
    )


def test_conflicting_finalizers() -> None:
    assert messages_of({}, finalizers=["orphan", "foregroundDeletion"]) == [
        (
            'metadata.finalizers: Invalid value: ["orphan","foregroundDeletion"]: '
            "finalizer orphan and foregroundDeletion cannot be both set"
        )
    ]


def test_empty_namespace_is_required_where_nothing_fills_it_in() -> None:
    problems = validate({"metadata": {"name": "p"}, "spec": {}})
    assert [problem.message for problem in problems] == ["metadata.namespace: Required value"]


# -------------------------------------------------------------------------- selectors

SEL = "spec.podSelector.matchLabels"
EXPR = "spec.podSelector.matchExpressions[0]"
NEEDS = "must be specified when `operator` is 'In' or 'NotIn'"
REFUSES = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
OPERATOR = "not a valid selector operator"


SELECTORS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("key-bad", labels_of({"a b": "c"}), [f'{SEL}: Invalid value: "a b": {KEY}']),
    (
        "key-empty",
        labels_of({"": "c"}),
        [
            f'{SEL}: Invalid value: "": name part must be non-empty',
            f'{SEL}: Invalid value: "": {KEY}',
        ],
    ),
    (
        "key-long",
        labels_of({"k" * 64: "c"}),
        [f'{SEL}: Invalid value: "{"k" * 64}": name part must be no more than 63 bytes'],
    ),
    (
        "key-empty-prefix",
        labels_of({"/a": "c"}),
        [f'{SEL}: Invalid value: "/a": prefix part must be non-empty'],
    ),
    (
        "key-bad-prefix",
        labels_of({"A/a": "c"}),
        [f'{SEL}: Invalid value: "A/a": prefix part {SUBDOMAIN}'],
    ),
    (
        "key-long-prefix",
        labels_of({f"{'p' * 254}/a": "c"}),
        [f'{SEL}: Invalid value: "{"p" * 254}/a": prefix part must be no more than 253 bytes'],
    ),
    (
        "key-two-slashes",
        labels_of({"a/b/c": "d"}),
        [f'{SEL}: Invalid value: "a/b/c": {TWO_SLASHES}'],
    ),
    ("value-bad", labels_of({"a": "-"}), [f'{SEL}: Invalid value: "-": {VALUE}']),
    (
        "value-long",
        labels_of({"a": "v" * 64}),
        [f'{SEL}: Invalid value: "{"v" * 64}": must be no more than 63 bytes'],
    ),
    ("value-empty", labels_of({"a": ""}), []),
    (
        "operator-unknown",
        expression("a", "in", "b"),
        [f'{EXPR}.operator: Invalid value: "in": {OPERATOR}'],
    ),
    (
        "operator-empty",
        {"matchExpressions": [{"key": "a"}]},
        [f'{EXPR}.operator: Invalid value: "": {OPERATOR}'],
    ),
    ("in-without-values", expression("a", "In"), [f"{EXPR}.values: Required value: {NEEDS}"]),
    (
        "notin-without-values",
        expression("a", "NotIn"),
        [f"{EXPR}.values: Required value: {NEEDS}"],
    ),
    (
        "exists-with-values",
        expression("a", "Exists", "b"),
        [f"{EXPR}.values: Forbidden: {REFUSES}"],
    ),
    (
        "doesnotexist-with-values",
        expression("a", "DoesNotExist", "b"),
        [f"{EXPR}.values: Forbidden: {REFUSES}"],
    ),
    ("expression-key", expression("a b", "Exists"), [f'{EXPR}.key: Invalid value: "a b": {KEY}']),
    (
        "expression-value",
        expression("a", "In", "ok", "b c"),
        [f'{EXPR}.values[1]: Invalid value: "b c": {VALUE}'],
    ),
    (
        "order-operator-key-values",
        expression("", "Sometimes", "b c"),
        [
            f'{EXPR}.operator: Invalid value: "Sometimes": {OPERATOR}',
            f'{EXPR}.key: Invalid value: "": name part must be non-empty',
            f'{EXPR}.key: Invalid value: "": {KEY}',
            f'{EXPR}.values[0]: Invalid value: "b c": {VALUE}',
        ],
    ),
]


@pytest.mark.parametrize(
    ("selector", "expected"), [case[1:] for case in SELECTORS], ids=[case[0] for case in SELECTORS]
)
def test_selector(selector: dict[str, Any], expected: list[str]) -> None:
    assert messages_of({"podSelector": selector}) == expected


@pytest.mark.parametrize(
    ("direction", "peers", "field"),
    [
        ("ingress", "from", "podSelector"),
        ("ingress", "from", "namespaceSelector"),
        ("egress", "to", "podSelector"),
        ("egress", "to", "namespaceSelector"),
    ],
)
def test_selector_of_a_peer_has_its_own_path(direction: str, peers: str, field: str) -> None:
    spec = {direction: [{}, {peers: [{"podSelector": {}}, {field: labels_of({"a": "-"})}]}]}
    (problem,) = problems_of(spec)
    assert problem.path == f"spec.{direction}[1].{peers}[1].{field}.matchLabels"
