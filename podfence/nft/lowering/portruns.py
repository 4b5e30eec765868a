"""Rules of a tier as entries with verdicts, before they become chains.

Rule: neighbours of one verdict are a run. The order inside a run means nothing; the order of runs
stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from msgspec import Struct

from podfence.nft.objects import ChainVerdict
from podfence.policy.index import Peers
from podfence.sets import PortSet


class RuleMatch(Struct, frozen=True):
    """One match of one rule. ``comment``: which rule it is."""

    peers: Peers
    ports: PortSet
    comment: str


class Run(Struct, frozen=True):
    """Neighbouring entries of one verdict."""

    entries: tuple[RuleMatch, ...]
    verdict: ChainVerdict


def in_runs(entries: Iterable[tuple[ChainVerdict, RuleMatch]]) -> list[Run]:
    """Entries in their order; neighbours of one verdict together."""
    return [
        Run(tuple(entry for _, entry in alike), verdict)
        for verdict, alike in groupby(entries, key=lambda found: found[0])
    ]


def until(runs: Sequence[Run], default: ChainVerdict) -> list[Run]:
    """The runs without those at the end that only say what is said anyway after them."""
    left = list(runs)
    while left and left[-1].verdict == default:
        left.pop()
    return left
