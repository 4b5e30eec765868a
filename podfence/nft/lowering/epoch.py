"""Epochs: which changes make every live connection be judged again.

Rule: a connection that the rules allowed has their epoch in its conntrack mark. It is accepted for
that mark, whatever the rules say later. So a change that takes a permission away must come with
another epoch, in the same transaction. A change that only adds permissions keeps the epoch, and no
connection notices.

An epoch comes back after as many changes as the mark can count (65,535 with 16 bits). A connection
that sent no packet in all that time then counts as judged. conntrack forgets idle connections long
before, unless such changes come many times a second (see ``reconcile.bumps``).
"""

from __future__ import annotations

from msgspec.structs import replace

from podfence.nft.lowering.skeleton import FORWARD, INPUT, epoch_chains
from podfence.nft.objects import CtMark
from podfence.nft.ruleset import Ruleset
from podfence.nft.transaction import AddRules, FlushChain, Operation


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


def epoch_steps(mask: int, number: int) -> tuple[Operation, ...]:
    """What changes the epoch of a table that is there, and nothing else."""
    return tuple(
        step
        for chain in epoch_chains(mask, number * _lowest(mask))
        for step in (FlushChain(chain.name), AddRules(chain.name, chain.rules))
    )


def mark_mask(ruleset: Ruleset) -> int:
    """The bits of the mark that hold the epoch; 0: the base chains know none, or several."""
    marks = _marks(ruleset)
    return marks.pop().mask if len(marks) == 1 else 0


def most(ruleset: Ruleset) -> int:
    """The last epoch before they begin at 1 again."""
    return _most(mark_mask(ruleset))


def _mark(ruleset: Ruleset) -> CtMark:
    (found,) = _marks(ruleset)
    return found


def _marks(ruleset: Ruleset) -> set[CtMark]:
    """Those that the base chains ask for, at whatever rule: others may have added some."""
    bases = (ruleset.chains[name] for name in (FORWARD, INPUT) if name in ruleset.chains)
    parts = (part for base in bases for rule in base.rules for part in rule.parts)
    return {part for part in parts if isinstance(part, CtMark)}


def _lowest(mask: int) -> int:
    return mask & -mask


def _most(mask: int) -> int:
    return mask // _lowest(mask)
