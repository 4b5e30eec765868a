"""Which probes are sent on the open network, and what they prove about the others. Pure.

Rule: a probe has its control when it was answered itself, or when, on the open network, its target
answered somebody on the same port and its target answered the same source on some port. On a
network without filters nothing else decides. Only an answer is ever inferred, never its absence:
what has no control this way is sent itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from podfence.lab.outcome import Outcome
from podfence.lab.plan import LabPlan, Probe, Side

Listener = tuple[int, int, str, int]
"""Target, family, protocol, port."""
Path = tuple[int, int, int, str]
"""Source, target, family, protocol."""
EACH = 20_000
"""Plans of at most so many probes are sent whole, every probe its own control."""


def _listener(probe: Probe) -> Listener:
    return probe.target, probe.family, probe.protocol, probe.port


def _path(probe: Probe) -> Path:
    return probe.source, probe.target, probe.family, probe.protocol


def is_whole(probes: Sequence[Probe], each: int = EACH) -> bool:
    """Whether every probe is its own control."""
    return len(probes) <= each


def control_numbers(probes: Sequence[Probe], each: int = EACH) -> list[int]:
    """Numbers of the probes to send on the open network: for every listener and every path at
    least one; all, where there are at most ``each``."""
    if is_whole(probes, each):
        return list(range(len(probes)))
    listeners: set[Listener] = set()
    paths: dict[Path, int] = {}
    chosen: list[int] = []
    for number, probe in enumerate(probes):
        listener, path = _listener(probe), _path(probe)
        # what a pod hears of itself crosses no network
        new = listener not in listeners and probe.source != probe.target
        if new:
            listeners.add(listener)
        if new or path not in paths:
            paths[path] = number
            chosen.append(number)
    return chosen


def inferred(probes: Sequence[Probe], sent: Sequence[int], outcomes: bytes) -> bytes:
    """The control of every probe of a plan, from the ``outcomes`` of those that were ``sent``.

    TIMEOUT stands for those that were not sent and follow from none that were.
    """
    control = bytearray([Outcome.TIMEOUT]) * len(probes)
    listeners: set[Listener] = set()
    paths: set[Path] = set()
    for number, outcome in zip(sent, outcomes, strict=True):
        control[number] = outcome
        if outcome == Outcome.OPEN:
            listeners.add(_listener(probes[number]))
            paths.add(_path(probes[number]))
    tried = set(sent)
    for number, probe in enumerate(probes):
        if number not in tried and _listener(probe) in listeners and _path(probe) in paths:
            control[number] = Outcome.OPEN
    return bytes(control)


# -- with the policies enforced


def control_of(plan: LabPlan, probe: Probe) -> Probe:
    """A probe that no policy forbids, to the same port: from the target's own node (NP-52), or from
    the target itself where it is no pod."""
    target = plan.parties[probe.target]
    at = _place_of_node(plan, target.node) if target.side is Side.POD else probe.target
    return probe._replace(source=at)


def live_controls(plan: LabPlan) -> list[Probe]:
    """Every listener that the plan probes, asked by somebody whom no policy forbids it."""
    return list(dict.fromkeys(control_of(plan, probe) for probe in plan.probes))


def live_control(plan: LabPlan, tried: Sequence[Probe], outcomes: bytes) -> bytes:
    """The control of every probe of the plan: its target listens, and the link of its source works,
    which is so when the source itself was reached on any port."""
    answered = [p for p, outcome in zip(tried, outcomes, strict=True) if outcome == Outcome.OPEN]
    listening = {_listener(probe) for probe in answered}
    linked = {(probe.target, probe.family) for probe in answered}

    def proven(probe: Probe) -> bool:
        pod = plan.parties[probe.source].side is Side.POD
        return _listener(probe) in listening and (not pod or (probe.source, probe.family) in linked)

    return bytes(Outcome.OPEN if proven(probe) else Outcome.TIMEOUT for probe in plan.probes)


def _place_of_node(plan: LabPlan, node: str) -> int:
    return next(at for at, p in enumerate(plan.parties) if p.side is Side.NODE and p.name == node)
