"""Whether two tables hold the same rules."""

from __future__ import annotations

from podfence.nft.lowering.epoch import mark_mask, with_epoch
from podfence.nft.ruleset import Ruleset
from podfence.reconcile.states import is_ours


def same_rules(found: Ruleset | None, wanted: Ruleset) -> bool:
    """Whether a table is what it should be, but for its epoch. An edited one may have none."""
    if found is None or not is_ours(found, mark_mask(wanted)):
        return False
    return with_epoch(found, 1) == with_epoch(wanted, 1)
