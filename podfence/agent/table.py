"""Our table in the kernel of this node, through a socket that is made again when it fails."""

from __future__ import annotations

from podfence.errors import NftError, NftUnanswered
from podfence.kernel import ctsweep
from podfence.kernel.nftables.nftsocket import NftSocket
from podfence.kernel.nftables.notices import Notices
from podfence.kernel.nftables.table import NetlinkNft
from podfence.nft.ruleset import Ruleset
from podfence.nft.transaction import AddElements, DeleteElements, Operation, Transaction

MANY = 500
"""Elements of a write from which nobody listens meanwhile: it saves more than it takes."""


class KernelTable:
    """One thread uses it. ``notices`` hears of changes by others, and must leave out ours.
    ``namespace_fd``: another network namespace than that of the thread that makes this."""

    def __init__(
        self, mark_mask: int, notices: Notices | None = None, namespace_fd: int | None = None
    ) -> None:
        """Raises NftError."""
        self._mask = mark_mask
        self._notices = notices
        self._namespace_fd = namespace_fd
        self._socket = NftSocket(namespace_fd)
        self._table = self._opened()

    def list(self) -> Ruleset | None:
        """What the table holds; None where there is none. Raises NftError for a table that cannot
        be read, as when it holds what we never write."""
        try:
            return self._table.list()
        except NftUnanswered:
            self.reopen()
            return self._table.list()

    def exists(self) -> bool:
        """Whether there is a table. Raises NftError."""
        try:
            return self._table.exists()
        except NftUnanswered:
            self.reopen()
            return self._table.exists()

    def run(self, transaction: Transaction) -> None:
        """Apply a transaction. Raises NftError when the kernel refuses it. Raises NftUnanswered
        when the result is unknown; then there is a new socket, or the next call makes one."""
        is_large = sum(map(_size, transaction)) >= MANY
        try:
            if self._notices is not None and is_large:
                self._run_unheard(self._notices, transaction)
            else:
                self._table.run(transaction)
        except NftUnanswered as lost:
            try:
                self.reopen()
            except NftError as error:  # it is no refusal: the write may have been done
                raise NftUnanswered(f"{lost.message}; {error.message}") from error
            raise

    def sweep(self, first: int, last: int) -> int:
        """Take our marks off connections that carry an epoch from ``first`` to ``last``; how many
        there were. Raises NftError."""
        return ctsweep.sweep(self._mask, first, last, self._namespace_fd)

    def sweep_all(self) -> int:
        """Take our marks off all connections. Raises NftError."""
        return self.sweep(1, self._mask // (self._mask & -self._mask))

    def delete(self) -> bool:
        """Delete the table; whether there was one. Raises NftError."""
        return self._table.delete()

    def reopen(self) -> None:
        """A new socket in the place of one that fails. Raises NftError."""
        self._socket.close()
        self._socket = NftSocket(self._namespace_fd)
        self._table = self._opened()

    def close(self) -> None:
        """Give the descriptors back."""
        self._socket.close()

    def _run_unheard(self, notices: Notices, transaction: Transaction) -> None:
        """Without listening. What others do meanwhile is seen in the number of transactions: it is
        read before the one and after the other. It counts a transaction before others are told of
        it, so who is in it already is waited for; then nothing falls between."""
        others = self._others()
        self._socket.settle()
        notices.leave()
        try:
            self._table.run(transaction)
        finally:
            notices.join()
            if not self._is_still(others):
                notices.miss()

    def _others(self) -> int:
        """A number that grows with each transaction of others. Raises NftError."""
        return self._table.generation() - self._socket.taken

    def _is_still(self, others: int) -> bool:
        """Whether others did nothing since; False if that is unknown."""
        try:
            return self._others() == others
        except NftError:
            return False

    def _opened(self) -> NetlinkNft:
        if self._notices is not None:
            self._notices.ignore(self._socket.port)
        return NetlinkNft(self._socket)


def _size(step: Operation) -> int:
    return len(step.part.elements) if isinstance(step, AddElements | DeleteElements) else 0
