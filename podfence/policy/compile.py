"""Cluster -> PolicyIndex: classes, then the tiers of each class, shared where they are equal.

Rule: what a rule means is known to ``networkpolicies`` and ``admin``; here is only the order of
tiers (CNP-1). Nothing in this room knows about nftables or about questions.
"""

from __future__ import annotations

from podfence.model.cluster import Cluster
from podfence.model.clusternetworkpolicy import Tier
from podfence.model.objects import IPAddress
from podfence.policy import admin, networkpolicies
from podfence.policy.classes import Classes, classify
from podfence.policy.domains import NO_NAMES, Names
from podfence.policy.flow import Direction
from podfence.policy.index import DirectionPolicy, EndpointClass, EndpointPolicy, PolicyIndex
from podfence.policy.namedports import NamedPorts
from podfence.policy.rulecompiler import RuleCompiler, TierCompiler
from podfence.policy.select import PeerSelector


def compile_cluster(cluster: Cluster, names: Names = NO_NAMES) -> PolicyIndex:
    """The compiled form of a cluster. ``names``: what domain names stand for now (CNP-19)."""
    return _Compiler(cluster, names).compile()


class _Compiler:
    """One compilation."""

    def __init__(self, cluster: Cluster, names: Names) -> None:
        self._cluster = cluster
        self._names = names
        self._classes: Classes = classify(cluster, admin.blocks(cluster, names))
        contested = tuple(self._classes.contested.values())
        select = PeerSelector(
            self._classes.all,
            self._classes.addressless,
            cluster.namespaces,
            self._classes.addresses,
            contested,
        )
        rules = RuleCompiler(NamedPorts(self._classes.all, select.pods, contested))
        policies = admin.by_precedence(cluster.admin_policies)
        by_network = networkpolicies.selected_by(cluster.policies, select)
        by_admin = admin.selected_by(policies, select)
        reader = admin.AdminReader(cluster, names, policies, by_admin, select)
        self._selected = {**by_network, **by_admin}
        self._tiers: dict[Direction, tuple[TierCompiler, ...]] = {
            direction: (
                reader.tier(Tier.ADMIN, direction, rules),
                networkpolicies.isolation_tier(
                    cluster.policies, by_network, direction, select, rules
                ),
                reader.tier(Tier.BASELINE, direction, rules),
            )
            for direction in Direction
        }
        self._unjudged: EndpointPolicy | None = None
        self._directions: dict[tuple[Direction, tuple[int, ...]], DirectionPolicy] = {}

    def compile(self) -> PolicyIndex:
        policies = tuple(map(self._policy, self._classes.all))
        return PolicyIndex(
            cluster=self._cluster,
            classes=self._classes.all,
            policies=policies,
            direction_policies=tuple(self._directions.values()),
            endpoints=self._classes.endpoints,
            by_address=self._classes.by_address,
            contested=self._classes.contested,
            by_node_address=_node_addresses(self._cluster),
            members=self._classes.members,
            selected=self._selected,
            outside_lookup=self._classes.outside,
            names=self._names,
        )

    def _policy(self, subject: EndpointClass) -> EndpointPolicy:
        """Both directions of one class. No policy selects an outside class (NP-1); a cluster with
        many ipBlocks has thousands of these."""
        if subject.outside is not None and self._unjudged is not None:
            return self._unjudged
        found = EndpointPolicy(
            ingress=self._direction(Direction.INGRESS, subject),
            egress=self._direction(Direction.EGRESS, subject),
        )
        if subject.outside is not None:
            self._unjudged = found
        return found

    def _direction(self, direction: Direction, subject: EndpointClass) -> DirectionPolicy:
        """The form shared by all classes to which the same rules apply, tiers in order (CNP-1)."""
        each = (compiler.tier(subject) for compiler in self._tiers[direction])
        tiers = [tier for tier in each if tier is not None]
        numbers = (direction, tuple(tier.number for tier in tiers))
        found = self._directions.get(numbers)
        if found is None:
            key = repr((direction.value, [tier.key for tier in tiers]))
            found = DirectionPolicy(len(self._directions), key, direction, tuple(tiers))
            self._directions[numbers] = found
        return found


def _node_addresses(cluster: Cluster) -> dict[IPAddress, str]:
    """Addresses of nodes, from Node objects and from what pods say of their hosts; a pod on the
    host network says it by its own addresses, too (NP-50)."""
    found: dict[IPAddress, str] = {}
    for pod in cluster.pods:
        if pod.node:
            found.update(dict.fromkeys(pod.host_addresses, pod.node))
            if pod.host_network:
                found.update(dict.fromkeys(pod.addresses, pod.node))
    for node in cluster.nodes.values():
        found.update(dict.fromkeys(node.addresses, node.name))
    return found
