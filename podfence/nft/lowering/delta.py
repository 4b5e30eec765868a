"""What a change does to a table, as a value.

Rule: a delta tells exactly what differs between the rulesets before and after, so whoever decides
what that takes away need not read either of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from podfence.live.pods import At
from podfence.nft.objects import Chain, MemberSet, NamedObject
from podfence.nft.transaction import ElementHolder, Transaction
from podfence.sets.members import Members


class SetChange(Struct, frozen=True):
    """The members that a set got and lost: of a new one all, of one that goes those of before."""

    name: str
    joined: Members
    left: Members


class Delta(Struct, frozen=True):
    """What a change does to the table. ``sets``: of addresses. ``chains``: before and after, None
    where it is not there. ``freed``: addresses that a pod had and no pod has any more."""

    transaction: Transaction
    sets: tuple[SetChange, ...] = ()
    chains: tuple[tuple[Chain | None, Chain | None], ...] = ()
    freed: frozenset[At] = frozenset()


class Objects:
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


def set_changes(
    before: Mapping[str, ElementHolder], after: Mapping[str, ElementHolder]
) -> Iterator[SetChange]:
    """What came and went in the sets of addresses that are new, gone or show others."""
    for name in dict.fromkeys((*before, *after)):
        old, new = before.get(name), after.get(name)
        family = next((s.elements.family for s in (old, new) if isinstance(s, MemberSet)), None)
        if family is not None:
            had = old.elements if isinstance(old, MemberSet) else Members(family)
            has = new.elements if isinstance(new, MemberSet) else Members(family)
            yield SetChange(name, has - had, had - has)
