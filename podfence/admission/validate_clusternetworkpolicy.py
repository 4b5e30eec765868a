"""Checks of ClusterNetworkPolicy: errors that its schema refuses, and risks that it stores.

Rule: the schema is that of the experimental channel (v0.3.0), which has every field; ``channel``
names those that the standard channel lacks. Selectors are checked for their types alone by the
server (CNP-24), so a selector that cannot be evaluated is a warning, like everything that fails
closed (CNP-25). The v1alpha1 kinds (``decode_adminnetworkpolicy``) are built from the same parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from podfence.admission.crd import FAILS_CLOSED
from podfence.admission.crd_shapes import (
    LABEL_SELECTOR,
    Array,
    BoundedInteger,
    Check,
    CrdType,
    Object,
    Opaque,
    String,
    Unstored,
    ValidationRule,
)
from podfence.admission.schema import Json
from podfence.admission.validate_cidr import parse_cidr
from podfence.admission.validate_metadata import selector_refusals
from podfence.errors import Problem, Severity

_LABEL = r"[a-zA-Z0-9]([-a-zA-Z0-9_]*[a-zA-Z0-9])?"
# A-z is how it was published up to v0.2.0: a label may begin with [ \ ] ^ _ or ` as well.
_LABEL_BEFORE = r"[a-zA-z0-9]([-a-zA-Z0-9_]*[a-zA-Z0-9])?"
_NO_NAMED_PORTS = "peer cannot be set with namedPorts since there are no namedPorts for"
_ACTIONS = ("Accept", "Deny", "Pass")
PORT = BoundedInteger(1, 65535)


def is_cidr(text: str) -> bool:
    """Whether the server's ``isCIDR`` holds: host bits may be set; no padding, no mapped IPv4."""
    cidr = parse_cidr(text)
    return cidr is not None and not cidr.padded and not cidr.is_mapped


def is_masked_cidr(text: str) -> bool:
    """Whether ``isCIDR(self) && cidr(self) == cidr(self).masked()`` holds."""
    cidr = parse_cidr(text)
    return is_cidr(text) and cidr is not None and cidr.address == cidr.first


def _masked(text: str) -> str:
    cidr = parse_cidr(text)
    if cidr is None or not is_cidr(text):
        return ""
    return f"bits are set beyond the prefix length: use {cidr.network}"


def _domain_pattern(label: str) -> str:
    return rf"(\*\.)?({label}\.)+{label}\.?"


def _fits(pattern: str) -> Check:
    return lambda text: re.fullmatch(pattern, text) is not None


# -------------------------------------------------------------------------------------- schemas


def pods_schema(*required: str) -> Object:
    """A ``pods`` field: which of its two selectors have to be given depends on the version."""
    fields = {"podSelector": LABEL_SELECTOR, "namespaceSelector": LABEL_SELECTOR}
    return Object(fields, required=required)


def one_of(fields: Mapping[str, CrdType], hints: Mapping[str, str] | None = None) -> Object:
    """An object of exactly one field, open to fields of a newer schema."""
    return Object(fields, least=1, most=1, open=True, hints=hints or {})


def _items(item: String) -> Array:
    return Array(item, 1, 25, distinct=True)


_BAD_CIDR = "Invalid CIDR format provided"
NETWORKS = _items(
    String(
        longest=43,
        rule=ValidationRule(_BAD_CIDR, is_masked_cidr),
        stored_before=is_cidr,
        hint=_masked,
    )
)
"""Since v0.2.1: no host bits."""
NETWORKS_BEFORE = _items(String(longest=43, rule=ValidationRule(_BAD_CIDR, is_cidr)))
DOMAIN_NAMES_BEFORE = _items(String(pattern=_domain_pattern(_LABEL_BEFORE)))
DOMAIN_NAMES = _items(
    String(pattern=_domain_pattern(_LABEL), stored_before=_fits(_domain_pattern(_LABEL_BEFORE)))
)


def named_port_rule(names: str, ports: str, named_port: str) -> ValidationRule:
    """The rule of an egress rule: peers that have no container ports exclude named ports.

    ``names`` are the peers as the text lists them.
    """
    without_ports = names.split("/")

    def holds(rule: Json) -> bool:
        named = any(named_port in item for item in rule.get(ports, ()))
        return not (named and any(name in peer for peer in rule["to"] for name in without_ports))

    return ValidationRule(f"{names} {_NO_NAMED_PORTS} {names}", holds)


def _range_is_rising(value: Json) -> bool:
    return bool(value["start"] < value["end"])


