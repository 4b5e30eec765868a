"""The cluster that a test asks about: with its fixtures, with pods to come, with what is given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from msgspec.structs import replace

from podfence.admission.kinds import CLUSTER_SCOPED
from podfence.model.cluster import Cluster, assign_addresses, undeclared, with_name_label
from podfence.model.meta import Labels
from podfence.model.networkpolicy import Protocol
from podfence.model.objects import ContainerPort, Namespace, Pod
from podfence.model.workloads import Workload, expand
from podfence.questions.plan.newcomers import with_labelled, with_newcomers
from podfence.questions.tests.ends import NOBODY, UnmatchedEnd
from podfence.questions.tests.form import (
    Addition,
    End,
    Given,
    NewcomerEnd,
    Patch,
    PolicyTest,
    PolicyTests,
    Removal,
    TargetEnd,
    UnionEnd,
)


def prepared(cluster: Cluster, files: Iterable[PolicyTests], fixtures: PolicyTests) -> Cluster:
    """The cluster with the fixtures of a file, and with every pod to come that the files ask
    about."""
    cluster = _with_fixtures(cluster, fixtures)
    cluster = with_newcomers(cluster, cluster.namespaces.keys())
    wanted = (
        (end.namespace, end.labels)
        for file in files
        for test in file.tests
        for end in _newcomers(test)
        if end.labels
    )
    return with_labelled(cluster, wanted)


def with_fixtures(cluster: Cluster, files: Iterable[PolicyTests]) -> Cluster:
    """The cluster with the fixtures of files."""
    for file in files:
        cluster = _with_fixtures(cluster, file)
    return cluster


def _newcomers(test: PolicyTest) -> Iterator[NewcomerEnd]:
    if test.newcomers is not None:
        yield test.newcomers
    lists: list[tuple[TargetEnd, ...] | None] = [test.sources, test.targets]
    lists += [entry.targets for entry in test.only or ()]
    lists += [ends for each in test.unless for ends in (each.sources, each.targets)]
    for targets in lists:
        for target in targets or ():
            yield from _within(target.end)


def _within(end: End) -> Iterator[NewcomerEnd]:
    if isinstance(end, NewcomerEnd):
        yield end
    elif isinstance(end, UnionEnd):
        for each in (*end.ends, *end.without):
            yield from _within(each)


def _with_fixtures(cluster: Cluster, file: PolicyTests) -> Cluster:
    """Objects of the input go before fixtures of the same name."""
    if not (file.fixture_pods or file.fixture_namespaces):
        return cluster
    taken = {(pod.namespace, pod.name) for pod in cluster.pods}
    pods = [
        Pod(
            each.namespace,
            each.name,
            each.labels,
            ports=tuple(ContainerPort(name, n, Protocol.TCP) for name, n in each.ports),
        )
        for each in file.fixture_pods
        if (each.namespace, each.name) not in taken
    ]
    spaces = dict(cluster.namespaces)
    for name, labels in file.fixture_namespaces:
        if name not in spaces or spaces[name].source is None:
            spaces[name] = with_name_label(Namespace(name, labels))
    for pod in pods:
        spaces.setdefault(pod.namespace, undeclared(pod.namespace))
    everyone = assign_addresses((*cluster.pods, *pods))
    return replace(cluster, namespaces=MappingProxyType(spaces), pods=everyone)


def edited(cluster: Cluster, given: Iterable[Given]) -> tuple[Cluster, tuple[UnmatchedEnd, ...]]:
    """The cluster after what-if edits, and the edits that find nothing to change."""
    misses: list[UnmatchedEnd] = []
    for each in given:
        if isinstance(each, Addition):
            cluster = _with(cluster, each)
            continue
        after = _patched(cluster, each) if isinstance(each, Patch) else _without(cluster, each)
        if after is cluster:
            where = "" if each.kind in CLUSTER_SCOPED else f"{each.namespace}/"
            misses.append(
                UnmatchedEnd(NOBODY, f"given: there is no {each.kind} {where}{each.name}")
            )
        cluster = after
    return cluster, tuple(misses)


def _patched(cluster: Cluster, patch: Patch) -> Cluster:
    if patch.kind == "Namespace":
        known = cluster.namespaces.get(patch.name)
        if known is None:
            return cluster
        changed = replace(known, labels=_relabelled(known.labels, patch.labels))
        spaces = {**cluster.namespaces, patch.name: changed}
        return replace(cluster, namespaces=MappingProxyType(spaces))
    hit = [_is_of(pod, patch) for pod in cluster.pods]
    if not any(hit):
        return cluster
    pods = tuple(
        replace(pod, labels=_relabelled(pod.labels, patch.labels)) if is_hit else pod
        for pod, is_hit in zip(cluster.pods, hit, strict=True)
    )
    return replace(cluster, pods=pods)


def _relabelled(labels: Labels, changes: Mapping[str, str | None]) -> Labels:
    found = {**dict(labels), **changes}
    return tuple(sorted((key, value) for key, value in found.items() if value is not None))


def _is_of(pod: Pod, named: Patch | Removal) -> bool:
    ref = pod.ref if named.kind == "Pod" else pod.owner
    if ref is None:
        return False
    return (ref.kind, ref.namespace, ref.name) == (named.kind, named.namespace, named.name)


def _without(cluster: Cluster, gone: Removal) -> Cluster:
    def stays(kind: str, namespace: str, name: str) -> bool:
        return (kind, name) != (gone.kind, gone.name) or namespace not in ("", gone.namespace)

    def kept(things: tuple[Pod, ...]) -> tuple[Pod, ...]:
        return tuple(pod for pod in things if not _is_of(pod, gone))

    after = replace(
        cluster,
        pods=kept(cluster.pods),
        services=tuple(
            each for each in cluster.services if stays("Service", each.ref.namespace, each.ref.name)
        ),
        policies=tuple(
            each
            for each in cluster.policies
            if stays("NetworkPolicy", each.ref.namespace, each.ref.name)
        ),
        admin_policies=tuple(
            each for each in cluster.admin_policies if stays(each.ref.kind, "", each.ref.name)
        ),
    )
    sizes = [
        (len(each.pods), len(each.services), len(each.policies), len(each.admin_policies))
        for each in (cluster, after)
    ]
    return cluster if sizes[0] == sizes[1] else after


def _with(cluster: Cluster, added: Addition) -> Cluster:
    plain = [thing for thing in added.objects if not isinstance(thing, Workload)]
    workloads = [thing for thing in added.objects if isinstance(thing, Workload)]
    own = [thing for thing in plain if isinstance(thing, Pod)]
    pods, _ = expand(workloads, own, list(cluster.nodes.values()))
    refs = {workload.ref for workload in workloads}
    named = {(pod.namespace, pod.name) for pod in pods}
    rest = [
        pod
        for pod in cluster.pods
        if pod.owner not in refs and (pod.namespace, pod.name) not in named
    ]
    others = [thing for thing in plain if not isinstance(thing, Pod)]
    objects = (
        *cluster.namespaces.values(),
        *cluster.nodes.values(),
        *cluster.services,
        *cluster.endpoint_slices,
        *cluster.policies,
        *cluster.admin_policies,
        *cluster.audited,
        *assign_addresses((*rest, *pods)),
        *others,
    )
    return replace(Cluster.of(objects), doubts=cluster.doubts)
