"""What on a node would keep policies from holding. The start is refused for it. What appears later
becomes a condition: some network plugins make their bridge for the first pod, and programs that
write conntrack marks may start after the agent.

Rule: what is found later ends nothing. The rules stay, and people are told.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from math import inf

from podfence.agent.conditions import Condition, ConditionKind, Conditions
from podfence.agent.log import EventLog
from podfence.agent.machine import Meter
from podfence.agent.nodefacts import passing_facts, read_facts
from podfence.agent.preflight import HostFacts, Obstacle, bypasses, intruders, obstacles
from podfence.errors import HostError, NftError
from podfence.sets.addresses import IPNetwork

LOOK = 15.0
"""Seconds between two looks."""
RULES = 60.0
"""Seconds between two looks at the rules of others, at the least."""
SHARE = 100
"""How many times as long as that took is waited for the next: others may have very many."""
_DEVICES = (ConditionKind.BYPASSED,)
_RULES = (ConditionKind.MARK_IN_USE, ConditionKind.SECOND_ENFORCER)
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
        read_rules: Callable[[], HostFacts] = HostFacts,
        mark_mask: int = 0,
    ) -> None:
        """``read`` looks at devices, ``read_rules`` at what others have in nftables."""
        self._held = Conditions(log)
        self._ranges = ranges
        self._override = override
        self._meter = meter
        self._read = read
        self._clock = clock
        self._read_rules, self._mark_mask = read_rules, mark_mask
        self._rules_at = -inf
        self.conditions: tuple[Condition, ...] = ()

    def run(self, stopped: threading.Event) -> None:
        """Look now and then, until it is to stop."""
        while not stopped.wait(LOOK):
            self.look()

    def look(self) -> None:
        """Once."""
        now = self._clock()
        # Where one of these fails, nothing is known that was not known before.
        with suppress(HostError, NftError, OSError):
            self._hold(_DEVICES, bypasses(self._read(), self._ranges()), now)
        if now >= self._rules_at:
            began = time.thread_time()
            with suppress(NftError):
                self._hold(_RULES, intruders(self._read_rules(), self._mark_mask), now)
            self._rules_at = now + max(RULES, SHARE * (time.thread_time() - began))
        self._look_at_conntrack(now)
        self.conditions = self._held.now()

    def _hold(
        self, kinds: Iterable[ConditionKind], obstacles: Iterable[Obstacle], now: float
    ) -> None:
        """Of these kinds of conditions, what is in the way holds, and nothing else."""
        found = [each for each in obstacles if each.name not in self._override]
        for each in found:
            self._held.hold(each.kind, each.name, each.text, now)
        for kind in kinds:
            self._held.only(kind, frozenset(each.name for each in found if each.kind is kind))

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
