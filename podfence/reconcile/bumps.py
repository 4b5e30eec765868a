"""When epochs change: what is taken away, what is owed, how often, and when old marks are cleared.

Rule: a value and times go in, and a value comes out; the caller has the clock. A change that takes
a permission away always gets another epoch in its own transaction. What is taken away only from
addresses that nobody has any more is owed. It is paid with the next epoch, after PATIENCE at the
latest, and at once when somebody gets one of these addresses.

A new epoch makes every live connection pass the rules once more. So there are at most LIMIT epochs
a second in the long run, and at most BURST at once. A single change does not wait. In a storm,
changes that need an epoch are gathered, and none is left out.

Numbers of epochs wrap around. So the numbers are four quarters, and a quarter is entered only after
connections that still carry its numbers from the round before have lost their marks.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from msgspec import Struct
from msgspec.structs import replace

from podfence.nft.lowering.epoch import epoch
from podfence.nft.lowering.tightening import Released
from podfence.nft.ruleset import Ruleset
from podfence.sets.members import Members

PATIENCE = 1.0
"""Seconds after which an owed epoch is paid, if nothing came before."""
LIMIT = 20
"""Epochs a second, in the long run."""
BURST = 20
"""Epochs at once, after a second without any."""
QUARTERS = 4


class EpochBumps(Struct, frozen=True):
    """The epochs of one node."""

    epoch: int
    """Of the rules that are enforced, 1 to ``most``."""
    most: int
    owed: Mapping[int, Members] = {}
    """By IP version, addresses that nobody has any more and of which a permission may be left."""
    due: float = inf
    """When they are paid at the latest; inf: nothing is owed."""
    rested: float = -inf
    """From when on BURST epochs may come at once again."""
    dirty: frozenset[int] = frozenset(range(QUARTERS))
    """Quarters of the numbers that connections may carry; at a start, all of them."""
    limit: float = LIMIT
    """Epochs a second; inf: no limit."""

    @property
    def free_at(self) -> float:
        """The earliest time of the next epoch."""
        return self.rested - (BURST - 1) / self.limit

    def owing(self, released: Released, now: float) -> EpochBumps:
        """With more addresses of which something may be left."""
        if not any(released.values()):
            return self
        return replace(self, owed=joint(self.owed, released), due=min(self.due, now + PATIENCE))

    def at(self, enforced: Ruleset) -> EpochBumps:
        """In the epoch of rules that were found in the kernel."""
        return replace(self, epoch=epoch(enforced))

    def bumped(self, now: float) -> EpochBumps:
        """Under the next epoch; after the last comes 1 (0 is what nobody judged). All is paid."""
        following = self.epoch % self.most + 1
        rested = max(self.rested, now) + 1 / self.limit
        return replace(self, epoch=following, owed={}, due=inf, rested=rested)

    def becoming(self, following: EpochBumps) -> EpochBumps:
        """``following``, with what was swept since it was made."""
        return replace(following, dirty=self.dirty | {self.quarter(following.epoch)})

    def using(self, following: EpochBumps) -> EpochBumps:
        """The same; ``following`` may have come into force, and connections may carry its epoch."""
        dirty = self.dirty | {self.quarter(following.epoch)}
        return replace(self, rested=following.rested, dirty=dirty)

    def quarter(self, number: int) -> int:
        """The quarter of the numbers that an epoch is in, 0 to 3."""
        return number * QUARTERS // (self.most + 1)

    def numbers(self, quarter: int) -> tuple[int, int]:
        """The first and the last epoch of a quarter."""
        first, after = ((self.most + 1) * q // QUARTERS for q in (quarter, quarter + 1))
        return max(first, 1), after - 1

    def sweeps(self, following: EpochBumps) -> tuple[int, ...]:
        """Quarters to clear before the step to ``following``: the quarter that the step enters, if
        it was not cleared in time, and the last but one, which comes after it."""
        entered = self.quarter(following.epoch)
        if entered == self.quarter(self.epoch):
            return ()
        return tuple(q for q in (entered, (entered + 2) % QUARTERS) if q in self.dirty)

    def swept(self, quarter: int) -> EpochBumps:
        """No connection carries numbers of a quarter any more, but for the present one."""
        if quarter == self.quarter(self.epoch):
            return self
        return replace(self, dirty=self.dirty - {quarter})


def joint(one: Released, other: Released) -> Mapping[int, Members]:
    """The addresses of both."""
    return {
        family: Members.union(family, (each[family] for each in (one, other) if family in each))
        for family in {*one, *other}
    }


def less(one: Released, other: Released) -> Mapping[int, Members]:
    """The addresses of the first alone."""
    return {f: found - other[f] if f in other else found for f, found in one.items()}


def meet(one: Released, other: Released) -> bool:
    """Whether an address is in both."""
    return any(not one[family].isdisjoint(other[family]) for family in one.keys() & other.keys())
