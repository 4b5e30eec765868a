"""Every check that the API server makes when a NetworkPolicy is created, text by text."""

from __future__ import annotations

from typing import Any

import pytest

from podfence.admission.decode import decode
from podfence.admission.refusals import quote
from podfence.admission.validate import validate
from podfence.errors import Severity
from tests.admission.policies import SOURCE, manifest, messages_of, problems_of

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
BAD_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
PORT_RANGE = "must be between 1 and 65535, inclusive"
REASONS = {
    "Required value": "FieldValueRequired",
    "Invalid value": "FieldValueInvalid",
    "Unsupported value": "FieldValueNotSupported",
    "Forbidden": "FieldValueForbidden",
    "Too long": "FieldValueTooLong",
}

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


def _labels(labels: dict[str, str]) -> dict[str, Any]:
    return {"matchLabels": labels}


def _expression(key: Any, operator: Any, *values: Any) -> dict[str, Any]:
    given = {"values": list(values)} if values else {}
    return {"matchExpressions": [{"key": key, "operator": operator, **given}]}


SELECTORS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("key-bad", _labels({"a b": "c"}), [f'{SEL}: Invalid value: "a b": {KEY}']),
    (
        "key-empty",
        _labels({"": "c"}),
        [
            f'{SEL}: Invalid value: "": name part must be non-empty',
            f'{SEL}: Invalid value: "": {KEY}',
        ],
    ),
    (
        "key-long",
        _labels({"k" * 64: "c"}),
        [f'{SEL}: Invalid value: "{"k" * 64}": name part must be no more than 63 bytes'],
    ),
    (
        "key-empty-prefix",
        _labels({"/a": "c"}),
        [f'{SEL}: Invalid value: "/a": prefix part must be non-empty'],
    ),
    (
        "key-bad-prefix",
        _labels({"A/a": "c"}),
        [f'{SEL}: Invalid value: "A/a": prefix part {SUBDOMAIN}'],
    ),
    (
        "key-long-prefix",
        _labels({f"{'p' * 254}/a": "c"}),
        [f'{SEL}: Invalid value: "{"p" * 254}/a": prefix part must be no more than 253 bytes'],
    ),
    ("key-two-slashes", _labels({"a/b/c": "d"}), [f'{SEL}: Invalid value: "a/b/c": {TWO_SLASHES}']),
    ("value-bad", _labels({"a": "-"}), [f'{SEL}: Invalid value: "-": {VALUE}']),
    (
        "value-long",
        _labels({"a": "v" * 64}),
        [f'{SEL}: Invalid value: "{"v" * 64}": must be no more than 63 bytes'],
    ),
    ("value-empty", _labels({"a": ""}), []),
    (
        "operator-unknown",
        _expression("a", "in", "b"),
        [f'{EXPR}.operator: Invalid value: "in": {OPERATOR}'],
    ),
    (
        "operator-empty",
        {"matchExpressions": [{"key": "a"}]},
        [f'{EXPR}.operator: Invalid value: "": {OPERATOR}'],
    ),
    ("in-without-values", _expression("a", "In"), [f"{EXPR}.values: Required value: {NEEDS}"]),
    (
        "notin-without-values",
        _expression("a", "NotIn"),
        [f"{EXPR}.values: Required value: {NEEDS}"],
    ),
    (
        "exists-with-values",
        _expression("a", "Exists", "b"),
        [f"{EXPR}.values: Forbidden: {REFUSES}"],
    ),
    (
        "doesnotexist-with-values",
        _expression("a", "DoesNotExist", "b"),
        [f"{EXPR}.values: Forbidden: {REFUSES}"],
    ),
    ("expression-key", _expression("a b", "Exists"), [f'{EXPR}.key: Invalid value: "a b": {KEY}']),
    (
        "expression-value",
        _expression("a", "In", "ok", "b c"),
        [f'{EXPR}.values[1]: Invalid value: "b c": {VALUE}'],
    ),
    (
        "order-operator-key-values",
        _expression("", "Sometimes", "b c"),
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
    spec = {direction: [{}, {peers: [{"podSelector": {}}, {field: _labels({"a": "-"})}]}]}
    (problem,) = problems_of(spec)
    assert problem.path == f"spec.{direction}[1].{peers}[1].{field}.matchLabels"


# ------------------------------------------------------------------------------ ports

PORT = "spec.ingress[0].ports[0]"
PROTOCOLS = 'supported values: "TCP", "UDP", "SCTP"'
PORTS: list[tuple[str, dict[str, Any], list[str]]] = [
    (
        "protocol-lower-case",
        {"protocol": "tcp"},
        [f'{PORT}.protocol: Unsupported value: "tcp": {PROTOCOLS}'],
    ),
    (
        "protocol-empty",
        {"protocol": ""},
        [f'{PORT}.protocol: Unsupported value: "": {PROTOCOLS}'],
    ),
    ("port-zero", {"port": 0}, [f"{PORT}.port: Invalid value: 0: {PORT_RANGE}"]),
    ("port-negative", {"port": -1}, [f"{PORT}.port: Invalid value: -1: {PORT_RANGE}"]),
    ("port-65536", {"port": 65536}, [f"{PORT}.port: Invalid value: 65536: {PORT_RANGE}"]),
    ("port-65535", {"port": 65535}, []),
    (
        "name-long",
        {"port": "a234567890123456"},
        [
            f'{PORT}.port: Invalid value: "a234567890123456": must be no more than 15 characters',
        ],
    ),
    (
        "name-characters",
        {"port": "Http_x"},
        [
            (
                f'{PORT}.port: Invalid value: "Http_x": must contain only alpha-numeric characters '
                "(a-z, 0-9), and hyphens (-)"
            ),
        ],
    ),
    (
        "name-is-a-number",
        {"port": "80"},
        [f'{PORT}.port: Invalid value: "80": must contain at least one letter (a-z)'],
    ),
    (
        "name-double-hyphen",
        {"port": "a--b"},
        [f'{PORT}.port: Invalid value: "a--b": must not contain consecutive hyphens'],
    ),
    (
        "name-outer-hyphen",
        {"port": "a-"},
        [f'{PORT}.port: Invalid value: "a-": must not begin or end with a hyphen'],
    ),
    (
        "name-empty",
        {"port": ""},
        [
            (
                f'{PORT}.port: Invalid value: "": must contain only alpha-numeric characters '
                "(a-z, 0-9), and hyphens (-)"
            ),
            f'{PORT}.port: Invalid value: "": must contain at least one letter (a-z)',
        ],
    ),
    (
        "name-everything",
        {"port": "-0123456789--0123-"},
        [
            f'{PORT}.port: Invalid value: "-0123456789--0123-": {text}'
            for text in (
                "must be no more than 15 characters",
                "must contain at least one letter (a-z)",
                "must not contain consecutive hyphens",
                "must not begin or end with a hyphen",
            )
        ],
    ),
    (
        "end-below-port",
        {"port": 90, "endPort": 80},
        [f"{PORT}.endPort: Invalid value: 80: must be greater than or equal to `port`"],
    ),
    ("end-equals-port", {"port": 90, "endPort": 90}, []),
    (
        "end-out-of-range",
        {"port": 90, "endPort": 65536},
        [f"{PORT}.endPort: Invalid value: 65536: {PORT_RANGE}"],
    ),
    (
        "end-below-and-out-of-range",
        {"port": 90, "endPort": 0},
        [
            f"{PORT}.endPort: Invalid value: 0: must be greater than or equal to `port`",
            f"{PORT}.endPort: Invalid value: 0: {PORT_RANGE}",
        ],
    ),
    (
        "end-with-name-comes-first",
        {"port": "80", "endPort": 90},
        [
            f"{PORT}.endPort: Invalid value: 90: may not be specified when `port` is non-numeric",
            f'{PORT}.port: Invalid value: "80": must contain at least one letter (a-z)',
        ],
    ),
    (
        "end-without-port",
        {"endPort": 90},
        [f"{PORT}.endPort: Invalid value: 90: may not be specified when `port` is not specified"],
    ),
]


@pytest.mark.parametrize(
    ("port", "expected"), [case[1:] for case in PORTS], ids=[case[0] for case in PORTS]
)
def test_port(port: dict[str, Any], expected: list[str]) -> None:
    assert messages_of({"ingress": [{"ports": [port]}]}) == expected


# ------------------------------------------------------------------------------ peers

PEER = "spec.egress[0].to[0]"
SUBSET = "must be a strict subset of `cidr`"
BOTH = "may not specify both ipBlock and another peer"


def _block(cidr: Any, *excepted: Any) -> dict[str, Any]:
    return {"ipBlock": {"cidr": cidr, **({"except": list(excepted)} if excepted else {})}}


def _cidr(text: str, detail: str) -> str:
    return f'{PEER}.ipBlock.cidr: Invalid value: "{text}": {detail}'


def _except(text: str, detail: str, index: int = 0) -> str:
    return f'{PEER}.ipBlock.except[{index}]: Invalid value: "{text}": {detail}'


ZEROS = "must not have leading 0s in IP or prefix length"
MAPPED = "must not have an IPv4-mapped IPv6 address"
BITS = "must not have bits set beyond the prefix length"
PEERS: list[tuple[str, Any, list[str]]] = [
    ("NP-16-none", {}, [f"{PEER}: Required value: must specify a peer"]),
    ("NP-16-nulls", {"podSelector": None}, [f"{PEER}: Required value: must specify a peer"]),
    ("NP-16-both", {**_block("::/0"), "podSelector": {}}, [f"{PEER}: Forbidden: {BOTH}"]),
    ("NP-16-both-ns", {**_block("::/0"), "namespaceSelector": {}}, [f"{PEER}: Forbidden: {BOTH}"]),
    ("two-selectors", {"podSelector": {}, "namespaceSelector": {}}, []),
    ("cidr-missing", {"ipBlock": {}}, [f"{PEER}.ipBlock.cidr: Required value"]),
    (
        "cidr-empty-stops-the-block",
        _block("", "nonsense"),
        [f"{PEER}.ipBlock.cidr: Required value"],
    ),
    ("cidr-no-prefix", _block("10.0.0.0"), [_cidr("10.0.0.0", BAD_CIDR)]),
    ("cidr-bad-stops-the-block", _block("10.0.0.0", "x"), [_cidr("10.0.0.0", BAD_CIDR)]),
    ("cidr-leading-zeros", _block("010.0.0.0/8"), [_cidr("010.0.0.0/8", ZEROS)]),
    ("cidr-mapped", _block("::ffff:10.0.0.0/104"), [_cidr("::ffff:10.0.0.0/104", MAPPED)]),
    ("NP-29-host-bits", _block("192.168.1.1/24"), [_cidr("192.168.1.1/24", BITS)]),
    (
        "except-bad-stops-only-itself",
        _block("10.0.0.0/8", "10.1.0.0", "11.0.0.0/16"),
        [_except("10.1.0.0", BAD_CIDR), _except("11.0.0.0/16", SUBSET, 1)],
    ),
    ("except-equal", _block("10.0.0.0/8", "10.0.0.0/8"), [_except("10.0.0.0/8", SUBSET)]),
    ("except-wider", _block("10.0.0.0/8", "0.0.0.0/0"), [_except("0.0.0.0/0", SUBSET)]),
    ("except-other-family", _block("0.0.0.0/0", "::/1"), [_except("::/1", SUBSET)]),
    (
        "except-host-bits-and-outside",
        _block("10.0.0.0/8", "11.0.0.1/16"),
        [_except("11.0.0.1/16", BITS), _except("11.0.0.1/16", SUBSET)],
    ),
    ("except-inside", _block("10.0.0.0/8", "10.1.0.0/16"), []),
    ("except-empty-text", _block("10.0.0.0/8", ""), [_except("", BAD_CIDR)]),
    (
        "except-mapped-of-ipv4",
        _block("10.0.0.0/8", "::ffff:10.1.0.0/112"),
        [_except("::ffff:10.1.0.0/112", MAPPED)],
    ),
]


@pytest.mark.parametrize(
    ("peer", "expected"), [case[1:] for case in PEERS], ids=[case[0] for case in PEERS]
)
def test_peer(peer: Any, expected: list[str]) -> None:
    assert messages_of({"egress": [{"to": [peer]}]}) == expected


# ------------------------------------------------------------------ policyTypes, order


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        (["Ingress", "Ingress"], []),
        (
            ["Ingress", "Egress", "x"],
            [
                (
                    'spec.policyTypes: Invalid value: ["Ingress","Egress","x"]: '
                    "may not specify more than two policyTypes"
                )
            ],
        ),
        (
            ["egress", ""],
            [
                (
                    'spec.policyTypes[0]: Unsupported value: "egress": '
                    'supported values: "Ingress", "Egress"'
                ),
                'spec.policyTypes[1]: Unsupported value: "": supported values: "Ingress", "Egress"',
            ],
        ),
    ],
    ids=["duplicate", "three", "unknown"],
)
def test_policy_types(types: list[str], expected: list[str]) -> None:
    assert messages_of({"policyTypes": types}) == expected


