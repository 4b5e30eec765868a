"""run_lab: build, control, enforce, probe, compare, all gone again.

Rule: the order of these steps and nothing else. Every expected denial is backed by a control on the
open network, before the policies were loaded (``lab.control``).
"""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from types import FrameType

from podfence.errors import LabError
from podfence.lab.compare import Observed, expect, lost, not_open
from podfence.lab.control import control_numbers, inferred, is_whole
from podfence.lab.placement import place
from podfence.lab.plan import FAMILIES, LabNode, LabPlan, Limits, Side, make_plan
from podfence.lab.process import LabProcess
from podfence.lab.report import Check, LabReport, PairResult, Timings
from podfence.lab.requests import Build, Call, Enforce, Send
from podfence.lab.services import (
    Dial,
    Frontend,
    dialled,
    dials,
    frontends,
    listeners,
    services_text,
)
from podfence.nft.lower import LocalNode, lower
from podfence.nft.render import render
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Verdict
from podfence.policy.index import PolicyIndex

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class LabOptions:
    """``timeout``: seconds after which a probe counts as dropped; ``patience``: the same for a
    repeated one; ``repeats``: how often a lost probe is sent again; ``nodes``: how many, 0: as the
    input says (``lab.placement``)."""

    limits: Limits = field(default_factory=Limits)
    timeout: float = 0.3
    patience: float = 1.0
    repeats: int = 3
    nodes: int = 0


def run_lab(
    index: PolicyIndex, options: LabOptions = LabOptions(), *, progress: Progress
) -> LabReport:
    """Enforce the policies of a cluster in network namespaces and try them with real packets.

    ``progress`` gets one line a step. Raises LabError where the lab cannot be built, NftError
    where the kernel refuses the rules, KeyboardInterrupt on SIGINT and SIGTERM; whatever happens,
    nothing of the lab is left.
    """
    placed = compile_cluster(place(index.cluster, options.nodes), index.names)
    plan = make_plan(placed, options.limits, families())
    if not plan.probes:
        raise LabError("nothing to try: no pod of the input has an address that a lab can give it")
    with _terminable(), _collector_paused(), LabProcess(plan) as lab:
        run = _Run(lab, plan, options, progress)
        every = frontends(placed, plan)
        built, control = run.open_network(every)
        calls = run.answered(every)
        enforced = run.enforce(placed)
        verdicts, outcomes = run.probe(placed, control.outcomes)
        through = dial_all(lab, plan, every, calls, options)
        start = monotonic()
    seconds = Timings(built, control.seconds, enforced, outcomes.seconds, monotonic() - start)
    observed = Observed(plan, verdicts, control.outcomes, outcomes.outcomes)
    whole = is_whole(plan.probes)
    found = report(observed, outcomes.repeated, seconds, rootless=lab.rootless, whole=whole)
    return with_services(found, len(calls), *dialled(placed, plan, every, calls, through))


def families() -> tuple[int, ...]:
    """The IP versions that this machine has."""
    return FAMILIES if Path("/proc/sys/net/ipv6").exists() else (4,)


def local_node(plan: LabPlan, node: LabNode) -> LocalNode:
    """A node of the plan as its rules see it."""
    return LocalNode(
        node.name,
        pods=frozenset(party.name for party in plan.parties if party.node == node.name),
        pod_cidrs=node.pod_cidrs,
        addresses=frozenset(node.addresses),
    )


@dataclass(frozen=True, slots=True)
class _Outcomes:
    outcomes: bytes
    seconds: float
    repeated: int


