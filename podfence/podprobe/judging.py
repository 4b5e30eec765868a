"""What pods of the cluster have seen -> what that says of each test.

Rule: pure. Only the cluster decides; the engine is asked beside it and never in its place. Nothing
is concluded from a port that answers nobody: neither the pod itself nor another one. What a test
names is proved by connections that tell something, or the test is not proved.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from podfence.lab.testbed.agreement import Disagreement, ProvedTest
from podfence.lab.testbed.probeplan import PartyKind, ProbeParty
from podfence.lab.testbed.probes import ProbeOutcome
from podfence.lab.testbed.report import PacketCheck, SentProbe
from podfence.podprobe.attempts import Asked, DialPlan, Outcomes, PlannedFile, PlannedTest
from podfence.policy.flow import Flow, Verdict
from podfence.questions.phrases.words import some
from podfence.questions.tests.form import Expect
from podfence.questions.tests.world import ClusterWorld

_SHOWN = 3
LET_THROUGH = "the policies deny it, and the cluster let it through: is a policy enforcer running?"
STOPPED = (
    "the policies allow it, and it did not come about: does something else deny it, such as "
    "policies of another API, or a firewall?"
)
SILENCE = (
    "no connection between two pods came about in this run, so that others did not proves nothing"
)


def judged_file(
    plan: DialPlan, file: PlannedFile, outcomes: Outcomes, *, compare: bool
) -> tuple[ProvedTest, ...]:
    """The tests of one document. ``compare``: a connection that is not as the engine says fails its
    test, whatever the test expects."""
    any_open = any(outcomes.got.get(each.dial) is ProbeOutcome.OPEN for each in plan.asked)
    made = _DialJudge(file.world, plan.pods, outcomes, any_open=any_open, compare=compare)
    return tuple(made.judged(test) for test in file.tests)


class _DialJudge:
    def __init__(
        self,
        world: ClusterWorld,
        pods: frozenset[str],
        outcomes: Outcomes,
        *,
        any_open: bool,
        compare: bool,
    ) -> None:
        self._world = world
        self._pods = pods
        self._outcomes = outcomes
        self._any_open = any_open
        self._compare = compare

    def judged(self, planned: PlannedTest) -> ProvedTest:
        """One test."""
        test = planned.test
        if planned.skipped:
            return ProvedTest(test, "skipped", text=planned.skipped)
        if planned.misses:
            return ProvedTest(test, "vacuous", misses=planned.misses)
        if not planned.asked and test.allow_empty:
            return ProvedTest(test, "passed", text="matches nobody, which allowEmpty permits")
        seen = [each for each in planned.asked if not self._inconclusive(each)]
        opened = {_pair(each) for each in seen if self._is_open(each)}
        wrong = [] if test.expect is Expect.SOME else [e for e in seen if self._wrong(e, opened)]
        found = self._counted(planned, seen, wrong)
        doubts = [] if test.expect is Expect.SOME and opened else self._doubts(planned, seen)
        if test.expect is Expect.SOME:
            fails = not opened and not doubts
        else:
            fails = bool(wrong)
        if doubts and not fails and not found.differ:
            return replace(found, status="unproved", text=some(doubts, _SHOWN, "; "))
        text = self._hint(found)
        if test.expect_failure:
            text = "fails, as expected" if fails else "passes, though it is expected to fail"
            fails = not fails
            found = replace(found, first=None, wrong=0)
        elif fails and not wrong:
            text = "none of its connections is open"
        return replace(found, status="failed" if fails or found.differ else "passed", text=text)

    # -- single connections

    def _is_open(self, asked: Asked) -> bool:
        return self._outcomes.got.get(asked.dial) is ProbeOutcome.OPEN

    def _inconclusive(self, asked: Asked) -> str:
        """Why a connection tells nothing, "" where it does."""
        got, failures = self._outcomes.got.get(asked.dial), self._outcomes.failures
        if got is ProbeOutcome.OPEN:
            return ""
        if got is None:
            why = failures.get(asked.dial.source, "its answer is missing")
            return f"{asked.dial.source} tried nothing: {why}"
        known = [each for each in asked.behind if each.pod in self._pods]
        if not known:
            return f"no pod behind {asked.target} takes part"
        for each in known:
            if not self._outcomes.answers(each):
                ports = f"{each.protocol}/{each.port}"
                if each.pod in failures:
                    return (
                        f"nothing is known to answer {ports} on {each.pod}, which tried nothing: "
                        f"{failures[each.pod]}"
                    )
                return f"nothing on {each.pod} answers {ports}, not even itself"
        return "" if self._any_open else SILENCE

    def _wrong(self, asked: Asked, opened: set[tuple[str, str]]) -> bool:
        if asked.one:
            return _pair(asked) not in opened
        return self._is_open(asked) is not asked.must

    def _verdict(self, asked: Asked) -> Verdict | None:
        """What the engine says; None where it depends on who behind a Service answers."""
        source = self._world.index.endpoints[asked.dial.source]
        said: list[Verdict] = []
        for each in asked.behind:
            for address in source.addresses:
                if address.version == each.address.version:
                    flow = Flow(address, each.address, each.protocol, each.port)
                    through = each.address != asked.dial.address
                    said.append(self._world.judge.verdict(flow, through=through))
        return said[0] if said and len({verdict.allowed for verdict in said}) == 1 else None

    # -- tests

    def _counted(
        self, planned: PlannedTest, seen: Sequence[Asked], wrong: Sequence[Asked]
    ) -> ProvedTest:
        verdicts = [(each, self._verdict(each)) for each in seen]
        odd = [
            (each, verdict)
            for each, verdict in verdicts
            if verdict is not None and verdict.allowed is not self._is_open(each)
        ]
        unlike = {each for each, _ in odd}
        silent = {each.dial.source: None for each in planned.asked}
        failures = self._outcomes.failures
        return ProvedTest(
            planned.test,
            "passed",
            packets=len(seen),
            denials=sum(not each.must for each in seen),
            differ=len(odd) if self._compare else 0,
            odd=self._check(*odd[0]) if odd and self._compare else None,
            others=tuple(self._check(*each) for each in odd[1:]) if self._compare else (),
            first=self._disagreement(wrong[0], agrees=wrong[0] not in unlike) if wrong else None,
            wrong=len(wrong),
            untried=(*planned.untried, *(pod for pod in silent if pod in failures)),
        )

    def _doubts(self, planned: PlannedTest, seen: Sequence[Asked]) -> list[str]:
        """Why the test is not proved."""
        if not planned.asked:
            return ["no pod that takes part could try one of its connections"]
        told = {each.unit for each in seen}
        wanted = [each for each in planned.asked if not seen or each.unit]
        reasons = (self._inconclusive(each) for each in wanted if not seen or each.unit not in told)
        return list(dict.fromkeys(reasons))

    def _hint(self, found: ProvedTest) -> str:
        """What a difference from the engine may come from."""
        if found.odd is not None:
            return LET_THROUGH if found.odd.packet.outcome is ProbeOutcome.OPEN else STOPPED
        if found.first is None or found.first.agrees:
            return ""
        return LET_THROUGH if found.first.open else STOPPED

    def _check(self, asked: Asked, verdict: Verdict) -> PacketCheck:
        dial, outcome = asked.dial, self._outcomes.got[asked.dial]
        is_service = asked.target.startswith("service ")
        kind = PartyKind.SERVICE if is_service else PartyKind.POD
        source, target = (
            ProbeParty(dial.source, PartyKind.POD, ()),
            ProbeParty(asked.target, kind, ()),
        )
        family = dial.address.version
        return PacketCheck(
            SentProbe(source, target, family, dial.protocol, dial.port, outcome), verdict
        )

    def _disagreement(self, asked: Asked, *, agrees: bool) -> Disagreement:
        dial, is_open = asked.dial, self._is_open(asked)
        ends = dial.source, asked.target, dial.address.version
        return Disagreement(*ends, dial.protocol, dial.port, is_open, agrees)


def _pair(asked: Asked) -> tuple[str, str]:
    return asked.dial.source, asked.target
