"""Notes about egress rules that allow more outside the cluster than they seem to.

Rule: an ipBlock matches addresses, whatever has them: pods, nodes, services of the cloud (NP-27).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_address, ip_network

from pyroaring import BitMap

from podfence.engine.connections import end_ports
from podfence.model.networkpolicy import NetworkPolicyPeer, NetworkPolicyRule
from podfence.policy.addressblocks import ip_block
from podfence.policy.flow import AS_WRITTEN, Direction
from podfence.policy.index import Endpoint, Everyone, PodPeers, PolicyIndex
from podfence.policy.networkpolicies import rule_ports
from podfence.questions.describe import peer_path
from podfence.questions.lint.findings import LintFinding
from podfence.questions.lint.note import LintedPolicy, Note, pod_spec, rule_path
from podfence.questions.phrases import words
from podfence.sets import AddressSet, PortSet
from podfence.sets.addresses import IPNetwork

_SHOWN = 3
_DNS = 53
_DNS_PORTS = PortSet.union([PortSet.port("UDP", _DNS), PortSet.port("TCP", _DNS)])
METADATA = {
    ip_address("169.254.169.254"): "of most clouds",
    ip_address("fd00:ec2::254"): "of AWS over IPv6",
    ip_address("168.63.129.16"): "of Azure",
}
_METADATA_PORT = ("TCP", 80)
_PRIVATE = AddressSet.of(
    map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"))
)
_COMPARED = 2_000


def _egress(case: LintedPolicy) -> Iterator[tuple[int, NetworkPolicyRule]]:
    for direction, number, rule in case.rules:
        if direction is Direction.EGRESS:
            yield number, rule


def _catch_alls(rule: NetworkPolicyRule) -> Iterator[tuple[int, NetworkPolicyPeer]]:
    for at, peer in enumerate(rule.peers):
        if peer.ip_block is not None and peer.ip_block.cidr.prefixlen == 0:
            yield at, peer


def internet(case: LintedPolicy) -> Iterator[Note]:
    """PF341: a catch-all reaches pods of other namespaces that no other rule allows (NP-27)."""
    for number, rule in _egress(case):
        for at, peer in _catch_alls(rule):
            if peer.ip_block is None or _excepts_private(peer):
                continue
            others = _reached_by_block_alone(case, peer)
            if not others:
                continue
            spaces = {end.pod.namespace for end in others}
            where = words.count(len(spaces), "other namespace")
            who = case.matched.names(others, _SHOWN)
            text = (
                f"{peer.ip_block.cidr} is not only the internet: it also lets these pods reach "
                f"{words.count(len(others), 'pod')} of {where} ({who}), which no other rule "
                "allows. Exclude the addresses of pods with except. Some network plugins never "
                "match pods by an ipBlock; with those nothing changes."
            )
            yield Note("PF341", text, peer_path(Direction.EGRESS, number, at))
            break


def _excepts_private(peer: NetworkPolicyPeer) -> bool:
    """Whether private addresses are excluded, which usually include those of pods."""
    block = peer.ip_block
    return block is not None and bool(AddressSet.of(block.except_) & _PRIVATE)


def _reached_by_block_alone(case: LintedPolicy, peer: NetworkPolicyPeer) -> list[Endpoint]:
    """Pods of other namespaces in the block that no rule for these pods means by a selector."""
    inside = [
        end
        for end in case.matched.peers(case.namespace, peer)
        if end.pod.namespace != case.namespace
    ]
    if not inside or not case.subjects:
        return []
    policies = (case.index.policies[end.endpoint_class].egress for end in case.subjects)
    meant = BitMap()
    for policy in {policy.number: policy for policy in policies}.values():
        for match in (m for tier in policy.tiers for rule in tier.rules for m in rule.matches):
            if isinstance(match.peers, Everyone):
                return []
            if isinstance(match.peers, PodPeers):
                meant |= match.peers.classes
    return [end for end in inside if end.endpoint_class not in meant]


def metadata(case: LintedPolicy) -> Iterator[Note]:
    """PF353: the address from which pods of a cloud get credentials."""
    for number, rule in _egress(case):
        numbers, _ = rule_ports(rule.ports)
        if _METADATA_PORT not in numbers:
            continue
        for at, peer in enumerate(rule.peers):
            block = peer.ip_block
            if block is None:
                continue
            addresses = ip_block(block).addresses
            hit = [address for address in METADATA if address in addresses]
            if not hit or block.cidr.num_addresses == 1:
                continue  # a single address is meant
            exact = [f"{address}/{address.max_prefixlen}" for address in hit]
            text = (
                f"{block.cidr} contains {words.listed([str(a) for a in hit])}, the metadata "
                f"service {METADATA[hit[0]]}. Every pod that reaches it can get the credentials "
                f"of its machine. Exclude it: except: [{', '.join(exact)}]."
            )
            yield Note("PF353", text, peer_path(Direction.EGRESS, number, at))
            break


def everything_outside(case: LintedPolicy) -> Iterator[Note]:
    """PF354: an egress rule for all ports of all addresses outside."""
    for number, rule in _egress(case):
        blocks = [peer.ip_block for _, peer in _catch_alls(rule) if peer.ip_block]
        whole = [block.cidr.version for block in blocks]
        if rule.ports or not whole:
            continue
        versions = words.listed([f"IPv{version}" for version in sorted(set(whole))])
        text = (
            f"Every port of every {versions} address outside the cluster is allowed, apart from "
            "those in except; at most connections to pods stay denied. Name the ports that are "
            "needed."
        )
        yield Note("PF354", text, rule_path(Direction.EGRESS, number))


def dns_anywhere(case: LintedPolicy) -> Iterator[Note]:
    """PF335: port 53 of every address, for pods that otherwise reach no address outside."""
    for number, rule in _egress(case):
        numbers, names = rule_ports(rule.ports)
        if not numbers or names or not numbers <= _DNS_PORTS:
            continue
        if rule.peers and not any(_catch_alls(rule)):
            continue
        if any(
            pod_spec(case.written.raw(e.pod.source)).get("dnsPolicy") == "Default"
            for e in case.subjects
        ):
            continue
        if case.subjects and not _reaches_outside_otherwise(case):
            text = (
                "Port 53 of every address is the only way out of the cluster for these pods, and "
                "DNS tunnels use it. Allow only the pods of the cluster's DNS, such as "
                "k8s-app=kube-dns in namespace kube-system."
            )
            yield Note("PF335", text, rule_path(Direction.EGRESS, number))


def _reaches_outside_otherwise(case: LintedPolicy) -> bool:
    subjects = {end.endpoint_class for end in case.subjects}
    outside = [c for c in case.index.classes if c.outside is not None]
    if len(subjects) * len(outside) > _COMPARED:
        return True
    return any(
        (end_ports(case.index, subject, Direction.EGRESS, remote.number, family) - _DNS_PORTS)
        for subject in subjects
        for remote in outside
        for family in (4, 6)
        if remote.outside is not None and remote.outside.family(family)
    )


# -- Findings about blocks in the cluster's range of Service addresses
# Rule: the range comes from ``service-cidrs`` of ``podfence.toml``. Manifests seldom have it,
# because the API server picks the address of each Service.


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
