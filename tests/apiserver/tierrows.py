"""What a server refuses of a ClusterNetworkPolicy, row by row, and its words about it."""

from __future__ import annotations

from typing import Any

STRICT = "strict decoding error: unknown field"


def tier(**spec: Any) -> dict[str, Any]:
    """A ClusterNetworkPolicy; what is None is left out."""
    given = {"tier": "Admin", "priority": 1, "subject": {"namespaces": {}}, **spec}
    return {
        "apiVersion": "policy.networking.k8s.io/v1beta1",
        "kind": "ClusterNetworkPolicy",
        "metadata": {"name": "p"},
        "spec": {key: value for key, value in given.items() if value is not None},
    }


def egress_to(*peers: Any, **rule: Any) -> dict[str, Any]:
    """A ClusterNetworkPolicy with one egress rule."""
    return tier(egress=[{"action": "Accept", "to": list(peers), **rule}])


def to_port(port: Any) -> dict[str, Any]:
    """One with this destination port."""
    return egress_to({"namespaces": {}}, protocols=[{"tcp": {"destinationPort": port}}])


def in_body(path: str, value: object, detail: str) -> str:
    return f"{path}: Invalid value: {value}: {path} in body {detail}"


_RULE = "spec.egress[0]"
_TO = f"{_RULE}.to[0]"
_PROTOCOL = f"{_RULE}.protocols[0]"
_NUMBER = f"{_PROTOCOL}.tcp.destinationPort"
_DOMAIN = (
    r"should match '^(\*\.)?([a-zA-Z0-9]([-a-zA-Z0-9_]*[a-zA-Z0-9])?\.)+"
    r"[a-zA-Z0-9]([-a-zA-Z0-9_]*[a-zA-Z0-9])?\.?$'"
)
_NO_PORTS = (
    "networks/nodes/domainNames peer cannot be set with namedPorts since there are no namedPorts "
    "for networks/nodes/domainNames"
)
TIERS: list[tuple[str, dict[str, Any], list[str]]] = [
    *(
        (f"no {field}", tier(**dict.fromkeys((field,))), [f"spec.{field}: Required value"])
        for field in ("tier", "priority", "subject")
    ),
    (
        "tier",
        tier(tier="admin"),
        ['spec.tier: Unsupported value: "admin": supported values: "Admin", "Baseline"'],
    ),
    (
        "action",
        egress_to({"namespaces": {}}, action="Allow"),
        [f'{_RULE}.action: Unsupported value: "Allow": supported values: "Accept", "Deny", "Pass"'],
    ),
    (
        "priority above",
        tier(priority=1001),
        [in_body("spec.priority", 1001, "should be less than or equal to 1000")],
    ),
    (
        "priority below",
        tier(priority=-1),
        [in_body("spec.priority", -1, "should be greater than or equal to 0")],
    ),
    (
        "empty subject",
        tier(subject={}),
        [in_body("spec.subject", 0, "should have at least 1 properties")],
    ),
    (
        "two subjects",
        tier(subject={"namespaces": {}, "pods": {"podSelector": {}}}),
        ["spec.subject: Too many: 2: must have at most 1 item"],
    ),
    ("empty peer", egress_to({}), [in_body(_TO, 0, "should have at least 1 properties")]),
    (
        "two peers in one",
        egress_to({"namespaces": {}, "networks": ["10.0.0.0/8"]}),
        [f"{_TO}: Too many: 2: must have at most 1 item"],
    ),
    ("no peers", egress_to(), [in_body(f"{_RULE}.to", 0, "should have at least 1 items")]),
    (
        "26 peers",
        egress_to(*[{"namespaces": {}}] * 26),
        [f"{_RULE}.to: Too many: 26: must have at most 25 items"],
    ),
    (
        "26 rules",
        tier(egress=[{"action": "Pass", "to": [{"namespaces": {}}]}] * 26),
        ["spec.egress: Too many: 26: must have at most 25 items"],
    ),
    (
        "no protocols",
        egress_to({"namespaces": {}}, protocols=[]),
        [in_body(f"{_RULE}.protocols", 0, "should have at least 1 items")],
    ),
    (
        "tcp without anything",
        egress_to({"namespaces": {}}, protocols=[{"tcp": {}}]),
        [in_body(f"{_PROTOCOL}.tcp", 0, "should have at least 1 properties")],
    ),
    (
        "the same network twice",
        egress_to({"networks": ["10.0.0.0/8", "10.0.0.0/8"]}),
        [f'{_TO}.networks[1]: Duplicate value: "10.0.0.0/8"'],
    ),
    *(
        (
            f"network {text}",
            egress_to({"networks": [text]}),
            [f'{_TO}.networks[0]: Invalid value: "{text}": Invalid CIDR format provided'],
        )
        for text in ("10.0.0.1/8", "10.0.0.0", "010.0.0.0/8", "::ffff:10.0.0.0/104")
    ),
    (
        "long network",
        egress_to({"networks": ["1" * 44]}),
        [f"{_TO}.networks[0]: Too long: may not be more than 43 bytes"],
    ),
    *(
        (
            f"domain name {text}",
            egress_to({"domainNames": [text]}),
            [in_body(f"{_TO}.domainNames[0]", f'"{text}"', _DOMAIN)],
        )
        for text in ("single", "a.*.b", "_a.b")
    ),
    (
        "range that falls",
        to_port({"range": {"start": 81, "end": 80}}),
        [f"{_NUMBER}.range: Invalid value: Start port must be less than End port"],
    ),
    (
        "range without an end",
        to_port({"range": {"start": 81}}),
        [f"{_NUMBER}.range.end: Required value"],
    ),
    (
        "port 0",
        to_port({"number": 0}),
        [in_body(f"{_NUMBER}.number", 0, "should be greater than or equal to 1")],
    ),
    (
        "long name",
        egress_to({"namespaces": {}}, name="n" * 101),
        [f"{_RULE}.name: Too long: may not be more than 100 bytes"],
    ),
    (
        "named port and network",
        egress_to({"networks": ["10.0.0.0/8"]}, protocols=[{"destinationNamedPort": "a"}]),
        [f"{_RULE}: Invalid value: {_NO_PORTS}"],
    ),
    (
        "no podSelector",
        tier(subject={"pods": {}}),
        ["spec.subject.pods.podSelector: Required value"],
    ),
    (
        "selectors are not looked into",
        tier(subject={"namespaces": {"matchLabels": {"-": "-"}}}),
        [],
    ),
    (
        "unknown field",
        egress_to({"namespaces": {}}, ports=[]),
        [f'{STRICT} "spec.egress[0].ports"'],
    ),
]
