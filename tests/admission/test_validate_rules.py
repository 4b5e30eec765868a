"""Every check that the API server makes of the rules of a NetworkPolicy, text by text."""

from __future__ import annotations

from typing import Any

import pytest

from podfence.admission.decode import decode
from podfence.admission.refusals import quote
from podfence.errors import Severity
from tests.admission.policies import SOURCE, manifest, messages_of, problems_of
from tests.admission.texts import BAD_CIDR, PORT_RANGE, REASONS, expression, labels_of

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
        "podSelector": labels_of({"a": "-"}),
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
    found = problems_of(spec, namespace="shop")
    assert len(found) == len(case[2])
    for problem in found:
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
        "podSelector": expression("a", "<\ud800"),
        "ingress": [{"ports": [{"protocol": "\0"}]}],
        "policyTypes": ["\0"],
    }
    shown = [message.split(": ")[2] for message in messages_of(spec)]
    assert shown == ['"\\u003c\ufffd"', '"\\u0000"', '"\\u0000"']
