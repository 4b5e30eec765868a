"""Specs that a server refuses, row by row, with its words about each."""

from __future__ import annotations

from typing import Any

from podfence.admission import validate_names as names

CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
SUBDOMAIN = names.dns_subdomain("A")[0]
LABEL = names.namespace_name("A")[0]
KEY_NAME = names.label_key("-")[0].removeprefix("name part ")
KEY = names.label_key("a/b/c")[0]
VALUE = names.label_value("-")[0]
LONG = "a" * 254
PORT_RANGE = "must be between 1 and 65535, inclusive"
PROTOCOLS = 'supported values: "TCP", "UDP", "SCTP"'
TYPES = 'supported values: "Ingress", "Egress"'


def ingress(*peers: Any, **rule: Any) -> dict[str, Any]:
    """A spec with one ingress rule."""
    return {"podSelector": {}, "ingress": [{"from": list(peers), **rule}]}


def ports(*items: Any) -> dict[str, Any]:
    """A spec with one ingress rule of these ports."""
    return {"podSelector": {}, "ingress": [{"ports": list(items)}]}


def selecting(**selector: Any) -> dict[str, Any]:
    """A spec with this pod selector."""
    return {"podSelector": selector}


def expression(**requirement: Any) -> dict[str, Any]:
    """A spec whose pod selector has one expression."""
    return selecting(matchExpressions=[requirement])


