"""Sound objects that mutants are made of, and values of each sort that may stand in a field.

Rule: a base has every field that its kind knows of at least once, and the server takes it.
"""

from __future__ import annotations

from typing import Any

_TIME = "2026-01-01T00:00:00Z"
_SELECTOR = {
    "matchLabels": {"app": "web", "example.com/tier": "x"},
    "matchExpressions": [
        {"key": "env", "operator": "In", "values": ["prod", "test"]},
        {"key": "old", "operator": "DoesNotExist"},
    ],
}
_METADATA = {
    "name": "web",
    "generateName": "web-",
    "labels": {"app": "web", "example.com/part": "db"},
    "annotations": {"example.com/note": "any text", "plain": ""},
    "finalizers": ["example.com/wait"],
    "ownerReferences": [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": "web",
            "uid": "1",
            "controller": True,
            "blockOwnerDeletion": False,
        }
    ],
    "uid": "11111111-1111-1111-1111-111111111111",
    "generation": 1,
    "creationTimestamp": _TIME,
}
_META_OF_NAMESPACED = {**_METADATA, "namespace": "shop"}

_INGRESS = {
    "from": [
        {"podSelector": _SELECTOR},
        {"namespaceSelector": _SELECTOR, "podSelector": {}},
        {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "10.2.3.0/24"]}},
    ],
    "ports": [
        {"protocol": "TCP", "port": 80},
        {"protocol": "UDP", "port": 8000, "endPort": 8010},
        {"port": "http"},
    ],
}
_EGRESS = {
    "to": [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "db"}}},
        {"ipBlock": {"cidr": "2001:db8::/32", "except": ["2001:db8:1::/48"]}},
    ],
    "ports": [{"protocol": "SCTP", "port": 9999}, {}],
}


def _network_policy(metadata: dict[str, Any], **spec: Any) -> dict[str, Any]:
    whole = {"podSelector": _SELECTOR, **spec}
    head = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
    return {**head, "metadata": metadata, "spec": whole}


_POLICIES = [
    _network_policy(
        {"name": "web", "namespace": "shop"},
        policyTypes=["Ingress", "Egress"],
        ingress=[_INGRESS, {}],
        egress=[_EGRESS],
    ),
    _network_policy({"name": "web"}, ingress=[{"from": _INGRESS["from"][2:], "ports": []}]),
    _network_policy({"name": "web"}, egress=[{"to": _EGRESS["to"], "ports": _INGRESS["ports"]}]),
]

_NAMESPACES = {"namespaces": {"matchLabels": {"a": "b"}}}
_PODS = {"pods": {"namespaceSelector": _SELECTOR, "podSelector": {"matchLabels": {}}}}
_TCP = {"tcp": {"destinationPort": {"number": 80}}}
_UDP = {"udp": {"destinationPort": {"range": {"start": 1, "end": 5}}}}
_SCTP = {"sctp": {"destinationPort": {"number": 9}}}
_NETWORKS = {"networks": ["10.0.0.0/8", "fd00::/8"]}
_NAMED = {"destinationNamedPort": "web"}


def _cluster_policy(version: str, ingress: list[Any], egress: list[Any]) -> dict[str, Any]:
    spec = {
        "tier": "Admin",
        "priority": 5,
        "subject": _PODS,
        "ingress": ingress,
        "egress": egress,
    }
    return {
        "apiVersion": f"policy.networking.k8s.io/{version}",
        "kind": "ClusterNetworkPolicy",
        "metadata": {"name": "tier"},
        "spec": spec,
    }


def _cluster_policies(version: str, channel: str) -> list[dict[str, Any]]:
    ingress = [
        {"name": "x", "action": "Accept", "from": [_NAMESPACES, _PODS], "protocols": [_TCP, _UDP]},
        {"action": "Pass", "from": [_NAMESPACES]},
    ]
    egress: list[Any] = [
        {"action": "Deny", "to": [_NAMESPACES, _PODS, _NETWORKS], "protocols": [_TCP, _SCTP]},
        {"action": "Accept", "to": [_NETWORKS]},
    ]
    found = [_cluster_policy(version, ingress, egress)]
    if channel == "experimental":
        names = {"domainNames": ["*.a.example", "b.c."]}
        egress = [
            {"action": "Deny", "to": [{"nodes": _SELECTOR}, _NETWORKS], "protocols": [_UDP]},
            {"action": "Accept", "to": [names], "protocols": [_TCP]},
            {"action": "Accept", "to": [_PODS], "protocols": [_NAMED]},
        ]
        ingress = [{"action": "Accept", "from": [_PODS], "protocols": [_NAMED, _TCP]}]
        found.append(_cluster_policy(version, ingress, egress))
    return found


