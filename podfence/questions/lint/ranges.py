"""Findings about blocks in the cluster's range of Service addresses.

Rule: the range comes from ``service-cidrs`` of ``podfence.toml``. Manifests seldom have it, because
the API server picks the address of each Service.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from podfence.policy.flow import AS_WRITTEN
from podfence.policy.index import PolicyIndex
from podfence.questions.describe import peer_path
from podfence.questions.lint.findings import LintFinding
from podfence.sets.addresses import IPNetwork


def service_ranges(index: PolicyIndex, cidrs: Sequence[IPNetwork]) -> Iterator[LintFinding]:
    """PF340 of every block that lies in one of the ranges."""
    for policy in index.cluster.policies if cidrs else ():
        for direction in AS_WRITTEN:
            if direction.policy_type not in policy.policy_types:
                continue
            for number, rule in enumerate(policy.rules_of(direction.policy_type)):
                for at, peer in enumerate(rule.peers):
                    block = peer.ip_block
                    around = None if block is None else _around(block.cidr, cidrs)
                    if block is None or around is None:
                        continue
                    text = (
                        f"{block.cidr} lies in {around}, the range of this cluster's Service "
                        "addresses. Policies are evaluated after the Service address is replaced "
                        "by a pod's. No packet ever has it, so this item allows nothing. Select "
                        "the pods behind the Service."
                    )
                    path = peer_path(direction, number, at)
                    yield LintFinding("PF340", policy.ref, policy.source, path, text)


def _around(block: IPNetwork, cidrs: Sequence[IPNetwork]) -> IPNetwork | None:
    for each in cidrs:
        inside = each.version == block.version and each.prefixlen <= block.prefixlen
        if inside and block.network_address in each:
            return each
    return None
