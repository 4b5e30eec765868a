"""Values -> manifests: the inverse of decoding, for tests of podfence and of its users.

Rule: ``decode(to_manifest(value), source)`` gives the value back, ``source`` apart. Plain dicts and
lists come out, ready for a YAML or JSON writer.
"""

from __future__ import annotations

from typing import Any

from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import (
    NetworkPolicy,
    NetworkPolicyPeer,
    NetworkPolicyPort,
    NetworkPolicyRule,
    PolicyType,
)
from podfence.model.objects import Namespace, Pod
from podfence.model.selectors import LabelSelector

Manifest = dict[str, Any]


def to_manifest(value: Namespace | Pod | NetworkPolicy) -> Manifest:
    """The manifest of a Namespace, Pod or NetworkPolicy, every field written out that it holds."""
    match value:
        case Namespace():
            metadata = {"name": value.name, "labels": dict(value.labels)}
            return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        case Pod():
            return _pod(value)
        case NetworkPolicy():
            return _policy(value)


def _pod(pod: Pod) -> Manifest:
    metadata: Manifest = {
        "name": pod.name,
        "namespace": pod.namespace,
        "labels": dict(pod.labels),
    }
    if pod.owner is not None:
        metadata["ownerReferences"] = [_owner(pod.owner)]
    ports = [
        {"name": port.name, "containerPort": port.port, "protocol": port.protocol.value}
        for port in pod.ports
    ]
    spec = {
        "nodeName": pod.node,
        "hostNetwork": pod.host_network,
        "containers": [{"name": "main", "ports": ports}],
    }
    manifest: Manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    if pod.has_status:
        manifest["status"] = _status(pod)
    return manifest


def _owner(owner: ObjectRef) -> Manifest:
    return {"apiVersion": "apps/v1", "kind": owner.kind, "name": owner.name, "controller": True}


def _status(pod: Pod) -> Manifest:
    return {
        "phase": "Succeeded" if pod.finished else "Running",
        "podIPs": [{"ip": str(address)} for address in pod.addresses],
        "hostIPs": [{"ip": str(address)} for address in pod.host_addresses],
    }


def _policy(policy: NetworkPolicy) -> Manifest:
    spec: Manifest = {"podSelector": _selector(policy.pod_selector)}
    if policy.declared_types:
        spec["policyTypes"] = [kind.value for kind in PolicyType if kind in policy.policy_types]
    if policy.ingress:
        spec["ingress"] = [_rule(rule, "from") for rule in policy.ingress]
    if policy.egress:
        spec["egress"] = [_rule(rule, "to") for rule in policy.egress]
    metadata = {
        "name": policy.ref.name,
        "namespace": policy.ref.namespace,
        "labels": dict(policy.labels),
    }
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata,
        "spec": spec,
    }


def _selector(selector: LabelSelector) -> Manifest:
    manifest: Manifest = {}
    if selector.match_labels:
        manifest["matchLabels"] = dict(selector.match_labels)
    if selector.match_expressions:
        manifest["matchExpressions"] = [
            {"key": item.key, "operator": item.operator.value, "values": list(item.values)}
            for item in selector.match_expressions
        ]
    return manifest


def _rule(rule: NetworkPolicyRule, peers: str) -> Manifest:
    manifest: Manifest = {}
    if rule.peers:
        manifest[peers] = [_peer(peer) for peer in rule.peers]
    if rule.ports:
        manifest["ports"] = [_port(port) for port in rule.ports]
    return manifest


def _peer(peer: NetworkPolicyPeer) -> Manifest:
    manifest: Manifest = {}
    if peer.pod_selector is not None:
        manifest["podSelector"] = _selector(peer.pod_selector)
    if peer.namespace_selector is not None:
        manifest["namespaceSelector"] = _selector(peer.namespace_selector)
    if peer.ip_block is not None:
        excepts = [str(network) for network in peer.ip_block.except_]
        manifest["ipBlock"] = {"cidr": str(peer.ip_block.cidr), "except": excepts}
    return manifest


def _port(port: NetworkPolicyPort) -> Manifest:
    fields = {"protocol": port.protocol.value, "port": port.port, "endPort": port.end_port}
    return {name: value for name, value in fields.items() if value is not None}
