"""NetworkPolicy -> its tier: the only module that knows what its rules *mean*.

Rule: nothing here knows about nftables or about questions; nothing elsewhere reads a peer, a port
or a default of a NetworkPolicy. Work is done once for each distinct policy, peer and class.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace

from podfence.model.cluster import Cluster
from podfence.model.networkpolicy import (
    NetworkPolicy,
    NetworkPolicyPort,
    NetworkPolicyRule,
    PolicyType,
)
from podfence.policy.flow import Action, Direction
from podfence.policy.index import (
    NETWORK_POLICY_TIER,
    CompiledRule,
    EndpointClass,
    Match,
    Peers,
    Tier,
)
from podfence.policy.keyedtier import NO_TIER, KeyedTier, Rules
from podfence.policy.namedports import NamedPorts, PortName, named_number
from podfence.policy.origin import Origin
from podfence.policy.select import EVERYONE, PeerSelector
from podfence.sets import PortSet
from podfence.sets.ports import EVERYTHING, NOTHING

_TYPES = {PolicyType.INGRESS: Direction.INGRESS, PolicyType.EGRESS: Direction.EGRESS}


class NetworkPolicyCompiler:
    """Compiles the NetworkPolicies of one cluster; holds the memos."""

    def __init__(self, cluster: Cluster, select: PeerSelector, ports: NamedPorts) -> None:
        self._policies = cluster.policies
        self._select = select
        self._ports = ports
        self._names = tuple(_ingress_names(policy) for policy in cluster.policies)
        self._ingress: dict[tuple[int, tuple[PortSet, ...]], Rules] = {}
        self._egress: dict[int, Rules] = {}
        self.selected = {
            policy.ref: select.subjects(policy.ref.namespace, policy.pod_selector)
            for policy in cluster.policies
        }
        self._applying = self._apply()

    def _apply(self) -> dict[Direction, dict[int, list[int]]]:
        """NP-5: a policy isolates the classes it selects in each of its directions."""
        found: dict[Direction, dict[int, list[int]]] = {d: defaultdict(list) for d in Direction}
        for number, policy in enumerate(self._policies):
            for policy_type in policy.policy_types:
                by_class = found[_TYPES[policy_type]]
                for endpoint_class in self.selected[policy.ref]:
                    by_class[endpoint_class].append(number)
        return found

    def tier(self, direction: Direction, subject: EndpointClass) -> KeyedTier:
        """NP-7: the union of what all policies permit that select a class, nothing else."""
        numbers = self._applying[direction].get(subject.number)
        if not numbers:
            return NO_TIER
        words: list[str] = []
        rules: list[CompiledRule] = []
        for number in numbers:
            variant, compiled = self._rules(number, direction, subject)
            words.append(f"{self._policies[number].ref}{variant}")
            rules.extend(compiled)
        isolated_by = tuple(
            Origin(p.ref, "spec.podSelector", p.source)
            for p in (self._policies[number] for number in numbers)
        )
        tier = Tier(NETWORK_POLICY_TIER, tuple(rules), Action.DENY, isolated_by)
        return KeyedTier(" ".join(words), tier)

    def _rules(
        self, number: int, direction: Direction, subject: EndpointClass
    ) -> tuple[str, Rules]:
        """How port names were resolved, and the rules; those of egress suit every subject."""
        if direction is Direction.INGRESS:
            return self._ingress_rules(number, subject)
        rules = self._egress.get(number)
        if rules is None:
            rules = self._egress[number] = self._egress_rules(self._policies[number])
        return "", rules

    def _ingress_rules(self, number: int, subject: EndpointClass) -> tuple[str, Rules]:
        """NP-32: port names of ingress rules are resolved on the selected pod."""
        policy, names = self._policies[number], self._names[number]
        numbers = tuple(named_number(subject.named_ports, name) for name in names)
        rules = self._ingress.get((number, numbers))
        if rules is None:
            resolved = dict(zip(names, numbers, strict=True))
            rules = self._ingress[number, numbers] = tuple(
                self._ingress_rule(policy, at, rule, resolved)
                for at, rule in enumerate(policy.ingress)
            )
        variant = "".join(f" {name}={ports}" for name, ports in zip(names, numbers, strict=True))
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
                matches.extend(replace(m, path=peer_path) for m in self._ports.narrow(peers, name))
        return CompiledRule(Action.ACCEPT, tuple(matches), Origin(policy.ref, path, policy.source))

    def _rule_peers(
        self, policy: NetworkPolicy, rule: NetworkPolicyRule, path: str, field: str
    ) -> Iterator[tuple[Peers, str]]:
        """The alternatives of ``from``/``to`` (NP-14), each with its own path."""
        if not rule.peers:
            yield EVERYONE, path  # NP-12
        for at, peer in enumerate(rule.peers):
            yield self._select.peers(policy.ref.namespace, peer), f"{path}.{field}[{at}]"


def _ingress_names(policy: NetworkPolicy) -> tuple[PortName, ...]:
    """Every port name that the ingress rules of a policy use."""
    return tuple(dict.fromkeys(n for rule in policy.ingress for n in rule_ports(rule.ports)[1]))


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
            names[PortName(item.port, item.protocol.value)] = None
    return numbers, tuple(names)
