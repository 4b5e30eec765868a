"""Epochs: which changes make every live connection be judged again.

Rule: a connection that the rules allowed carries their epoch in its conntrack mark, and is
accepted for it, whatever the rules say later. So a change that takes a permission away must come
with another epoch, in the same transaction; a change that only adds some keeps it, and no
connection notices.

An epoch comes back after as many changes as the mark can count (65,535 with 16 bits). A
connection that sent no packet all that time is taken for judged again then; conntrack forgets idle
connections long before, unless such changes come many a second.
"""

from __future__ import annotations

from msgspec.structs import replace

from podfence.nft.lowering.skeleton import FAST, epoch_chains
from podfence.nft.lowering.tightening import removes_permission
from podfence.nft.objects import CtMark
from podfence.nft.ruleset import Ruleset


def epoch(ruleset: Ruleset) -> int:
    """The epoch that a ruleset of ``lower`` stamps, counted from 1."""
    mark = _mark(ruleset)
    return mark.value // _lowest(mark.mask)


def with_epoch(ruleset: Ruleset, number: int) -> Ruleset:
    """The same ruleset under another epoch. Raises ValueError when the mark cannot hold it."""
    mask = _mark(ruleset).mask
    if not 1 <= number <= _most(mask):
        raise ValueError(f"epoch {number} is not within 1 to {_most(mask)}")
    chains = dict(ruleset.chains)
    chains.update((c.name, c) for c in epoch_chains(mask, number * _lowest(mask)))
    return replace(ruleset, chains=chains)


def bump(ruleset: Ruleset) -> Ruleset:
    """The same ruleset under the next epoch. After the last comes 1: 0 is what connections
    carry that nobody judged."""
    return with_epoch(ruleset, epoch(ruleset) % _most(_mark(ruleset).mask) + 1)


def succeed(current: Ruleset, wanted: Ruleset) -> Ruleset:
    """``wanted`` under the right epoch: that of ``current``, or the next one when a permission
    goes.

    Raises ValueError when they use other bits of the mark: then what connections carry means
    nothing, and conntrack has to be emptied before ``wanted`` is loaded.
    """
    if _mark(current).mask != _mark(wanted).mask:
        raise ValueError("the rulesets keep their epoch in different bits of the mark")
    kept = with_epoch(wanted, epoch(current))
    return bump(kept) if removes_permission(current, kept) else kept


def _mark(ruleset: Ruleset) -> CtMark:
    (found,) = (part for part in ruleset.chains[FAST].rules[0].parts if isinstance(part, CtMark))
    return found


def _lowest(mask: int) -> int:
    return mask & -mask


def _most(mask: int) -> int:
    return mask // _lowest(mask)
