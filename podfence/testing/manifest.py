"""Values -> manifests: the inverse of decoding, for tests of podfence and of its users.

Rule: ``decode(to_manifest(value), source)`` gives the value back, ``source`` apart. Plain dicts and
lists come out, ready for a YAML or JSON writer. Not read back are an element that is unknown for
another reason than its field ``future``, and a protocol without a port, which no server stores.
"""

from __future__ import annotations

from typing import Any

from podfence.model.clusternetworkpolicy import (
    ClusterNetworkPolicy,
    NamespacedPod,
    Peer,
    ProtocolMatch,
    RuleAction,
    Subject,
    Tier,
    TierRule,
)
from podfence.model.meta import AUDIT, MODE_ANNOTATION, ObjectRef
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
_SOME_TIME = "2026-01-01T00:00:00Z"
"""Values say whether a pod is being deleted, not since when."""


def to_manifest(value: Namespace | Pod | NetworkPolicy | ClusterNetworkPolicy) -> Manifest:
    """The manifest of a Namespace, Pod or policy, every field written out that it holds.

    ``ref.kind`` of a ClusterNetworkPolicy decides between v1beta1 and the older kinds of v1alpha1.
    """
    match value:
        case Namespace():
            metadata = {"name": value.name, "labels": dict(value.labels)}
            return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        case Pod():
            return _pod(value)
        case NetworkPolicy():
            return _policy(value)
        case ClusterNetworkPolicy():
            return _cluster_policy(value)


def _pod(pod: Pod) -> Manifest:
    metadata: Manifest = {
        "name": pod.name,
        "namespace": pod.namespace,
        "labels": dict(pod.labels),
    }
    if pod.created:
        metadata["creationTimestamp"] = pod.created
    if pod.deleting:
        metadata["deletionTimestamp"] = _SOME_TIME
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
        **_mode(policy),
    }
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata,
        "spec": spec,
    }


def _mode(policy: NetworkPolicy | ClusterNetworkPolicy) -> Manifest:
    return {"annotations": {MODE_ANNOTATION: AUDIT}} if policy.audited else {}


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


# ------------------------------------------------------------------------- ClusterNetworkPolicy


def _cluster_policy(policy: ClusterNetworkPolicy) -> Manifest:
    spec: Manifest = {"subject": _subject(policy.subject)}
    version = "v1alpha1"
    if policy.ref.kind == "ClusterNetworkPolicy":
        version = "v1beta1"
        spec["tier"] = policy.tier.value
    if version == "v1beta1" or policy.tier is Tier.ADMIN:
        spec["priority"] = policy.priority
    write = _cluster_rule if version == "v1beta1" else _older_rule
    spec["ingress"] = [write(rule, "from") for rule in policy.ingress]
    spec["egress"] = [write(rule, "to") for rule in policy.egress]
    return {
        "apiVersion": f"policy.networking.k8s.io/{version}",
        "kind": policy.ref.kind,
        "metadata": {
            "name": policy.ref.name,
            "labels": dict(policy.labels),
            **_mode(policy),
        },
        "spec": spec,
    }


def _subject(subject: Subject) -> Manifest:
    if subject.pods is not None:
        return {"pods": _namespaced_pods(subject.pods)}
    return _unknown_element() if subject.namespaces is None else _namespaces(subject.namespaces)


def _namespaces(selector: LabelSelector) -> Manifest:
    return {"namespaces": _selector(selector)}


def _namespaced_pods(pods: NamespacedPod) -> Manifest:
    manifest = {"podSelector": _selector(pods.pod_selector)}
    if pods.namespace_selector is not None:
        manifest["namespaceSelector"] = _selector(pods.namespace_selector)
    return manifest


def _unknown_element() -> Manifest:
    return {"future": {}}


def _cluster_rule(rule: TierRule, peers: str) -> Manifest:
    manifest = _rule_head(rule, rule.action.value, peers)
    if rule.protocols:
        manifest["protocols"] = [_protocol(match) for match in rule.protocols]
    return manifest


def _older_rule(rule: TierRule, peers: str) -> Manifest:
    action = "Allow" if rule.action is RuleAction.ACCEPT else rule.action.value
    manifest = _rule_head(rule, action, peers)
    if rule.protocols:
        manifest["ports"] = [_older_port(match) for match in rule.protocols]
    return manifest


def _rule_head(rule: TierRule, action: str, peers: str) -> Manifest:
    name = {"name": rule.name} if rule.name else {}
    return {**name, "action": action, peers: [_cluster_peer(peer) for peer in rule.peers]}


def _cluster_peer(peer: Peer) -> Manifest:
    if peer.namespaces is not None:
        return _namespaces(peer.namespaces)
    if peer.pods is not None:
        return {"pods": _namespaced_pods(peer.pods)}
    if peer.nodes is not None:
        return {"nodes": _selector(peer.nodes)}
    if peer.networks:
        return {"networks": [str(network) for network in peer.networks]}
    return {"domainNames": list(peer.domain_names)} if peer.domain_names else _unknown_element()


def _protocol(match: ProtocolMatch) -> Manifest:
    if match.named_port:
        return {"destinationNamedPort": match.named_port}
    if match.protocol is None:
        return _unknown_element()
    return {match.protocol.value.lower(): _destination(match)}


def _destination(match: ProtocolMatch) -> Manifest:
    if match.port is None:
        return {}
    if match.end_port is None:
        return {"destinationPort": {"number": match.port}}
    return {"destinationPort": {"range": {"start": match.port, "end": match.end_port}}}


def _older_port(match: ProtocolMatch) -> Manifest:
    if match.named_port:
        return {"namedPort": match.named_port}
    if match.protocol is None:
        return _unknown_element()
    protocol = {"protocol": match.protocol.value}
    if match.end_port is None:
        return {"portNumber": {**protocol, "port": match.port}}
    return {"portRange": {**protocol, "start": match.port, "end": match.end_port}}
