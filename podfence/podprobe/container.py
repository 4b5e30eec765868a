"""The container in which a pod tries its connections, and what it prints.

Rule: pure. The container may do nothing that a pod of the level "restricted" may not, so that
PodSecurity admits it everywhere. What it prints may be printed by anything: it is read strictly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from podfence.errors import UNREADABLE
from podfence.lab.testbed.probes import ProbeOutcome
from podfence.podprobe.attempts import Dial

PREFIX: Final = "podfence-probe-"
"""What the name of each container begins with; the rest is of the run."""
AT_ONCE: Final = 64
"""Attempts that a pod makes at the same time."""
MOST: Final = 2000
"""Attempts that a pod makes at all: they have to fit into one argument."""
_USER: Final = 65534
_START_SECONDS: Final = 10
_OUTCOMES: Final = {
    "open": ProbeOutcome.OPEN,
    "refused": ProbeOutcome.REFUSED,
    "reset": ProbeOutcome.RESET,
    "timeout": ProbeOutcome.TIMEOUT,
    "unreachable": ProbeOutcome.UNREACHABLE,
    "prohibited": ProbeOutcome.PROHIBITED,
}
DECOY: Final = ("TCP", "192.0.2.1", 9)
"""An address that nobody has (RFC 5737). Where it answers, something in the pod answers in place of
every destination."""


def longest(attempts: int, seconds: float) -> int:
    """Seconds after which a container ends by itself, whatever happens."""
    return int(-(-(attempts + 1) // AT_ONCE) * seconds) + _START_SECONDS


def container_of(
    name: str, image: str, source: str, dials: Sequence[Dial], seconds: float
) -> dict[str, Any]:
    """An ephemeral container that tries connections. ``source``: the text of the prober;
    ``seconds``: after which an attempt has failed."""
    attempts = [[each.protocol, str(each.address), each.port] for each in dials]
    argument = {
        "seconds": seconds,
        "atOnce": AT_ONCE,
        "longest": longest(len(dials), seconds),
        "attempts": [*attempts, list(DECOY)],
    }
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-I", "-c", source, msgspec.json.encode(argument).decode()],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "privileged": False,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }


class Unusable(Exception):
    """What a container printed tells nothing; the text says why."""


class _Line(Struct):
    at: int = -1
    got: str = ""
    done: int = -1


def read_outcomes(text: bytes, dials: Sequence[Dial]) -> dict[Dial, ProbeOutcome]:
    """What a container printed about its attempts. Raises Unusable."""
    lines = list(_lines(text))
    if not any(line.done == len(dials) + 1 for line in lines):
        raise Unusable(f"it printed no results: {_shown(text)}")
    found: dict[Dial, ProbeOutcome] = {}
    for line in lines:
        outcome = _OUTCOMES.get(line.got)
        if line.at == len(dials) and outcome is ProbeOutcome.OPEN:
            raise Unusable(
                f"something in the pod answers in place of every destination, also of "
                f"{DECOY[1]}, which nobody has: a proxy, such as that of a service mesh"
            )
        if outcome is not None and 0 <= line.at < len(dials):
            found[dials[line.at]] = outcome
    return found


def _lines(text: bytes) -> Iterator[_Line]:
    for each in text.splitlines():
        try:
            yield msgspec.json.decode(each, type=_Line)
        except UNREADABLE:
            continue  # a warning of the runtime, or of Python


def _shown(text: bytes) -> str:
    words = text.decode("utf-8", "replace").strip().splitlines()
    return words[-1][:200] if words else "its log is empty"
