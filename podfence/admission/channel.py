"""Fields of ClusterNetworkPolicy that only the experimental channel of its CRD has.

Rule: which channel a cluster has installed is not known from manifests. Everything is read as the
experimental channel stores it, and a policy that the standard channel refuses is named (PF212).
"""

from __future__ import annotations

from collections.abc import Iterator

from podfence.errors import Problem, Severity
from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy, TierRule

_NAMED_PORTS = {"ClusterNetworkPolicy": ("protocols", "destinationNamedPort")}
_NAMED_PORTS_BEFORE = ("ports", "namedPort")


def experimental_fields(policy: ClusterNetworkPolicy) -> Iterator[Problem]:
    """A warning at the first path of each field that the standard channel lacks."""
    first: dict[str, str] = {}
    for path, name in _fields(policy):
        first.setdefault(name, f"{path}.{name}")
    for name, path in first.items():
        text = (
            f"{path}: only the experimental channel of the API has {name}; where the standard "
            f'channel is installed, the server says: strict decoding error: unknown field "{path}"'
        )
        named = f"{policy.ref.kind} {policy.ref}"
        yield Problem("PF212", Severity.WARNING, text, policy.source, path, named)


def _fields(policy: ClusterNetworkPolicy) -> Iterator[tuple[str, str]]:
    """The path of the peer or protocol, and the name of the field in it."""
    rules: list[tuple[str, TierRule]] = [
        *((f"spec.ingress[{at}]", rule) for at, rule in enumerate(policy.ingress)),
        *((f"spec.egress[{at}]", rule) for at, rule in enumerate(policy.egress)),
    ]
    ports, named_port = _NAMED_PORTS.get(policy.ref.kind, _NAMED_PORTS_BEFORE)
    for path, rule in rules:
        for number, peer in enumerate(rule.peers):
            if peer.nodes is not None:
                yield f"{path}.to[{number}]", "nodes"
            if peer.domain_names:
                yield f"{path}.to[{number}]", "domainNames"
        for number, protocol in enumerate(rule.protocols):
            if protocol.named_port:
                yield f"{path}.{ports}[{number}]", named_port
