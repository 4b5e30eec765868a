"""Questions out, answers in: who says what of every connection.

Rule: an answer is right, wrong, refused (the tool failed on it, or would not read the input) or
unsupported (the tool does not claim it). Where Kubernetes leaves the answer open nobody is wrong:
such answers are counted apart, as the same as podfence's choice or another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from bench.conformance.aspects import aspects
from bench.conformance.cases import Case, Connection, cluster_of, question
from bench.conformance.peers import Asked, Peer
from podfence.engine.evaluate import evaluate
from podfence.model.cluster import Cluster
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Flow
from tests.support.oracle_facts import Names

Objects = list[dict[str, Any]]


class Outcome(Enum):
    """What became of one question."""

    RIGHT = "right"
    WRONG = "wrong"
    REFUSED = "refused"
    UNSUPPORTED = "unsupported"
    SAME = "same choice"
    OTHER = "another choice"


@dataclass(frozen=True)
class Miss:
    """A wrong or refused answer. ``said``: ``allow``, ``deny`` or ``error: ...``."""

    case: Case
    connection: Connection
    said: str


@dataclass
class Tally:
    """All answers of one tool. ``counts``: by group and outcome; ``choices``: open clauses where
    its choice is another."""

    counts: Counter[tuple[str, Outcome]] = field(default_factory=Counter)
    choices: Counter[str] = field(default_factory=Counter)
    wrong: list[Miss] = field(default_factory=list)
    refused: list[Miss] = field(default_factory=list)

    def enter(self, case: Case, connection: Connection, said: str | None) -> None:
        """Count one answer; None is unsupported."""
        outcome = judged(connection, said)
        self.counts[case.group, outcome] += 1
        if outcome is Outcome.OTHER:
            self.choices[case.clause] += 1
        if outcome is Outcome.WRONG:
            self.wrong.append(Miss(case, connection, said or ""))
        if outcome is Outcome.REFUSED:
            self.refused.append(Miss(case, connection, said or ""))

    def total(self, outcome: Outcome) -> int:
        """Over all groups."""
        return sum(n for (_, each), n in self.counts.items() if each is outcome)


def judged(connection: Connection, said: str | None) -> Outcome:
    """What an answer is worth; None is unsupported."""
    if said is None:
        return Outcome.UNSUPPORTED
    if said not in ("allow", "deny"):
        return Outcome.REFUSED
    agrees = (said == "allow") is connection.allowed
    if connection.is_open:
        return Outcome.SAME if agrees else Outcome.OTHER
    return Outcome.RIGHT if agrees else Outcome.WRONG


Ask = Callable[[Objects, Sequence[Flow], Names], Sequence[str]]


def ask_podfence(objects: Objects, flows: Sequence[Flow], names: Names) -> Sequence[str]:
    """What podfence makes of the same objects: its reader and its engine."""
    cluster = cluster_of(objects)
    if cluster is None:
        return ["error: refused"] * len(flows)
    index = compile_cluster(cluster, names)
    return ["allow" if evaluate(index, flow).allowed else "deny" for flow in flows]


def asker(peer: Asked) -> Ask:
    """The same of a peer, which knows no names."""

    def ask(objects: Objects, flows: Sequence[Flow], _: Names) -> Sequence[str]:
        answers = peer.ask(question(objects, flows))
        return answers if len(answers) == len(flows) else answers[:1] * len(flows)

    return ask


def supports(peer: Peer, cluster: Cluster, flow: Flow) -> bool:
    """Whether a peer claims to judge the connection in this cluster."""
    kinds = {"NetworkPolicy"} if cluster.policies else set()
    kinds |= {policy.ref.kind for policy in cluster.admin_policies}
    return kinds <= peer.kinds and not (aspects(cluster, flow) & peer.beyond)


def put(tally: Tally, case: Case, ask: Ask, peer: Peer | None) -> None:
    """Ask about everything in a case that the tool claims; ``peer`` None: podfence claims all."""
    claimed = [c for c in case.connections if peer is None or supports(peer, case.cluster, c.flow)]
    flows = [connection.flow for connection in claimed]
    answers = ask(case.objects, flows, case.names) if flows else ()
    said = dict(zip(claimed, answers, strict=True))
    for connection in case.connections:
        tally.enter(case, connection, said.get(connection))
