"""What on a node would keep policies from holding. The start is refused for it. What appears later
becomes a condition: some network plugins make their bridge for the first pod.

Rule: what is found later ends nothing. The rules stay, and people are told.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence

from podfence.agent.conditions import Condition, ConditionKind, Conditions
from podfence.agent.log import EventLog
from podfence.agent.machine import Meter
from podfence.agent.nodefacts import passing_facts, read_facts
from podfence.agent.preflight import HostFacts, bypasses, obstacles
from podfence.errors import HostError, NftError
from podfence.sets.addresses import IPNetwork

LOOK = 15.0
"""Seconds between two looks."""
FULL = 0.9
"""The share of the conntrack table from which people are told."""


def require_a_clear_way(
    log: EventLog,
    mark_mask: int,
    ranges: Sequence[IPNetwork],
    override: Collection[str],
    namespace_fd: int | None = None,
) -> None:
    """Raises HostError where policies would not hold on this node; NftError where that cannot be
    found out."""
    found = obstacles(read_facts(namespace_fd), mark_mask, ranges, override)
    for each in found:
        log.error("refused", condition=each.kind.value, override=each.name, message=each.text)
    if found:
        lines = "\n".join(f"{each.kind.value}: {each.text}" for each in found)
        raise HostError(f"policies would not hold on this node\n{lines}")


class Outlook:
    """Runs in a thread of its own. ``conditions`` are the latest, for other threads."""

    def __init__(
        self,
        log: EventLog,
        ranges: Callable[[], Sequence[IPNetwork]],
        override: Collection[str] = (),
        meter: Meter | None = None,
        read: Callable[[], HostFacts] = passing_facts,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._held = Conditions(log)
        self._ranges = ranges
        self._override = override
        self._meter = meter
        self._read = read
        self._clock = clock
        self.conditions: tuple[Condition, ...] = ()

    def run(self, stopped: threading.Event) -> None:
        """Look now and then, until it is to stop."""
        while not stopped.wait(LOOK):
            self.look()

    def look(self) -> None:
        """Once."""
        now = self._clock()
        try:
            found = [o for o in bypasses(self._read(), self._ranges()) if self._counts(o.name)]
        except (HostError, NftError, OSError):
            return  # nothing is known that was not known before
        for each in found:
            self._held.hold(each.kind, each.name, each.text, now)
        self._held.only(ConditionKind.BYPASSED, frozenset(each.name for each in found))
        self._look_at_conntrack(now)
        self.conditions = self._held.now()

    def _counts(self, name: str) -> bool:
        return name not in self._override

    def _look_at_conntrack(self, now: float) -> None:
        conntrack = self._meter.conntrack() if self._meter else None
        if conntrack is not None and conntrack[0] >= FULL * conntrack[1]:
            text = (
                f"the kernel tracks at most {conntrack[1]} connections, and more than "
                f"{FULL:.0%} of them are there; raise net.netfilter.nf_conntrack_max"
            )
            self._held.hold(ConditionKind.CONNTRACK_FULL, "", text, now)
        else:
            self._held.end(ConditionKind.CONNTRACK_FULL, "")
