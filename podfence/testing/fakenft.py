"""FakeNft: our table in memory, with the kernel's rules; for tests that must not need a kernel.

Rule: accepts and refuses the same transactions as the kernel, each as a whole: a refused one
changes nothing.
"""

from __future__ import annotations

from podfence.errors import NftError
from podfence.nft.contents import Contents, OperationRefusal, OperationRefused
from podfence.nft.ruleset import Ruleset
from podfence.nft.transaction import Transaction


class FakeNft:
    """A kernel with at most our table.

    ``transactions``: every transaction that was applied, in order, the empty ones too.
    """

    def __init__(self, ruleset: Ruleset | None = None) -> None:
        self.transactions: list[Transaction] = []
        self._ruleset = ruleset

    def list(self) -> Ruleset | None:
        """What the table holds; None when there is no table."""
        return self._ruleset

    def run(self, transaction: Transaction) -> None:
        """Apply a transaction. Raises NftError where the kernel refuses; then nothing changed."""
        try:
            self._ruleset = self._after(transaction)
        except OperationRefused as refused:
            raise NftError(f"the kernel refused the transaction: {refused}") from None
        self.transactions.append(transaction)

    def check(self, transaction: Transaction) -> OperationRefusal | None:
        """Why a transaction would be refused; None when it would be applied."""
        try:
            self._after(transaction)
        except OperationRefused as refused:
            return refused.refusal
        return None

    def _after(self, transaction: Transaction) -> Ruleset | None:
        if not transaction:
            return self._ruleset
        contents = Contents(self._ruleset)
        for operation in transaction:
            contents.do(transaction.table, operation)
        return contents.ruleset()
