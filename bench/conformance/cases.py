"""The cases that everybody is asked: clusters, connections, and what has to come out.

Rule: a case says what is expected without asking podfence. Files of ``tests/spec`` carry their
answers; of random clusters and of examples the naive judge of the tests gives them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from itertools import islice, product
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from bench.conformance.freedom import disputed, hangs_on_a_choice, is_left_open
from podfence.manifests.load import load
from podfence.model.cluster import Cluster
from podfence.model.clusternetworkpolicy import (
    ClusterNetworkPolicy,
    Peer,
    RuleAction,
    Tier,
    TierRule,
)
from podfence.model.meta import ObjectRef
from podfence.model.objects import Node, Pod
from podfence.model.selectors import LabelSelector
from podfence.policy.flow import Flow
from podfence.testing.manifest import to_manifest
from tests.support.judging import make
from tests.support.oracle import judge
from tests.support.oracle_facts import Names
from tests.support.scenarios import (
    CONFORMANCE,
    E2E,
    Scenario,
    clause_files,
    clause_scenario,
    conformance_scenario,
    e2e_scenario,
    stages,
)

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
EXAMPLE_PORTS = (80, 443, 5432, 8080)
FLOWS = 100
"""Connections of a random cluster, before those are left out that the text leaves open."""


@dataclass(frozen=True)
class Connection:
    """A connection and whether it has to pass. ``is_open``: Kubernetes leaves that open, so another
    answer is not wrong."""

    flow: Flow
    allowed: bool
    is_open: bool = False


@dataclass(frozen=True)
class Case:
    """A cluster and connections. ``clause``: the rule or the test that it shows."""

    group: str
    name: str
    clause: str
    cluster: Cluster
    connections: tuple[Connection, ...]
    names: Names = field(default_factory=dict)

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The cluster as an API server would serve it."""
        return objects_of(self.cluster)


NP = "rules of NetworkPolicy"
NP_E2E = "end-to-end tests of Kubernetes"
CNP = "rules of ClusterNetworkPolicy"
CNP_SUITE = "conformance tests of network-policy-api"
OLDER = "the same, said in the older kinds"
SHAPES = "examples of podfence"
RANDOM = "random NetworkPolicies"
RANDOM_TIERS = "random policies of all tiers, in the older kinds"
GROUPS = (NP, NP_E2E, SHAPES, RANDOM, CNP, CNP_SUITE, OLDER, RANDOM_TIERS)


def all_cases(seed: int, clusters: int) -> Iterator[Case]:
    """Every case, group by group; ``clusters``: random ones of each sort."""
    written = [_clause_case(clause_scenario(path)) for path in clause_files()]
    suite = [_of(CNP_SUITE, conformance_scenario(name)) for name in stages(CONFORMANCE)]
    yield from (case for case in written if case.group == NP)
    yield from (_of(NP_E2E, e2e_scenario(name)) for name in stages(E2E))
    yield from example_cases()
    yield from (random_case(seed, number, tiers=False) for number in range(clusters))
    tiered = [case for case in written if case.group == CNP and _is_readable(case)] + suite
    yield from tiered
    yield from (older for case in tiered for older in in_older_kinds(case))
    yield from (random_case(seed, number, tiers=True) for number in range(clusters))


def _is_readable(case: Case) -> bool:
    return not any(map(_is_unreadable, case.cluster.admin_policies))


def _clause_case(scenario: Scenario) -> Case:
    group = CNP if scenario.clause.startswith("CNP") else NP
    case = _of(group, scenario)
    chosen = is_left_open(scenario.clause)
    connections = (
        dataclasses.replace(
            c, is_open=chosen or (not case.names and hangs_on_a_choice(case.cluster, c.flow))
        )
        for c in case.connections
    )
    return dataclasses.replace(case, connections=tuple(connections))


def _of(group: str, scenario: Scenario) -> Case:
    """Tests of upstream decide whatever they ask."""
    connections = tuple(Connection(e.flow, e.allowed) for e in scenario.expectations)
    return Case(
        group,
        scenario.name.removesuffix(".yaml"),
        scenario.clause,
        scenario.cluster,
        connections,
        scenario.names,
    )


def example_cases() -> Iterator[Case]:
    """All pairs of pods of each example, on a few ports."""
    for folder in sorted(EXAMPLES.iterdir()):
        loaded = load([str(folder)]) if folder.is_dir() else None
        if loaded is None or loaded.errors or not loaded.cluster.policies:
            continue
        cluster = loaded.cluster
        pods = [pod for pod in cluster.pods if pod.addresses]
        flows = [
            Flow(a, b, "TCP", port)
            for source, destination in product(pods, pods)
            for a, b in product(source.addresses, destination.addresses)
            if source != destination and a.version == b.version
            for port in EXAMPLE_PORTS
        ]
        yield judged(Case(SHAPES, folder.name, "", cluster, ()), flows)


def random_case(seed: int, number: int, tiers: bool) -> Case:
    """Cluster ``number`` of a seed; with ``tiers`` said in the older kinds, of which there is one
    in the Baseline tier."""
    cluster, flows = make(seed, number, tiers)
    cluster = replace(cluster, pods=tuple(map(_with_host_of_each_family, cluster.pods)))
    if tiers:
        kept = [p for p in cluster.admin_policies if p.tier is Tier.ADMIN]
        kept += [p for p in cluster.admin_policies if p.tier is Tier.BASELINE][:1]
        older = [policy for each in kept if (policy := _older(each)) is not None]
        cluster = replace(cluster, admin_policies=tuple(older))
    group = RANDOM_TIERS if tiers else RANDOM
    return judged(Case(group, f"{seed}:{number}", "", cluster, ()), islice(flows, FLOWS))


