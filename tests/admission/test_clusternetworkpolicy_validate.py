"""Everything that the schema of ClusterNetworkPolicy refuses, text by text."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from podfence.admission.decode_clusternetworkpolicy import decode_clusternetworkpolicy
from podfence.errors import Severity
from tests.admission.clusterpolicies import EVERYBODY, decoded, egress, errors_of, ingress, manifest
from tests.admission.policies import SOURCE
from tests.admission.tierparts import FROM, PORT, PROTOCOLS, TO, at_least, numbered

DOMAIN_PATTERN = (
    r"'^(\*\.)?([a-zA-Z0-9]([-a-zA-Z0-9_]*[a-zA-Z0-9])?\.)+"
    r"[a-zA-Z0-9]([-a-zA-Z0-9_]*[a-zA-Z0-9])?\.?$'"
)
NO_NAMED_PORTS = (
    "spec.egress[0]: Invalid value: networks/nodes/domainNames peer cannot be set with "
    "namedPorts since there are no namedPorts for networks/nodes/domainNames"
)
WEB = {"tcp": {"destinationPort": {"number": 80}}}


def too_many(path: str, count: int, most: str) -> str:
    return f"{path}: Too many: {count}: must have at most {most}"


def below(path: str, value: object, least: int) -> str:
    return (
        f"{path}: Invalid value: {value}: {path} in body should be greater than or equal to {least}"
    )


def above(path: str, value: object, most: int) -> str:
    return f"{path}: Invalid value: {value}: {path} in body should be less than or equal to {most}"


REFUSED: list[tuple[str, Any, list[str]]] = [
    ("no-tier", {"tier": None}, ["spec.tier: Required value"]),
    ("no-priority", {"priority": None}, ["spec.priority: Required value"]),
    ("no-subject", {"subject": None}, ["spec.subject: Required value"]),
    (
        "tier-case",
        {"tier": "admin"},
        ['spec.tier: Unsupported value: "admin": supported values: "Admin", "Baseline"'],
    ),
    (
        "tier-empty",
        {"tier": ""},
        ['spec.tier: Unsupported value: "": supported values: "Admin", "Baseline"'],
    ),
    (
        "action-of-v1alpha1",
        ingress(action="Allow"),
        [
            (
                'spec.ingress[0].action: Unsupported value: "Allow": '
                'supported values: "Accept", "Deny", "Pass"'
            )
        ],
    ),
    ("no-action", ingress(action=None), ["spec.ingress[0].action: Required value"]),
    ("priority-1001", {"priority": 1001}, [above("spec.priority", 1001, 1000)]),
    ("priority-negative", {"priority": -1}, [below("spec.priority", -1, 0)]),
    ("subject-empty", {"subject": {}}, [at_least("spec.subject", 0, "properties")]),
    (
        "subject-of-two",
        {"subject": {"namespaces": {}, "pods": {"podSelector": {}}}},
        [too_many("spec.subject", 2, "1 item")],
    ),
    (
        "subject-pods-without-podSelector",
        {"subject": {"pods": {"namespaceSelector": {}}}},
        ["spec.subject.pods.podSelector: Required value"],
    ),
    (
        "rules-26",
        {"ingress": ingress()["ingress"] * 26},
        [too_many("spec.ingress", 26, "25 items")],
    ),
    (
        "egress-rules-26",
        {"egress": egress(EVERYBODY)["egress"] * 26},
        [too_many("spec.egress", 26, "25 items")],
    ),
    ("CNP-20-no-from", ingress(from_=None), [f"{FROM}: Required value"]),
    ("CNP-20-from-empty", ingress(from_=[]), [at_least(FROM, 0, "items")]),
    ("CNP-20-to-empty", egress(), [at_least("spec.egress[0].to", 0, "items")]),
    ("peers-26", ingress(from_=[EVERYBODY] * 26), [too_many(FROM, 26, "25 items")]),
    ("peer-empty", ingress(from_=[{}]), [at_least(f"{FROM}[0]", 0, "properties")]),
    (
        "peer-null-field",
        ingress(from_=[{"namespaces": None}]),
        [at_least(f"{FROM}[0]", 0, "properties")],
    ),
    (
        "peer-of-two",
        egress({"networks": ["10.0.0.0/8"], "nodes": {}}),
        [too_many(TO, 2, "1 item")],
    ),
    (
        "CNP-15-pods-without-podSelector",
        ingress(from_=[{"pods": {"namespaceSelector": {}}}]),
        [f"{FROM}[0].pods.podSelector: Required value"],
    ),
    ("protocols-empty", ingress(protocols=[]), [at_least(PROTOCOLS, 0, "items")]),
    ("protocols-26", ingress(protocols=[WEB] * 26), [too_many(PROTOCOLS, 26, "25 items")]),
    ("protocol-empty", ingress(protocols=[{}]), [at_least(f"{PROTOCOLS}[0]", 0, "properties")]),
    (
        "protocol-of-two",
        ingress(protocols=[{**WEB, "destinationNamedPort": "web"}]),
        [too_many(f"{PROTOCOLS}[0]", 2, "1 item")],
    ),
    (
        "CNP-22-protocol-without-port",
        ingress(protocols=[{"tcp": {}}]),
        [at_least(f"{PROTOCOLS}[0].tcp", 0, "properties")],
    ),
    ("destinationPort-empty", numbered({}), [at_least(PORT, 0, "properties")]),
    (
        "destinationPort-of-two",
        numbered({"number": 1, "range": {"start": 1, "end": 2}}),
        [too_many(PORT, 2, "1 item")],
    ),
    ("number-0", numbered({"number": 0}), [below(f"{PORT}.number", 0, 1)]),
    ("number-65536", numbered({"number": 65536}), [above(f"{PORT}.number", 65536, 65535)]),
    (
        "range-empty",
        numbered({"range": {}}),
        [f"{PORT}.range.start: Required value", f"{PORT}.range.end: Required value"],
    ),
    (
        "range-beyond",
        numbered({"range": {"start": 0, "end": 65536}}),
        [below(f"{PORT}.range.start", 0, 1), above(f"{PORT}.range.end", 65536, 65535)],
    ),
    (
        "CNP-22-range-of-one",
        numbered({"range": {"start": 80, "end": 80}}),
        [f"{PORT}.range: Invalid value: Start port must be less than End port"],
    ),
    (
        "range-falling",
        numbered({"range": {"start": 81, "end": 80}}),
        [f"{PORT}.range: Invalid value: Start port must be less than End port"],
    ),
    (
        "range-falling-and-beyond",
        numbered({"range": {"start": 81, "end": 0}}),
        [
            below(f"{PORT}.range.end", 0, 1),
            f"{PORT}.range: Invalid value: Start port must be less than End port",
        ],
    ),
    ("priority-with-exponent", {"priority": 1e6}, [above("spec.priority", "1e+06", 1000)]),
    ("networks-empty", egress({"networks": []}), [at_least(f"{TO}.networks", 0, "items")]),
    (
        "networks-26",
        egress({"networks": [f"10.{number}.0.0/16" for number in range(26)]}),
        [too_many(f"{TO}.networks", 26, "25 items")],
    ),
    (
        "networks-twice",
        egress({"networks": ["10.0.0.0/8", "::/0", "10.0.0.0/8", "10.0.0.0/8"]}),
        [f'{TO}.networks[2]: Duplicate value: "10.0.0.0/8"'],
    ),
    (
        "network-of-44-characters",
        egress({"networks": ["1" * 44]}),
        [f"{TO}.networks[0]: Too long: may not be more than 43 bytes"],
    ),
    ("names-empty", egress({"domainNames": []}), [at_least(f"{TO}.domainNames", 0, "items")]),
    (
        "names-26",
        egress({"domainNames": [f"a{number}.example" for number in range(26)]}),
        [too_many(f"{TO}.domainNames", 26, "25 items")],
    ),
    (
        "names-twice",
        egress({"domainNames": ["a.example", "a.example"]}),
        [f'{TO}.domainNames[1]: Duplicate value: "a.example"'],
    ),
    (
        "rule-name-of-101",
        ingress(name="é" * 101),
        ["spec.ingress[0].name: Too long: may not be more than 100 bytes"],
    ),
    (
        "named-port-and-nodes",
        egress({"nodes": {}}, protocols=[{"destinationNamedPort": "web"}]),
        [NO_NAMED_PORTS],
    ),
    (
        "named-port-and-names",
        egress(
            {"domainNames": ["a.example"]},
            EVERYBODY,
            protocols=[WEB, {"destinationNamedPort": "web"}],
        ),
        [NO_NAMED_PORTS],
    ),
    (
        "requirement-empty",
        ingress(from_=[{"namespaces": {"matchExpressions": [{}]}}]),
        [
            f"{FROM}[0].namespaces.matchExpressions[0].key: Required value",
            f"{FROM}[0].namespaces.matchExpressions[0].operator: Required value",
        ],
    ),
    (
        "everything-at-once",
        {"tier": "x", "priority": 1001, "subject": {}},
        [
            'spec.tier: Unsupported value: "x": supported values: "Admin", "Baseline"',
            above("spec.priority", 1001, 1000),
            at_least("spec.subject", 0, "properties"),
        ],
    ),
]


@pytest.mark.parametrize(
    ("spec", "expected"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_refused(spec: Any, expected: list[str]) -> None:
    assert errors_of(spec) == expected


@pytest.mark.parametrize("case", REFUSED, ids=[case[0] for case in REFUSED])
def test_every_refusal_names_its_field_and_cause(case: tuple[str, Any, list[str]]) -> None:
    for problem in decoded(case[1])[1]:
        assert (problem.code, problem.severity) == ("PF203", Severity.ERROR)
        assert problem.message.startswith(f"{problem.path}: ")
        assert problem.reason.startswith("FieldValue")


@pytest.mark.parametrize("extra", [{}, {"spec": None}], ids=["absent", "null"])
def test_spec_is_required(extra: dict[str, Any]) -> None:
    data = {name: value for name, value in manifest().items() if name != "spec"}
    policy, (problem,) = decode_clusternetworkpolicy({**data, **extra}, SOURCE)
    assert policy is None
    assert problem.message == "spec: Required value"


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.0",
        "10.0.0.0/33",
        "010.0.0.0/8",
        "10.0.0.0/08",
        "::ffff:10.0.0.0/104",
        "fe80::1%eth0/64",
        "00001::/16",
        "",
    ],
)
def test_network_that_is_none(text: str) -> None:
    assert errors_of(egress({"networks": [text]})) == [
        f'{TO}.networks[0]: Invalid value: "{text}": Invalid CIDR format provided'
    ]


@pytest.mark.parametrize(
    "text", ["10.0.0.0/8", "fd00::/8", "FD00:0::/8", "64:ff9b::0.0.0.0/96", "1:2:3:4:5:6:7::/128"]
)
def test_network_that_is_one(text: str) -> None:
    assert decoded(egress({"networks": [text]}))[1] == ()


HOST_BITS = [
    ("10.1.2.3/8", "10.0.0.0/8"),
    ("10.0.0.1/31", "10.0.0.0/31"),
    ("0.0.0.1/0", "0.0.0.0/0"),
    ("fd00::1/8", "fd00::/8"),
    ("64:ff9b::1.2.3.4/96", "64:ff9b::/96"),
]


@pytest.mark.parametrize(("text", "masked"), HOST_BITS)
def test_network_with_host_bits_is_refused_and_read_as_the_masked_block(
    text: str, masked: str
) -> None:
    policy, (problem,) = decoded(egress({"networks": ["192.0.2.0/24", text]}))
    assert (problem.code, problem.severity) == ("PF203", Severity.ERROR)
    assert problem.message == (
        f'{TO}.networks[1]: Invalid value: "{text}": Invalid CIDR format provided; '
        f"bits are set beyond the prefix length: use {masked}"
    )
    assert problem.refused_only
    assert policy is not None
    assert policy.egress[0].peers[0].networks == tuple(map(ip_network, ["192.0.2.0/24", masked]))


@pytest.mark.parametrize("kind", ["AdminNetworkPolicy", "BaselineAdminNetworkPolicy"])
@pytest.mark.parametrize(("text", "masked"), HOST_BITS)
def test_older_kinds_store_networks_with_host_bits(kind: str, text: str, masked: str) -> None:
    policy, problems = decoded(egress({"networks": [text]}, action="Deny"), kind)
    assert problems == ()
    assert policy is not None
    assert policy.egress[0].peers[0].networks == (ip_network(masked),)


@pytest.mark.parametrize("name", ["_dmarc.a.example", "*.a.^b.example", "[.b", "`a.b."])
def test_domain_name_that_only_the_older_pattern_has(name: str) -> None:
    policy, (problem,) = decoded(egress({"domainNames": [name]}))
    assert problem.message.endswith(f"in body should match {DOMAIN_PATTERN}")
    assert (problem.code, problem.severity) == ("PF203", Severity.ERROR)
    assert problem.refused_only
    assert policy is not None
    assert policy.egress[0].peers[0].domain_names == (name.removesuffix("."),)


@pytest.mark.parametrize("peer", ["networks", "nodes", "domainNames"])
def test_a_rule_with_a_named_port_is_clear_where_the_other_peer_is_networks(peer: str) -> None:
    peers: dict[str, Any] = {"networks": ["10.0.0.0/8"], "nodes": {}, "domainNames": ["a.example"]}
    named = [WEB, {"destinationNamedPort": "web"}]
    policy, (problem,) = decoded(egress(EVERYBODY, {peer: peers[peer]}, protocols=named))
    assert (problem.message, problem.severity) == (NO_NAMED_PORTS, Severity.ERROR)
    assert (policy is not None, problem.refused_only) == (peer == "networks", peer == "networks")


@pytest.mark.parametrize("name", ["single", "a*.b.c", "*", "a..b", "-a.b", "a.b-", "a.b\n", ""])
def test_domain_name_that_is_none(name: str) -> None:
    shown = '"a.b\\n"' if name == "a.b\n" else f'"{name}"'
    path = f"{TO}.domainNames[0]"
    assert errors_of(egress({"domainNames": [name]})) == [
        f"{path}: Invalid value: {shown}: {path} in body should match {DOMAIN_PATTERN}"
    ]


@pytest.mark.parametrize("name", ["kubernetes.io", "*.kubernetes.io.", "A.b", "a_b.c"])
def test_domain_name_that_is_one(name: str) -> None:
    assert decoded(egress({"domainNames": [name]}))[1] == ()
