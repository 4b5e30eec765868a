"""A transaction that is too large for the socket -> several, of which only the last has an effect.

Rule: what is new, and led to by nothing, does nothing. So new sets, maps and chains may be made and
filled in as many transactions as it takes; then one small transaction changes all that has an
effect, at once. Base chains always have one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from msgspec import Struct

from podfence.kernel.netlink import HEADER
from podfence.kernel.nftables.encode import NftMessage
from podfence.nft import transaction as tx
from podfence.nft.transaction import Operation, Transaction

_FRAME = 2 * (HEADER.size + 4)
"""Bytes of a batch around its messages."""
KindAndName = tuple[str, str]
"""Sets and chains may share names, so ("set", name) or ("chain", name)."""


class Existing(Struct, frozen=True):
    """What the table holds. ``sets``: maps too."""

    table: bool
    sets: Collection[str] = ()
    chains: Collection[str] = ()


class Stages(Struct, frozen=True):
    """``prepared``: has no effect. ``final``: all of the effect."""

    prepared: Transaction
    final: Transaction


def stages(transaction: Transaction, existing: Existing) -> Stages:
    """Split a transaction that deletes no table."""
    new = _new(transaction, existing)
    prepared: list[Operation] = [tx.AddTable()]
    final: list[Operation] = []
    for operation in transaction:
        if _name(operation) in new:
            prepared.append(operation)
        elif not isinstance(operation, tx.AddTable):
            final.append(operation)
    table = transaction.table
    return Stages(Transaction(table, tuple(prepared)), Transaction(table, tuple(final)))


def undoing(prepared: Transaction, before: Existing, now: Existing) -> Transaction:
    """Takes back what of ``prepared`` has been done. Rules go first, then what they named, then the
    chains that maps led to."""
    if now.table and not before.table:
        return Transaction(prepared.table, (tx.DeleteTable(),))
    chains = [o.name for o in prepared if isinstance(o, tx.AddChain) and o.name in now.chains]
    sets = [
        o.declared for o in prepared if isinstance(o, tx.AddSet) and o.declared.name in now.sets
    ]
    steps: tuple[Operation, ...] = (
        *(tx.FlushChain(name) for name in chains),
        *(tx.DeleteSet(item.name, type(item)) for item in sets),
        *(tx.DeleteChain(name) for name in chains),
    )
    return Transaction(prepared.table, steps)


def packed(messages: Sequence[NftMessage], limit: int) -> Iterator[list[NftMessage]]:
    """The messages in order, in batches that each fit into ``limit`` bytes if they can."""
    batch: list[NftMessage] = []
    size = _FRAME
    for message in messages:
        length = _size(message)
        if batch and size + length > limit:
            yield batch
            batch, size = [], _FRAME
        batch.append(message)
        size += length
    if batch:
        yield batch


def batch_size(messages: Iterable[NftMessage]) -> int:
    """Bytes of a batch with its frame."""
    return _FRAME + sum(map(_size, messages))


def _size(message: NftMessage) -> int:
    length = HEADER.size + len(message.body)
    return length + -length % 4


def _new(transaction: Transaction, existing: Existing) -> set[KindAndName]:
    """Objects that the transaction makes, and nothing else has led to yet."""
    made = {_name(o) for o in transaction if isinstance(o, tx.AddSet | tx.AddChain)}
    live = {
        _name(o)
        for o in transaction
        if isinstance(o, tx.DeleteSet | tx.DeleteElements | tx.DeleteChain | tx.FlushChain)
        or (isinstance(o, tx.AddChain) and o.base is not None)
    }
    there = {("set", name) for name in existing.sets} | {("chain", n) for n in existing.chains}
    return made - live - there


def _name(operation: Operation) -> KindAndName:
    match operation:
        case tx.AddSet(item) | tx.AddElements(item) | tx.DeleteElements(item):
            return "set", item.name
        case tx.DeleteSet(name):
            return "set", name
        case tx.AddChain(name) | tx.FlushChain(name) | tx.DeleteChain(name):
            return "chain", name
        case tx.AddRules(chain):
            return "chain", chain
        case tx.AddTable() | tx.DeleteTable():
            return "table", ""
