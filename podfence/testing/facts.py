"""Events that a watch would send about objects that exist already.

Rule: what an index is told of a cluster at rest is what the API server would have sent of it.
"""

from __future__ import annotations

import json

from podfence.model.cluster import ClusterObject
from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy
from podfence.model.facts import (
    NO_ADDRESS,
    Facts,
    NamespaceFacts,
    NodeFacts,
    PodFacts,
    PolicyFacts,
)
from podfence.model.networkpolicy import NetworkPolicy
from podfence.model.objects import Namespace, Node, Pod
from podfence.testing.manifest import to_manifest


def facts_of(thing: ClusterObject) -> Facts:
    """Those of a pod, a namespace, a node or a policy. Raises TypeError for others."""
    match thing:
        case Pod():
            return pod_facts(thing)
        case Namespace():
            return NamespaceFacts(thing.name, thing.labels)
        case Node():
            return NodeFacts(thing.name, thing.labels, thing.addresses, thing.pod_cidrs)
        case NetworkPolicy() | ClusterNetworkPolicy():
            document = json.dumps(to_manifest(thing)).encode()
            return PolicyFacts(thing.ref.kind, thing.ref.namespace, thing.ref.name, document)
        case _:
            raise TypeError(type(thing))


def pod_facts(pod: Pod) -> PodFacts:
    """Those of a pod."""
    by_family = {address.version: int(address) for address in pod.addresses}
    named = {port for port in pod.ports if port.name}
    return PodFacts(
        pod.namespace,
        pod.name,
        json.dumps(dict(pod.labels)).encode(),
        tuple(sorted(named, key=lambda p: (p.name, p.port, p.protocol.value))),
        by_family.get(4, NO_ADDRESS),
        by_family.get(6, NO_ADDRESS),
        pod.node,
        pod.deleting,
        pod.is_seen,
    )
