"""Probes on a machine that is busy: it loses packets, so what is lost is sent again, as a lab does
it."""

from __future__ import annotations

from podfence.lab.probing.process import LabProcess
from podfence.lab.probing.requests import Send
from podfence.lab.testbed.probes import ProbeKind, ProbeOutcome

_TIMES = 4
_LOST = {ProbeOutcome.TIMEOUT, ProbeOutcome.ONE_WAY}
"""What the next try may tell better: the packet was lost, or its answer was."""


def send(lab: LabProcess, wanted: bytes, timeout: float, *, arrivals: bool = False) -> bytes:
    """The outcomes of probes, each the best of its tries. ``timeout``: seconds of the first try;
    the others get more, for connections that the kernel asks for again after a second."""
    found = bytearray(lab.call(Send(wanted, timeout, arrivals=arrivals)).value)
    for _ in range(_TIMES - 1):
        lost = [at for at, outcome in enumerate(found) if wanted[at] and outcome in _LOST]
        if not lost:
            break
        again = bytearray(len(wanted))
        for at in lost:
            again[at] = wanted[at]
        answer = lab.call(Send(bytes(again), 2 * timeout, arrivals=arrivals)).value
        for at in lost:
            if answer[at] != ProbeOutcome.TIMEOUT:
                found[at] = answer[at]
    return bytes(found)


def everything(probes: int, kind: ProbeKind = ProbeKind.CONNECT) -> bytes:
    """Send every probe."""
    return bytes([kind]) * probes
