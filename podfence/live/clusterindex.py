"""ClusterIndex: a whole cluster, compiled, and followed from event to event.

Rule: its ``index`` says what ``compile_cluster`` says of the same objects. What a rule means is
known to those compilers alone. A state never changes: events make another state, which shares all
that they do not touch. ``docs/design/live.md`` explains how.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from pyroaring import BitMap, FrozenBitMap

from podfence.live.clusterclasses import ClassTable, PodChange, TableChange
from podfence.live.clustercuts import Cuts, NeededCuts, read_ip_block
from podfence.live.clusterevents import ClusterEvent, changes, known_of
from podfence.live.clusterobjects import ChangedObjects, ClusterObjects
from podfence.live.clusterselect import ClusterSelector, Scoped, SelectorChange
from podfence.live.clusterstep import empty_table, next_table
from podfence.live.clustertiers import ClusterTiers, CompiledTierPolicy, Readers
from podfence.model.cluster import Cluster, Policy
from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import NetworkPolicy
from podfence.model.objects import Node, Pod
from podfence.model.selectors import LabelSelector
from podfence.policy.admin import AdminReader
from podfence.policy.classes import asked_keys, ip_blocks_of
from podfence.policy.compile import addresses_of_nodes, further_nodes, read_policy, told_by_pod
from podfence.policy.domains import NO_NAMES, DomainTable
from podfence.policy.flow import Direction
from podfence.policy.index import EndpointPolicy, PolicyIndex
from podfence.policy.namedports import ClassPorts
from podfence.policy.rulecompiler import Numbers, PolicyCompiler, RuleCompiler
from podfence.sets.addresses import IPAddress

_NOTHING: Mapping[Any, Any] = MappingProxyType({})


class Affected(Struct, frozen=True):
    """What a reader of the state before can no longer rely on, by numbers of classes.

    The ports from a source to a destination are as before unless the source is in ``egress``, the
    destination is in ``ingress``, or one of them is in ``classes``: those are other classes than
    before.

    All of this is about classes. A pod may have moved from one class to another, and the indexes
    hold what is known of single pods (their addresses and their node: NP-52, NP-54).
    """

    ingress: FrozenBitMap = FrozenBitMap()
    egress: FrozenBitMap = FrozenBitMap()
    classes: FrozenBitMap = FrozenBitMap()

    def __bool__(self) -> bool:
        return bool(self.ingress or self.egress or self.classes)


class ClusterIndex(Struct, frozen=True, eq=False):
    """``index`` is the compiled cluster. The other fields are what the next state is made from."""

    index: PolicyIndex
    objects: ClusterObjects
    table: ClassTable
    said: Mapping[ObjectRef, CompiledTierPolicy]
    tiers: ClusterTiers
    readers: Readers
    rules: RuleCompiler
    select: ClusterSelector
    nodes: NodeAddresses

    @classmethod
    def of(cls, cluster: Cluster, names: DomainTable = NO_NAMES) -> ClusterIndex:
        """The state of a cluster. ``names``: what domain names stand for (CNP-19)."""
        known = known_of(cluster)
        events = (ClusterEvent(ref, each.thing, each.doubts) for ref, each in known.items())
        return cls.empty(names).apply(events)[0]

    @classmethod
    def empty(cls, names: DomainTable = NO_NAMES) -> ClusterIndex:
        """The state of a cluster that holds nothing yet."""
        objects, table, tiers = ClusterObjects(), empty_table(), ClusterTiers.empty()
        select = ClusterSelector(table, objects.cluster.namespaces)
        rules = _rules(select, table, Numbers())
        index = PolicyIndex(
            cluster=objects.cluster,
            classes=table.classes,
            policies=tuple(tiers.policy(c, rules) for c in table.classes),
            endpoints=table.endpoints,
            by_address=table.by_address,
            contested=table.contested,
            by_node_address=_NOTHING,
            members=table.members,
            selected=_NOTHING,
            outside_lookup=table.lookup,
            names=names,
        )
        return cls(
            index, objects, table, _NOTHING, tiers, Readers(), rules, select, NodeAddresses()
        )

    def to(self, cluster: Cluster) -> tuple[ClusterIndex, Affected]:
        """The state of another cluster, by way of what differs."""
        return self.apply(changes(self.objects.known, cluster))

    def apply(self, events: Iterable[ClusterEvent]) -> tuple[ClusterIndex, Affected]:
        """The state after these events; of several about one object the last counts."""
        objects, changed = self.objects.after(events)
        if objects is self.objects:
            return self, Affected()
        return _IndexStep(self, objects, changed).run()


def _rules(select: ClusterSelector, table: ClassTable, numbers: Numbers) -> RuleCompiler:
    ports = ClassPorts(table.classes, select.pods, table.contested.values())
    return RuleCompiler(select, ports, numbers)


class _IndexStep:
    """From one state to the next."""

    def __init__(self, old: ClusterIndex, objects: ClusterObjects, changed: ChangedObjects) -> None:
        self._old = old
        self._objects = objects
        self._changed = changed
        self._reader = AdminReader(objects.cluster.nodes, old.index.names)

    def run(self) -> tuple[ClusterIndex, Affected]:
        old, cluster = self._old, self._objects.cluster
        policies = self._policies()
        wanted = {ref: self._wanted(now) for ref, now in policies.items() if now is not None}
        pods = self._changed.of(Pod)
        table, of_table = next_table(old.table, self._cuts(policies, wanted), pods)
        select, rules, of_select = self._selecting(table, of_table)
        edited = [
            (old.said.get(ref), None if now is None else self._read(now, wanted[ref], rules))
            for ref, now in policies.items()
        ]
        compared = (*edited, *self._others(policies, of_table, of_select, rules))
        said, selected = self._said(compared)
        tiers, told = old.tiers.after(compared, of_table.died)
        touched = of_table.touched | of_select.namespaces
        retold = told | of_table.touched
        compiled = self._compiled(table, tiers, rules, retold)
        replaced = (before for before, _ in compared if before is not None)
        gone = [each for before in replaced for each in _unused(before, said)]
        readers = old.readers.after(gone, tiers.compilers(retold))
        changed = bool(self._changed.of(Node))
        nodes = old.nodes.after(pods, cluster.nodes, changed=changed)
        index = PolicyIndex(
            cluster=cluster,
            classes=table.classes,
            policies=compiled,
            endpoints=table.endpoints,
            by_address=table.by_address,
            contested=table.contested,
            by_node_address=nodes.found,
            members=table.members,
            selected=selected,
            outside_lookup=table.lookup,
            names=old.index.names,
            shared_node_addresses=nodes.further,
        )
        tiers = tiers.pruned(table.classes, compiled, rules)
        new = ClusterIndex(index, self._objects, table, said, tiers, readers, rules, select, nodes)
        return new, Affected(
            _subjects(edited, Direction.INGRESS),
            _subjects(edited, Direction.EGRESS),
            FrozenBitMap(touched),
        )

    def _selecting(
        self, table: ClassTable, of_table: TableChange
    ) -> tuple[ClusterSelector, RuleCompiler, SelectorChange]:
        """What selects pods now, and compiles rules."""
        old, changed = self._old, self._changed.namespaces
        if not changed and _selects_alike(old.table, table, of_table):
            return old.select, old.rules, SelectorChange()
        namespaces = self._objects.cluster.namespaces
        select, of_select = old.select.after(table, of_table, namespaces, changed)
        return select, _rules(select, table, old.rules.numbers), of_select

    def _said(
        self, compared: Sequence[tuple[CompiledTierPolicy | None, CompiledTierPolicy | None]]
    ) -> tuple[Mapping[ObjectRef, CompiledTierPolicy], Mapping[ObjectRef, FrozenBitMap]]:
        """All policies, and the classes that each selects. ``compared``: those that are others,
        before and after."""
        if not compared:
            return self._old.said, self._old.index.selected
        said, selected = dict(self._old.said), dict(self._old.index.selected)
        for before, after in compared:
            if after is not None:
                said[after.policy.ref], selected[after.policy.ref] = after, after.selected
            elif before is not None:
                del said[before.policy.ref], selected[before.policy.ref]
        return said, selected

    def _compiled(
        self, table: ClassTable, tiers: ClusterTiers, rules: RuleCompiler, retold: FrozenBitMap
    ) -> tuple[EndpointPolicy, ...]:
        """The policies of each class; those of ``retold`` are worked out."""
        found: list[Any] = [*self._old.index.policies]
        found += [None] * (len(table.classes) - len(found))  # numbers of now: all of them retold
        for number in retold:
            found[number] = tiers.policy(table.classes[number], rules)
        return tuple(found)

    # -- which policies are not as before

    def _policies(self) -> dict[ObjectRef, Policy | None]:
        """Policies that are others now, and those that name nodes, if nodes are others."""
        found: dict[ObjectRef, Policy | None] = {}
        pairs: Iterable[tuple[Policy | None, Policy | None]]
        pairs = chain(self._changed.of(NetworkPolicy), self._changed.of(ClusterNetworkPolicy))
        for before, now in pairs:
            policy = now or before
            assert policy is not None
            found[policy.ref] = now
        if self._changed.of(Node):
            for policy in self._objects.cluster.admin_policies:
                if any(peer.nodes is not None for rule in policy.egress for peer in rule.peers):
                    found[policy.ref] = policy
        return found

    def _cuts(
        self, policies: Mapping[ObjectRef, Policy | None], wanted: Mapping[ObjectRef, NeededCuts]
    ) -> Cuts:
        said = self._old.said
        gone = [said[ref].wanted for ref in policies if ref in said]
        return self._old.table.cuts.after(gone, wanted.values())

    def _wanted(self, policy: Policy) -> NeededCuts:
        keys = tuple(set(asked_keys(policy)))
        if isinstance(policy, NetworkPolicy):
            return NeededCuts(keys, tuple(map(read_ip_block, ip_blocks_of(policy))))
        return NeededCuts(keys, tuple(self._reader.blocks(policy)))

    def _read(self, policy: Policy, wanted: NeededCuts, rules: RuleCompiler) -> CompiledTierPolicy:
        selected, found = read_policy(policy, rules.select, self._reader)
        compilers = tuple([PolicyCompiler(each, rules.numbers) for each in found])
        return CompiledTierPolicy(policy, selected, compilers, wanted)

    def _others(
        self,
        edited: Mapping[ObjectRef, Policy | None],
        of_table: TableChange,
        of_select: SelectorChange,
        rules: RuleCompiler,
    ) -> list[tuple[CompiledTierPolicy, CompiledTierPolicy]]:
        """Policies that say the same words, and select others or mean others by them."""
        found: list[tuple[CompiledTierPolicy, CompiledTierPolicy]] = []
        if not (of_table.touched or of_select.namespaces or of_select.peers):
            return found
        said = self._old.said
        of_cluster = [ref for ref in self._of_cluster() if ref in said]
        other_peers = self._old.readers.refs(of_select.peers)
        if of_table.contested:
            other_peers.update(of_cluster)
        for ref in other_peers - edited.keys():
            before = said[ref]
            found.append((before, self._read(before.policy, before.wanted, rules)))
        asking = self._asking(of_select.selected).union(of_cluster)
        for ref in asking - other_peers - edited.keys():
            selected, _ = read_policy(said[ref].policy, rules.select, self._reader)
            if selected != said[ref].selected:
                found.append((said[ref], replace(said[ref], selected=selected)))
        return found

    def _of_cluster(self) -> Iterator[ObjectRef]:
        """The policies that may select pods of any namespace; most clusters have few of them."""
        return (policy.ref for policy in self._objects.cluster.admin_policies)

    def _asking(self, selected: Iterable[Scoped]) -> set[ObjectRef]:
        """The NetworkPolicies that select pods with one of these selectors."""
        found: set[ObjectRef] = set()
        policies = self._objects.cluster.policies
        by_namespace: dict[str, set[LabelSelector]] = {}
        for scope, pods in selected:
            if isinstance(scope, str):
                by_namespace.setdefault(scope, set()).add(pods)
        for namespace, selectors in by_namespace.items():
            first = bisect_left(policies, namespace, key=_namespace)
            last = bisect_right(policies, namespace, lo=first, key=_namespace)
            found |= {p.ref for p in policies[first:last] if p.pod_selector in selectors}
        return found


def _subjects(
    edited: Iterable[tuple[CompiledTierPolicy | None, CompiledTierPolicy | None]],
    direction: Direction,
) -> FrozenBitMap:
    """The classes to which a policy said something, or says something now."""
    found = (each.subjects(direction) for pair in edited for each in pair if each is not None)
    return FrozenBitMap(BitMap.union(BitMap(), *found))


def _selects_alike(before: ClassTable, now: ClassTable, change: TableChange) -> bool:
    """Whether selectors and blocks mean the same classes in both tables: pods may have joined or
    left classes that stay, and nothing else has changed."""
    cuts = before.cuts.asked is now.cuts.asked and before.cuts.numbers is now.cuts.numbers
    return cuts and not change.touched and not change.relabelled


def _unused(
    before: CompiledTierPolicy, said: Mapping[ObjectRef, CompiledTierPolicy]
) -> tuple[PolicyCompiler, ...]:
    """Compilers that a policy no longer has."""
    now = said.get(before.policy.ref)
    return () if now is not None and now.compilers is before.compilers else before.compilers


def _namespace(policy: NetworkPolicy) -> str:
    return policy.ref.namespace


# -- Addresses of nodes, followed as pods and nodes come and go


class NodeAddresses(Struct, frozen=True, eq=False):
    """``told``: by address, the node names that pods report for it, and how many pods do.
    ``found``: whose each address is. ``further``: who else has it."""

    told: Mapping[IPAddress, Mapping[str, int]] = _NOTHING
    found: Mapping[IPAddress, str] = _NOTHING
    further: Mapping[IPAddress, frozenset[str]] = _NOTHING

    def after(
        self, pods: Iterable[PodChange], nodes: Mapping[str, Node], *, changed: bool
    ) -> NodeAddresses:
        """``changed``: whether the nodes are not as before."""
        told: dict[IPAddress, dict[str, int]] = {}
        for pair in pods:
            for pod, more in zip(pair, (-1, 1), strict=True):
                for address, name in () if pod is None else told_by_pod(pod):
                    if address not in told:
                        told[address] = dict(self.told.get(address, ()))
                    told[address][name] = told[address].get(name, 0) + more
        for address, names in told.items():
            told[address] = {name: count for name, count in names.items() if count}
        told = {a: names for a, names in told.items() if names != self.told.get(a, {})}
        if not told and not changed:
            return self
        every = {a: names for a, names in {**self.told, **told}.items() if names}
        pairs = [(address, name) for address, names in every.items() for name in names]
        found = addresses_of_nodes(pairs, nodes)
        return NodeAddresses(every, found, further_nodes(pairs, nodes, found))
