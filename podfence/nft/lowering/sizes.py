"""How much a table holds.

Rule: the objects are counted, and nothing is made for it: an agent asks now and then, between two
changes.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from podfence.nft.objects import Chain, NamedObject


class Sizes(Struct, frozen=True):
    """What a table holds. ``elements``: of sets and maps."""

    sets: int = 0
    chains: int = 0
    rules: int = 0
    elements: int = 0


def sizes(objects: Iterable[NamedObject], more: Iterable[int] = ()) -> Sizes:
    """Of these objects; ``more``: the number of elements of each set that is not among them."""
    chains, holders = [], [*more]
    for each in objects:
        if isinstance(each, Chain):
            chains.append(len(each.rules))
        else:
            holders.append(len(each.elements))
    return Sizes(len(holders), len(chains), sum(chains), sum(holders))