_SELECTOR = "spec.podSelector"
_EXPRESSION = f"{_SELECTOR}.matchExpressions[0]"
_PORT = "spec.ingress[0].ports[0]"
_PEER = "spec.ingress[0].from[0]"
BLOCK = f"{_PEER}.ipBlock"
SPEC: list[tuple[str, dict[str, Any], list[str]]] = [
    *(
        (
            f"label key {key!r}",
            selecting(matchLabels={key: "x"}),
            [f'{_SELECTOR}.matchLabels: Invalid value: "{key}": {text}' for text in texts],
        )
        for key, texts in (
            ("/a", ["prefix part must be non-empty"]),
            ("A/a", [f"prefix part {SUBDOMAIN}"]),
            (f"{LONG}/a", ["prefix part must be no more than 253 bytes"]),
            ("", ["name part must be non-empty", f"name part {KEY_NAME}"]),
            ("k" * 64, ["name part must be no more than 63 bytes"]),
            ("a b", [f"name part {KEY_NAME}"]),
            ("a/b/c", [KEY]),
        )
    ),
    *(
        (
            f"label value {value[:3]!r}",
            selecting(matchLabels={"a": value}),
            [f'{_SELECTOR}.matchLabels: Invalid value: "{value}": {text}'],
        )
        for value, text in (("v" * 64, "must be no more than 63 bytes"), ("-", VALUE))
    ),
    *(
        (
            f"operator {operator!r}",
            expression(key="a", operator=operator),
            [f'{_EXPRESSION}.operator: Invalid value: "{operator}": not a valid selector operator'],
        )
        for operator in ("in", "", "Gt")
    ),
    *(
        (
            f"{operator} without values",
            expression(key="a", operator=operator),
            [
                (
                    f"{_EXPRESSION}.values: Required value: "
                    "must be specified when `operator` is 'In' or 'NotIn'"
                )
            ],
        )
        for operator in ("In", "NotIn")
    ),
    *(
        (
            f"{operator} with values",
            expression(key="a", operator=operator, values=["x"]),
            [
                (
                    f"{_EXPRESSION}.values: Forbidden: "
                    "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                )
            ],
        )
        for operator in ("Exists", "DoesNotExist")
    ),
    (
        "key of an expression",
        expression(key="-", operator="Exists"),
        [f'{_EXPRESSION}.key: Invalid value: "-": name part {KEY_NAME}'],
    ),
    (
        "value of an expression",
        expression(key="a", operator="In", values=["x", "-"]),
        [f'{_EXPRESSION}.values[1]: Invalid value: "-": {VALUE}'],
    ),
    *(
        (
            f"protocol {protocol!r}",
            ports({"protocol": protocol, "port": 80}),
            [f'{_PORT}.protocol: Unsupported value: "{protocol}": {PROTOCOLS}'],
        )
        for protocol in ("tcp", "", "ICMP")
    ),
    *(
        (
            f"port {number}",
            ports({"port": number}),
            [f"{_PORT}.port: Invalid value: {number}: {PORT_RANGE}"],
        )
        for number in (0, -1, 65536)
    ),
    *(
        (
            f"port name {name!r}",
            ports({"port": name}),
            [f'{_PORT}.port: Invalid value: "{name}": {text}' for text in names.port_name(name)],
        )
        for name in ("a" * 16, "a_b", "1-2", "a--b", "-a", "a-", "", "A")
    ),
    (
        "endPort below port",
        ports({"port": 80, "endPort": 79}),
        [f"{_PORT}.endPort: Invalid value: 79: must be greater than or equal to `port`"],
    ),
    (
        "endPort beyond",
        ports({"port": 80, "endPort": 65536}),
        [f"{_PORT}.endPort: Invalid value: 65536: {PORT_RANGE}"],
    ),
    (
        "endPort with a name",
        ports({"port": "http", "endPort": 80}),
        [f"{_PORT}.endPort: Invalid value: 80: may not be specified when `port` is non-numeric"],
    ),
    (
        "endPort alone",
        ports({"endPort": 80}),
        [f"{_PORT}.endPort: Invalid value: 80: may not be specified when `port` is not specified"],
    ),
    ("empty peer", ingress({}), [f"{_PEER}: Required value: must specify a peer"]),
    ("null peer", ingress(None), [f"{_PEER}: Required value: must specify a peer"]),
    (
        "block and selector",
        ingress({"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}),
        [f"{_PEER}: Forbidden: may not specify both ipBlock and another peer"],
    ),
    (
        "empty cidr",
        ingress({"ipBlock": {"cidr": "", "except": ["x"]}}),
        [f"{BLOCK}.cidr: Required value"],
    ),
    *(
        (
            f"cidr {text}",
            ingress({"ipBlock": {"cidr": text}}),
            [f'{BLOCK}.cidr: Invalid value: "{text}": {detail}'],
        )
        for text, detail in (
            ("10.0.0.0", CIDR),
            ("10.0.0.256/32", CIDR),
            ("fe80::1%eth0/64", CIDR),
            ("10.0.0.0/33", CIDR),
            ("010.0.0.0/8", "must not have leading 0s in IP or prefix length"),
            ("10.0.0.0/08", "must not have leading 0s in IP or prefix length"),
            ("::ffff:10.0.0.0/104", "must not have an IPv4-mapped IPv6 address"),
            ("10.0.0.1/8", "must not have bits set beyond the prefix length"),
        )
    ),
    *(
        (
            f"except {text}",
            ingress({"ipBlock": {"cidr": "10.0.0.0/8", "except": [text]}}),
            [f'{BLOCK}.except[0]: Invalid value: "{text}": {detail}'],
        )
        for text, detail in (
            ("x", CIDR),
            ("11.0.0.0/16", "must be a strict subset of `cidr`"),
            ("10.0.0.0/8", "must be a strict subset of `cidr`"),
            ("2001:db8::/64", "must be a strict subset of `cidr`"),
        )
    ),
    (
        "three policyTypes",
        {"policyTypes": ["Ingress", "Egress", "x"]},
        [
            (
                'spec.policyTypes: Invalid value: ["Ingress","Egress","x"]: '
                "may not specify more than two policyTypes"
            )
        ],
    ),
    *(
        (
            f"policyType {text!r}",
            {"policyTypes": [text]},
            [f'spec.policyTypes[0]: Unsupported value: "{text}": {TYPES}'],
        )
        for text in ("ingress", "", "Both")
    ),
]
