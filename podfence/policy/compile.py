"""Cluster -> PolicyIndex: the only module that knows what a NetworkPolicy *means*.

Rule: nothing here knows about nftables or about questions; nothing elsewhere resolves a peer, a
named port or a default. Work is done once for each distinct policy, peer and class, never for each
pod.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace

from pyroaring import BitMap, FrozenBitMap

from podfence.model.cluster import Cluster
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import (
    NetworkPolicy,
    NetworkPolicyPort,
    NetworkPolicyRule,
    PolicyType,
)
from podfence.model.objects import ContainerPort, IPAddress
from podfence.policy.classes import Classes, classify
from podfence.policy.flow import Action, Direction
from podfence.policy.index import (
    NETWORK_POLICY_TIER,
    CompiledRule,
    DirectionPolicy,
    EndpointClass,
    EndpointPolicy,
    Match,
    Peers,
    PolicyIndex,
    Tier,
)
from podfence.policy.origin import Origin
from podfence.policy.select import EVERYONE, PeerSelector
from podfence.sets import PortSet
from podfence.sets.ports import EVERYTHING, NOTHING

PortName = tuple[str, str]
"""(container port name, protocol): both must agree with the container's (NP-33)."""


def compile_cluster(cluster: Cluster) -> PolicyIndex:
    """The compiled form of a cluster."""
    return _Compiler(cluster).compile()


def named_number(ports: Iterable[ContainerPort], name: PortName) -> PortSet:
    """Every number that a pod gives to a port name: none, one, or several (NP-33..NP-35)."""
    result = NOTHING
    for port in ports:
        if (port.name, port.protocol.value) == name:
            result |= PortSet.port(port.protocol.value, port.port)
    return result


def rule_ports(ports: Iterable[NetworkPolicyPort]) -> tuple[PortSet, tuple[PortName, ...]]:
    """The numbers that a rule's ``ports`` hold, and the names still to be resolved."""
    ports = tuple(ports)
    if not ports:
        return EVERYTHING, ()  # NP-13
    numbers = NOTHING
    names: dict[PortName, None] = {}
    for item in ports:
        if item.port is None:
            numbers |= PortSet.protocol(item.protocol.value)  # NP-31
        elif isinstance(item.port, int):
            numbers |= PortSet.port(item.protocol.value, item.port, item.end_port)  # NP-37
        else:
            names[item.port, item.protocol.value] = None
    return numbers, tuple(names)


Rules = tuple[CompiledRule, ...]


