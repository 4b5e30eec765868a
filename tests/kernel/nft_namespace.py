"""A fresh network namespace with nftables, for tests that write and read rules.

Rule: never the namespace that the tests run in; there is no way to ask for it.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from podfence.kernel import netns
from podfence.kernel.nftables.nftsocket import NftSocket
from podfence.kernel.nftables.table import NetlinkNft
from podfence.nft.render import render_transaction
from podfence.nft.transaction import Transaction


@dataclass(frozen=True)
class NftNamespace:
    """The namespace, a socket in it, and our table there."""

    fd: int
    socket: NftSocket
    table: NetlinkNft

    def nft(self, *arguments: str, text: str = "") -> str:
        """Run nft in there; its output."""
        enter = ["nsenter", f"--net=/proc/self/fd/{self.fd}"]
        return subprocess.run(
            [*enter, "nft", *arguments],
            input=text,
            capture_output=True,
            text=True,
            check=True,
            pass_fds=[self.fd],
            timeout=60,
        ).stdout

    def run_nft(self, transaction: Transaction) -> None:
        """Apply a transaction by nft."""
        self.nft("-f", "-", text=render_transaction(transaction))

    def listing(self) -> str:
        return self.nft("list", "ruleset")

    def clear(self) -> None:
        self.nft("flush", "ruleset")


@contextmanager
def nft_namespace() -> Iterator[NftNamespace]:
    fd = netns.create()
    try:
        assert os.fstat(fd).st_ino != netns.identity()
        with NftSocket(fd) as socket:
            yield NftNamespace(fd, socket, NetlinkNft(socket))
    finally:
        os.close(fd)
