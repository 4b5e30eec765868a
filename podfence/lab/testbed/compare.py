"""Compares outcomes of probes with the engine's answers. Pure: outcomes and answers in, the parts
of a report out.

Rule: an answer of the right party means allowed, no answer means denied; any other outcome agrees
with neither.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import groupby

from msgspec import Struct

from podfence.engine.evaluate import Evaluator
from podfence.engine.permitted import Permitted
from podfence.lab.testbed.probeplan import ProbePlan
from podfence.lab.testbed.probes import Pair, Port, Probe, ProbeKind, ProbeOutcome, both, ones
from podfence.lab.testbed.report import PacketCheck, PairResult, PortSeen, SentProbe
from podfence.policy.flow import Flow
from podfence.policy.index import PolicyIndex
from podfence.sets.addresses import IPAddress

_NOTHING_CAME_BACK = frozenset(
    {ProbeOutcome.TIMEOUT, ProbeOutcome.UNREACHABLE, ProbeOutcome.PROHIBITED}
)
_SAYS = bytes(
    1 if outcome == ProbeOutcome.OPEN else 0 if outcome in _NOTHING_CAME_BACK else 2
    for outcome in range(256)
)
"""What an outcome says of its probe, as the engine says it: 1 allowed, 0 denied; 2: neither."""
_NOT_OPEN = bytes(outcome != ProbeOutcome.OPEN for outcome in range(256))
_KINDS = bytes((ProbeKind.SYN, ProbeKind.CONNECT)) + bytes(254)


def flow_of(plan: ProbePlan, probe: Probe) -> Flow:
    """The flow that a probe makes."""
    return Flow(
        plan.parties[probe.source].address(probe.family),
        plan.parties[probe.target].address(probe.family),
        probe.protocol,
        probe.port,
    )


def expect(index: PolicyIndex, plan: ProbePlan) -> bytes:
    """What the engine says of every probe of the plan: 1 allowed, 0 denied."""
    answers = _Answers(index)
    addresses: list[dict[int, IPAddress]] = [
        {a.version: a for a in party.addresses} for party in plan.parties
    ]
    said = bytearray()
    for source, target, family, ports, _ in plan.probes.pairs:
        said += answers.of(addresses[source][family], addresses[target][family], ports)
    return bytes(said)


class _Answers:
    """The engine's answers for lists of ports, each pair of a port set and a list worked out
    once."""

    def __init__(self, index: PolicyIndex) -> None:
        self._permitted = Permitted(index)
        self._found: dict[tuple[int, tuple[Port, ...]], bytes] = {}

    def of(self, a: IPAddress, b: IPAddress, ports: tuple[Port, ...]) -> bytes:
        """One byte a port: 1 allowed, 0 denied."""
        key = self._permitted.number(a, b), ports
        found = self._found.get(key)
        if found is None:
            permitted = self._permitted.table.sets[key[0]]
            found = self._found[key] = bytes(port in permitted for port in ports)
        return found


def agrees(allowed: bool, outcome: ProbeOutcome) -> bool:
    """Whether an outcome is what the engine promises. Whatever the target itself sends back, a
    refusal too, says that a packet has come to it."""
    return outcome is ProbeOutcome.OPEN if allowed else outcome in _NOTHING_CAME_BACK


def enforced_kinds(allowed: bytes) -> bytes:
    """How to try every probe with the policies enforced: whole connections where one should come
    about, a lone SYN where nothing should come back."""
    return allowed.translate(_KINDS)


def not_open(outcomes: bytes) -> list[int]:
    """Numbers of the probes that got no right answer."""
    return list(ones(outcomes.translate(_NOT_OPEN)))


def lost(allowed: bytes, outcomes: bytes) -> list[int]:
    """Numbers of the probes that should have passed and did not: a packet can get lost, so these
    are worth repeating. One that passed and should not have is proof at once."""
    return list(ones(both(allowed, outcomes.translate(_NOT_OPEN))))


class Observed(Struct, frozen=True, dict=True):
    """The outcome of every probe of a plan with the policies enforced, and its control
    (``testbed.control``). ``allowed``: the engine's answer, as 1 and 0."""

    plan: ProbePlan
    index: PolicyIndex
    allowed: bytes
    control: bytes
    enforced: bytes

    def disagreements(self) -> Iterator[PacketCheck]:
        """Probes with a control that did not go as the engine says."""
        if self.enforced.translate(_SAYS) == self.allowed:
            return
        for number, allowed in enumerate(self.allowed):
            outcome = ProbeOutcome(self.enforced[number])
            if self.control[number] == ProbeOutcome.OPEN and not agrees(bool(allowed), outcome):
                yield self._check(number, outcome)

    def without_control(self) -> Iterator[PacketCheck]:
        """Probes without a control, each with the outcome of the control. Probes to ports that
        programs in the pods hold are left out."""
        for number in not_open(self.control):
            if self.control[number] != ProbeOutcome.HELD:
                yield self._check(number, ProbeOutcome(self.control[number]))

    def pairs(self) -> Iterator[PairResult]:
        """What was seen, pair by pair; probes without control are left out."""
        parties = self.plan.parties
        known: dict[tuple[object, ...], tuple[PortSeen, ...]] = {}
        for (source, target), group in groupby(self.plan.probes.pairs, lambda pair: pair[:2]):
            pairs = list(group)
            part = slice(pairs[0].first, pairs[-1].end)
            lists = tuple((pair.family, pair.ports) for pair in pairs)
            key = lists, self.allowed[part], self.control[part], self.enforced[part]
            if key not in known:
                known[key] = tuple(self._seen(pairs))
            if known[key]:
                yield PairResult(parties[source], parties[target], known[key])

    def _seen(self, pairs: Sequence[Pair]) -> Iterator[PortSeen]:
        for pair in pairs:
            for number, (protocol, port) in enumerate(pair.ports, pair.first):
                if self.control[number] == ProbeOutcome.OPEN:
                    outcome = ProbeOutcome(self.enforced[number])
                    agreed = agrees(bool(self.allowed[number]), outcome)
                    is_open = outcome is ProbeOutcome.OPEN
                    yield PortSeen(pair.family, protocol, port, is_open, agreed)

    def _check(self, number: int, outcome: ProbeOutcome) -> PacketCheck:
        probe = self.plan.probes[number]
        verdict = self._judge.verdict(flow_of(self.plan, probe))
        return PacketCheck(SentProbe.of(self.plan, probe, outcome), verdict)

    @cached_property
    def _judge(self) -> Evaluator:
        return Evaluator(self.index)