@dataclass(frozen=True, slots=True)
class _Run:
    """The steps that talk to the lab process."""

    lab: LabProcess
    plan: LabPlan
    options: LabOptions
    progress: Progress

    def open_network(self, every: Sequence[Frontend]) -> tuple[float, _Outcomes]:
        """Build, and send the control probes before anything is enforced."""
        pods = sum(party.side is Side.POD for party in self.plan.parties)
        sent = control_numbers(self.plan.probes)
        self.progress(f"building {pods} pods on {len(self.plan.nodes)} node(s)")
        self.lab.ask(Build())
        for node in self.plan.nodes if every else ():
            self.lab.ask(Enforce(node.name, services_text(node, every)))
        self.lab.ask(Send(sent, self.options.timeout))
        built = self.lab.answer().seconds
        for _ in self.plan.nodes if every else ():
            built += self.lab.answer().seconds
        self.progress(f"control: {len(sent)} probes on the open network")
        answer = self.lab.answer()
        control = inferred(self.plan.probes, sent, answer.outcomes)
        first = _Outcomes(control, answer.seconds, 0)
        return built, self._repeat(first, not_open)

    def answered(self, every: Sequence[Frontend]) -> list[Dial]:
        """The attempts on cluster addresses, each answered by a backend while nothing is enforced.

        Raises LabError when one is not: then the rewriting is wrong.
        """
        wanted = dials(self.plan, every)
        for dial, at in zip(
            wanted, dial_all(self.lab, self.plan, every, wanted, self.options), strict=True
        ):
            frontend = every[dial.frontend]
            who = self.plan.parties[at].name if at >= 0 else "nobody"
            if who not in {name for _, _, name in frontend.backends}:
                raise LabError(
                    f"{self.plan.parties[dial.source].name} dialled service {frontend.service} "
                    f"({dial.address} {dial.protocol}/{dial.port}) on the open network, and {who} "
                    "answered"
                )
        return wanted

    def enforce(self, index: PolicyIndex) -> float:
        """Load the rules of every node; returns the seconds it took."""
        start = monotonic()
        for node in self.plan.nodes:
            self.progress(f"enforcing on {node.name}")
            rules = lower(index, local_node(self.plan, node))
            self.lab.call(Enforce(node.name, render(rules)))
        return monotonic() - start

    def probe(self, index: PolicyIndex, control: bytes) -> tuple[list[Verdict], _Outcomes]:
        """Send every probe with the policies enforced; what was lost, again. The engine judges
        meanwhile."""
        numbers = range(len(self.plan.probes))
        self.progress(f"probing: {len(numbers)} probes with the policies enforced")
        self.lab.ask(Send(numbers, self.options.timeout))
        verdicts = expect(index, self.plan)
        answer = self.lab.answer()
        dead = frozenset(not_open(control))
        first = _Outcomes(answer.outcomes, answer.seconds, 0)
        again = self._repeat(first, lambda o: [n for n in lost(verdicts, o) if n not in dead])
        return verdicts, again

    def _repeat(self, first: _Outcomes, pick: Callable[[bytes], list[int]]) -> _Outcomes:
        """Send again what ``pick`` names, with more patience, as long as it names any."""
        outcomes, seconds = bytearray(first.outcomes), first.seconds
        missing = wanted = pick(bytes(outcomes))
        for _ in range(self.options.repeats):
            if not missing:
                break
            answer = self.lab.call(Send(missing, self.options.patience))
            seconds += answer.seconds
            for number, outcome in zip(missing, answer.outcomes, strict=True):
                outcomes[number] = outcome
            missing = pick(bytes(outcomes))
        return _Outcomes(bytes(outcomes), seconds, first.repeated + len(wanted) - len(missing))


def dial_all(
    lab: LabProcess,
    plan: LabPlan,
    every: Sequence[Frontend],
    wanted: Sequence[Dial],
    options: LabOptions,
) -> Sequence[int]:
    """Who answered each attempt. What nobody answered is tried once more, with more patience."""
    if not wanted:
        return ()
    listening = listeners(plan, every)
    answered = list(lab.call(Call(wanted, listening, options.timeout)).answered)
    silent = [at for at, found in enumerate(answered) if found < 0]
    if silent:
        again = Call([wanted[at] for at in silent], (), options.patience)
        for at, found in zip(silent, lab.call(again).answered, strict=True):
            answered[at] = found
    return answered


def report(
    observed: Observed, repeated: int, timings: Timings, *, rootless: bool, whole: bool
) -> LabReport:
    """What was observed, beside what the engine says. ``whole``: every probe is its own control."""
    disagreements = tuple(observed.disagreements())
    without_control = tuple(observed.without_control())
    probes = len(observed.plan.probes) - len(without_control)
    return LabReport(
        parties=observed.plan.parties,
        probes=probes,
        agreements=probes - len(disagreements),
        disagreements=disagreements,
        without_control=without_control,
        whole_control=whole,
        pairs=tuple(observed.pairs()),
        repeated=repeated,
        notes=observed.plan.notes,
        rootless=rootless,
        timings=timings,
    )


def with_services(
    found: LabReport, made: int, pairs: Sequence[PairResult], wrong: Sequence[Check]
) -> LabReport:
    """A report with what ``made`` attempts on Services showed."""
    return replace(
        found,
        parties=(*found.parties, *dict.fromkeys(pair.target for pair in pairs)),
        probes=found.probes + made,
        agreements=found.agreements + made - len(wrong),
        disagreements=(*found.disagreements, *wrong),
        pairs=(*found.pairs, *pairs),
    )


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Hundreds of thousands of verdicts, none in a cycle: the collector would walk them again and
    again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def _terminable() -> Iterator[None]:
    """While the lab runs, SIGTERM is an interrupt like SIGINT, so that the lab ends before us."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can handle signals
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
