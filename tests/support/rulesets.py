"""Whether two tables hold the same rules."""

from __future__ import annotations

from podfence.nft.lowering.epoch import mark_mask, with_epoch
from podfence.nft.lowering.skeleton import FAST
from podfence.nft.ruleset import Ruleset


def same_rules(found: Ruleset | None, wanted: Ruleset) -> bool:
    """Whether a table is what it should be, but for its epoch. An edited one may have none."""
    if found is None or FAST not in found.chains or not mark_mask(found):
        return False
    return with_epoch(found, 1) == with_epoch(wanted, 1)
