"""The judges that every case of ``tests/spec`` is put before.

Rule: a judge takes a cluster, flows and what domain names stand for, and gives one answer a flow,
in order. A judge that sees whole connections only leaves the directions None; one that cannot judge
a flow answers None.
To add a judge, add it to ``JUDGES``; marks (``kernel``) go along with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from podfence.engine.evaluate import evaluate
from podfence.model.cluster import Cluster
from podfence.nft.lower import LocalNode, lower
from podfence.nft.trace import trace
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Flow
from podfence.policy.index import PolicyIndex
from tests import oracle
from tests.oracle_facts import Names


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
    """The kernel's form, walked in memory on the node of each end."""
    index = compile_cluster(cluster, names)
    nodes = _nodes(index)
    rulesets = {name: lower(index, node) for name, node in nodes.items()}
    found: list[Answer | None] = []
    for flow in flows:
        ends = (index.by_address.get(a) for a in (flow.source, flow.destination))
        crossed = {end.pod.node for end in ends if end is not None}
        passes = (
            trace(rulesets[name], flow, own_addresses=nodes[name].addresses).accepted
            for name in crossed
        )
        found.append(Answer(all(passes)))
    return found


def _nodes(index: PolicyIndex) -> dict[str, LocalNode]:
    """Every node that runs a pod; pods without a node share one."""
    names = {endpoint.pod.node for endpoint in index.endpoints.values()}
    return {
        name: LocalNode(
            name,
            pods=frozenset(key for key, e in index.endpoints.items() if e.pod.node == name),
            addresses=frozenset(a for a, node in index.by_node_address.items() if node == name),
        )
        for name in names
    }


JUDGES: list[Judge] = [ask_oracle, ask_engine, ask_trace]
EACH_JUDGE = pytest.mark.parametrize("judge", JUDGES, ids=lambda judge: judge.__name__)