CLUSTER_POLICY_BASES = [
    f"ClusterNetworkPolicy/{version}/{channel}"
    for channel in ("standard", "experimental")
    for version in ("v1alpha2", "v1beta1")
]
BASES: dict[str, list[dict[str, Any]]] = {
    "NetworkPolicy": _POLICIES,
    "metadata": [
        _network_policy(_META_OF_NAMESPACED),
        _network_policy({**_METADATA, "name": None}),
    ],
    **{name: _cluster_policies(*name.split("/")[1:]) for name in CLUSTER_POLICY_BASES},
    "ClusterNetworkPolicy metadata": [
        {**_cluster_policy("v1beta1", [], []), "metadata": _METADATA},
    ],
}
"""The name of a base -> the objects that a mutant begins with."""

_CIDRS = [
    "10.0.0.0/8", "10.1.2.3/8", "10.1.2.3/32", "10.0.0.0/9", "10.0.0.0", "10.0.0.0/33",
    "10.0.0.0/08",
    "010.0.0.0/8", "10.0.0/8", "0.0.0.0/0", "::/0", "2001:db8::/32", "2001:DB8::/32",
    "2001:db8::1/32",
    "2001:0db8::/33", "2001:db8:0:0::/64", "::ffff:10.0.0.0/104", "::ffff:a00:0/104",
    "::10.0.0.0/104",
    "fe80::1%eth0/64", "2001:db8::/129", "10.0.0.0/-1", "10.0.0.0/+8", " 10.0.0.0/8", "10.0.0.0/8 ",
    "10.0.0.0/8/8", "/8", "1.2.3.4.5/8", "256.0.0.0/8", "1:2:3:4:5:6:7:8/128",
    "1:2:3:4:5:6:7::/112",
    "1::2::3/64", ":::/0", "12345::/64", "10.0.0.0/0x8", "10.0.0.0/8\n", "\u0661.0.0.0/8", "",
    "1:2:3:4:5:6:1.2.3.4/128", "::1.2.3.4/128", "0:0:0:0:0:ffff:1.2.3.4/120", "64:ff9b::/96",
]  # fmt: skip
_NAMES = [
    "web", "Web", "web_1", "web.db", "-web", "web-", "web..db", "a" * 63, "a" * 64, "a" * 253,
    "a" * 254,
    "", "1", "web/db", "%", ".", "..", "web db", "é", "web\n", "http", "a--b", "8080", "a" * 15,
    "a" * 16,
    "\x00", "\ud800", "\u2028", 'quo"te', "back\\slash", "\U0001f600",
]  # fmt: skip
_KEYS = [
    "app", "App_1.x", "example.com/app", "Example.com/app", "/app", "example.com/", "a/b/c", "",
    "-a", "a-",
    "a" * 63, "a" * 64, f"{'a' * 253}/b", f"{'a' * 254}/b", "é", "a b",
    "kubernetes.io/metadata.name", "a.b/é",
]  # fmt: skip
_LABEL_VALUES = [
    "",
    "x",
    "x_1.y",
    "-x",
    "x-",
    "x" * 63,
    "x" * 64,
    "é" * 32,
    "a/b",
    "a b",
    None,
    True,
    1,
    1.5,
]
_INTEGERS = [
    0, 1, 80, 8000, 65535, 65536, -1, 2**31 - 1, 2**31, -(2**31) - 1, 2**63, 2**64, 10**30, 1.0,
    1.5, 8e1,
    1e3, 1e30, "80", "http", "", True, None, [], {},
]  # fmt: skip
_LABELS = [{key: value} for key, value in zip(_KEYS, _LABEL_VALUES * 2, strict=False)]
_SELECTORS: list[Any] = [
    None, {}, _SELECTOR, {"matchLabels": None}, {"matchExpressions": []}, {"app": "web"}, [],
    "app=web",
    {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["x"]}, None]},
    {"matchExpressions": [{"operator": "In"}, {}]}, {"sameLabels": ["a"]},
]  # fmt: skip

VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 1.5, 2.0, 2**40, 2**63, "", "x", "TCP", "Ingress", "Admin", [],
    {}, [None], [[]],
    [{}], [1], ["x"], ["x", "x"], {"a": 1}, {"a": None}, {"": ""}, {"a": {"b": []}}, *_NAMES[-4:],
]  # fmt: skip
"""For a field of no special sort."""

