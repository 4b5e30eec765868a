"""What is sent where nothing is denied, and what that proves of the other probes. Pure.

Rule: no denial is believed whose probe was not answered, by itself, before anything was enforced.
What is allowed proves itself by its answer; should it get none, its port must have answered
somebody. And every port has been asked, by a whole connection, whose it is. In a lab that enforces
already there is no such time: there, the ports answer somebody whom no policy keeps out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from podfence.lab.testbed.compare import lost
from podfence.lab.testbed.outcome import Outcome
from podfence.lab.testbed.probeplan import LabPlan, Side
from podfence.lab.testbed.probes import Effort, Port, Probe, Probes

_IS_SENT = bytes(effort != Effort.SKIP for effort in range(256))
Listener = tuple[int, int, str, int]
"""Target, family, protocol, port."""


def _listener(probe: Probe) -> Listener:
    return probe.target, probe.family, probe.protocol, probe.port


def control_efforts(probes: Probes, allowed: bytes) -> bytes:
    """One :class:`Effort` a probe: a knock for each that is to be denied, a connection for the
    first from somebody else at each port of each party, nothing for the rest.

    ``allowed``: what the engine says of each, as 0 or 1.
    """
    chosen = bytearray(allowed.translate(bytes((Effort.KNOCK, Effort.SKIP)) + bytes(254)))
    for number in _first_at_each(probes, itself=False):
        chosen[number] = Effort.CONNECT
    return bytes(chosen)


def _first_at_each(probes: Probes, *, itself: bool) -> Iterator[int]:
    """Numbers of probes, one a listener. ``itself``: also from the party to itself, though that
    crosses no network."""
    seen: set[tuple[int, int, tuple[Port, ...]]] = set()
    listeners: set[Listener] = set()
    for source, target, family, ports, first in probes.pairs:
        known = target, family, ports
        if known in seen or (source == target and not itself):
            continue
        seen.add(known)
        for number, (protocol, port) in enumerate(ports, first):
            listener = target, family, protocol, port
            if listener not in listeners:
                listeners.add(listener)
                yield number


def control_outcomes(probes: Probes, efforts: bytes, outcomes: bytes) -> bytes:
    """The control of every probe, from the ``outcomes`` of those that were sent: its own, unless
    that of its port is a failure; of one that was not sent, its port's.

    A port that only its own party probes has none that could fail.
    """
    control = bytearray(bytes([Outcome.OPEN]) * len(probes))
    silent: dict[Listener, int] = {}
    for number in unanswered(efforts, outcomes):
        control[number] = outcomes[number]
        if efforts[number] == Effort.CONNECT:
            silent[_listener(probes[number])] = outcomes[number]
    for number, probe in enumerate(probes) if silent else ():
        failure = silent.get(_listener(probe))
        if failure is not None and control[number] == Outcome.OPEN:
            control[number] = failure
    return bytes(control)


def unanswered(efforts: bytes, outcomes: bytes) -> list[int]:
    """Numbers of the probes that were sent and got no right answer."""
    return lost(efforts.translate(_IS_SENT), outcomes)


# -- with the policies enforced


def control_of(plan: LabPlan, probe: Probe) -> Probe:
    """A probe that no policy forbids, to the same port: from the target's own node (NP-52), or from
    the target itself where it is no pod."""
    target = plan.parties[probe.target]
    at = _place_of_node(plan, target.node) if target.side is Side.POD else probe.target
    return probe._replace(source=at)


def live_controls(plan: LabPlan) -> list[Probe]:
    """Every listener that the plan probes, asked by somebody whom no policy forbids it."""
    firsts = _first_at_each(plan.probes, itself=True)
    return [control_of(plan, plan.probes[number]) for number in firsts]


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
