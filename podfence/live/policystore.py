"""Policies as the API sent them, read when somebody has to know what they say.

Rule: what is in force follows from the objects that are there now. A NetworkPolicy that cannot be
read closes the pods that it may select: a version of before would still hold here, and not on a
node that starts now.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from podfence.admission.decode import decode
from podfence.errors import Severity, Source
from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy
from podfence.model.facts import PolicyFacts
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import NetworkPolicy, PolicyType
from podfence.model.selectors import LabelSelector

Policy = NetworkPolicy | ClusterNetworkPolicy
NETWORK_POLICY = "NetworkPolicy"
OF_CLUSTER = ""
"""The namespace of policies that have none."""
_SOURCE = Source("the cluster")


class Refusal(Struct, frozen=True):
    """A policy that could not be read. ``closes``: whether pods are closed for it."""

    ref: ObjectRef
    path: str
    reason: str
    closes: bool


class PolicyStore:
    """All policies. Those of a namespace, and those of the cluster (namespace ""), are read when
    they are first asked for, and then kept."""

    def __init__(self) -> None:
        self._unread: dict[str, dict[ObjectRef, PolicyFacts]] = defaultdict(dict)
        self._read: dict[str, dict[ObjectRef, Policy]] = defaultdict(dict)
        self.refused: dict[ObjectRef, Refusal] = {}

    def put(self, facts: PolicyFacts) -> None:
        """A policy as it is now."""
        self.gone(facts.kind, facts.namespace, facts.name)
        ref = ObjectRef(facts.kind, facts.namespace, facts.name)
        self._unread[facts.namespace][ref] = facts

    def gone(self, kind: str, namespace: str, name: str) -> None:
        """A policy is not there any more."""
        ref = ObjectRef(kind, namespace, name)
        for places in (self._unread, self._read):
            if namespace in places:
                places[namespace].pop(ref, None)
                if not places[namespace]:
                    del places[namespace]
        self.refused.pop(ref, None)

    def read(self, namespace: str) -> list[Policy]:
        """Read those of a namespace that nobody has read yet; a policy that says nothing, because
        it could not be read, is not among them."""
        found: list[Policy] = []
        for ref, facts in self._unread.pop(namespace, {}).items():
            policy, refusal = read_policy(facts)
            if refusal is not None:
                self.refused[ref] = refusal
            if policy is not None:
                self._read[namespace][ref] = policy
                found.append(policy)
        return found

    def of(self, namespace: str) -> Collection[Policy]:
        """Those of a namespace that were read."""
        return self._read.get(namespace, {}).values()


def read_policy(facts: PolicyFacts) -> tuple[Policy | None, Refusal | None]:
    """What a policy says; and why it could not be read."""
    ref = ObjectRef(facts.kind, facts.namespace, facts.name)
    try:
        document = msgspec.json.decode(facts.document, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        return _refused(ref, {}, "", str(error))
    decoded = decode(document, _SOURCE)
    for found in decoded.objects:
        if isinstance(found, NetworkPolicy | ClusterNetworkPolicy) and found.ref == ref:
            return found, None
    error_ = next((p for p in decoded.problems if p.severity is Severity.ERROR), None)
    path, reason = (error_.path, error_.message) if error_ else ("", "it is another object")
    return _refused(ref, document, path, reason)


def _refused(
    ref: ObjectRef, document: Mapping[str, Any], path: str, reason: str
) -> tuple[Policy | None, Refusal]:
    closes = ref.kind == NETWORK_POLICY
    policy = _closing(ref, document) if closes else None
    return policy, Refusal(ref, path, reason, closes)


def _closing(ref: ObjectRef, document: Mapping[str, Any]) -> NetworkPolicy:
    """Isolates, in both directions, the pods that a policy selects, or all of its namespace where
    that cannot be read."""
    spec = document.get("spec")
    part = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": ref.kind,
        "metadata": {"namespace": ref.namespace, "name": ref.name},
        "spec": {"podSelector": spec.get("podSelector") if isinstance(spec, dict) else None},
    }
    known = decode(part, _SOURCE).objects if isinstance(spec, dict) else ()
    selectors = [found.pod_selector for found in known if isinstance(found, NetworkPolicy)]
    selector = selectors[0] if selectors else LabelSelector()
    return NetworkPolicy(ref, selector, frozenset(PolicyType))
