"""Cluster -> PolicyIndex: classes, then the tiers of each class, shared where they are equal.

Rule: what a rule means is known to ``networkpolicies`` and ``admin``; here is only the order of
tiers (CNP-1). Nothing in this room knows about nftables or about questions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from pyroaring import FrozenBitMap

from podfence.model.cluster import Cluster, Policy
from podfence.model.clusternetworkpolicy import Tier
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import NetworkPolicy
from podfence.model.objects import Node, Pod
from podfence.policy import networkpolicies
from podfence.policy.admin import AdminReader
from podfence.policy.classes import Classes, classify
from podfence.policy.domains import NO_NAMES, DomainTable
from podfence.policy.flow import DIRECTIONS, Action, Direction
from podfence.policy.index import (
    NETWORK_POLICY_TIER,
    DirectionPolicy,
    EndpointClass,
    EndpointPolicy,
    PolicyIndex,
)
from podfence.policy.namedports import ClassPorts
from podfence.policy.rulecompiler import Numbers, PolicyRules, RuleCompiler, TierCompiler
from podfence.policy.select import ClassSelector, PeerSelector
from podfence.sets.addresses import IPAddress

TIERS = (
    (Tier.ADMIN.value, Action.PASS),
    (NETWORK_POLICY_TIER, Action.DENY),
    (Tier.BASELINE.value, Action.PASS),
)
"""In the order in which they are asked (CNP-1), with what each says when no rule of it fits."""


def compile_cluster(
    cluster: Cluster, names: DomainTable = NO_NAMES, pods: Iterable[Pod] | None = None
) -> PolicyIndex:
    """The compiled form of a cluster. ``names``: what domain names stand for now (CNP-19).

    ``pods``: those that become endpoints, None for all. Without the others rules lose peers, so
    only verdicts between these pods, or between one of them and an address that no pod has, are
    those of the whole cluster. They must be all that have one of their addresses.
    """
    reader = AdminReader(cluster.nodes, names)
    blocks = (block for policy in cluster.admin_policies for block in reader.blocks(policy))
    classes = classify(cluster, blocks, cluster.pods if pods is None else pods)
    rules = rule_compiler(classes, cluster, Numbers())
    selected: dict[ObjectRef, FrozenBitMap] = {}
    said: list[PolicyRules] = []
    policies: Iterable[Policy] = chain(cluster.policies, cluster.admin_policies)
    for policy in policies:
        selected[policy.ref], found = read_policy(policy, rules.select, reader)
        said += found
    tiers = Tiers.of(said, rules.numbers)
    both = tuple([tiers.policy(subject, rules) for subject in classes.all])
    of_nodes, further = node_addresses(cluster)
    return PolicyIndex(
        cluster=cluster,
        classes=classes.all,
        policies=both,
        endpoints=classes.endpoints,
        by_address=classes.by_address,
        contested=classes.contested,
        by_node_address=of_nodes,
        members=classes.members,
        selected=selected,
        outside_lookup=classes.outside,
        names=names,
        shared_node_addresses=further,
    )


def audit_of(index: PolicyIndex) -> PolicyIndex | None:
    """The same cluster with its audited policies enforced (AUD-3); None: it has none."""
    if not index.cluster.audited:
        return None
    return compile_cluster(index.cluster.with_audited(), index.names)


def rule_compiler(classes: Classes, cluster: Cluster, numbers: Numbers) -> RuleCompiler:
    """What compiles the rules of a cluster, for a table of classes."""
    contested = tuple(classes.contested.values())
    select = ClassSelector(
        classes.all, classes.addressless, cluster.namespaces, classes.addresses, contested
    )
    return RuleCompiler(select, ClassPorts(classes.all, select.pods, contested), numbers)


def read_policy(
    policy: Policy, select: PeerSelector, reader: AdminReader
) -> tuple[FrozenBitMap, tuple[PolicyRules, ...]]:
    """The classes that a policy selects, and what it says in each direction that it has."""
    if isinstance(policy, NetworkPolicy):
        selected = networkpolicies.selected_by(policy, select)
        said = [networkpolicies.rules_of(policy, selected, d) for d in DIRECTIONS]
    else:
        selected = reader.selected_by(policy, select)
        said = [reader.rules_of(policy, selected, d) for d in DIRECTIONS]
    return selected, tuple(rules for rules in said if rules is not None)


class Tiers:
    """The tiers of every class, in order (CNP-1), and what classes share of them."""

    def __init__(
        self,
        compilers: Mapping[Direction, tuple[TierCompiler, ...]],
        shared: dict[tuple[Direction, tuple[int, ...]], DirectionPolicy],
        *,
        audited: bool = False,
    ) -> None:
        """``audited``: audited policies are among them."""
        self.compilers = compilers
        self.shared = shared
        self.audited = audited

    @classmethod
    def of(cls, policies: Iterable[PolicyRules], numbers: Numbers) -> Tiers:
        """The tiers of these policies."""
        said: dict[tuple[Direction, str], list[PolicyRules]] = {}
        for policy in policies:
            said.setdefault((policy.direction, policy.tier), []).append(policy)
        compilers = {
            direction: tuple(
                TierCompiler.of(name, default, said.get((direction, name), ()), numbers)
                for name, default in TIERS
            )
            for direction in DIRECTIONS
        }
        return cls(compilers, {})

    def policy(self, subject: EndpointClass, rules: RuleCompiler) -> EndpointPolicy:
        """Both directions of one class. No policy selects an outside class (NP-1)."""
        return EndpointPolicy(
            ingress=self.direction(Direction.INGRESS, subject, rules),
            egress=self.direction(Direction.EGRESS, subject, rules),
        )

    def direction(
        self, direction: Direction, subject: EndpointClass, rules: RuleCompiler
    ) -> DirectionPolicy:
        """The form shared by all classes to which the same rules apply, tiers in order."""
        each = (compiler.tier(subject, rules) for compiler in self.compilers[direction])
        tiers = [tier for tier in each if tier is not None]
        numbers = (direction, tuple(tier.number for tier in tiers))
        found = self.shared.get(numbers)
        if found is None:
            key = repr((direction.value, [tier.key for tier in tiers]))
            number = next(rules.numbers.directions)
            found = DirectionPolicy(number, key, direction, tuple(tiers), self.audited)
            self.shared[numbers] = found
        return found


def node_addresses(
    cluster: Cluster,
) -> tuple[dict[IPAddress, str], dict[IPAddress, frozenset[str]]]:
    """Addresses of nodes, from Node objects and from what pods say of their hosts (NP-50); and the
    further nodes of each."""
    told = {pair for pod in cluster.pods for pair in told_by_pod(pod)}
    found = addresses_of_nodes(told, cluster.nodes)
    return found, further_nodes(told, cluster.nodes, found)


def addresses_of_nodes(
    told: Iterable[tuple[IPAddress, str]], nodes: Mapping[str, Node]
) -> dict[IPAddress, str]:
    """Node objects know better than pods, and where two names are told, the first by name is meant:
    an order of the input must not decide. The addresses of a node that only pods tell are in the
    order of their numbers, IPv4 first."""
    found = dict(sorted(sorted(told, key=_by_number), key=_by_name, reverse=True))
    found.update(sorted(_declared(nodes), key=_by_name, reverse=True))
    return found


def further_nodes(
    told: Iterable[tuple[IPAddress, str]],
    nodes: Mapping[str, Node],
    found: Mapping[IPAddress, str],
) -> dict[IPAddress, frozenset[str]]:
    """The nodes that have an address beside the one that is meant by it: of a virtual address
    that moves between nodes each may be the pod's own (NP-52)."""
    further: dict[IPAddress, set[str]] = {}
    for address, name in chain(told, _declared(nodes)):
        if found[address] != name:
            further.setdefault(address, set()).add(name)
    return {address: frozenset(names) for address, names in further.items()}


def _declared(nodes: Mapping[str, Node]) -> Iterator[tuple[IPAddress, str]]:
    return ((address, node.name) for node in nodes.values() for address in node.addresses)


def told_by_pod(pod: Pod) -> Iterator[tuple[IPAddress, str]]:
    """Addresses of its node; a pod on the host network tells them by its own, too (NP-50)."""
    if pod.node:
        for address in (*pod.host_addresses, *(pod.addresses if pod.host_network else ())):
            yield address, pod.node


def _by_name(told: tuple[IPAddress, str]) -> str:
    return told[1]


def _by_number(told: tuple[IPAddress, str]) -> tuple[int, int]:
    return told[0].version, int(told[0])
