"""What a deliberate misreading is, and whether random flows notice it.

The engine is given a cluster that was altered just as if it misread one clause, the naive judge the
true one. A misreading that no random flow notices would mean that the agreement of the two proves
nothing about that clause.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from podfence.engine.evaluate import evaluate
from podfence.model.cluster import Cluster
from podfence.policy.compile import compile_cluster
from tests.support.judging import make
from tests.support.oracle import judge
from tests.support.random_tiers import NAMES

CLUSTERS = 250
FLOWS = 40
Misreading = Callable[[Cluster], Cluster]


def is_noticed(misreading: Misreading, *, tiers: bool = False) -> bool:
    """Whether some random flow is judged differently in the altered cluster."""
    return any(_differs(misreading, number, tiers) for number in range(CLUSTERS))


def _differs(misreading: Misreading, number: int, tiers: bool) -> bool:
    cluster, flows = make(3, number, tiers)
    altered = misreading(cluster)
    if altered == cluster:
        return False
    index = compile_cluster(altered, NAMES)
    for flow in islice(flows, FLOWS):
        said = judge(cluster, flow.source, flow.destination, flow.protocol, flow.port, NAMES)
        found = evaluate(index, flow)
        if (found.egress.allowed, found.ingress.allowed) != (
            said.egress_allowed,
            said.ingress_allowed,
        ):
            return True
    return False
