"""Controls: probes that must be answered, so that a missing answer elsewhere means "denied". Pure.

Rule: a probe that is to be denied has a control: the same probe was answered before any rule was
loaded. A probe that is to be allowed proves itself by its answer; without one, another probe to its
port must have been answered. A whole connection to every port has read the name of the port's
owner. A lab that is up has no time before the rules, so the control of a port comes from a party
that no policy denies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

from podfence.lab.testbed.compare import lost
from podfence.lab.testbed.probeplan import PartyKind, ProbePlan
from podfence.lab.testbed.probes import Listener, Port, Probe, ProbeKind, ProbeOutcome, Probes

_IS_SENT = bytes(kind != ProbeKind.SKIP for kind in range(256))


def _listener(probe: Probe) -> Listener:
    return probe.target, probe.family, probe.protocol, probe.port


def control_kinds(probes: Probes, allowed: bytes) -> bytes:
    """The kind of every control. A probe that is to be denied gets a SYN. The first probe from
    another party to each port gets a connection. All others get nothing.

    ``allowed``: the engine's answer for each, as 0 or 1.
    """
    chosen = bytearray(allowed.translate(bytes((ProbeKind.SYN, ProbeKind.SKIP)) + bytes(254)))
    for number in _first_at_each(probes, itself=False):
        chosen[number] = ProbeKind.CONNECT
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


def control_outcomes(probes: Probes, kinds: bytes, outcomes: bytes) -> bytes:
    """The control of every probe, from the ``outcomes`` of those that were sent. A probe that was
    sent has its own outcome, unless that of its port is a failure; one that was not sent has the
    outcome of its port.

    A port that only its own party probes counts as answered: no network lies between.
    """
    control = bytearray(bytes([ProbeOutcome.OPEN]) * len(probes))
    silent: dict[Listener, int] = {}
    for number in unanswered(kinds, outcomes):
        control[number] = outcomes[number]
        if kinds[number] == ProbeKind.CONNECT:
            silent[_listener(probes[number])] = outcomes[number]
    for number, probe in enumerate(probes) if silent else ():
        failure = silent.get(_listener(probe))
        if failure is not None and control[number] == ProbeOutcome.OPEN:
            control[number] = failure
    return bytes(control)


def unanswered(kinds: bytes, outcomes: bytes) -> list[int]:
    """Numbers of the probes that were sent and got no right answer."""
    return lost(kinds.translate(_IS_SENT), outcomes)


# -- with the policies enforced


def control_of(plan: ProbePlan, probe: Probe) -> Probe:
    """A probe to the same port that no policy forbids: from the target's own node (NP-52), or from
    the target itself when that is no pod."""
    target = plan.parties[probe.target]
    at = _index_of_node(plan, target.node) if target.side is PartyKind.POD else probe.target
    return probe._replace(source=at)


def live_controls(plan: ProbePlan) -> list[Probe]:
    """One probe for every port that the plan probes, from an end that no policy forbids it."""
    firsts = _first_at_each(plan.probes, itself=True)
    return [control_of(plan, plan.probes[number]) for number in firsts]


def live_control(
    plan: ProbePlan, tried: Sequence[Probe], outcomes: bytes, held: Set[Listener] = frozenset()
) -> bytes:
    """The control of every probe of the plan: its target listens, and the link of its source works.
    The link works if the source itself was reached over the same IP version, on any port. ``held``:
    ports that programs in the pods have; held ports that do not answer are left out."""
    answered = [
        p for p, outcome in zip(tried, outcomes, strict=True) if outcome == ProbeOutcome.OPEN
    ]
    listening = {_listener(probe) for probe in answered}
    linked = {(probe.target, probe.family) for probe in answered}

    def control(probe: Probe) -> ProbeOutcome:
        if _listener(probe) in held and _listener(probe) not in listening:
            return ProbeOutcome.HELD
        pod = plan.parties[probe.source].side is PartyKind.POD
        works = not pod or (probe.source, probe.family) in linked
        return (
            ProbeOutcome.OPEN if works and _listener(probe) in listening else ProbeOutcome.TIMEOUT
        )

    return bytes(map(control, plan.probes))


def _index_of_node(plan: ProbePlan, node: str) -> int:
    return next(
        at for at, p in enumerate(plan.parties) if p.side is PartyKind.NODE and p.name == node
    )