class _Compiler:
    """Holds the memos of one compilation."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._classes: Classes = classify(cluster)
        self._select = PeerSelector(
            self._classes.all,
            self._classes.addressless,
            cluster.namespaces,
            self._classes.addresses,
        )
        self._narrowed: dict[tuple[str, PortName], tuple[Match, ...]] = {}
        self._names = tuple(_ingress_names(policy) for policy in cluster.policies)
        self._ingress: dict[tuple[int, tuple[PortSet, ...]], Rules] = {}
        self._directions: dict[str, DirectionPolicy] = {}

    def compile(self) -> PolicyIndex:
        selected = {
            policy.ref: self._select.subjects(policy.ref.namespace, policy.pod_selector)
            for policy in self._cluster.policies
        }
        policies = self._endpoint_policies(selected)
        return PolicyIndex(
            cluster=self._cluster,
            classes=self._classes.all,
            policies=policies,
            direction_policies=tuple(self._directions.values()),
            endpoints=self._classes.endpoints,
            by_address=self._classes.by_address,
            by_node_address=_node_addresses(self._cluster),
            members=self._classes.members,
            selected=selected,
            outside_lookup=self._classes.outside,
        )

    # -- which policies apply to a class

    def _endpoint_policies(
        self, selected: dict[ObjectRef, FrozenBitMap]
    ) -> tuple[EndpointPolicy, ...]:
        """NP-5: a policy isolates the classes it selects in each of its directions."""
        ingress: dict[int, list[int]] = defaultdict(list)
        egress: dict[int, list[int]] = defaultdict(list)
        egress_rules: dict[int, Rules] = {}
        for number, policy in enumerate(self._cluster.policies):
            if PolicyType.INGRESS in policy.policy_types:
                for endpoint_class in selected[policy.ref]:
                    ingress[endpoint_class].append(number)
            if PolicyType.EGRESS in policy.policy_types:
                egress_rules[number] = self._egress_rules(policy)
                for endpoint_class in selected[policy.ref]:
                    egress[endpoint_class].append(number)
        return tuple(
            EndpointPolicy(
                ingress=self._direction(
                    Direction.INGRESS,
                    [(n, *self._ingress_rules(n, c)) for n in ingress.get(c.number, ())],
                ),
                egress=self._direction(
                    Direction.EGRESS, [(n, "", egress_rules[n]) for n in egress.get(c.number, ())]
                ),
            )
            for c in self._classes.all
        )

    def _direction(
        self, direction: Direction, parts: list[tuple[int, str, Rules]]
    ) -> DirectionPolicy:
        """The form shared by all classes to which the same rules apply. ``parts``: policy number,
        how its port names were resolved ("" if it has none), its rules."""
        words = [direction.value]
        for number, variant, _ in parts:
            words.append(f"{self._cluster.policies[number].ref}{variant}")
        key = " ".join(words)
        found = self._directions.get(key)
        if found is None:
            tiers = (self._tier(direction, parts),) if parts else ()
            found = DirectionPolicy(len(self._directions), key, direction, tiers)
            self._directions[key] = found
        return found

    def _tier(self, direction: Direction, parts: list[tuple[int, str, Rules]]) -> Tier:
        """NP-7: the union of what all applicable policies permit, nothing else."""
        policies = [self._cluster.policies[number] for number, _, _ in parts]
        return Tier(
            NETWORK_POLICY_TIER,
            tuple(rule for _, _, rules in parts for rule in rules),
            default=Action.DENY,
            isolated_by=tuple(Origin(p.ref, "spec.podSelector", p.source) for p in policies),
        )

    # -- what a policy permits

    def _ingress_rules(self, number: int, subject: EndpointClass) -> tuple[str, Rules]:
        """NP-32: port names of ingress rules are resolved on the selected pod."""
        policy, names = self._cluster.policies[number], self._names[number]
        numbers = tuple(named_number(subject.named_ports, name) for name in names)
        rules = self._ingress.get((number, numbers))
        if rules is None:
            resolved = dict(zip(names, numbers, strict=True))
            rules = self._ingress[number, numbers] = tuple(
                self._ingress_rule(policy, at, rule, resolved)
                for at, rule in enumerate(policy.ingress)
            )
        variant = "".join(
            f" {name}/{protocol}={ports}"
            for (name, protocol), ports in zip(names, numbers, strict=True)
        )
        return variant, rules

    def _ingress_rule(
        self,
        policy: NetworkPolicy,
        at: int,
        rule: NetworkPolicyRule,
        resolved: dict[PortName, PortSet],
    ) -> CompiledRule:
        path = f"spec.ingress[{at}]"
        ports, names = rule_ports(rule.ports)
        for name in names:
            ports |= resolved[name]
        matches = tuple(
            Match(peers, ports, peer_path)
            for peers, peer_path in self._rule_peers(policy, rule, path, "from")
            if ports  # NP-35: nothing left of the port part: the rule matches nothing
        )
        return CompiledRule(Action.ACCEPT, matches, Origin(policy.ref, path, policy.source))

    def _egress_rules(self, policy: NetworkPolicy) -> Rules:
        return tuple(self._egress_rule(policy, at, rule) for at, rule in enumerate(policy.egress))

    def _egress_rule(self, policy: NetworkPolicy, at: int, rule: NetworkPolicyRule) -> CompiledRule:
        """NP-32, NP-36: port names of egress rules are resolved on each destination pod."""
        path = f"spec.egress[{at}]"
        ports, names = rule_ports(rule.ports)
        matches: list[Match] = []
        for peers, peer_path in self._rule_peers(policy, rule, path, "to"):
            if ports:
                matches.append(Match(peers, ports, peer_path))
            for name in names:
                matches.extend(replace(m, path=peer_path) for m in self._narrow(peers, name))
        return CompiledRule(Action.ACCEPT, tuple(matches), Origin(policy.ref, path, policy.source))

    def _rule_peers(
        self, policy: NetworkPolicy, rule: NetworkPolicyRule, path: str, field: str
    ) -> Iterator[tuple[Peers, str]]:
        """The alternatives of ``from``/``to`` (NP-14), each with its own path."""
        if not rule.peers:
            yield EVERYONE, path  # NP-12
        for at, peer in enumerate(rule.peers):
            yield self._select.peers(policy.ref.namespace, peer), f"{path}.{field}[{at}]"

    def _narrow(self, peers: Peers, name: PortName) -> tuple[Match, ...]:
        """One match for each number that peers give to a port name; only pods have names
        (NP-35)."""
        found = self._narrowed.get((peers.key, name))
        if found is None:
            found = self._narrowed[peers.key, name] = tuple(self._by_number(peers, name))
        return found

    def _by_number(self, peers: Peers, name: PortName) -> Iterator[Match]:
        classes = self._select.pods if peers.everyone else peers.classes & self._select.pods
        by_ports: dict[PortSet, BitMap] = defaultdict(BitMap)
        for number in classes:
            ports = named_number(self._classes.all[number].named_ports, name)
            if ports:
                by_ports[ports].add(number)
        for ports, members in by_ports.items():
            key = f"{peers.key} where {name[0]!r}/{name[1]} is {ports}"
            narrowed = Peers(key, classes=FrozenBitMap(members), family=peers.family)
            yield Match(narrowed, ports, "")


def _ingress_names(policy: NetworkPolicy) -> tuple[PortName, ...]:
    """Every port name that the ingress rules of a policy use."""
    return tuple(dict.fromkeys(n for rule in policy.ingress for n in rule_ports(rule.ports)[1]))


def _node_addresses(cluster: Cluster) -> dict[IPAddress, str]:
    """Addresses of nodes, from Node objects and from what pods say of their hosts."""
    found: dict[IPAddress, str] = {}
    for pod in cluster.pods:
        if pod.node:
            found.update(dict.fromkeys(pod.host_addresses, pod.node))
    for node in cluster.nodes.values():
        found.update(dict.fromkeys(node.addresses, node.name))
    return found
