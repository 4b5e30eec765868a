"""Which probes are sent on the open network, and what they prove about the others. Pure.

Rule: a probe has its control when it was answered itself, or when, on the open network, its target
answered somebody on the same port and its target answered the same source on some port. On a
network without filters nothing else decides. Only an answer is ever inferred, never its absence:
what has no control this way is sent itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from podfence.lab.outcome import Outcome
from podfence.lab.plan import Probe

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
