"""ClusterNetworkPolicy -> tiers: the only module that knows what its rules *mean*.

Rule: what cannot be understood fails closed (CNP-25). The order of rules is decided here, once:
priority, then name, then the order in which they are written (CNP-6, CNP-7, CNP-9).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial

from pyroaring import FrozenBitMap

from podfence.model.clusternetworkpolicy import (
    ClusterNetworkPolicy,
    Peer,
    ProtocolMatch,
    RuleAction,
    Subject,
    TierRule,
)
from podfence.model.objects import Node
from podfence.model.selectors import LabelSelector
from podfence.policy.addressblocks import Block, by_family, volatile
from podfence.policy.domains import DomainTable, resolve
from podfence.policy.flow import Action, Direction
from podfence.policy.index import EVERYONE, Peers
from podfence.policy.namedports import PortName
from podfence.policy.origin import Origin
from podfence.policy.rulecompiler import PolicyRules, ReadRule
from podfence.policy.select import PeerSelector
from podfence.sets import AddressSet, PortSet
from podfence.sets.ports import EVERYTHING, NOTHING

_EVERYTHING_SELECTED = LabelSelector()
_ACTIONS = {
    RuleAction.ACCEPT: Action.ACCEPT,
    RuleAction.DENY: Action.DENY,
    RuleAction.PASS: Action.PASS,
}


def precedence(policy: ClusterNetworkPolicy) -> tuple[int, str, str]:
    """The order in which policies are asked: by priority (CNP-6), then name (CNP-9)."""
    return policy.priority, policy.ref.name, policy.ref.kind


def _subjects(subject: Subject, select: PeerSelector) -> FrozenBitMap:
    """CNP-24: a subject that cannot be read selects nobody."""
    if subject.unknown:
        return FrozenBitMap()
    if subject.namespaces is not None:
        return select.subjects_in(_EVERYTHING_SELECTED, subject.namespaces)
    if subject.pods is None:
        return FrozenBitMap()
    namespaces = subject.pods.namespace_selector or _EVERYTHING_SELECTED  # CNP-15
    return select.subjects_in(subject.pods.pod_selector, namespaces)


class AdminReader:
    """Reads ClusterNetworkPolicies, with the nodes and the domain names of one cluster."""

    def __init__(self, nodes: Mapping[str, Node], names: DomainTable) -> None:
        self._nodes = nodes
        self._names = names

    def selected_by(self, policy: ClusterNetworkPolicy, select: PeerSelector) -> FrozenBitMap:
        """The classes that a policy selects (CNP-5)."""
        return _subjects(policy.subject, select)

    def rules_of(
        self, policy: ClusterNetworkPolicy, selected: FrozenBitMap, direction: Direction
    ) -> PolicyRules | None:
        """What a policy says in a direction, None if it has no rules there (CNP-4)."""
        if not policy.rules_of(direction.policy_type):
            return None
        read = partial(self._read, policy, direction)
        return PolicyRules(
            policy.ref,
            policy.tier.value,
            direction,
            precedence(policy),
            selected,
            read,
            audited=policy.audited,
        )

    def blocks(self, policy: ClusterNetworkPolicy) -> Iterator[Block]:
        """Every set of addresses that its egress peers name."""
        for rule in policy.egress:
            for peer in rule.peers:
                yield from self._blocks(peer)

    def _read(
        self, policy: ClusterNetworkPolicy, direction: Direction, select: PeerSelector
    ) -> Iterator[ReadRule]:
        for at, rule in enumerate(policy.rules_of(direction.policy_type)):
            origin = Origin(policy.ref, f"spec.{direction.value}[{at}]", policy.source)
            if any(p.unknown for p in rule.peers) or any(p.unknown for p in rule.protocols):
                yield _fail_closed(rule, origin)
                continue
            field = f"{origin.path}.{direction.peer_field}"
            peers = (
                (peers, f"{field}[{number}]")
                for number, peer in enumerate(rule.peers)
                for peers in self._peers(rule, peer, select)
            )
            yield ReadRule(_ACTIONS[rule.action], origin, tuple(peers), *rule_ports(rule.protocols))

    def _peers(self, rule: TierRule, peer: Peer, select: PeerSelector) -> Iterator[Peers]:
        """What one item of ``from``/``to`` names (CNP-8)."""
        if peer.namespaces is not None:
            yield _pods(rule, _EVERYTHING_SELECTED, peer.namespaces, select)
        elif peer.pods is not None:
            namespaces = peer.pods.namespace_selector or _EVERYTHING_SELECTED  # CNP-15
            yield _pods(rule, peer.pods.pod_selector, namespaces, select)
        elif peer.domain_names and rule.action is not RuleAction.ACCEPT:
            return  # CNP-19: names are for Accept rules; elsewhere they match nothing
        else:
            for block in self._blocks(peer):
                yield select.block(block)

    def _blocks(self, peer: Peer) -> Iterator[Block]:
        if peer.networks:
            yield from by_family(
                f"networks {sorted(map(str, peer.networks))}", AddressSet.of(peer.networks)
            )
        elif peer.nodes is not None:
            addresses = (
                address
                for node in self._nodes.values()
                if peer.nodes.matches(dict(node.labels))
                for address in node.addresses
            )
            yield from volatile(f"nodes {peer.nodes!r}", addresses)
        elif peer.domain_names:
            names = tuple(sorted(peer.domain_names))
            found = (a for name in names for a in resolve(name, self._names))
            yield from volatile(f"names {[*names]}", found, names)


def _pods(
    rule: TierRule, pods: LabelSelector, namespaces: LabelSelector, select: PeerSelector
) -> Peers:
    """NP-60a: a rule that denies is also about an address that one of the pods may have."""
    found = select.pods_in(pods, namespaces)
    return select.or_doubtful(found) if rule.action is RuleAction.DENY else found


def _fail_closed(rule: TierRule, origin: Origin) -> ReadRule:
    """CNP-25: an Accept rule with an unknown element matches nothing, any other denies all."""
    if rule.action is RuleAction.ACCEPT:
        return ReadRule(Action.ACCEPT, origin, (), NOTHING)
    return ReadRule(Action.DENY, origin, ((EVERYONE, origin.path),), EVERYTHING)


def rule_ports(protocols: Iterable[ProtocolMatch]) -> tuple[PortSet, tuple[PortName, ...]]:
    """The numbers that a rule's ``protocols`` hold, and the names still to be resolved."""
    protocols = tuple(protocols)
    if not protocols:
        return EVERYTHING, ()  # CNP-21
    numbers: list[PortSet] = []
    names: dict[PortName, None] = {}
    for item in protocols:
        if item.named_port:
            names[PortName(item.named_port, "")] = None
        elif item.protocol is None:
            continue  # unknown: the rule has failed closed already
        elif item.port is None:
            numbers.append(PortSet.protocol(item.protocol.value))  # CNP-22
        else:
            numbers.append(PortSet.port(item.protocol.value, item.port, item.end_port))
    return PortSet.union(numbers), tuple(names)
