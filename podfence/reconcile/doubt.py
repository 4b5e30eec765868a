"""What others did to a node's table, or may have done: how often it is read for that, and whether
they really did.

Rule: pure. What is only possible is no drift until the table differs, and takes no repair away from
what is sure. Connections that it may have allowed are judged again anyway.
"""

from __future__ import annotations

from msgspec.structs import replace

from podfence.nft.contents import OperationRefused
from podfence.nft.difference import apply, diff
from podfence.nft.lowering.epoch import with_epoch
from podfence.nft.ruleset import Ruleset
from podfence.nft.transaction import Transaction
from podfence.reconcile.states import ReconcileState

REPAIRS = 5
"""Times a minute that a table changed by others is restored; a deleted one always is. And times
that it is read because they may have changed it."""
MINUTE = 60.0


def drifted(
    state: ReconcileState, now: float, *, gone: bool, heard: bool
) -> tuple[ReconcileState, bool]:
    """After others changed the table or, where nobody ``heard`` of it, may have; and whether it is
    to be read now."""
    is_known = state.doubted or not (state.reading or state.lost)
    state = replace(state, distrusted=True, doubted=not heard and is_known)
    times = state.repairs if heard else state.looks
    recent = tuple(at for at in times if at > now - MINUTE)
    is_now = gone or len(recent) < REPAIRS
    if is_now:
        recent = (*recent, now)
    else:
        state = replace(state, repair_at=min(state.repair_at, recent[0] + MINUTE))
    return replace(state, repairs=recent) if heard else replace(state, looks=recent), is_now


def looked(state: ReconcileState, now: float) -> ReconcileState:
    """When the table is read for what had to wait."""
    return replace(state, repairs=(*state.repairs[1:], now), looks=(*state.looks[1:], now))


def differs(state: ReconcileState, found: Ruleset) -> bool:
    """Whether others have changed the table: it is read, and is not what was written last."""
    if state.enforced is not None:
        return bool(diff(state.enforced, found))
    if state.wanted is None or any(planned.transaction is None for planned in state.waiting):
        return False  # whole rulesets are wanted: what was written last is not known any more
    ahead = [step for planned in state.waiting for step in planned.transaction or ()]
    try:
        following = apply(found, Transaction(state.table, tuple(ahead)))
    except OperationRefused:
        return True
    return bool(diff(following, with_epoch(state.wanted(), state.bumps.epoch)))
