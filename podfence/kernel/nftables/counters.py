"""Counters of our table, read without the rest of the table: packets and bytes by chain.

Rule: a number is what the kernel holds now; a chain that is written again begins at 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from podfence.errors import NftError
from podfence.kernel.netlink import attributes, text
from podfence.kernel.nftables import nf_tables as nf
from podfence.kernel.nftables.nftsocket import DumpInterrupted, NftSocket

_ATTEMPTS = 20
_NAME = b"counter\0"


class ChainCount(Struct, frozen=True):
    """What came to the counters of a chain."""

    packets: int = 0
    bytes: int = 0

    def __add__(self, other: ChainCount) -> ChainCount:
        return ChainCount(self.packets + other.packets, self.bytes + other.bytes)

    def since(self, before: ChainCount) -> ChainCount:
        """What came after ``before``, of the same chain; all of it where it began again."""
        if self.packets < before.packets or self.bytes < before.bytes:
            return self
        return ChainCount(self.packets - before.packets, self.bytes - before.bytes)


def counted(socket: NftSocket, table: str) -> dict[str, ChainCount]:
    """By chain; chains without a counter are left out, and of no table there is nothing.

    Raises NftError.
    """
    for _ in range(_ATTEMPTS):
        try:
            return _sums(socket.dump(nf.NFT_MSG_GETRULE, text(nf.NFTA_RULE_TABLE, table)))
        except DumpInterrupted:
            continue
    raise NftError("the rules of this network namespace change faster than they can be read")


def _sums(rules: Iterable[bytes]) -> dict[str, ChainCount]:
    found: dict[str, ChainCount] = {}
    for body in rules:
        if _NAME in body:  # most rules have none, and need not be taken apart
            said = dict(attributes(body))
            chain = said[nf.NFTA_RULE_CHAIN].rstrip(b"\0").decode("utf-8", "replace")
            for each in _counters(said.get(nf.NFTA_RULE_EXPRESSIONS, b"")):
                found[chain] = found.get(chain, ChainCount()) + each
    return found


def _counters(expressions: bytes) -> Iterable[ChainCount]:
    for _, expression in attributes(expressions):
        parts = dict(attributes(expression))
        if parts.get(nf.NFTA_EXPR_NAME) == _NAME:
            data = dict(attributes(parts.get(nf.NFTA_EXPR_DATA, b"")))
            yield ChainCount(
                _number(data, nf.NFTA_COUNTER_PACKETS), _number(data, nf.NFTA_COUNTER_BYTES)
            )


def _number(data: Mapping[int, bytes], kind: int) -> int:
    return int.from_bytes(data.get(kind, b""), "big")
