"""ClusterNetworkPolicy -> tiers: the only module that knows what its rules *mean*.

Rule: what cannot be understood fails closed (CNP-25). The order of rules is decided here, once:
priority, then name, then the order in which they are written (CNP-6, CNP-7, CNP-9).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace

from pyroaring import FrozenBitMap

from podfence.model.cluster import Cluster
from podfence.model.clusternetworkpolicy import (
    ClusterNetworkPolicy,
    Peer,
    ProtocolMatch,
    Rule,
    RuleAction,
    Subject,
)
from podfence.model.clusternetworkpolicy import Tier as TierName
from podfence.model.selectors import LabelSelector
from podfence.policy.addressblocks import Block, by_family, moving
from podfence.policy.domains import Names, resolve
from podfence.policy.flow import Action, Direction
from podfence.policy.index import CompiledRule, EndpointClass, Match, Peers, Tier
from podfence.policy.keyedtier import NO_TIER, KeyedTier, Rules
from podfence.policy.namedports import NamedPorts, PortName, named_number
from podfence.policy.origin import Origin
from podfence.policy.select import EVERYONE, PeerSelector
from podfence.sets import AddressSet, PortSet
from podfence.sets.ports import EVERYTHING, NOTHING

_EVERYTHING_SELECTED = LabelSelector()
_ACTIONS = {
    RuleAction.ACCEPT: Action.ACCEPT,
    RuleAction.DENY: Action.DENY,
    RuleAction.PASS: Action.PASS,
}


def admin_blocks(cluster: Cluster, names: Names) -> Iterator[Block]:
    """Every set of addresses that egress peers name."""
    for policy in cluster.admin_policies:
        for rule in policy.egress:
            for peer in rule.peers:
                yield from _blocks(cluster, peer, names)


def _blocks(cluster: Cluster, peer: Peer, names: Names) -> Iterator[Block]:
    if peer.networks:
        yield from by_family(f"networks {sorted(map(str, peer.networks))}", _networks(peer))
    elif peer.nodes is not None:
        addresses = (
            address
            for node in cluster.nodes.values()
            if peer.nodes.matches(dict(node.labels))
            for address in node.addresses
        )
        yield from moving(f"nodes {peer.nodes!r}", addresses)
    elif peer.domain_names:
        found = (a for name in peer.domain_names for a in resolve(name, names))
        yield from moving(f"names {sorted(peer.domain_names)}", found)


def _networks(peer: Peer) -> AddressSet:
    return AddressSet.of(peer.networks)


class AdminCompiler:
    """Compiles the ClusterNetworkPolicies of one cluster; holds the memos."""

    def __init__(
        self, cluster: Cluster, names: Names, select: PeerSelector, ports: NamedPorts
    ) -> None:
        self._cluster = cluster
        self._names = names
        self._select = select
        self._ports = ports
        self._ordered = sorted(
            cluster.admin_policies, key=lambda p: (p.priority, p.ref.name, p.ref.kind)
        )
        self._rules: dict[tuple[int, Direction, tuple[PortSet, ...]], Rules] = {}
        self._applying: dict[tuple[TierName, Direction], dict[int, list[int]]] = {}
        self.selected = {p.ref: self._subjects(p.subject) for p in self._ordered}
        self._apply()

    def _apply(self) -> None:
        for tier in TierName:
            for direction in Direction:
                by_class: dict[int, list[int]] = defaultdict(list)
                for number, policy in enumerate(self._ordered):
                    if policy.tier is tier and _rules_of(policy, direction):  # CNP-4
                        for endpoint_class in self.selected[policy.ref]:
                            by_class[endpoint_class].append(number)
                self._applying[tier, direction] = by_class

    def _subjects(self, subject: Subject) -> FrozenBitMap:
        """CNP-5; a subject that cannot be read selects nobody."""
        if subject.unknown:
            return FrozenBitMap()
        if subject.namespaces is not None:
            return self._select.subjects_in(_EVERYTHING_SELECTED, subject.namespaces)
        if subject.pods is None:
            return FrozenBitMap()
        namespaces = subject.pods.namespace_selector or _EVERYTHING_SELECTED
        return self._select.subjects_in(subject.pods.pod_selector, namespaces)

    def tier(self, name: TierName, direction: Direction, subject: EndpointClass) -> KeyedTier:
        """The rules of one tier that apply to a class, in the order in which they are asked."""
        numbers = self._applying[name, direction].get(subject.number)
        if not numbers:
            return NO_TIER
        words = [name.value]
        rules: list[CompiledRule] = []
        for number in numbers:
            policy = self._ordered[number]
            resolved = self._resolved(policy, direction, subject)
            variant = "".join(f" {name}={ports}" for name, ports in resolved.items())
            words.append(f"{policy.ref.kind}/{policy.ref.name}{variant}")
            rules.extend(self._compiled(number, direction, resolved))
        return KeyedTier(" ".join(words), Tier(name.value, tuple(rules), Action.PASS))

    def _resolved(
        self, policy: ClusterNetworkPolicy, direction: Direction, subject: EndpointClass
    ) -> dict[PortName, PortSet]:
        """Port names of ingress rules, resolved on the subject."""
        if direction is Direction.EGRESS:
            return {}
        names = (n for rule in policy.ingress for n in _rule_ports(rule.protocols)[1])
        return {name: named_number(subject.named_ports, name) for name in dict.fromkeys(names)}

    def _compiled(
        self, number: int, direction: Direction, resolved: dict[PortName, PortSet]
    ) -> Rules:
        key = (number, direction, tuple(resolved.values()))
        found = self._rules.get(key)
        if found is None:
            policy = self._ordered[number]
            found = self._rules[key] = tuple(
                self._rule(policy, direction, at, rule, resolved)
                for at, rule in enumerate(_rules_of(policy, direction))
            )
        return found

    def _rule(
        self,
        policy: ClusterNetworkPolicy,
        direction: Direction,
        at: int,
        rule: Rule,
        resolved: dict[PortName, PortSet],
    ) -> CompiledRule:
        path = f"spec.{direction.value}[{at}]"
        origin = Origin(policy.ref, path, policy.source)
        if any(p.unknown for p in rule.peers) or any(p.unknown for p in rule.protocols):
            return _fail_closed(rule, origin)
        ports, names = _rule_ports(rule.protocols)
        if direction is Direction.INGRESS:
            for name in names:
                ports |= resolved[name]
            names = ()
        matches: list[Match] = []
        for peers, peer_path in self._peers(rule, direction, path):
            for name in names:
                narrowed = self._ports.narrow(peers, name)
                matches.extend(replace(m, path=peer_path) for m in narrowed)
            if ports:
                matches.append(Match(peers, ports, peer_path))
        return CompiledRule(_ACTIONS[rule.action], tuple(matches), origin)

    def _peers(self, rule: Rule, direction: Direction, path: str) -> Iterator[tuple[Peers, str]]:
        """The alternatives of ``from``/``to`` (CNP-8)."""
        field = "from" if direction is Direction.INGRESS else "to"
        for at, peer in enumerate(rule.peers):
            for peers in self._peer(rule, peer):
                yield peers, f"{path}.{field}[{at}]"

    def _peer(self, rule: Rule, peer: Peer) -> Iterator[Peers]:
        if peer.namespaces is not None:
            yield self._select.pods_in(_EVERYTHING_SELECTED, peer.namespaces)
        elif peer.pods is not None:
            namespaces = peer.pods.namespace_selector or _EVERYTHING_SELECTED  # CNP-15
            yield self._select.pods_in(peer.pods.pod_selector, namespaces)
        elif peer.domain_names and rule.action is not RuleAction.ACCEPT:
            return  # CNP-19: names are for Accept rules; elsewhere they match nothing
        else:
            for block in _blocks(self._cluster, peer, self._names):
                yield self._select.block(block)


def _rules_of(policy: ClusterNetworkPolicy, direction: Direction) -> tuple[Rule, ...]:
    return policy.ingress if direction is Direction.INGRESS else policy.egress


def _fail_closed(rule: Rule, origin: Origin) -> CompiledRule:
    """CNP-25: an Accept rule with an unknown element matches nothing, any other denies all."""
    if rule.action is RuleAction.ACCEPT:
        return CompiledRule(Action.ACCEPT, (), origin)
    return CompiledRule(Action.DENY, (Match(EVERYONE, EVERYTHING, origin.path),), origin)


def _rule_ports(protocols: Iterable[ProtocolMatch]) -> tuple[PortSet, tuple[PortName, ...]]:
    """The numbers that a rule's ``protocols`` hold, and the names still to be resolved."""
    protocols = tuple(protocols)
    if not protocols:
        return EVERYTHING, ()  # CNP-21
    numbers = NOTHING
    names: dict[PortName, None] = {}
    for item in protocols:
        if item.named_port:
            names[PortName(item.named_port, "")] = None
        elif item.protocol is None:
            continue  # unknown: the rule has failed closed already
        elif item.port is None:
            numbers |= PortSet.protocol(item.protocol.value)  # CNP-22
        else:
            numbers |= PortSet.port(item.protocol.value, item.port, item.end_port)
    return numbers, tuple(names)
