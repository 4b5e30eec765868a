"""What differs between the objects of two clusters, object by object.

Rule: objects are matched by kind, namespace and name, wherever they are written. Only what can
matter to a verdict is compared: a policy that moved to another file is no edit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from enum import Enum
from itertools import count

from msgspec import Struct
from msgspec.structs import replace

from podfence.errors import Source
from podfence.model.cluster import Cluster, assign_addresses
from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import NetworkPolicy
from podfence.model.objects import Namespace, Node, Pod
from podfence.sets.addresses import IPAddress

Edited = NetworkPolicy | ClusterNetworkPolicy | Namespace | Node | Pod


class EditKind(Enum):
    """What happened to an object."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


class Edit(Struct, frozen=True):
    """One object that differs. ``before`` and ``after``: the object, or all pods of a workload; ()
    on the side that does not have it."""

    number: int
    ref: ObjectRef
    before: tuple[Edited, ...]
    after: tuple[Edited, ...]

    @property
    def kind(self) -> EditKind:
        """What happened to the object."""
        if not self.before:
            return EditKind.ADDED
        return EditKind.CHANGED if self.after else EditKind.REMOVED

    @property
    def is_of_pods(self) -> bool:
        """Whether the object is a workload, or a pod without one."""
        return any(isinstance(each, Pod) for each in (*self.before, *self.after))

    @property
    def audited(self) -> tuple[bool, bool]:
        """Whether it was audited before, and is afterwards: then it enforces nothing (AUD-2)."""
        return _is_audited(self.before), _is_audited(self.after)

    @property
    def old_source(self) -> Source | None:
        """Where it was written before."""
        return self.before[0].source if self.before else None

    @property
    def new_source(self) -> Source | None:
        """Where it is written now."""
        return self.after[0].source if self.after else None


def _is_audited(things: tuple[Edited, ...]) -> bool:
    policies = NetworkPolicy | ClusterNetworkPolicy
    return any(isinstance(each, policies) and each.audited for each in things)


def edits_between(
    old: Cluster, new: Cluster, unread: Set[ObjectRef] = frozenset()
) -> tuple[Edit, ...]:
    """Every object that differs, policies first, by kind and name.

    Of workloads only those on both sides: a workload that comes or goes changes no verdict of
    others. ``unread``: objects that may differ, because they could not be read.
    """
    found: list[tuple[ObjectRef, tuple[Edited, ...], tuple[Edited, ...]]] = []
    for kind in (_policies, _tier_policies, _namespaces, _nodes):
        before, after = kind(old), kind(new)
        for ref in sorted({*before, *after} - unread):
            if not _same(before.get(ref), after.get(ref)):
                found.append((ref, _one(before.get(ref)), _one(after.get(ref))))
    pods_before, pods_after = workloads(old.pods), workloads(new.pods)
    for ref in sorted(pods_before.keys() & pods_after.keys()):
        if not _same_pods(pods_before[ref], pods_after[ref]):
            found.append((ref, pods_before[ref], pods_after[ref]))
    return tuple(Edit(number, *each) for number, each in zip(count(), found, strict=False))


def renamed(edits: Iterable[Edit]) -> tuple[tuple[Edit, Edit], ...]:
    """Policies that are gone, each with one of another name that came and means the same."""
    gone: dict[Edited, list[Edit]] = defaultdict(list)
    come: dict[Edited, list[Edit]] = defaultdict(list)
    for edit in edits:
        for side, things in ((gone, edit.before), (come, edit.after)):
            if edit.kind is not EditKind.CHANGED:
                for thing in things:
                    if isinstance(thing, NetworkPolicy | ClusterNetworkPolicy):
                        side[_meaning(_nameless(thing))].append(edit)
    return tuple(
        (edits[0], come[meaning][0])
        for meaning, edits in gone.items()
        if len(edits) == 1 and len(come[meaning]) == 1
    )


def _nameless(thing: NetworkPolicy | ClusterNetworkPolicy) -> Edited:
    """A policy of the same kind and namespace, whatever it is called."""
    return replace(thing, ref=replace(thing.ref, name=""))


