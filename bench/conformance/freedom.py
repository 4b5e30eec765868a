"""What the texts of Kubernetes leave open: there nobody is wrong.

Rule: a clause of ``docs/semantics.md`` that holds the word "Decision" is one where podfence chose.
Random connections whose answer hangs on such a choice are left out before anybody is asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from ipaddress import IPv6Address, ip_network
from pathlib import Path

from msgspec.structs import replace

from podfence.model.cluster import Cluster
from podfence.model.networkpolicy import NetworkPolicyPeer, NetworkPolicyRule, PolicyType
from podfence.policy.flow import Flow
from podfence.sets.ports import OTHER
from tests.support.oracle import isolated, judge, rulings

SEMANTICS = Path(__file__).resolve().parents[2] / "docs" / "semantics.md"
_CLAUSE = re.compile(r"^\*\*(C?NP-\d+a?)\.\*\* ", re.MULTILINE)
OPEN_BESIDES = frozenset({"NP-60"})
"""Clauses of which the texts of Kubernetes say nothing: what is left of a pod that has ended."""
LEFT_OUT = (
    "an end is an address of a node, or a pod on the host network (NP-50 to NP-53)",
    "a pod that dials itself (NP-54)",
    "an address that two pods may have (NP-60a)",
    "a protocol without ports (NP-39)",
    "the answer changes if an `ipBlock` is never a pod (NP-27)",
    "the answer changes if a port name in an egress rule without `to` means nothing (NP-36)",
    "a pod has a port name twice (NP-34)",
    "two policies of one tier and one priority (CNP-9), where the answer changes with their order",
    "a pod is isolated in one direction only, and the Baseline tier is asked in the other (CNP-13)",
)
"""Random connections that nobody is asked, for the page."""


@cache
def clauses() -> dict[str, str]:
    """Number of a clause -> its text on one line."""
    parts = _CLAUSE.split(SEMANTICS.read_text(encoding="utf-8"))
    texts = (" ".join(text.partition("\n\n")[0].split()) for text in parts[2::2])
    return dict(zip(parts[1::2], texts, strict=True))


def is_left_open(clause: str) -> bool:
    """Whether podfence had to choose."""
    return clause in OPEN_BESIDES or "**Decision:**" in clauses().get(clause, "")


def disputed(cluster: Cluster, flow: Flow) -> bool:
    """Whether some choice of podfence's decides about the connection; see LEFT_OUT."""
    return flow.protocol == OTHER or _is_odd(cluster, flow) or hangs_on_a_choice(cluster, flow)


def hangs_on_a_choice(cluster: Cluster, flow: Flow) -> bool:
    """Whether another reading of the same policies answers otherwise."""
    said = _answer(cluster, flow)
    readings = (_blocks_are_no_pods(cluster), _without_names_for_all(cluster), _reordered(cluster))
    return any(_answer(reading, flow) is not said for reading in readings) or _asks_baseline(
        cluster, flow
    )


def _answer(cluster: Cluster, flow: Flow) -> bool:
    return judge(cluster, flow.source, flow.destination, flow.protocol, flow.port).allowed


def _is_odd(cluster: Cluster, flow: Flow) -> bool:
    ends = (flow.source, flow.destination)
    if flow.source == flow.destination:
        return True
    if any(isinstance(end, IPv6Address) and end.ipv4_mapped for end in ends):
        return True
    node_addresses = {a for node in cluster.nodes.values() for a in node.addresses}
    node_addresses |= {a for pod in cluster.pods for a in pod.host_addresses}
    for end in ends:
        holders = [pod for pod in cluster.pods if end in pod.addresses]
        if end in node_addresses or len(holders) > 1 or any(pod.host_network for pod in holders):
            return True
        for pod in holders:
            names = [port.name for port in pod.ports if port.name]
            if pod.finished or pod.deleting or len(names) > len(set(names)):
                return True
    return False


# -- other readings

_Rules = tuple[NetworkPolicyRule, ...]
_Change = Callable[[_Rules], _Rules]


def _blocks_are_no_pods(cluster: Cluster) -> Cluster:
    """NP-27 the other way: every block without the addresses of pods."""
    pods = [address for pod in cluster.pods for address in pod.addresses]

    def trimmed(peer: NetworkPolicyPeer) -> NetworkPolicyPeer | None:
        """None where nothing is left."""
        block = peer.ip_block
        if block is None:
            return peer
        inside = tuple(ip_network(a) for a in pods if a in block.cidr)
        if block.cidr in inside:
            return None
        return replace(peer, ip_block=replace(block, except_=(*block.except_, *inside)))

    def changed(rules: _Rules) -> _Rules:
        kept = []
        for rule in rules:
            peers = tuple(peer for peer in map(trimmed, rule.peers) if peer is not None)
            if peers or not rule.peers:  # a rule without peers is for everybody
                kept.append(replace(rule, peers=peers))
        return tuple(kept)

    return _with_rules(cluster, changed, changed)


def _without_names_for_all(cluster: Cluster) -> Cluster:
    """NP-36 the other way."""

    def changed(rules: _Rules) -> _Rules:
        kept = []
        for rule in rules:
            ports = tuple(port for port in rule.ports if not isinstance(port.port, str))
            if rule.peers or len(ports) == len(rule.ports):
                kept.append(rule)
            elif ports:
                kept.append(replace(rule, ports=ports))
        return tuple(kept)

    return _with_rules(cluster, lambda rules: rules, changed)


def _with_rules(cluster: Cluster, ingress: _Change, egress: _Change) -> Cluster:
    policies = tuple(
        replace(policy, ingress=ingress(policy.ingress), egress=egress(policy.egress))
        for policy in cluster.policies
    )
    return replace(cluster, policies=policies)


def _reordered(cluster: Cluster) -> Cluster:
    """CNP-9 the other way: of one priority the last name first."""
    last = len(cluster.admin_policies)
    renamed = [
        replace(policy, ref=replace(policy.ref, name=f"{last - number:04}"))
        for number, policy in enumerate(cluster.admin_policies)
    ]
    return replace(cluster, admin_policies=tuple(renamed))


def _asks_baseline(cluster: Cluster, flow: Flow) -> bool:
    """CNP-13: whether Baseline or the default decides of a pod that is isolated the other way."""
    if not any(policy.tier.value == "Baseline" for policy in cluster.admin_policies):
        return False
    said = rulings(cluster, flow.source, flow.destination, flow.protocol, flow.port)
    ends = (
        (said[0], flow.source, PolicyType.INGRESS),
        (said[1], flow.destination, PolicyType.EGRESS),
    )
    return any(
        ruling.tier in ("Baseline", "")
        and any(isolated(cluster, pod, other) for pod in cluster.pods if end in pod.addresses)
        for ruling, end, other in ends
    )
