"""What holds our table: the kernel, or a stand-in for it.

Rule: code that changes rules asks for an ``Nft``, never for the kernel; so it can be tried without.
"""

from __future__ import annotations

from typing import Protocol

from podfence.nft.ruleset import Ruleset
from podfence.nft.transaction import Transaction


class Nft(Protocol):
    """One table in one network namespace (``kernel.nftables.table.NetlinkNft``), or in memory
    (``testing.fakenft.FakeNft``)."""

    def list(self) -> Ruleset | None:
        """What the table holds; None when there is no table. Raises NftError."""

    def run(self, transaction: Transaction) -> None:
        """Apply a transaction as a whole. Raises NftError; then everything is as before."""