def workloads(pods: Iterable[Pod]) -> dict[ObjectRef, tuple[Pod, ...]]:
    """The pods of each workload; a pod without one is its own."""
    found: dict[ObjectRef, list[Pod]] = defaultdict(list)
    for pod in pods:
        found[pod.owner or pod.ref].append(pod)
    return {ref: tuple(members) for ref, members in found.items()}


def _policies(cluster: Cluster) -> Mapping[ObjectRef, Edited]:
    audited = [policy for policy in cluster.audited if isinstance(policy, NetworkPolicy)]
    return {policy.ref: policy for policy in (*cluster.policies, *audited)}


def _tier_policies(cluster: Cluster) -> Mapping[ObjectRef, Edited]:
    audited = [policy for policy in cluster.audited if isinstance(policy, ClusterNetworkPolicy)]
    return {policy.ref: policy for policy in (*cluster.admin_policies, *audited)}


def _namespaces(cluster: Cluster) -> Mapping[ObjectRef, Edited]:
    return {ObjectRef("Namespace", "", name): each for name, each in cluster.namespaces.items()}


def _nodes(cluster: Cluster) -> Mapping[ObjectRef, Edited]:
    return {ObjectRef("Node", "", name): each for name, each in cluster.nodes.items()}


def _one(thing: Edited | None) -> tuple[Edited, ...]:
    return () if thing is None else (thing,)


def _same(old: Edited | None, new: Edited | None) -> bool:
    """Whether two objects of one name mean the same. A namespace without labels of its own equals
    an undeclared one."""
    if old is None or new is None:
        only = old or new
        return isinstance(only, Namespace) and len(only.labels) <= 1
    return _meaning(old) == _meaning(new)


def _meaning(thing: Edited) -> Edited:
    """The object without what no verdict depends on."""
    if isinstance(thing, NetworkPolicy):
        return replace(thing, source=None, labels=(), declared_types=True)
    if isinstance(thing, ClusterNetworkPolicy):
        return replace(thing, source=None, labels=())
    return replace(thing, source=None)


def _same_pods(old: tuple[Pod, ...], new: tuple[Pod, ...]) -> bool:
    """Whether the pods of a workload look the same to policies, however many there are."""
    if {_look(pod) for pod in old} != {_look(pod) for pod in new}:
        return False
    named = {pod.name: pod for pod in old}
    return all(
        _look(named[pod.name]) == _look(pod) and _addresses(named[pod.name]) == _addresses(pod)
        for pod in new
        if pod.name in named
    )


def _look(pod: Pod) -> object:
    return pod.labels, frozenset(pod.ports), pod.host_network, pod.finished


def _addresses(pod: Pod) -> object:
    """Nobody edits an address that is assumed."""
    return () if is_assumed(pod) else frozenset(pod.addresses)


# -- Two clusters made comparable: values that podfence made up must not look like a change
# Rule: an assumed address (no manifest has one) is the same for a pod on both sides.


def aligned(old: Cluster, new: Cluster) -> Cluster:
    """``new`` with the assumed addresses of ``old`` for the pods of both.

    Assumed addresses are counted up in the order of the input, so one more pod would shift those of
    all others, and with them the pods that an ipBlock matches.
    """
    known = {(pod.namespace, pod.name): pod.addresses for pod in old.pods if is_assumed(pod)}
    if not any(is_assumed(pod) for pod in new.pods):
        return new
    taken = _given(new.pods)
    families = {a.version for pod in new.pods for a in pod.addresses}
    pods: list[Pod] = []
    for pod in new.pods:
        if is_assumed(pod):
            before = known.get((pod.namespace, pod.name), ())
            same = tuple(a for a in before if a.version in families)
            usable = len(same) == len(families) and taken.isdisjoint(same)
            pod = replace(pod, addresses=same if usable else ())
        pods.append(pod)
    return replace(new, pods=assign_addresses(pods))


def is_assumed(pod: Pod) -> bool:
    """Whether podfence gave a pod its addresses: it was read without a status."""
    return bool(pod.addresses) and not pod.has_status


def _given(pods: Iterable[Pod]) -> set[IPAddress]:
    """Addresses that the input itself gives to pods and their nodes."""
    return {
        address
        for pod in pods
        for address in (*(() if is_assumed(pod) else pod.addresses), *pod.host_addresses)
    }
