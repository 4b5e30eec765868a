"""run_lab: build, control, enforce, probe, compare, all gone again. Process: the command.

Rule: the order of these steps and nothing else. Every expected denial was answered itself on the
open network, before the policies were loaded (``testbed.control``).
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from types import FrameType

from msgspec.structs import replace

from podfence.collector import collector_paused
from podfence.errors import LabError
from podfence.lab.probing.process import LabProcess
from podfence.lab.probing.requests import Build, Enforce
from podfence.lab.testbed.probeplan import PartyKind, ProbePlan, make_plan
from podfence.lab.testbed.report import LabReport
from podfence.lab.testbed.scheduling import schedule
from podfence.lab.testbed.services import services_text
from podfence.lab.trial import LabOptions, Trial, families, local_node
from podfence.nft.difference import load
from podfence.nft.lowering.lower import lower
from podfence.policy.compile import compile_cluster
from podfence.policy.index import PolicyIndex

Progress = Callable[[str], None]


def run_lab(
    index: PolicyIndex, options: LabOptions = LabOptions(), *, progress: Progress
) -> LabReport:
    """Enforce the policies of a cluster in network namespaces and try them with real packets.

    ``progress`` gets one line a step. Raises LabError where the lab cannot be built, NftError
    where the kernel refuses the rules, KeyboardInterrupt on SIGINT and SIGTERM; whatever happens,
    nothing of the lab is left.
    """
    scheduled = compile_cluster(schedule(index.cluster, options.nodes), index.names)
    plan = make_plan(scheduled, options.limits, families())
    if not plan.probes:
        raise LabError("nothing to probe: no pod of the input has an address that the lab can use")
    with _terminable(), collector_paused(), LabProcess(plan) as lab:
        pods = sum(party.side is PartyKind.POD for party in plan.parties)
        progress(f"building {pods} pods on {len(plan.nodes)} node(s)")
        building = lab.ask(Build())
        trial = Trial(lab, scheduled, plan, options)  # the engine answers while the lab is built
        built = building.answer().seconds + _serve(lab, plan, trial)
        progress("control: probes on the open network")
        control = trial.open_control()
        trial.check_services()
        enforced = _enforce(lab, scheduled, plan, progress)
        progress(f"probing: {len(plan.probes)} probes with the policies enforced")
        report = trial.run(control)
        start = monotonic()
    gone = monotonic() - start
    timings = replace(report.timings, build=built, enforce=enforced, teardown=gone)
    return replace(report, timings=timings)


def _serve(lab: LabProcess, plan: ProbePlan, trial: Trial) -> float:
    """Make Services reachable on every node; returns the seconds it took."""
    wanted = [Enforce(node.name, services_text(node, trial.frontends)) for node in plan.nodes]
    return sum(lab.call(each).seconds for each in wanted) if trial.frontends else 0.0


def _enforce(lab: LabProcess, index: PolicyIndex, plan: ProbePlan, progress: Progress) -> float:
    """Load the rules of every node; returns the seconds it took."""
    start = monotonic()
    for node in plan.nodes:
        progress(f"enforcing on {node.name}")
        lab.call(Enforce(node.name, load(lower(index, local_node(plan, node)))))
    return monotonic() - start


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
