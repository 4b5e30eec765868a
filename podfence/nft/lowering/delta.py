"""A change of a table, as a value."""

from __future__ import annotations

from msgspec import Struct

from podfence.nft.lowering.tightening import Released, Tightening
from podfence.nft.objects import Chain, NamedObject
from podfence.nft.transaction import ElementHolder, Transaction


class Delta(Struct, frozen=True):
    """``transaction``: leads from the old ruleset to the new one. ``tightens``: what it takes away.
    ``released``: addresses that a pod had and none has now. ``given``: addresses that no pod had
    and one has now. Both are given even where the table stays as it is."""

    transaction: Transaction
    tightens: Tightening = Tightening.NO
    released: Released = {}
    given: Released = {}


class TableObjects:
    """Objects of a table by name."""

    def __init__(self) -> None:
        self.chains: dict[str, Chain] = {}
        self.sets: dict[str, ElementHolder] = {}

    def add(self, item: NamedObject | None) -> None:
        """One more, if there is one."""
        if isinstance(item, Chain):
            self.chains[item.name] = item
        elif item is not None:
            self.sets[item.name] = item