def test_errors_come_in_the_servers_order() -> None:
    bad_port: dict[str, Any] = {"ports": [{"port": 0}]}
    spec = {
        "policyTypes": ["x"],
        "egress": [{"to": [{}], **bad_port}],
        "ingress": [{"from": [{}], **bad_port}, {"from": [{}]}],
        "podSelector": _labels({"a": "-"}),
    }
    assert [problem.path for problem in problems_of(spec, name="P")] == [
        "metadata.name",
        "spec.podSelector.matchLabels",
        "spec.ingress[0].ports[0].port",
        "spec.ingress[0].from[0]",
        "spec.ingress[1].from[0]",
        "spec.egress[0].ports[0].port",
        "spec.egress[0].to[0]",
        "spec.policyTypes[0]",
    ]


@pytest.mark.parametrize("case", PORTS + PEERS, ids=lambda case: str(case[0]))
def test_problem_names_field_type_and_object(case: tuple[str, Any, list[str]]) -> None:
    spec = {"ingress": [{"ports": [case[1]]}]} if case in PORTS else {"egress": [{"to": [case[1]]}]}
    for problem in problems_of(spec, namespace="shop"):
        field, kind = problem.message.split(": ")[:2]
        assert (problem.code, problem.severity) == ("PF203", Severity.ERROR)
        assert (problem.path, problem.reason) == (field, REASONS[kind])
        assert (problem.object, problem.source) == ("NetworkPolicy shop/p", SOURCE)


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("plain", '"plain"'),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("\a\b\f\n\r\t\v", '"\\a\\b\\f\\n\\r\\t\\v"'),
        ("\x00\x1b\x7f", '"\\x00\\x1b\\x7f"'),
        ("é日", '"é日"'),
        ("\u200b\u00a0", '"\\u200b\\u00a0"'),
        ("\U000e0001", '"\\U000e0001"'),
        ("\ud800", '"\ufffd"'),
    ],
)
def test_quote_as_the_server_does(text: str, quoted: str) -> None:
    assert quote(text) == quoted


def test_invalid_policy_gives_no_value() -> None:
    assert decode(manifest({"policyTypes": ["x"]}), SOURCE).objects == ()


@pytest.mark.timeout(10)
@pytest.mark.parametrize("unit", ["a", "a-", "a.", "-", "1."])
def test_hostile_names_cost_no_time(unit: str) -> None:
    text = f"{unit * 200_000}!"
    assert problems_of({"podSelector": {"matchLabels": {text: text}}}, name=text, namespace=text)


def test_words_of_a_named_type_are_shown_as_json() -> None:
    spec = {
        "podSelector": _expression("a", "<\ud800"),
        "ingress": [{"ports": [{"protocol": "\0"}]}],
        "policyTypes": ["\0"],
    }
    shown = [message.split(": ")[2] for message in messages_of(spec)]
    assert shown == ['"\\u003c\ufffd"', '"\\u0000"', '"\\u0000"']
