"""Findings about pods that no policy covers: existing pods, new pods, and Services that nobody
reaches.

Rule: there are no findings while the input has no NetworkPolicy, nor for system namespaces or
namespaces that policies of another API may isolate.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterator, Mapping

from pyroaring import BitMap

from podfence.engine.permitted import is_one_pod
from podfence.errors import Severity, Source
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import NetworkPolicy
from podfence.model.objects import Service
from podfence.policy.flow import AS_WRITTEN, Direction
from podfence.policy.index import Endpoint
from podfence.questions.lint.findings import LintFinding
from podfence.questions.lint.reach import LintIndex
from podfence.questions.phrases import words
from podfence.questions.phrases.matched import grouped
from podfence.questions.unjudged import UNTOUCHED, TouchedPods
from podfence.sets import PortSet

_SHOWN = 5
_OF_THE_SYSTEM = frozenset({"kube-system", "kube-public", "kube-node-lease"})


def coverage(
    reach: LintIndex,
    said: Collection[LintFinding],
    touched: TouchedPods = UNTOUCHED,
    apart: Container[ObjectRef | None] = (),
) -> Iterator[LintFinding]:
    """PF336, PF350 and PF351. ``said``: the findings about single policies; a Service that nobody
    reaches may be a consequence of one of these. ``touched``: pods that policies of other APIs may
    isolate. ``apart``: workloads and pods that have a finding of their own."""
    faulty = BitMap.union(
        BitMap(),
        *(reach.index.selected[f.object] for f in said if f.weight is Severity.ERROR),
    )
    cluster = reach.index.cluster
    if not cluster.policies:
        return
    for name in sorted({end.pod.namespace for end in reach.index.endpoints.values()}):
        if name not in _OF_THE_SYSTEM:
            yield from _of_namespace(reach, name, touched, apart)
    for service in cluster.services:
        if service.ref.namespace in _OF_THE_SYSTEM or not _is_shut(reach, service):
            continue
        if not any(end.endpoint_class in faulty for end in _behind(reach, service)):
            text = (
                "No pod and no address may connect to any port of this Service: the policies of "
                f"{reach.matched.names(_behind(reach, service), _SHOWN)} allow nobody."
            )
            yield LintFinding("PF336", service.ref, service.source, "spec.ports", text)


def _of_namespace(
    reach: LintIndex, name: str, touched: TouchedPods, apart: Container[ObjectRef | None]
) -> Iterator[LintFinding]:
    ends = [
        end
        for end in reach.matched.pods_of(name)
        if not touched.any([f"{end.pod.namespace}/{end.pod.name}"])
    ]
    policies = reach.matched.policies_of(name)
    ref, source, path = _named_by(reach, name, policies)
    open_ways = {d: [e for e in ends if not _isolated(reach, e, d)] for d in AS_WRITTEN}
    together: dict[Direction, list[Endpoint]] = {direction: [] for direction in AS_WRITTEN}
    alone: dict[ObjectRef, dict[Direction, list[Endpoint]]] = {}
    for direction, open_ends in open_ways.items():
        for end in open_ends:
            own = next((r for r in (end.pod.ref, end.pod.owner) if r in apart), None)
            ways = together if own is None else alone.setdefault(own, {})
            ways.setdefault(direction, []).append(end)
    if any(together.values()):
        text, names = _unprotected(reach, f"these pods of namespace {name}", together)
        yield LintFinding("PF350", ref, source, path, text, names=names)
    for own, ways in alone.items():
        text, names = _unprotected(reach, "its pods", ways)
        [first, *_] = next(iter(ways.values()))
        yield LintFinding("PF350", own, first.pod.source, "metadata.name", text, names=names)
    if not policies or reach.index.cluster.admin_policies or name in touched.namespaces:
        return
    closing = {p.policy_types: p for p in policies if p.pod_selector.matches({})}
    news = [
        direction
        for direction in AS_WRITTEN
        if len(open_ways[direction]) < len(ends)
        and not any(direction.policy_type in types for types in closing)
    ]
    if news:
        does = {Direction.INGRESS: "accept", Direction.EGRESS: "open"}
        text = (
            f"A new pod of namespace {name} without labels may "
            f"{words.listed([does[d] for d in news])} every connection, although policies isolate "
            "pods that are there now. A policy with podSelector: {} and policyTypes: "
            f"[{', '.join(d.policy_type.value for d in news)}] closes this gap."
        )
        yield LintFinding("PF351", ref, source, path, text, names=tuple(d.value for d in news))


def _unprotected(
    reach: LintIndex, pods: str, open_ways: Mapping[Direction, list[Endpoint]]
) -> tuple[str, tuple[str, ...]]:
    """What is said of pods that are open in some directions, and the names in it."""
    ways = {direction: ends for direction, ends in open_ways.items() if ends}
    parts = [f"for {way.value}: {reach.matched.names(ends, _SHOWN)}" for way, ends in ways.items()]
    text = f"No policy isolates {pods}, {'; '.join(parts)}."
    groups = ((way, group) for way, ends in ways.items() for group in grouped(ends))
    return text, tuple(f"{way.value} of {group.full_name}" for way, group in groups)


def _named_by(
    reach: LintIndex, name: str, policies: list[NetworkPolicy]
) -> tuple[ObjectRef, Source | None, str]:
    """The Namespace, or the first policy in it where the namespace is no object of the input."""
    namespace = reach.index.cluster.namespaces[name]
    ref = ObjectRef("Namespace", "", name)
    if namespace.source is None and policies:
        return ref, policies[0].source, "metadata.namespace"
    return ref, namespace.source, "metadata.name"


def _isolated(reach: LintIndex, end: Endpoint, direction: Direction) -> bool:
    return reach.index.policies[end.endpoint_class].of(direction).isolates


def _behind(reach: LintIndex, service: Service) -> list[Endpoint]:
    selector = set(service.selector)
    pods = reach.matched.pods_of(service.ref.namespace)
    return [end for end in pods if selector and selector <= set(end.pod.labels)]


def _is_shut(reach: LintIndex, service: Service) -> bool:
    """Whether the pods behind a Service are isolated, and nobody may connect to its ports."""
    behind = {end.endpoint_class: end for end in _behind(reach, service)}
    if not behind:
        return False
    for number, end in behind.items():
        policy = reach.index.policies[number].ingress
        if not policy.isolates:
            return False
        served = PortSet.union(
            PortSet.port(port.protocol.value, at)
            for port in service.ports
            if (at := port.on(end.pod)) is not None
        )
        wanted = reach.table.number(served)
        itself = BitMap([number] if is_one_pod(reach.index.members[number]) else [])  # nobody else
        for family, partitions in reach.partitions.items():
            if number in partitions.pods and any(
                reach.table.intersection(ports, wanted) and not who <= itself
                for ports, who in reach.blocks(policy, family).items()
            ):
                return False
    return True