_RANGE = Object(
    {"start": PORT, "end": PORT},
    required=("start", "end"),
    rule=ValidationRule(
        "Start port must be less than End port", _range_is_rising, compares=("start", "end")
    ),
)
_L4 = Object(
    {"destinationPort": one_of({"number": PORT, "range": _RANGE})},
    least=1,
    open=True,
    hints={"port": '"port" is written destinationPort: {number: …}'},
)
PROTOCOL = one_of(
    {"tcp": _L4, "udp": _L4, "sctp": _L4, "destinationNamedPort": String()},
    {
        "portNumber": "since v1alpha2 this is tcp: {destinationPort: {number: …}}",
        "portRange": "since v1alpha2 this is tcp: {destinationPort: {range: {start: …, end: …}}}",
        "namedPort": 'since v1alpha2 this is "destinationNamedPort"',
    },
)
_SELECTORS = {"namespaces": LABEL_SELECTOR, "pods": pods_schema("podSelector")}
_PEER_HINTS = {
    "podSelector": '"podSelector" belongs in "pods"',
    "namespaceSelector": '"namespaceSelector" belongs in "pods"; alone it is "namespaces"',
    "ipBlock": 'networks are written networks: ["10.0.0.0/8"]',
}
_INGRESS_HINTS = dict.fromkeys(
    ("networks", "nodes", "domainNames"), "only egress rules have this peer (CNP-16)"
)
_SUBJECT = Object(_SELECTORS, least=1, most=1, hints=_PEER_HINTS)
INGRESS_PEER = one_of(_SELECTORS, {**_PEER_HINTS, **_INGRESS_HINTS})
EGRESS_PEER = one_of(
    {
        **_SELECTORS,
        "networks": NETWORKS,
        "nodes": LABEL_SELECTOR,
        "domainNames": DOMAIN_NAMES,
    },
    _PEER_HINTS,
)
_RULE_FIELDS: Mapping[str, CrdType] = {
    "name": String(longest=100),
    "action": String(enum=_ACTIONS),
    "protocols": Array(PROTOCOL, 1, 25),
}
_RULE_HINTS = {"ports": 'since v1alpha2 ports are given under "protocols"'}
_INGRESS = Object(
    {**_RULE_FIELDS, "from": Array(INGRESS_PEER, 1, 25)},
    required=("action", "from"),
    hints={**_RULE_HINTS, "to": '"to" belongs in egress rules'},
)
_EGRESS = Object(
    {**_RULE_FIELDS, "to": Array(EGRESS_PEER, 1, 25)},
    required=("action", "to"),
    hints={**_RULE_HINTS, "from": '"from" belongs in ingress rules'},
    rule=named_port_rule("networks/nodes/domainNames", "protocols", "destinationNamedPort"),
    # The standard channel of v0.2.0 had named ports and networks, and no rule about the two.
    stored_before=named_port_rule("nodes/domainNames", "protocols", "destinationNamedPort").holds,
)
_SPEC = Object(
    {
        "tier": String(enum=("Admin", "Baseline")),
        "priority": BoundedInteger(0, 1000),
        "subject": _SUBJECT,
        "ingress": Array(_INGRESS, 0, 25),
        "egress": Array(_EGRESS, 0, 25),
    },
    required=("tier", "priority", "subject"),
    hints={
        "podSelector": 'the pods concerned are given under "subject"',
        "policyTypes": "it has none: a direction without rules is not touched",
    },
)


_CONDITION = ("lastTransitionTime", "message", "observedGeneration", "reason", "status", "type")
_STATUS = Unstored(Object({"conditions": Array(Object(dict.fromkeys(_CONDITION, String())))}))


def resource(spec: Object, rule: ValidationRule | None = None) -> Object:
    """The whole object around a ``spec``; metadata is checked as that of every other kind."""
    fields: Mapping[str, CrdType] = {
        "apiVersion": String(),
        "kind": String(),
        "metadata": Opaque(),
        "spec": spec,
        "status": _STATUS,
    }
    return Object(fields, required=("spec",), rule=rule)


CLUSTER_NETWORK_POLICY = resource(_SPEC)


# ------------------------------------------------------------------------ stored, although risky


def selector_faults(parent: Json) -> Iterator[tuple[str, str]]:
    """Where and why selectors of a subject or a peer cannot be evaluated, one fault a selector."""
    pods = parent.get("pods", {})
    selectors = {name: parent.get(name) for name in ("namespaces", "nodes")}
    selectors |= {f"pods.{name}": pods.get(name) for name in ("namespaceSelector", "podSelector")}
    for field, selector in selectors.items():
        if selector and (fault := _selector_fault(selector)):
            yield field, fault


def _selector_fault(selector: Json) -> str:
    """The first fault, "" if there is none; begins with its path inside the selector."""
    for problem in selector_refusals(selector, ""):
        return problem.message.removeprefix(".")
    return ""


def stored_but_risky(spec: Json, ports: str, named_port: str) -> Iterator[Problem]:
    """Warnings about a spec that the server stores, of either version: ``ports`` is the field of a
    rule that lists protocols or ports, ``named_port`` the field of its items.

    PF209: selectors that cannot be evaluated (CNP-24) and empty names of ports (CNP-23). PF210:
    domain names in rules that do not accept (CNP-19).
    """
    yield from _risky_selectors(spec["subject"], "spec.subject", "the policy selects no pod")
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(direction, ())):
            path = f"spec.{direction}[{index}]"
            for number, peer in enumerate(rule[peers]):
                here = f"{path}.{peers}[{number}]"
                yield from _risky_selectors(peer, here, FAILS_CLOSED)
                yield from _risky_names(rule, peer, here)
            yield from _risky_ports(rule, path, ports, named_port)


def _risky_selectors(parent: Json, path: str, effect: str) -> Iterator[Problem]:
    for field, fault in selector_faults(parent):
        text = f"{path}.{field}.{fault}: stored all the same, but cannot be evaluated: {effect}"
        yield _warning("PF209", text, f"{path}.{field}")


def _risky_names(rule: Json, peer: Json, path: str) -> Iterator[Problem]:
    if "domainNames" in peer and rule["action"] not in ("Accept", "Allow"):
        text = (
            f"{path}.domainNames: meant for rules that accept: in a {rule['action']} rule this "
            "peer matches nothing; deny networks instead, after the names that are accepted"
        )
        yield _warning("PF210", text, f"{path}.domainNames")


def _risky_ports(rule: Json, path: str, ports: str, named_port: str) -> Iterator[Problem]:
    for index, item in enumerate(rule.get(ports, ())):
        if item.get(named_port) == "":
            here = f"{path}.{ports}[{index}].{named_port}"
            text = f'{here}: stored all the same, but "" names no port: {FAILS_CLOSED}'
            yield _warning("PF209", text, here)


def _warning(code: str, text: str, path: str) -> Problem:
    return Problem(code, Severity.WARNING, text, path=path)
