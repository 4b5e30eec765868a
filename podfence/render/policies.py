"""NetworkPolicies as the API writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from podfence.model.networkpolicy import (
    NetworkPolicy,
    NetworkPolicyPeer,
    NetworkPolicyPort,
    NetworkPolicyRule,
    PolicyType,
)
from podfence.model.selectors import LabelSelector


def policy_manifest(policy: NetworkPolicy) -> dict[str, Any]:
    """A policy as JSON values."""
    spec: dict[str, Any] = {
        "podSelector": _selector(policy.pod_selector),
        "policyTypes": [kind.value for kind in PolicyType if kind in policy.policy_types],
    }
    for field, far, rules in (
        ("ingress", "from", policy.ingress),
        ("egress", "to", policy.egress),
    ):
        if rules:
            spec[field] = [_rule(rule, far) for rule in rules]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": policy.ref.kind,
        "metadata": {"name": policy.ref.name, "namespace": policy.ref.namespace},
        "spec": spec,
    }


def _rule(rule: NetworkPolicyRule, far: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if rule.peers:
        found[far] = [dict(_peer(peer)) for peer in rule.peers]
    if rule.ports:
        found["ports"] = [_port(port) for port in rule.ports]
    return found


def _peer(peer: NetworkPolicyPeer) -> Mapping[str, Any]:
    if peer.ip_block is not None:
        block: dict[str, Any] = {"cidr": str(peer.ip_block.cidr)}
        if peer.ip_block.except_:
            block["except"] = [str(each) for each in peer.ip_block.except_]
        return {"ipBlock": block}
    found = {}
    if peer.namespace_selector is not None:
        found["namespaceSelector"] = _selector(peer.namespace_selector)
    if peer.pod_selector is not None:
        found["podSelector"] = _selector(peer.pod_selector)
    return found


def _port(port: NetworkPolicyPort) -> dict[str, Any]:
    found: dict[str, Any] = {"protocol": port.protocol.value}
    if port.port is not None:
        found["port"] = port.port
    if port.end_port is not None:
        found["endPort"] = port.end_port
    return found


def _selector(selector: LabelSelector) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if selector.match_labels:
        found["matchLabels"] = dict(selector.match_labels)
    if selector.match_expressions:
        found["matchExpressions"] = [
            {"key": each.key, "operator": each.operator.value}
            | ({"values": list(each.values)} if each.values else {})
            for each in selector.match_expressions
        ]
    return found
