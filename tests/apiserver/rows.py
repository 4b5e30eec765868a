"""What a server refuses and accepts, row by row: an object and the server's words about it.

Rule: a row shows one thing. Its texts are what the server says and nothing else; none means that it
takes the object.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from tests.apiserver.specrows import (
    BLOCK,
    KEY,
    LABEL,
    LONG,
    SPEC,
    SUBDOMAIN,
    VALUE,
    ingress,
    ports,
    selecting,
)
from tests.apiserver.tierrows import STRICT, TIERS

POLICY = "NetworkPolicy"
BEFORE = "policy.networking.k8s.io/v1alpha2"
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
_METADATA: list[tuple[str, dict[str, Any], list[str]]] = [
    (
        "no name",
        {"name": None},
        ["metadata.name: Required value: name or generateName is required"],
    ),
    (
        "name too long",
        {"name": LONG},
        [f'metadata.name: Invalid value: "{LONG}": must be no more than 253 characters'],
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
        [f'{BLOCK}.cidr: IPv6 CIDR value "{text}" {_UNUSUAL} ("{canonical}")'],
    )
    for text, canonical in (
        ("FE80:0abc::/64", "fe80:abc::/64"),
        ("2001:db8:0:0::/64", "2001:db8::/64"),
    )
]

ROWS: list[Row] = [
    *(Row("decoding", name, body, tuple(texts)) for name, body, texts in _DECODING),
    *(Row("create", name, policy({}, **given), tuple(texts)) for name, given, texts in _METADATA),
    *(Row("create", name, policy(spec), tuple(texts)) for name, spec, texts in SPEC),
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
