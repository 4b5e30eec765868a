"""NetworkPolicy as validated JSON -> values; part by part.

Rule: nothing is judged here. Parts that clusters repeat (labels, ports, blocks) are one value each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from podfence.admission.schema import NOTHING, Json
from podfence.admission.validate_cidr import parse_cidr
from podfence.model.meta import Labels
from podfence.model.networkpolicy import (
    IPBlock,
    NetworkPolicyPeer,
    NetworkPolicyPort,
    NetworkPolicyRule,
    PolicyType,
    Protocol,
)
from podfence.model.selectors import LabelSelector, LabelSelectorRequirement, Operator
from podfence.sets.addresses import IPNetwork

_INGRESS = frozenset({PolicyType.INGRESS})
_EGRESS = frozenset({PolicyType.EGRESS})
_TYPES = {
    frozenset(type_.value for type_ in types): types
    for types in (_INGRESS, _EGRESS, _INGRESS | _EGRESS)
}
_OPERATORS = {operator.value: operator for operator in Operator}
_PROTOCOLS = {protocol.value: protocol for protocol in Protocol}


def policy_types_of(declared: list[str] | None, has_egress: bool) -> frozenset[PolicyType]:
    """NP-8: without policyTypes: ingress, and egress only if there are egress rules."""
    if declared:
        return _TYPES[frozenset(declared)]
    return _INGRESS | _EGRESS if has_egress else _INGRESS


def rules_of(rules: list[Json | None] | None, peers: str) -> tuple[NetworkPolicyRule, ...]:
    """The rules of one direction; ``peers``: the field that holds those of a rule."""
    return tuple([_rule(rule or NOTHING, peers) for rule in rules or ()])


def _rule(rule: Json, peers: str) -> NetworkPolicyRule:
    return NetworkPolicyRule(peers_of(rule.get(peers) or ()), ports_of(rule.get("ports") or ()))


def peers_of(peers: Iterable[Json]) -> tuple[NetworkPolicyPeer, ...]:
    """The peers of one rule."""
    return tuple([_peer(peer) for peer in peers])


def ports_of(ports: Iterable[Json | None]) -> tuple[NetworkPolicyPort, ...]:
    """The ports of one rule."""
    return tuple([_port_of(port or NOTHING) for port in ports])


def _port_of(port: Json) -> NetworkPolicyPort:
    return _port(port.get("protocol"), port.get("port"), port.get("endPort"))


@lru_cache(maxsize=1 << 14)
def _port(protocol: str | None, port: int | str | None, end: int | None) -> NetworkPolicyPort:
    return NetworkPolicyPort(_PROTOCOLS[protocol or "TCP"], port, end)


def _peer(peer: Json) -> NetworkPolicyPeer:
    return NetworkPolicyPeer(
        selector_of(peer.get("podSelector")),
        selector_of(peer.get("namespaceSelector")),
        _ip_block(peer.get("ipBlock")),
    )


def _ip_block(block: Json | None) -> IPBlock | None:
    if block is None:
        return None
    return IPBlock(_network(block["cidr"]), tuple(map(_network, block.get("except") or ())))


@lru_cache(maxsize=1 << 14)
def _network(text: str) -> IPNetwork:
    cidr = parse_cidr(text)
    assert cidr is not None, "validated before"
    return cidr.network


def selector_of(selector: Json | None) -> LabelSelector | None:
    """``None`` stays ``None``: a peer without this selector. ``{}`` selects everything."""
    if selector is None:
        return None
    labels = text_labels(selector.get("matchLabels"))
    requirements = selector.get("matchExpressions")
    if not requirements:
        return _labels_only(labels)
    return LabelSelector(labels, tuple([_requirement(item) for item in requirements]))


@lru_cache(maxsize=1 << 16)
def _labels_only(labels: Labels) -> LabelSelector:
    return LabelSelector(labels)


def _requirement(requirement: Json) -> LabelSelectorRequirement:
    values = tuple([value or "" for value in requirement.get("values") or ()])
    return LabelSelectorRequirement(requirement["key"], _OPERATORS[requirement["operator"]], values)


def text_labels(labels: Mapping[str, str | None] | None) -> Labels:
    """Sorted label pairs, shared among equal label sets; a null value is ""."""
    if not labels:
        return ()
    return _shared_labels(tuple(sorted([(key, value or "") for key, value in labels.items()])))


@lru_cache(maxsize=1 << 16)
def _shared_labels(labels: Labels) -> Labels:
    return labels
