"""Every probe of a plan with the policies enforced, beside the engine's answer.

Process: a command, or the background one of a lab.

Rule: these are the steps that ``lab run`` and ``lab test`` share. How the policies came to be
enforced is not part of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from podfence.errors import LabError
from podfence.lab.probing.process import LabProcess
from podfence.lab.probing.requests import DialServices, HeldPorts, Send, Try
from podfence.lab.testbed.compare import Observed, enforced_kinds, expect, lost, not_open
from podfence.lab.testbed.control import (
    control_kinds,
    control_outcomes,
    live_control,
    live_controls,
    unanswered,
)
from podfence.lab.testbed.probeplan import FAMILIES, LabNode, PlanLimits, ProbePlan
from podfence.lab.testbed.probes import Listener, ProbeOutcome
from podfence.lab.testbed.report import HeldPort, LabReport, Timings
from podfence.lab.testbed.services import (
    ServiceProbe,
    due,
    frontends,
    judge_service_probes,
    listeners,
    service_probes,
    service_results,
)
from podfence.nft.lowering.lower import LocalNode
from podfence.policy.index import PolicyIndex
from podfence.questions.phrases.matched import names_by_pod

_MANY = 100
"""Probes: when not one of so many is answered at the second attempt, nothing was lost by chance."""


class LabOptions(Struct, frozen=True):
    """How a lab is built and tried."""

    limits: PlanLimits = field(default_factory=PlanLimits)
    timeout: float = 0.3
    """Seconds after which a probe counts as dropped."""
    patience: float = 1.0
    """The same for a repeated one."""
    repeats: int = 3
    """How often a lost probe is sent again."""
    nodes: int = 0
    """How many; 0: as the input says (``testbed.scheduling``)."""


def families() -> tuple[int, ...]:
    """The IP versions that this machine has."""
    return FAMILIES if Path("/proc/sys/net/ipv6").exists() else (4,)


def local_node(plan: ProbePlan, node: LabNode) -> LocalNode:
    """A node of the plan as its rules see it."""
    return LocalNode(
        node.name,
        pods=frozenset(party.name for party in plan.parties if party.node == node.name),
        pod_cidrs=node.pod_cidrs,
        addresses=frozenset(node.addresses),
    )


class Control(Struct, frozen=True):
    """What proves of every probe that its missing answer means something."""

    outcomes: bytes
    """One :class:`ProbeOutcome` a probe: OPEN where it is proven."""
    seconds: float
    live: bool
    """It was made with the policies enforced."""


class _RoundOutcomes(Struct, frozen=True):
    """Outcomes of a round and of its repetitions."""

    outcomes: bytes
    seconds: float
    repeated: int = 0
    """Probes that were lost at first and answered when sent again."""


class Trial:
    """One plan in one lab process."""

    def __init__(
        self, lab: LabProcess, index: PolicyIndex, plan: ProbePlan, options: LabOptions
    ) -> None:
        """Asks the engine what is to be expected; sends nothing."""
        self._lab = lab
        self._index = index
        self._plan = plan
        self._options = options
        self._allowed = expect(index, plan)
        self.frontends = frontends(index, plan)
        self._service_probes = service_probes(plan, self.frontends)
        self._held: frozenset[Listener] = frozenset()
        """Ports that programs in the pods have."""

    # -- controls

    def open_control(self) -> Control:
        """Before anything is enforced: every probe that is to be denied has to be answered."""
        wanted = control_kinds(self._plan.probes, self._allowed)
        answer = self._lab.call(Send(wanted, self._options.timeout))
        missing = partial(unanswered, wanted)
        sent = self._repeat(_RoundOutcomes(answer.value, answer.seconds), wanted, missing)
        outcomes = control_outcomes(self._plan.probes, wanted, sent.outcomes)
        return Control(outcomes, sent.seconds, live=False)

    def live_control(self) -> Control:
        """With the policies enforced: every port that is probed has to answer an end that no policy
        keeps out."""
        tried = live_controls(self._plan)
        answer = self._lab.call(Try(tried, self._options.patience))
        self._held = self._lab.call(HeldPorts()).value
        outcomes = live_control(self._plan, tried, answer.value, self._held)
        return Control(outcomes, answer.seconds, live=True)

    def check_services(self) -> None:
        """Before anything is enforced: raises LabError when a backend does not get what is sent to
        its Service."""
        probes = self._service_probes
        for probe, by in zip(probes, self._dial(probes, range(len(probes))), strict=True):
            frontend = self.frontends[probe.frontend]
            who = self._plan.parties[by].name if by >= 0 else "nobody"
            if who not in {name for _, _, name in frontend.backends}:
                raise LabError(
                    f"{self._plan.parties[probe.source].name} dialled service {frontend.service} "
                    f"({probe.address} {probe.protocol}/{probe.port}) on the open network, and "
                    f"{who} answered"
                )

    # -- with the policies enforced

    def run(self, control: Control) -> LabReport:
        """Send every probe and compare. Timings of what came before are left at 0."""
        sent = self._try_all(control.outcomes)
        plan, index = self._plan, self._index
        observed = Observed(plan, index, self._allowed, control.outcomes, sent.outcomes)
        return self._with_services(self._report(observed, sent, control))

    def _try_all(self, control: bytes) -> _RoundOutcomes:
        """What was lost is sent again, if it has a control."""
        wanted = enforced_kinds(self._allowed)
        answer = self._lab.call(Send(wanted, self._options.timeout, arrivals=True))
        dead = frozenset(not_open(control))

        def missing(outcomes: bytes) -> list[int]:
            return [number for number in lost(self._allowed, outcomes) if number not in dead]

        return self._repeat(_RoundOutcomes(answer.value, answer.seconds), wanted, missing)

    def _report(self, observed: Observed, sent: _RoundOutcomes, control: Control) -> LabReport:
        disagreements = tuple(observed.disagreements())
        without_control = tuple(observed.without_control())
        left_out = len(without_control) + control.outcomes.count(ProbeOutcome.HELD)
        probes = len(self._plan.probes) - left_out
        pods = self._index.cluster.pods
        return LabReport(
            parties=self._plan.parties,
            workloads=names_by_pod(pods),
            probes=probes,
            agreements=probes - len(disagreements),
            disagreements=disagreements,
            without_control=without_control,
            live_control=control.live,
            pairs=tuple(observed.pairs()),
            repeated=sent.repeated,
            notes=self._plan.notes,
            rootless=self._lab.rootless,
            timings=Timings(0.0, control.seconds, 0.0, sent.seconds, 0.0),
            held=tuple(self._held_ports(control.outcomes)),
        )

    def _held_ports(self, control: bytes) -> Iterator[HeldPort]:
        if not self._held:
            return
        pairs = zip(self._plan.probes, control, strict=True)
        probed = {probe[1:] for probe, outcome in pairs if outcome == ProbeOutcome.OPEN}
        for listener in sorted(self._held):
            at, family, protocol, port = listener
            yield HeldPort(self._plan.parties[at], family, protocol, port, listener in probed)

    def _can_be_named(self, probe: ServiceProbe) -> bool:
        """Whether every backend that may get the probe would tell its name."""
        held = {(self._plan.parties[at].name, port) for at, _, _, port in self._held}
        backends = self.frontends[probe.frontend].backends
        return not any((name, port) in held for _, port, name in backends)

    def _with_services(self, report: LabReport) -> LabReport:
        """The report with what attempts on Services showed."""
        plan, probes = self._plan, [p for p in self._service_probes if self._can_be_named(p)]
        judged = judge_service_probes(self._index, plan, self.frontends, probes)
        answered = self._dial(probes, due(judged))
        pairs, wrong = service_results(plan, self.frontends, probes, judged, answered)
        return replace(
            report,
            parties=(*report.parties, *dict.fromkeys(pair.target for pair in pairs)),
            probes=report.probes + len(probes),
            agreements=report.agreements + len(probes) - len(wrong),
            disagreements=(*report.disagreements, *wrong),
            pairs=(*report.pairs, *pairs),
        )

    # -- sending

    def _repeat(
        self, first: _RoundOutcomes, wanted: bytes, pick: Callable[[bytes], list[int]]
    ) -> _RoundOutcomes:
        """Send again what ``pick`` names, with more patience, as long as it names any."""
        outcomes, seconds = bytearray(first.outcomes), first.seconds
        missing = lacking = pick(first.outcomes)
        for _ in range(self._options.repeats):
            if not missing:
                break
            before = len(missing)
            again = bytearray(len(wanted))
            for number in missing:
                again[number] = wanted[number]
            answer = self._lab.call(Send(bytes(again), self._options.patience))
            seconds += answer.seconds
            for number in missing:
                outcomes[number] = answer.value[number]
            missing = pick(bytes(outcomes))
            if len(missing) == before > _MANY:
                break
        return _RoundOutcomes(bytes(outcomes), seconds, len(lacking) - len(missing))

    def _dial(self, wanted: Sequence[ServiceProbe], due: Collection[int]) -> Sequence[int]:
        """The index of the party that answered each attempt, -1: none. ``due``: numbers of attempts
        that have to be answered: they are repeated once, with a longer timeout."""
        if not wanted:
            return ()
        listening = listeners(self._plan, self.frontends)
        first = self._lab.call(DialServices(wanted, listening, self._options.timeout))
        answered = list(first.value)
        silent = [at for at in due if answered[at] < 0]
        if silent:
            again = DialServices([wanted[at] for at in silent], (), self._options.patience)
            for at, found in zip(silent, self._lab.call(again).value, strict=True):
                answered[at] = found
        return answered
