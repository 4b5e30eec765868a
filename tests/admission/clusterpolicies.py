"""Short ways to write manifests of cluster-scoped policies in tests of decoding."""

from __future__ import annotations

from typing import Any

from podfence.admission.decode_adminnetworkpolicy import (
    decode_adminnetworkpolicy,
    decode_baselineadminnetworkpolicy,
)
from podfence.admission.decode_clusternetworkpolicy import decode_clusternetworkpolicy
from podfence.errors import Problem
from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy, Peer, ProtocolMatch, TierRule
from tests.admission.policies import SOURCE

CLOSED = "its rule fails closed: Accept matches nothing, Deny and Pass deny everything"
"""What is said of an element that cannot be read."""

Decoded = tuple[ClusterNetworkPolicy | None, tuple[Problem, ...]]

DECODERS = {
    "ClusterNetworkPolicy": decode_clusternetworkpolicy,
    "AdminNetworkPolicy": decode_adminnetworkpolicy,
    "BaselineAdminNetworkPolicy": decode_baselineadminnetworkpolicy,
}
HEADS: dict[str, dict[str, Any]] = {
    "ClusterNetworkPolicy": {"tier": "Admin", "priority": 10, "subject": {"namespaces": {}}},
    "AdminNetworkPolicy": {"priority": 10, "subject": {"namespaces": {}}},
    "BaselineAdminNetworkPolicy": {"subject": {"namespaces": {}}},
}
EVERYBODY: dict[str, Any] = {"namespaces": {}}


def manifest(spec: Any = None, kind: str = "ClusterNetworkPolicy", **metadata: Any) -> Any:
    """A policy ``default`` whose spec has everything that is required, unless ``spec`` says else.

    A field that is None in ``spec`` is left out.
    """
    given = {**HEADS[kind], **(spec or {})} if spec is None or isinstance(spec, dict) else spec
    if isinstance(given, dict):
        given = {name: value for name, value in given.items() if value is not None}
    version = "v1beta1" if kind == "ClusterNetworkPolicy" else "v1alpha1"
    return {
        "apiVersion": f"policy.networking.k8s.io/{version}",
        "kind": kind,
        "metadata": {"name": "default", **metadata},
        "spec": given,
    }


def decoded(spec: Any = None, kind: str = "ClusterNetworkPolicy", **metadata: Any) -> Decoded:
    """The policy and all problems."""
    return DECODERS[kind](manifest(spec, kind, **metadata), SOURCE)


def policy_of(
    spec: Any = None, kind: str = "ClusterNetworkPolicy", **metadata: Any
) -> ClusterNetworkPolicy:
    """The policy, which must be free of problems."""
    policy, problems = decoded(spec, kind, **metadata)
    assert problems == ()
    assert policy is not None
    return policy


def errors_of(spec: Any, kind: str = "ClusterNetworkPolicy", **metadata: Any) -> list[str]:
    """The messages of all problems, of which some must be errors: there is no policy."""
    policy, problems = decoded(spec, kind, **metadata)
    assert policy is None
    return [problem.message for problem in problems]


def ingress(**rule: Any) -> dict[str, Any]:
    """A spec with one ingress rule that accepts everybody, unless ``from_`` and others say else."""
    written = {"action": "Accept", "from": [EVERYBODY], **rule}
    if "from_" in written:
        written["from"] = written.pop("from_")
    return {"ingress": [{name: value for name, value in written.items() if value is not None}]}


def egress(*peers: Any, **rule: Any) -> dict[str, Any]:
    """A spec with one egress rule to these peers."""
    return {"egress": [{"action": "Accept", "to": list(peers), **rule}]}


def rule_of(spec: Any, kind: str = "ClusterNetworkPolicy") -> TierRule:
    """The only rule of a policy without errors."""
    policy, _ = decoded(spec, kind)
    assert policy is not None
    (rule,) = (*policy.ingress, *policy.egress)
    return rule


def peer_of(spec: Any, kind: str = "ClusterNetworkPolicy") -> Peer:
    """The only peer of the only rule."""
    (peer,) = rule_of(spec, kind).peers
    return peer


def match_of(item: Any) -> ProtocolMatch:
    """One item of ``protocols``, decoded."""
    (match,) = rule_of(ingress(protocols=[item])).protocols
    return match
