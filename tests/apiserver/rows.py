"""What a server refuses and accepts, row by row: an object and the server's words about it.

Rule: a row shows one thing. Its texts are what the server says and nothing else; none means that it
takes the object.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from podfence.admission import validate_names as names
from tests.apiserver.tierrows import STRICT, TIERS

POLICY = "NetworkPolicy"
BEFORE = "policy.networking.k8s.io/v1alpha2"
CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
SUBDOMAIN = names.dns_subdomain("A")[0]
LABEL = names.namespace_name("A")[0]
KEY_NAME = names.label_key("-")[0].removeprefix("name part ")
KEY = names.label_key("a/b/c")[0]
VALUE = names.label_value("-")[0]
PORT_RANGE = "must be between 1 and 65535, inclusive"
PROTOCOLS = 'supported values: "TCP", "UDP", "SCTP"'
TYPES = 'supported values: "Ingress", "Egress"'
QUALIFIED = "name is neither a standard finalizer name nor is it fully qualified"


class Row(Struct, frozen=True):
    """``section`` is that of the table: decoding, create, accepted, tiers."""

    section: str
    name: str
    body: dict[str, Any]
    texts: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def policy(spec: Any, **metadata: Any) -> dict[str, Any]:
    """A NetworkPolicy ``p``; metadata that is None is left out."""
    given = {"name": "p", **metadata}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": POLICY,
        "metadata": {key: value for key, value in given.items() if value is not None},
        "spec": spec,
    }


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


def _cannot(kind: str, struct: str, go: str) -> str:
    return f"json: cannot unmarshal {kind} into Go struct field {struct} of type {go}"


# ------------------------------------------------------------------------------------- decoding

_DECODING: list[tuple[str, dict[str, Any], list[str]]] = [
    (
        "unknown field",
        policy({"podSelector": {}, "ingress": [{"form": []}]}),
        [f'{STRICT} "spec.ingress[0].form"'],
    ),
    (
        "two unknown fields",
        policy({"podSelector": {}, "ingress": [{"form": [], "port": []}]}),
        [f'{STRICT} "spec.ingress[0].form"', f'{STRICT} "spec.ingress[0].port"'],
    ),
    ("wrong case", policy({"PodSelector": {}}), [f'{STRICT} "spec.PodSelector"']),
    ("wrong nesting", policy({"ports": []}), [f'{STRICT} "spec.ports"']),
    ("status", {**policy({"podSelector": {}}), "status": {}}, [f'{STRICT} "status"']),
    ("quotes in a name", policy({'a"b': 1}), [f'{STRICT} "spec.a\\"b"']),
    ("unknown metadata", policy({}, colour="red"), [f'{STRICT} "metadata.colour"']),
    *(
        (
            f"label of {value!r}",
            policy(selecting(matchLabels={"a": value})),
            [_cannot(kind, "LabelSelector.spec.podSelector.matchLabels", "string")],
        )
        for value, kind in ((True, "bool"), (1, "number"), (1.5, "number"), ([], "array"))
    ),
    (
        "rules as an object",
        policy({"ingress": {}}),
        [_cannot("object", "NetworkPolicySpec.spec.ingress", "[]v1.NetworkPolicyIngressRule")],
    ),
    (
        "port as a fraction",
        policy(ports({"port": 80.5})),
        [_cannot("number 80.5", "NetworkPolicyPort.spec.ingress.ports.port", "int32")],
    ),
    (
        "endPort as a text",
        policy(ports({"port": 80, "endPort": "90"})),
        [_cannot("string", "NetworkPolicyPort.spec.ingress.ports.endPort", "int32")],
    ),
    (
        "port as a text of digits is a name",
        policy(ports({"port": "80"})),
        [
            (
                'spec.ingress[0].ports[0].port: Invalid value: "80": '
                "must contain at least one letter (a-z)"
            )
        ],
    ),
    (
        "time that is none",
        policy({}, creationTimestamp="2026-02-30T00:00:00Z"),
        ['parsing time "2026-02-30T00:00:00Z": day out of range'],
    ),
]

# ------------------------------------------------------------------------------------- metadata

_OWNER = {"apiVersion": "v1", "kind": "A", "name": "a", "uid": "1", "controller": True}
_LONG = "a" * 254
_METADATA: list[tuple[str, dict[str, Any], list[str]]] = [
    (
        "no name",
        {"name": None},
        ["metadata.name: Required value: name or generateName is required"],
    ),
    (
        "name too long",
        {"name": _LONG},
        [f'metadata.name: Invalid value: "{_LONG}": must be no more than 253 characters'],
    ),
    ("name", {"name": "Web"}, [f'metadata.name: Invalid value: "Web": {SUBDOMAIN}']),
    (
        "namespace too long",
        {"namespace": "a" * 64},
        [f'metadata.namespace: Invalid value: "{"a" * 64}": must be no more than 63 characters'],
    ),
    (
        "namespace with dots",
        {"namespace": "a.b"},
        ['metadata.namespace: Invalid value: "a.b": must not contain dots'],
    ),
    ("namespace", {"namespace": "A"}, [f'metadata.namespace: Invalid value: "A": {LABEL}']),
    ("label key", {"labels": {"a/b/c": "x"}}, [f'metadata.labels: Invalid value: "a/b/c": {KEY}']),
    ("label value", {"labels": {"a": "-"}}, [f'metadata.labels: Invalid value: "-": {VALUE}']),
    (
        "annotation key",
        {"annotations": {"A/b/c": "x"}},
        [f'metadata.annotations: Invalid value: "A/b/c": {KEY}'],
    ),
    ("annotation key of capitals", {"annotations": {"Example.COM/A": "x"}}, []),
    (
        "annotations too long",
        {"annotations": {"a": "x" * 262144}},
        ["metadata.annotations: Too long: may not be more than 262144 bytes"],
    ),
    ("generation is replaced", {"generation": -1}, []),
    (
        "owner without anything",
        {"ownerReferences": [{}]},
        [
            f"metadata.ownerReferences[0].{field}: Required value: must not be empty"
            for field in ("apiVersion", "kind", "name", "uid")
        ],
    ),
    (
        "owner version",
        {"ownerReferences": [{**_OWNER, "apiVersion": "a/b/c"}]},
        [
            (
                'metadata.ownerReferences[0].apiVersion: Invalid value: "a/b/c": '
                "must be <group>/<version> or <version>"
            )
        ],
    ),
    (
        "finalizer",
        {"finalizers": ["mine"]},
        [f'metadata.finalizers[0]: Invalid value: "mine": {QUALIFIED}'],
    ),
]

# ----------------------------------------------------------------------------------------- spec

_SELECTOR = "spec.podSelector"
_EXPRESSION = f"{_SELECTOR}.matchExpressions[0]"
_PORT = "spec.ingress[0].ports[0]"
_PEER = "spec.ingress[0].from[0]"
_BLOCK = f"{_PEER}.ipBlock"
_SPEC: list[tuple[str, dict[str, Any], list[str]]] = [
    *(
        (
            f"label key {key!r}",
            selecting(matchLabels={key: "x"}),
            [f'{_SELECTOR}.matchLabels: Invalid value: "{key}": {text}' for text in texts],
        )
        for key, texts in (
            ("/a", ["prefix part must be non-empty"]),
            ("A/a", [f"prefix part {SUBDOMAIN}"]),
            (f"{_LONG}/a", ["prefix part must be no more than 253 bytes"]),
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
        [f"{_BLOCK}.cidr: Required value"],
    ),
    *(
        (
            f"cidr {text}",
            ingress({"ipBlock": {"cidr": text}}),
            [f'{_BLOCK}.cidr: Invalid value: "{text}": {detail}'],
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
            [f'{_BLOCK}.except[0]: Invalid value: "{text}": {detail}'],
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

# --------------------------------------------------------------------------- accepted, although

_ACCEPTED: list[tuple[str, dict[str, Any]]] = [
    ("no spec", {}),
    ("selector that is null", {"podSelector": None}),
    ("the same type twice", {"policyTypes": ["Ingress", "Ingress"]}),
    ("rules of no type", {"policyTypes": ["Ingress"], "egress": [{}]}),
    ("a selector against itself", selecting(matchLabels={"a": "b"}, matchExpressions=[
        {"key": "a", "operator": "DoesNotExist"}])),
    ("a peer twice", ingress({"podSelector": {}}, {"podSelector": {}})),
    ("a port twice", ports({"port": 80}, {"port": 80})),
    ("a name that nobody has", ports({"port": "nobody"})),
    ("a name and a block", ingress({"ipBlock": {"cidr": "10.0.0.0/8"}}, ports=[{"port": "http"}])),
    ("excepts that overlap", ingress(
        {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "10.1.2.0/24"]}})),
    ("excepts that cover all", ingress(
        {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/9", "10.128.0.0/9"]}})),
    ("loopback", ingress({"ipBlock": {"cidr": "127.0.0.0/8"}})),
    ("every TCP port", ports({})),
    ("a null rule", {"podSelector": {}, "ingress": [None]}),
    ("a null port", ports(None)),
    ("no egress rule and no types", {"podSelector": {}, "egress": []}),
    ("endPort that is port", ports({"port": 80, "endPort": 80})),
]  # fmt: skip
_UNUSUAL = "should be in RFC 5952 canonical format"
_WARNED: list[tuple[str, dict[str, Any], list[str]]] = [
    (
        f"cidr {text}",
        ingress({"ipBlock": {"cidr": text}}),
        [f'{_BLOCK}.cidr: IPv6 CIDR value "{text}" {_UNUSUAL} ("{canonical}")'],
    )
    for text, canonical in (
        ("FE80:0abc::/64", "fe80:abc::/64"),
        ("2001:db8:0:0::/64", "2001:db8::/64"),
    )
]

ROWS: list[Row] = [
    *(Row("decoding", name, body, tuple(texts)) for name, body, texts in _DECODING),
    *(Row("create", name, policy({}, **given), tuple(texts)) for name, given, texts in _METADATA),
    *(Row("create", name, policy(spec), tuple(texts)) for name, spec, texts in _SPEC),
    *(Row("accepted", name, policy(spec)) for name, spec in _ACCEPTED),
    *(Row("accepted", name, policy(spec), (), tuple(said)) for name, spec, said in _WARNED),
    *(Row("tiers", name, body, tuple(texts)) for name, body, texts in TIERS),
    *(
        Row(
            "tiers of v1alpha2",
            name,
            {**body, "apiVersion": BEFORE},
            tuple(texts),
        )
        for name, body, texts in TIERS
    ),
]
"""Every row, in the order of the tables."""
