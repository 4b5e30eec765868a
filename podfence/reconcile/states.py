"""What ``step`` takes and gives: inputs, actions, and what it remembers between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from math import inf

from msgspec import Struct
from msgspec.structs import replace

from podfence.nft.lowering.epoch import epoch, mark_mask, most
from podfence.nft.lowering.skeleton import (
    EPOCH_CHAINS,
    range_set,
    stateless_map,
    verdict_map,
)
from podfence.nft.lowering.tightening import Released, Tightening
from podfence.nft.lowering.views import FAMILIES, VIEWS
from podfence.nft.objects import Table
from podfence.nft.ruleset import Ruleset
from podfence.nft.transaction import Transaction
from podfence.reconcile.bumps import LIMIT, EpochBumps
from podfence.reconcile.quarantine import ObjectContents, halves

# -- inputs


class PlannedRules(Struct, frozen=True):
    """The rules should change. ``wanted`` gives all of them, in any epoch, when it is called while
    the step runs. ``transaction``: leads there from what was planned before; None: whole rulesets
    are compared. ``tightens``: what the change takes away. ``released``: addresses that nobody has
    any more; ``given``: addresses that somebody has got."""

    wanted: Callable[[], Ruleset]
    transaction: Transaction | None = None
    tightens: Tightening = Tightening.NOW
    released: Released = {}
    given: Released = {}


class WriteResult(Struct, frozen=True):
    """The answer to a Write. ``refusal``: the kernel's words; None: it was taken."""

    ticket: int
    refusal: str | None = None


class WriteUnanswered(Struct, frozen=True):
    """It is unknown whether a Write was done: the kernel could not be reached, or its answer was
    lost."""

    ticket: int


class ReadResult(Struct, frozen=True):
    """The answer to ReadBack; None: there is no table, or none that can be read."""

    ruleset: Ruleset | None


class TableDrifted(Struct, frozen=True):
    """Somebody else changed our table. ``gone``: it is not there, so nothing is enforced.
    ``heard``: False if it is unknown whether anybody did."""

    gone: bool = False
    heard: bool = True


class SweepResult(Struct, frozen=True):
    """The answer to a Sweep."""

    quarter: int
    done: bool


ReconcileInput = (
    PlannedRules | WriteResult | WriteUnanswered | ReadResult | TableDrifted | SweepResult
)

# -- actions


class Write(Struct, frozen=True):
    """Apply a transaction as a whole; ``bumped``: it changes the epoch."""

    ticket: int
    transaction: Transaction
    epoch: int
    bumped: bool


class ReadBack(Struct, frozen=True):
    """Read the table in the kernel."""


class Sweep(Struct, frozen=True):
    """Take our marks off all connections that carry an epoch from ``first`` to ``last``."""

    quarter: int
    first: int
    last: int


class ReportKind(Enum):
    """What is worth telling."""

    REFUSED = "refused"
    """The kernel refuses the rules of a group of pods: they are closed, all others are enforced."""
    ENFORCED_AGAIN = "enforced again"
    """A group of pods that was closed is enforced, or gone."""
    TABLE_REFUSED = "table refused"
    """The kernel refuses a change that cannot be taken apart: the rules stay as they were."""
    DRIFT = "drift"
    """Somebody else changed our table."""
    SWEEP_FAILED = "sweep failed"
    """Connections of a quarter of the epochs may keep their marks."""


class StepReport(Struct, frozen=True):
    """Something to tell. ``unit``: the group of pods, by the name of its chain; "" for all."""

    condition: ReportKind
    unit: str
    words: str


class WakeAt(Struct, frozen=True):
    """Step again at this time, if nothing comes before."""

    time: float


ReconcileAction = Write | ReadBack | Sweep | StepReport | WakeAt

# -- memory


class RefusedUnit(Struct, frozen=True):
    """A unit that the kernel refused, and what it said then."""

    words: str
    contents: ObjectContents


