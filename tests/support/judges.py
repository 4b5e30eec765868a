"""The judges that every case of ``tests/spec`` is put before.

Rule: a judge takes a cluster, flows and what domain names stand for, and gives one answer a flow,
in order. A judge that sees whole connections only leaves the directions None; one that cannot judge
a flow answers None.
To add a judge, add it to ``JUDGES``; marks (``kernel``) go along with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from podfence.engine.evaluate import evaluate
from podfence.model.cluster import Cluster
from podfence.nft.lowering.lower import LocalNode, lower
from podfence.nft.trace import trace
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Flow
from podfence.policy.index import Endpoint, PolicyIndex
from podfence.sets.addresses import IPAddress
from tests.support import oracle
from tests.support.oracle_facts import Names


@dataclass(frozen=True)
class Answer:
    """Whether a connection passes, and each direction where the judge knows it."""

    allowed: bool
    egress: bool | None = None
    ingress: bool | None = None


Judge = Callable[[Cluster, Sequence[Flow], Names], Sequence[Answer | None]]


def ask_oracle(cluster: Cluster, flows: Sequence[Flow], names: Names) -> list[Answer | None]:
    """The naive judge."""
    found: list[Answer | None] = []
    for flow in flows:
        said = oracle.judge(cluster, flow.source, flow.destination, flow.protocol, flow.port, names)
        found.append(Answer(said.allowed, said.egress_allowed, said.ingress_allowed))
    return found


def ask_engine(cluster: Cluster, flows: Sequence[Flow], names: Names) -> list[Answer | None]:
    """The compiled form, evaluated in memory."""
    index = compile_cluster(cluster, names)
    found: list[Answer | None] = []
    for flow in flows:
        said = evaluate(index, flow)
        found.append(Answer(said.allowed, said.egress.allowed, said.ingress.allowed))
    return found


def ask_trace(cluster: Cluster, flows: Sequence[Flow], names: Names) -> list[Answer | None]:
    """The kernel's form, walked in memory on the node of each end. No answer where the other judges
    know only whose an address is: a node still keeps the policies of a pod that is being deleted,
    and another has its address by now (both have to allow); or a pod has an address of the node (a
    packet from there may be the node's own).
    """
    index = compile_cluster(cluster, names)
    nodes = _nodes(index)
    unclear = _left(index)
    unclear |= {(n, a) for n, node in nodes.items() for a in node.addresses if index.subjects_at(a)}
    rulesets = {name: lower(index, node) for name, node in nodes.items()}
    found: list[Answer | None] = []
    for flow in flows:
        ends = (pod for a in (flow.source, flow.destination) for pod in index.subjects_at(a))
        crossed = {_node_of(end) for end in ends}
        if any((name, a) in unclear for name in crossed for a in (flow.source, flow.destination)):
            found.append(None)
            continue
        passes = (
            trace(rulesets[name], flow, own_addresses=nodes[name].addresses).accepted
            for name in crossed
        )
        found.append(Answer(all(passes)))
    return found


def _nodes(index: PolicyIndex) -> dict[str, LocalNode]:
    """The node of every pod, by the name that ``_node_of`` gives it."""
    pods: dict[str, list[Endpoint]] = defaultdict(list)
    for endpoint in index.endpoints.values():
        pods[_node_of(endpoint)].append(endpoint)
    return {
        name: LocalNode(
            name,
            pods=frozenset(f"{e.pod.namespace}/{e.pod.name}" for e in local),
            addresses=_addresses(index, name) | {a for e in local for a in e.pod.host_addresses},
        )
        for name, local in pods.items()
    }


def _left(index: PolicyIndex) -> set[tuple[str, IPAddress]]:
    """Addresses of pods that are being deleted, by their node, if no other pod there has them."""
    return {
        (_node_of(pod), address)
        for pod in index.endpoints.values()
        for address in pod.doubtful
        if all(_node_of(pod) != _node_of(other) for other in index.subjects_at(address))
    }


def _node_of(endpoint: Endpoint) -> str:
    """A pod without a node is alone on one: nobody says that two of them share theirs."""
    return endpoint.pod.node or f"of {endpoint.pod.ref}"


def _addresses(index: PolicyIndex, name: str) -> frozenset[IPAddress]:
    return frozenset(a for a in index.by_node_address if index.is_of_node(a, name))


JUDGES: list[Judge] = [ask_oracle, ask_engine, ask_trace]
EACH_JUDGE = pytest.mark.parametrize("judge", JUDGES, ids=lambda judge: judge.__name__)
