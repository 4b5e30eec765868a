"""How many files a lab may open: listening sockets, those that send, and connections under way."""

from __future__ import annotations

import os
import resource

from podfence.errors import LabError
from podfence.lab.probing.connections import MOST
from podfence.lab.testbed.probeplan import LabPlan

_WINDOW = 30_000
"""Connections under way at most, where the limit of open files bears it. What should be answered
and is not stays under way until its time is up, so this bounds a round of failures."""
_SMALLEST_WINDOW = 64
_SPARE_FILES = 64
_SENDING = 8
"""Sockets that a party sends from: TCP, UDP, SCTP and ICMP over both IP versions."""
_OF_A_PARTY = 7
"""Its namespace, and what sees SYNs, echo requests and SCTP over both IP versions."""


def reserve(plan: LabPlan) -> None:
    """Raise this process's limit as far as a plan needs it and the kernel lets us.

    Raises LabError when the limit bears too few.
    """
    listening = sum(len(party.addresses) for party in plan.parties) * len(plan.ports) * 2
    fixed = listening + (_SENDING + _OF_A_PARTY) * len(plan.parties) + MOST + _SPARE_FILES
    _check(fixed, _raise_limit(fixed + _WINDOW))


def window(sources: int) -> int:
    """How many connections a process with so many ``sources`` may have under way, beside all files
    that are open now. Raises LabError when these leave too few."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    fixed = len(os.listdir("/proc/self/fd")) + _SENDING * sources + _SPARE_FILES
    return min(_WINDOW, _check(fixed, limit))


def _check(fixed: int, limit: int) -> int:
    """What is left. Raises LabError when that is too little."""
    if limit - fixed < _SMALLEST_WINDOW:
        raise LabError(
            f"the lab needs {fixed + _SMALLEST_WINDOW} open files and may have {limit}; "
            "raise the limit (ulimit -n), or probe fewer ports"
        )
    return limit - fixed


def _raise_limit(wanted: int) -> int:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
        except (ValueError, PermissionError):  # not privileged: what we have must do
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            return hard
        return wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
