"""run_lab: build, control, enforce, probe, compare, all gone again.

Rule: the order of these steps and nothing else. Every expected denial was answered itself on the
open network, before the policies were loaded (``lab.control``).
"""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from time import monotonic
from types import FrameType

from podfence.errors import LabError
from podfence.lab.probing.process import LabProcess
from podfence.lab.probing.requests import Build, Call, Enforce, Send
from podfence.lab.testbed.compare import Observed, enforced_efforts, expect, lost, not_open
from podfence.lab.testbed.control import control_efforts, control_outcomes, unanswered
from podfence.lab.testbed.placement import place
from podfence.lab.testbed.probeplan import FAMILIES, LabNode, LabPlan, Limits, Side, make_plan
from podfence.lab.testbed.report import Check, LabReport, PairResult, Timings
from podfence.lab.testbed.services import (
    Dial,
    Frontend,
    dialled,
    dials,
    due,
    frontends,
    judge_dials,
    listeners,
    services_text,
)
from podfence.nft.difference import load
from podfence.nft.lowering.lower import LocalNode, lower
from podfence.policy.compile import compile_cluster
from podfence.policy.index import PolicyIndex

_MANY = 100
"""Probes: when not one of so many is answered at the second attempt, nothing was lost by chance."""
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
        pods = sum(party.side is Side.POD for party in plan.parties)
        progress(f"building {pods} pods on {len(plan.nodes)} node(s)")
        lab.ask(Build())
        allowed = expect(placed, plan)  # meanwhile
        run = _Run(lab, plan, allowed, options, progress)
        every = frontends(placed, plan)
        built, control = run.open_network(every)
        calls = run.answered(every)
        enforced = run.enforce(placed)
        progress(f"probing: {len(allowed)} probes with the policies enforced")
        outcomes = try_all(lab, options, allowed, control.outcomes)
        judged = judge_dials(placed, plan, every, calls)
        through = dial_all(lab, plan, every, calls, options, due(judged))
        start = monotonic()
    seconds = Timings(built, control.seconds, enforced, outcomes.seconds, monotonic() - start)
    observed = Observed(plan, placed, allowed, control.outcomes, outcomes.outcomes)
    found = report(observed, outcomes.repeated, seconds, rootless=lab.rootless)
    return with_services(found, len(calls), *dialled(plan, every, calls, judged, through))


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
class Outcomes:
    """One :class:`Outcome` a probe, as bytes, and what it took. ``repeated``: how many were lost at
    first and answered when sent again."""

    outcomes: bytes
    seconds: float
    repeated: int = 0


@dataclass(frozen=True, slots=True)
class _Run:
    """The steps that talk to the lab process."""

    lab: LabProcess
    plan: LabPlan
    allowed: bytes
    options: LabOptions
    progress: Progress

    def open_network(self, every: Sequence[Frontend]) -> tuple[float, Outcomes]:
        """See it built, and send the control probes before anything is enforced."""
        wanted = control_efforts(self.plan.probes, self.allowed)
        for node in self.plan.nodes if every else ():
            self.lab.ask(Enforce(node.name, services_text(node, every)))
        self.lab.ask(Send(wanted, self.options.timeout))
        built = self.lab.answer().seconds
        for _ in self.plan.nodes if every else ():
            built += self.lab.answer().seconds
        self.progress(f"control: {len(wanted) - wanted.count(0)} probes on the open network")
        answer = self.lab.answer()
        first = Outcomes(answer.outcomes, answer.seconds)
        missing = partial(unanswered, wanted)
        sent = repeat(self.lab, self.options, first, wanted, missing)
        control = control_outcomes(self.plan.probes, wanted, sent.outcomes)
        return built, replace(sent, outcomes=control)

    def answered(self, every: Sequence[Frontend]) -> list[Dial]:
        """The attempts on cluster addresses, each answered by a backend while nothing is enforced.

        Raises LabError when one is not: then the rewriting is wrong.
        """
        wanted = dials(self.plan, every)
        for dial, at in zip(
            wanted,
            dial_all(self.lab, self.plan, every, wanted, self.options, range(len(wanted))),
            strict=True,
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
            self.lab.call(Enforce(node.name, load(rules)))
        return monotonic() - start


def try_all(lab: LabProcess, options: LabOptions, allowed: bytes, control: bytes) -> Outcomes:
    """Send every probe with the policies enforced; what was lost, again, if it has a control."""
    wanted = enforced_efforts(allowed)
    answer = lab.call(Send(wanted, options.timeout, arrivals=True))
    dead = frozenset(not_open(control))

    def missing(outcomes: bytes) -> list[int]:
        return [number for number in lost(allowed, outcomes) if number not in dead]

    return repeat(lab, options, Outcomes(answer.outcomes, answer.seconds), wanted, missing)


def repeat(
    lab: LabProcess,
    options: LabOptions,
    first: Outcomes,
    wanted: bytes,
    pick: Callable[[bytes], list[int]],
) -> Outcomes:
    """Send again what ``pick`` names, with more patience, as long as it names any."""
    outcomes, seconds = bytearray(first.outcomes), first.seconds
    missing = lacking = pick(first.outcomes)
    for _ in range(options.repeats):
        if not missing:
            break
        before = len(missing)
        again = bytearray(len(wanted))
        for number in missing:
            again[number] = wanted[number]
        answer = lab.call(Send(bytes(again), options.patience))
        seconds += answer.seconds
        for number in missing:
            outcomes[number] = answer.outcomes[number]
        missing = pick(bytes(outcomes))
        if len(missing) == before > _MANY:
            break
    return Outcomes(bytes(outcomes), seconds, len(lacking) - len(missing))


def dial_all(
    lab: LabProcess,
    plan: LabPlan,
    every: Sequence[Frontend],
    wanted: Sequence[Dial],
    options: LabOptions,
    due: Collection[int],
) -> Sequence[int]:
    """Who answered each attempt. ``due``: numbers of those that somebody has to answer: they are
    tried once more, with more patience, when nobody does."""
    if not wanted:
        return ()
    listening = listeners(plan, every)
    answered = list(lab.call(Call(wanted, listening, options.timeout)).answered)
    silent = [at for at in due if answered[at] < 0]
    if silent:
        again = Call([wanted[at] for at in silent], (), options.patience)
        for at, found in zip(silent, lab.call(again).answered, strict=True):
            answered[at] = found
    return answered


def report(
    observed: Observed, repeated: int, timings: Timings, *, rootless: bool, live: bool = False
) -> LabReport:
    """What was observed, beside what the engine says. ``live``: the controls were sent with the
    policies enforced."""
    disagreements = tuple(observed.disagreements())
    without_control = tuple(observed.without_control())
    probes = len(observed.plan.probes) - len(without_control)
    return LabReport(
        parties=observed.plan.parties,
        probes=probes,
        agreements=probes - len(disagreements),
        disagreements=disagreements,
        without_control=without_control,
        live_control=live,
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