SORTS: dict[str, list[Any]] = {
    "cidr": _CIDRS,
    "except": [[text] for text in _CIDRS] + [["10.0.0.0/8", None], [1], "10.1.0.0/16", {}, None],
    "networks": [[text] for text in _CIDRS]
    + [["10.0.0.0/8"] * 2, [f"10.{n}.0.0/16" for n in range(26)], ["1" * 44], [None], [1], []],
    "domainNames": [
        [text]
        for text in ("a", "a.b", "*.a", "*.a.b", "a.*.b", "_a.b", "[.b", "A.B.", "a..b", "é.b",
        "", "a-.b", "*")
    ],
    "port": _INTEGERS + _NAMES,
    "endPort": _INTEGERS,
    "number": _INTEGERS,
    "start": _INTEGERS,
    "end": _INTEGERS,
    "priority": [*_INTEGERS, 1000, 1001],
    "generation": _INTEGERS,
    "protocol": ["TCP", "UDP", "SCTP", "tcp", "", "ICMP", None, 6, "TCP "],
    "operator": ["In", "NotIn", "Exists", "DoesNotExist", "in", "Gt", "", None, 1, "Equals"],
    "key": _KEYS,
    "values": [[value] for value in _LABEL_VALUES] + [[], None, "x", ["x", "x"], {}],
    "matchLabels": [*_LABELS, None, [], "a"],
    "labels": [*_LABELS, None, [], "a"],
    "annotations": [*_LABELS, {"a": "x" * 262144}, {"Upper.Case/x": "y"}, None],
    "podSelector": _SELECTORS,
    "namespaceSelector": _SELECTORS,
    "namespaces": _SELECTORS,
    "nodes": _SELECTORS,
    "policyTypes": [
        [], None, ["Ingress"], ["Egress"], ["Ingress", "Ingress"], ["ingress"], ["Ingress",
        "Egress", "Egress"],
        [None], [1], "Ingress", [""], ["Egress", None],
    ],
    "ingress": [None, [], [{}], [None], {}, [{"from": []}], [{"form": []}], [{"to": []}]],
    "egress": [None, [], [{}], [None], {}, [{"to": [None]}], [{"ports": [None]}], [{"from": []}]],
    "from": [None, [], [{}], [None], {}, [_NAMESPACES], [_PODS], [_NETWORKS], [{}, {}],
        [_NAMESPACES] * 26],
    "to": [None, [], [{}], [None], {}, [_NAMESPACES], [_NETWORKS], [{"nodes": {}}],
        [{"newer": 1}], [_PODS] * 26],
    "ports": [None, [], [{}], [None], {}, [{"port": 0}], [{"endPort": 5}], [{"portNumber": {}}]],
    "protocols": [None, [], [{}], [_TCP] * 26, [_NAMED], [{**_TCP, **_UDP}], [{"tcp": {}}],
        [{"icmp": {}}], _TCP],
    "destinationPort": [{}, {"number": 1}, {"range": {"start": 5, "end": 4}},
        {"range": {"start": 5, "end": 5}},
        {"number": 1, "range": {"start": 1, "end": 2}}, {"other": 1}, None, 80],
    "destinationNamedPort": _NAMES,
    "subject": [None, {}, _PODS, _NAMESPACES, {**_PODS, **_NAMESPACES}, {"newer": {}}, _NETWORKS,
        {"pods": {}}],
    "tier": ["Admin", "Baseline", "admin", "", None, 1],
    "action": ["Accept", "Deny", "Pass", "Allow", "accept", "", None],
    "ipBlock": [None, {}, {"cidr": "10.0.0.0/8"}, {"cidr": ""}, {"except": ["10.0.0.0/8"]}, [],
        "10.0.0.0/8"],
    "name": _NAMES,
    "generateName": [*_NAMES, "web-", "-", "a" * 252 + "-"],
    "namespace": ["shop", "", None, "Shop", "a.b", "a" * 63, "a" * 64, "a b", "é"],
    "finalizers": [["kubernetes"], ["orphan", "foregroundDeletion"], ["x"], ["example.com/x",
        "a/b/c"], [None],
        [""], None, ["orphan"]],
    "apiVersion": ["v1", "apps/v1", "", "a/b/c", "/", "apps/", None, 1],
    "kind": ["Deployment", "Event", "", None, 1],
    "uid": ["1", "", None, 1],
    "controller": [True, False, None, "true"],
    "creationTimestamp": [None, _TIME, "2026-01-01", "2026-02-30T00:00:00Z",
        "2026-01-01T00:00:00.5+01:00", 5, ""],
    "metadata": [None, {}, [], "web", {"name": "a", "labels": {"a": 1}}, {"name": "a",
        "resourceVersion": "1"}],
    "spec": [None, {}, [], "x"],
}  # fmt: skip
"""Field -> values that look as if they belonged there."""
