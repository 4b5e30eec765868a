"""Transaction: one change of our table, as data, in an order that the kernel accepts.

Rule: a transaction is applied as a whole or not at all; nothing in here reads or writes a kernel.

The kernel takes operations one after the other, each against what those before it left behind. So:

1. sets, maps and chains are made before anything names them (``AddSet``, ``AddChain``);
2. chains that change or go are emptied (``FlushChain``), and elements are taken away, before
   anything is put in: in between, our table only ever holds a part of what is wanted, so no chain
   ever leads back to itself and no two ranges overlap;
3. a map's element with another verdict is deleted, then added: the kernel refuses to change it;
4. elements are added, then rules (``AddElements``, ``AddRules``);
5. sets and maps go after the rules that named them (``DeleteSet``), chains last (``DeleteChain``),
   after the rules and map elements that led to them.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from podfence.nft.objects import BaseChain, MemberSet, RangeSet, Rule, Set, Table, VerdictMap

ElementHolder = Set | MemberSet | RangeSet | VerdictMap
"""What holds elements; the kernel calls all three sets."""


class AddTable(Struct, frozen=True):
    """Make the transaction's table; nothing happens when it is there. Its comment stays as it is
    then."""


class DeleteTable(Struct, frozen=True):
    """Delete the transaction's table and all that it holds. Must exist."""


class AddSet(Struct, frozen=True):
    """Make a set, interval set or verdict map, still empty. ``declared`` has no elements.

    Nothing happens when one of the same kind and key type is there.
    """

    declared: ElementHolder

    def __post_init__(self) -> None:
        """Raises ValueError when ``declared`` holds elements: they come by AddElements."""
        if self.declared.elements:
            raise ValueError(f"{self.declared.name}: declared with elements")


class DeleteSet(Struct, frozen=True):
    """Delete a set, interval set or verdict map with its elements. No rule may name it.

    ``kind``: what it is; nft's text says "map" or "set", netlink does not tell them apart.
    """

    name: str
    kind: type[ElementHolder]


class AddElements(Struct, frozen=True):
    """Put elements into a set or map. ``part``: its name, type and kind, and the elements to add,
    at least one. An equal element may be there; a key with another verdict, or a range that
    overlaps, may not."""

    part: ElementHolder

    def __post_init__(self) -> None:
        """Raises ValueError for no element."""
        _require_elements(self.part)


class DeleteElements(Struct, frozen=True):
    """Take elements out of a set or map, as in AddElements; every one of them must be there.

    Of a map's element the key alone says which. A range must be exactly one that is there.
    """

    part: ElementHolder

    def __post_init__(self) -> None:
        """Raises ValueError for no element."""
        _require_elements(self.part)


def _require_elements(part: ElementHolder) -> None:
    if not part.elements:
        raise ValueError(f"{part.name}: no elements")


class AddChain(Struct, frozen=True):
    """Make a chain without rules. ``base`` None: a regular chain. Nothing happens when one with
    the same ``base`` is there."""

    name: str
    base: BaseChain | None = None
    comment: str = ""


class FlushChain(Struct, frozen=True):
    """Delete every rule of a chain; the chain stays."""

    name: str


class AddRules(Struct, frozen=True):
    """Append rules to a chain, in their order, at least one."""

    chain: str
    rules: tuple[Rule, ...]


class DeleteChain(Struct, frozen=True):
    """Delete a chain, with its rules. No other rule and no map element may lead to it."""

    name: str


Operation = (
    AddTable
    | DeleteTable
    | AddSet
    | DeleteSet
    | AddElements
    | DeleteElements
    | AddChain
    | FlushChain
    | AddRules
    | DeleteChain
)


class Transaction(Struct, frozen=True):
    """Operations on one table, in order. Without operations it is false, and changes nothing.

    ``table``: the table that every operation means, and what ``AddTable`` makes.
    """

    table: Table
    operations: tuple[Operation, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.operations)

    def __iter__(self) -> Iterator[Operation]:
        return iter(self.operations)

    def __len__(self) -> int:
        return len(self.operations)


def outline(transaction: Transaction, most: int = 8) -> str:
    """The first operations for people, as ``AddElements p4_shop 3, FlushChain in_shop, ... of 9``:
    what they do, to what, and with how many elements or rules."""
    said = [*map(_said, transaction.operations[:most])]
    if len(transaction) > most:
        said.append(f"... of {len(transaction)}")
    return ", ".join(said)


def _said(step: Operation) -> str:
    kind = type(step).__name__
    match step:
        case AddElements(part) | DeleteElements(part):
            return f"{kind} {part.name} {len(part.elements)}"
        case AddRules(chain, rules):
            return f"{kind} {chain} {len(rules)}"
        case AddSet(declared):
            return f"{kind} {declared.name}"
        case AddTable() | DeleteTable():
            return kind
    return f"{kind} {step.name}"
