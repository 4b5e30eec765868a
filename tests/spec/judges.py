"""The judges that every case of ``tests/spec`` is put before.

Rule: a judge takes a cluster and flows and gives one answer a flow, in order. A judge that sees
whole connections only leaves the directions None; one that cannot judge a flow answers None.
To add a judge, add it to ``JUDGES``; marks (``kernel``) go along with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from podfence.engine.evaluate import evaluate
from podfence.model.cluster import Cluster
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Flow
from tests import oracle


@dataclass(frozen=True)
class Answer:
    """Whether a connection passes, and each direction where the judge knows it."""

    allowed: bool
    egress: bool | None = None
    ingress: bool | None = None


Judge = Callable[[Cluster, Sequence[Flow]], Sequence[Answer | None]]


def ask_oracle(cluster: Cluster, flows: Sequence[Flow]) -> list[Answer | None]:
    """The naive judge."""
    found: list[Answer | None] = []
    for flow in flows:
        said = oracle.judge(cluster, flow.source, flow.destination, flow.protocol, flow.port)
        found.append(Answer(said.allowed, said.egress_allowed, said.ingress_allowed))
    return found


def ask_engine(cluster: Cluster, flows: Sequence[Flow]) -> list[Answer | None]:
    """The compiled form, evaluated in memory."""
    index = compile_cluster(cluster)
    found: list[Answer | None] = []
    for flow in flows:
        said = evaluate(index, flow)
        found.append(Answer(said.allowed, said.egress.allowed, said.ingress.allowed))
    return found


JUDGES: list[Judge] = [ask_oracle, ask_engine]
EACH_JUDGE = pytest.mark.parametrize("judge", JUDGES, ids=lambda judge: judge.__name__)
