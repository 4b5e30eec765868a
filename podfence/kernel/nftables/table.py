"""Our table in the kernel, written and read by netlink, without any program.

Rule: a change takes effect at once, however large it is. A caller that gets an NftError finds the
table as it was before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from podfence.errors import NftError
from podfence.kernel.netlink import text
from podfence.kernel.nftables import nf_tables as nf
from podfence.kernel.nftables.decode import Dump, chain_names, genid, read, set_name
from podfence.kernel.nftables.encode import emptied, encode
from podfence.kernel.nftables.nftsocket import DumpInterrupted, NftSocket, too_large
from podfence.kernel.nftables.stages import (
    Existing,
    batch_size,
    packed,
    stages,
    undoing,
)
from podfence.nft.difference import apply, diff, load
from podfence.nft.lowering.lower import TABLE
from podfence.nft.objects import Table
from podfence.nft.ruleset import Ruleset
from podfence.nft.transaction import AddTable, DeleteTable, Transaction

T = TypeVar("T")
_ATTEMPTS = 50
"""Readings that others may spoil by changing rules of theirs; one takes milliseconds."""


class NetlinkNft:
    """One table, ours, in the network namespace of a socket."""

    def __init__(self, opened: NftSocket, table: str = TABLE) -> None:
        self._socket = opened
        self._table = table

    def replace(self, ruleset: Ruleset) -> None:
        """Leave exactly ``ruleset`` in the table, whatever was there, in one step.

        Raises NftError; then everything is as before.
        """
        self.run(load(ruleset))

    def run(self, transaction: Transaction) -> None:
        """Apply a transaction as a whole.

        One that is larger than what a user other than root may send is prepared in parts that have
        no effect, and takes effect in one. Raises NftError; then everything is as before.
        """
        batch = [*encode(transaction)]
        size = batch_size(batch)
        if size <= self._socket.limit:
            self._socket.transact(batch)
        elif not _deletes_table(transaction):
            self._run_in_stages(transaction)
        else:
            same = self._without_deletion(transaction)
            if _deletes_table(same):
                raise too_large(size, self._socket.limit)
            self.run(same)

    def generation(self) -> int:
        """The number of the last transaction in the namespace, by anybody: each counts one up.
        Raises NftError."""
        return genid(self._socket.get(nf.NFT_MSG_GETGEN, b"") or b"")

    def exists(self) -> bool:
        """Whether there is a table. Raises NftError."""
        request = text(nf.NFTA_TABLE_NAME, self._table)
        return self._socket.get(nf.NFT_MSG_GETTABLE, request) is not None

    def delete(self) -> bool:
        """Delete the table with all that it holds; whether there was one. Raises NftError."""
        found = self.exists()
        table = Table(self._table, "")
        (there,) = encode(Transaction(table, (AddTable(),)))  # somebody else may be quicker
        if found:
            # In one transaction, the kernel takes the elements of hash tables away some 0.1 ms
            # before the rules that look there: packets among them would be lost.
            self._socket.transact([there, emptied(self._table)])
        self._socket.transact([there, *encode(Transaction(table, (DeleteTable(),)))])
        return found

    def list(self) -> Ruleset | None:
        """What the table holds, None when there is no table.

        Raises NftError for what podfence never writes.
        """
        dump = self._undisturbed(self._dump)
        return None if dump is None else read(dump)

    def _without_deletion(self, transaction: Transaction) -> Transaction:
        """The same result, from the table as it is now: then what is new can be prepared."""
        deleted = max(n for n, step in enumerate(transaction) if isinstance(step, DeleteTable))
        table = transaction.table
        created = Transaction(table, transaction.operations[deleted + 1 :])
        current = self.list()
        if current is None:
            return created
        return diff(current, apply(Ruleset(table, {}, {}, {}), created))

    def _run_in_stages(self, transaction: Transaction) -> None:
        before = self._undisturbed(self._existing)
        parts = stages(transaction, before)
        final = [*encode(parts.final)]
        if batch_size(final) > self._socket.limit:
            raise too_large(batch_size(final), self._socket.limit)
        try:
            for batch in packed([*encode(parts.prepared)], self._socket.limit):
                self._socket.transact(batch)
            self._socket.transact(final)
        except NftError as error:
            self._undo(parts.prepared, before, error)
            raise

    def _undo(self, prepared: Transaction, before: Existing, reason: NftError) -> None:
        """Delete what of ``prepared`` is there and was not before."""
        try:
            now = self._undisturbed(self._existing)
            self._socket.transact([*encode(undoing(prepared, before, now))])
        except NftError as error:
            said = f"{reason}; parts without effect are left behind: {error}"
            raise type(reason)(said) from reason

    # -- reading

    def _undisturbed(self, reading: Callable[[], T]) -> T:
        """What one state of the rules was; any change in the namespace, by anybody, spoils it."""
        for _ in range(_ATTEMPTS):
            before = self.generation()
            try:
                found = reading()
            except DumpInterrupted:
                continue
            if self.generation() == before:
                return found
        raise NftError("the rules of this network namespace change faster than they can be read")

    def _existing(self) -> Existing:
        if not self.exists():
            return Existing(table=False)
        sets = self._socket.dump(nf.NFT_MSG_GETSET, text(nf.NFTA_SET_TABLE, self._table))
        chains = chain_names(self._socket.dump(nf.NFT_MSG_GETCHAIN, b""), self._table)
        return Existing(True, {set_name(body) for body in sets}, chains)

    def _dump(self) -> Dump | None:
        """Bytes only: the less time it takes, the less others change in between."""
        table = self._socket.get(nf.NFT_MSG_GETTABLE, text(nf.NFTA_TABLE_NAME, self._table))
        if table is None:
            return None
        chains = self._socket.dump(nf.NFT_MSG_GETCHAIN, b"")
        rules = self._socket.dump(nf.NFT_MSG_GETRULE, text(nf.NFTA_RULE_TABLE, self._table))
        sets = self._socket.dump(nf.NFT_MSG_GETSET, text(nf.NFTA_SET_TABLE, self._table))
        elements = {name: self._elements(name) for name in map(set_name, sets)}
        return Dump(table, chains, rules, sets, elements)

    def _elements(self, name: str) -> Sequence[bytes]:
        """Read until two readings agree. A set that has just grown moves to a larger hash table in
        the background, and a reading that goes on over several messages misses what moves."""
        request = text(nf.NFTA_SET_ELEM_LIST_TABLE, self._table) + text(
            nf.NFTA_SET_ELEM_LIST_SET, name
        )
        found = self._socket.dump(nf.NFT_MSG_GETSETELEM, request)
        for _ in range(_ATTEMPTS):
            if len(found) <= 1:
                return found
            earlier, found = found, self._socket.dump(nf.NFT_MSG_GETSETELEM, request)
            if found == earlier:
                return found
        raise DumpInterrupted


def _deletes_table(transaction: Transaction) -> bool:
    return any(isinstance(step, DeleteTable) for step in transaction)