def _with_host_of_each_family(pod: Pod) -> Pod:
    """An API server takes one address of each."""
    one = {address.version: address for address in reversed(pod.host_addresses)}
    return replace(pod, host_addresses=tuple(one.values()))


def judged(case: Case, flows: Iterable[Flow]) -> Case:
    """The case with those connections that the text decides, as the naive judge answers them."""
    found = []
    for flow in dict.fromkeys(flows):
        if not disputed(case.cluster, flow):
            said = judge(case.cluster, flow.source, flow.destination, flow.protocol, flow.port)
            found.append(Connection(flow, said.allowed))
    return Case(case.group, case.name, case.clause, case.cluster, tuple(found))


# -- AdminNetworkPolicy and BaselineAdminNetworkPolicy


def in_older_kinds(case: Case) -> Iterator[Case]:
    """The case with policies of v1alpha1, where those can say it."""
    policies = case.cluster.admin_policies
    if sum(policy.tier is Tier.BASELINE for policy in policies) > 1 or case.names:
        return
    older = [_older(policy) for policy in policies]
    if None in older or any(p.ref.kind != "ClusterNetworkPolicy" for p in policies):
        return
    cluster = replace(case.cluster, admin_policies=tuple(filter(None, older)))
    yield Case(OLDER, case.name, case.clause, cluster, case.connections)


def _older(policy: ClusterNetworkPolicy) -> ClusterNetworkPolicy | None:
    """None: the older kinds cannot say it."""
    is_admin = policy.tier is Tier.ADMIN
    if _is_unreadable(policy) or any(map(_beyond_older, (*policy.ingress, *policy.egress))):
        return None
    rules = (*policy.ingress, *policy.egress)
    if not is_admin and any(rule.action is RuleAction.PASS for rule in rules):
        return None
    kind, name = (
        ("AdminNetworkPolicy", policy.ref.name)
        if is_admin
        else (
            "BaselineAdminNetworkPolicy",
            "default",
        )
    )
    return replace(
        policy,
        ref=ObjectRef(kind, "", name),
        subject=replace(policy.subject, pods=_explicit(policy.subject.pods)),
        ingress=tuple(replace(r, peers=tuple(map(_older_peer, r.peers))) for r in policy.ingress),
        egress=tuple(replace(r, peers=tuple(map(_older_peer, r.peers))) for r in policy.egress),
    )


def _is_unreadable(policy: ClusterNetworkPolicy) -> bool:
    """Whether a part of it is unknown: no manifest says that of every server (CNP-24, CNP-25)."""
    rules = (*policy.ingress, *policy.egress)
    unknown = [policy.subject.unknown]
    unknown += [peer.unknown for rule in rules for peer in rule.peers]
    unknown += [match.unknown for rule in rules for match in rule.protocols]
    return any(unknown)


def _beyond_older(rule: TierRule) -> bool:
    """Whether the older kinds refuse it: a protocol without a port, a name for what is no pod."""
    has_name = any(match.named_port for match in rule.protocols)
    is_elsewhere = any(peer.networks or peer.nodes is not None for peer in rule.peers)
    return (
        (has_name and is_elsewhere)
        or any(not (match.port or match.named_port) for match in rule.protocols)
        or any(peer.domain_names for peer in rule.peers)
    )


def _older_peer(peer: Peer) -> Peer:
    networks = tuple(dict.fromkeys(peer.networks))
    return replace(peer, pods=_explicit(peer.pods), networks=networks)


def _explicit(pods: Any) -> Any:
    """The older kinds want the selector of namespaces written."""
    if pods is None or pods.namespace_selector is not None:
        return pods
    return replace(pods, namespace_selector=LabelSelector())


# -- objects


def objects_of(cluster: Cluster) -> list[dict[str, Any]]:
    """Every object, with the defaults that an API server fills in. Workloads are pods already, and
    pods have no owners: one more or less of them must not matter."""
    return [
        *(to_manifest(each) for _, each in sorted(cluster.namespaces.items())),
        *(_node(each) for _, each in sorted(cluster.nodes.items())),
        *(_pod(pod) for pod in cluster.pods),
        *(to_manifest(replace(policy, declared_types=True)) for policy in cluster.policies),
        *(to_manifest(policy) for policy in cluster.admin_policies),
    ]


def _node(node: Node) -> dict[str, Any]:
    addresses = [{"type": "InternalIP", "address": str(each)} for each in node.addresses]
    metadata = {"name": node.name, "labels": dict(node.labels)}
    status = {"addresses": addresses}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": status}


def _pod(pod: Pod) -> dict[str, Any]:
    has_status = pod.has_status or bool(pod.addresses)
    return to_manifest(replace(pod, owner=None, has_status=has_status))


def cluster_of(objects: list[dict[str, Any]]) -> Cluster | None:
    """What podfence reads of the objects; None where it cannot read some."""
    text = msgspec.json.encode({"apiVersion": "v1", "kind": "List", "items": objects})
    loaded = load(["-"], stdin=BytesIO(text))
    unclear = [problem for problem in loaded.errors if not problem.refused_only]
    return None if unclear else loaded.cluster


def question(objects: list[dict[str, Any]], flows: Iterable[Flow]) -> bytes:
    """A line for a peer."""
    asked = [
        {
            "source": str(flow.source),
            "destination": str(flow.destination),
            "protocol": flow.protocol,
            "port": flow.port,
        }
        for flow in flows
    ]
    return msgspec.json.encode({"objects": objects, "flows": asked})