class PendingWrite(Struct, frozen=True):
    """A write under way, and what will hold once the kernel takes it. ``goal``: all rules; None:
    they are not known as a whole. ``closed``: units that are left out. The other fields are those
    of the state."""

    ticket: int
    bumps: EpochBumps
    goal: Ruleset | None
    closed: Mapping[str, RefusedUnit]
    released: Released
    distrusted: bool = False
    unsure: bool = False


class RefusalSearch(Struct, frozen=True):
    """The search for what the kernel refuses."""

    wanted: Ruleset
    contents: Mapping[str, ObjectContents]
    """Of each unit of ``wanted``."""
    closed: Mapping[str, RefusedUnit]
    """Units that were left out before."""
    queue: tuple[frozenset[str], ...]
    """Units that are still closed, to be tried together."""
    trying: frozenset[str] = frozenset()
    """Units of the write that awaits its answer; none while no write does."""
    refused: Mapping[str, str] = {}
    applied: bool = False
    """Whether the kernel took anything yet."""
    last: bool = False
    """Nothing else is left to try."""

    def after_refusal(self, words: str) -> RefusalSearch:
        """Halves of what was tried, or the one unit that it was."""
        if len(self.trying) > 1:
            return replace(self, trying=frozenset(), queue=(*halves(self.trying), *self.queue))
        refused = {**self.refused, **dict.fromkeys(self.trying, words)}
        return replace(self, trying=frozenset(), refused=refused)


class ReconcileState(Struct, frozen=True):
    """What is remembered of one node."""

    table: Table
    mark_mask: int
    bumps: EpochBumps
    log_group: int = 77
    strict: bool = False
    """A refused change leaves all as it was, and nothing is searched for."""
    ticket: int = 0
    wanted: Callable[[], Ruleset] | None = None
    enforced: Ruleset | None = None
    """The rules in the kernel; None: those that were planned, which are not remembered."""
    lost: bool = False
    """The rules in the kernel are unknown."""
    distrusted: bool = False
    """Others may have let something pass under the present epoch."""
    unsure: bool = False
    """Until the next epoch: it is unknown who had an address before the start, or what was written
    last."""
    doubted: bool = False
    """Others may have changed the table; it is read to find that out."""
    check: bool = False
    """The table was read, and is to be compared with what is wanted."""
    reading: bool = False
    waiting: tuple[PlannedRules, ...] = ()
    pending: PendingWrite | None = None
    refused: Mapping[str, RefusedUnit] = {}
    trial: RefusalSearch | None = None
    carried: Released = {}
    """Released addresses of writes that were refused."""
    retry_at: float = inf
    repair_at: float = inf
    repairs: tuple[float, ...] = ()
    """When the table was read because others had changed it, in the last minute."""
    looks: tuple[float, ...] = ()
    """When it was read because they may have, in the last minute."""

    @classmethod
    def of(cls, enforced: Ruleset, *, limit: float = LIMIT, strict: bool = False) -> ReconcileState:
        """A node whose kernel holds these rules of ``lower``."""
        bumps = EpochBumps(epoch(enforced), most(enforced), limit=limit)
        return cls(enforced.table, mark_mask(enforced), bumps, strict=strict, enforced=enforced)

    @classmethod
    def starting(cls, table: Table, mask: int, log_group: int = 77) -> ReconcileState:
        """A node of which nothing is known yet: its first input is Read."""
        bumps = EpochBumps(1, mask // (mask & -mask))
        return cls(table, mask, bumps, log_group, reading=True, unsure=True)


_MAPS = frozenset(verdict_map(view, family) for view in VIEWS for family in FAMILIES)
_OTHERS = frozenset(map(stateless_map, FAMILIES))


def is_ours(ruleset: Ruleset, mask: int) -> bool:
    """Whether a table that was read has all that every node has, and epochs in the same bits."""
    return (
        ruleset.maps.keys() >= _MAPS | _OTHERS
        and ruleset.sets.keys() >= set(map(range_set, FAMILIES))
        and ruleset.chains.keys() >= EPOCH_CHAINS
        and mark_mask(ruleset) == mask
    )
