"""Observed against expected. Pure: outcomes and verdicts in, the parts of a report out.

Rule: a connection that came about is allowed, anything else is denied; an answer by the wrong party
never agrees with anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from podfence.engine.evaluate import Judge
from podfence.lab.outcome import Outcome
from podfence.lab.plan import LabPlan, Probe
from podfence.lab.report import Check, PairResult, PortSeen
from podfence.policy.flow import Direction, Flow, Verdict
from podfence.policy.index import PolicyIndex


def flow_of(plan: LabPlan, probe: Probe) -> Flow:
    """The flow that a probe makes."""
    return Flow(
        plan.parties[probe.source].address(probe.family),
        plan.parties[probe.target].address(probe.family),
        probe.protocol,
        probe.port,
    )


def expect(index: PolicyIndex, plan: LabPlan) -> list[Verdict]:
    """The engine's verdict for every probe of the plan."""
    judge = Judge(index)
    verdicts: list[Verdict] = []
    for pair, probes in groupby(plan.probes, lambda probe: probe[:3]):
        said = _between(judge, plan, *pair)
        verdicts.extend(said(probe.protocol, probe.port) for probe in probes)
    return verdicts


def _between(
    judge: Judge, plan: LabPlan, source: int, target: int, family: int
) -> Callable[[str, int], Verdict]:
    """The engine's answer for one pair: what all its ports have in common is looked up once."""
    index = judge.index
    a, b = plan.parties[source].address(family), plan.parties[target].address(family)
    near, far = index.by_address.get(a), index.by_address.get(b)
    if near is None or far is None or near is far:  # nodes and itself are the engine's to know
        return lambda protocol, port: judge.verdict(Flow(a, b, protocol, port))
    of_near, of_far = index.class_of(a), index.class_of(b)
    return lambda protocol, port: Verdict(
        judge.end(near, Direction.EGRESS, of_far, family, protocol, port),
        judge.end(far, Direction.INGRESS, of_near, family, protocol, port),
    )


def agrees(verdict: Verdict, outcome: Outcome) -> bool:
    """Whether an outcome is what the verdict promises."""
    if outcome is Outcome.STRANGER:
        return False
    return verdict.allowed is (outcome is Outcome.OPEN)


def not_open(outcomes: bytes) -> list[int]:
    """Numbers of the probes that got no right answer."""
    return [number for number, outcome in enumerate(outcomes) if outcome != Outcome.OPEN]


def lost(verdicts: Sequence[Verdict], outcomes: bytes) -> list[int]:
    """Numbers of the probes that should have passed and did not: a packet can get lost, so these
    are worth repeating. One that passed and should not have is proof at once."""
    return [number for number in not_open(outcomes) if verdicts[number].allowed]


@dataclass(frozen=True, slots=True)
class Observed:
    """Outcomes of every probe of a plan: on the open network, and with the policies enforced."""

    plan: LabPlan
    verdicts: Sequence[Verdict]
    control: bytes
    enforced: bytes

    def disagreements(self) -> Iterator[Check]:
        """Probes with a control that did not go as the engine says."""
        for number, verdict in enumerate(self.verdicts):
            outcome = Outcome(self.enforced[number])
            if self.control[number] == Outcome.OPEN and not agrees(verdict, outcome):
                yield self._check(number, outcome)

    def without_control(self) -> Iterator[Check]:
        """Probes that failed on the open network already, with what became of them there."""
        for number in not_open(self.control):
            yield self._check(number, Outcome(self.control[number]))

    def pairs(self) -> Iterator[PairResult]:
        """What was seen, pair by pair; probes without control are left out."""
        parties, probes = self.plan.parties, self.plan.probes
        known = (n for n in range(len(probes)) if self.control[n] == Outcome.OPEN)
        for (source, target), numbers in groupby(
            known, lambda n: (probes[n].source, probes[n].target)
        ):
            yield PairResult(parties[source], parties[target], tuple(map(self._seen, numbers)))

    def _seen(self, number: int) -> PortSeen:
        _, _, family, protocol, port = self.plan.probes[number]
        outcome = Outcome(self.enforced[number])
        agreed = agrees(self.verdicts[number], outcome)
        return PortSeen(family, protocol, port, outcome is Outcome.OPEN, agreed)

    def _check(self, number: int, outcome: Outcome) -> Check:
        probe = self.plan.probes[number]
        return Check(
            self.plan.parties[probe.source],
            self.plan.parties[probe.target],
            flow_of(self.plan, probe),
            self.verdicts[number],
            outcome,
        )
