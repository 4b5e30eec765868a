"""Verdicts with one edit undone, or with one edit alone.

Rule: nothing is guessed; the small cluster that matters is compiled and evaluated. A NetworkPolicy
selects only pods of its own namespace (NP-3), so the two ends and the policies of their namespaces
suffice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address

from msgspec.structs import replace

from podfence.engine.connections import connections
from podfence.model.cluster import Cluster
from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy
from podfence.model.networkpolicy import NetworkPolicy
from podfence.model.objects import Namespace, Node, Pod
from podfence.policy.compile import compile_cluster
from podfence.policy.index import PolicyIndex
from podfence.questions.plan.edits import Edit, Edited
from podfence.questions.plan.ends import JointClass
from podfence.sets import PortSet
from podfence.sets.addresses import IPAddress

_TRIED = 4096
"""Addresses tried, of each interval, for one that no pod has."""


class Worlds:
    """Makes clusters in which one edit is undone or made alone."""

    def __init__(self, old: PolicyIndex, new: PolicyIndex) -> None:
        self._before, self._after = _ClusterSide(old), _ClusterSide(new)

    def without(self, edit: Edit, ends: Iterable[JointClass]) -> SmallCluster:
        """The new cluster with an edit taken back."""
        return self._world(edit, ends, self._after, edit.before, self._before)

    def alone(self, edit: Edit, ends: Iterable[JointClass]) -> SmallCluster:
        """The old cluster with that edit and no other."""
        return self._world(edit, ends, self._before, edit.after, self._after)

    def after(
        self,
        done: Sequence[Edit],
        ends: Iterable[JointClass],
        helpers: Iterable[NetworkPolicy] = (),
    ) -> SmallCluster:
        """The old cluster with some of the edits, and with further policies."""
        representatives: dict[int, IPAddress | str] = {}
        pods: list[Pod] = []
        numbers = {edit.number for edit in done}
        for end in ends:
            representative, pod = self._end(
                end, self._after if end.edit in numbers else self._before
            )
            if representative is not None:
                representatives[end.number] = representative
            if pod is not None:
                pods.append(pod)
        cluster = self._before.narrowed(pods)
        for edit in done:
            cluster = _swapped(cluster, edit, edit.after)
        cluster = replace(cluster, policies=(*cluster.policies, *helpers))
        return SmallCluster(compile_cluster(cluster, self._before.index.names), representatives)

    def _world(
        self,
        edit: Edit,
        ends: Iterable[JointClass],
        base: _ClusterSide,
        instead: tuple[Edited, ...],
        other: _ClusterSide,
    ) -> SmallCluster:
        representatives: dict[int, IPAddress | str] = {}
        pods: list[Pod] = []
        for end in ends:
            representative, pod = self._end(end, other if end.edit == edit.number else base)
            if representative is not None:
                representatives[end.number] = representative
            if pod is not None:
                pods.append(pod)
        cluster = _swapped(base.narrowed(pods), edit, instead)
        return SmallCluster(compile_cluster(cluster, base.index.names), representatives)

    def _end(
        self, end: JointClass, side: _ClusterSide
    ) -> tuple[IPAddress | str | None, Pod | None]:
        """What stands for an end in a small cluster, and the pod that represents it."""
        if end.outside is not None:
            return free_address(end, (self._before.index, self._after.index)), None
        line = end.lines[0]
        names = line.before if side is self._before else line.after
        pod = side.pods[end.namespace, names[0]]
        return f"{pod.namespace}/{pod.name}", pod


def free_address(end: JointClass, sides: Iterable[PolicyIndex]) -> IPAddress | None:
    """An outside address that no pod of either side has."""
    indexes = tuple(sides)
    for address in _some(end):
        if not any(address in index.by_address for index in indexes):
            return address
    return None


def _some(end: JointClass) -> Iterator[IPAddress]:
    assert end.outside is not None
    for family, kind in ((4, IPv4Address), (6, IPv6Address)):
        for low, high in end.outside.family(family):
            for value in range(low, min(high, low + _TRIED) + 1):
                yield kind(value)


class SmallCluster:
    """A small cluster that answers for joint classes."""

    def __init__(self, index: PolicyIndex, representatives: Mapping[int, IPAddress | str]) -> None:
        self._index = index
        self._class = {
            number: self._class_of(representative)
            for number, representative in representatives.items()
        }
        self._memo: dict[tuple[int, int, int], PortSet] = {}

    def _class_of(self, representative: IPAddress | str) -> int:
        if isinstance(representative, str):
            return self._index.endpoints[representative].endpoint_class
        return self._index.class_of(representative)

    def ports(self, source: int, destination: int, family: int) -> PortSet | None:
        """Everything that passes from one joint class to another; None where an end has no
        representative."""
        near, far = self._class.get(source), self._class.get(destination)
        if near is None or far is None:
            return None
        found = self._memo.get((near, far, family))
        if found is None:
            found = connections(self._index, near, far, family)
            self._memo[near, far, family] = found
        return found


class _ClusterSide:
    """One cluster, with the lookups that a small one needs."""

    def __init__(self, index: PolicyIndex) -> None:
        self.index = index

    @cached_property
    def pods(self) -> Mapping[tuple[str, str], Pod]:
        return {(pod.namespace, pod.name): pod for pod in self.index.cluster.pods}

    @cached_property
    def _policies(self) -> Mapping[str, list[NetworkPolicy]]:
        found: dict[str, list[NetworkPolicy]] = defaultdict(list)
        for policy in self.index.cluster.policies:
            found[policy.ref.namespace].append(policy)
        return found

    def narrowed(self, pods: Iterable[Pod]) -> Cluster:
        """The cluster with only these pods, and the policies of their namespaces."""
        whole, kept = self.index.cluster, tuple(pods)
        names = sorted({pod.namespace for pod in kept})
        return replace(
            whole,
            pods=kept,
            namespaces={name: whole.namespaces[name] for name in names if name in whole.namespaces},
            policies=tuple(p for name in names for p in self._policies.get(name, ())),
            services=(),
            endpoint_slices=(),
            doubts=(),
        )


def _swapped(cluster: Cluster, edit: Edit, instead: tuple[Edited, ...]) -> Cluster:
    """The cluster with what an edited object is on the other side. Its pods are there already.
    Audited policies enforce nothing."""
    name = edit.ref.name
    match (*edit.before, *edit.after)[0]:
        case NetworkPolicy():
            kept = [p for p in cluster.policies if p.ref != edit.ref]
            kept += [p for p in instead if isinstance(p, NetworkPolicy) and not p.audited]
            return replace(cluster, policies=tuple(sorted(kept, key=lambda p: p.ref)))
        case ClusterNetworkPolicy():
            tiers = [p for p in cluster.admin_policies if p.ref != edit.ref]
            now = (p for p in instead if isinstance(p, ClusterNetworkPolicy))
            tiers += [p for p in now if not p.audited]
            return replace(cluster, admin_policies=tuple(sorted(tiers, key=lambda p: p.ref)))
        case Namespace():
            spaces = [each for n, each in cluster.namespaces.items() if n != name]
            spaces += [each for each in instead if isinstance(each, Namespace)]
            return replace(cluster, namespaces={each.name: each for each in spaces})
        case Node():
            nodes = [each for n, each in cluster.nodes.items() if n != name]
            nodes += [each for each in instead if isinstance(each, Node)]
            return replace(cluster, nodes={each.name: each for each in nodes})
        case _:
            return cluster
