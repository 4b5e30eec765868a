"""What other programs have in nftables, as far as it can get in the way of a table of ours: the
chains of other tables, the rules in them that write conntrack marks, and flowtables.

Rule: read only, and nothing that others write is an error: what is not understood is reported as
the widest that it can be. Rules of the old iptables are not in nftables, and are not seen.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from msgspec import Struct

from podfence.errors import NftError
from podfence.kernel.netlink import attributes
from podfence.kernel.nftables import nf_tables as nf
from podfence.kernel.nftables.nftsocket import DumpInterrupted, NftSocket

FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
ALL_BITS = 0xFFFFFFFF
_ATTEMPTS = 50
_WORD = struct.Struct("=I")
_CONNMARK = struct.Struct("=III")
"""The first three numbers of the target CONNMARK: mark, its mask, the packet's mask."""
_CONNMARK_MODE = {1: 12, 2: 14}
"""Where its mode stands, by its revision."""
_SET, _SAVE, _RESTORE = 0, 1, 2
_TARGET_NAME, _TARGET_REVISION, _TARGET_INFO = 1, 2, 3


class ForeignChain(Struct, frozen=True):
    """A chain of another table. ``family`` as nft calls it."""

    family: str
    table: str
    name: str

    def __str__(self) -> str:
        return f"{self.family} {self.table} {self.name}"


class Flowtable(Struct, frozen=True):
    """Connections that are put into it pass no hook of the host any more. ``family`` as nft calls
    it."""

    family: str
    table: str
    name: str

    def __str__(self) -> str:
        return f"{self.family} {self.table} {self.name}"


class MarkWriter(Struct, frozen=True):
    """A chain with a rule that writes ``bits`` of the conntrack mark."""

    chain: ForeignChain
    bits: int


def chains(socket: NftSocket, ours: str) -> tuple[ForeignChain, ...]:
    """Every chain outside the table ``ours`` of the family inet. Raises NftError."""
    found: list[ForeignChain] = []
    for number, family in FAMILIES.items():
        for body in _dump(socket, nf.NFT_MSG_GETCHAIN, number):
            said = dict(attributes(body))
            names = _text(said, nf.NFTA_CHAIN_TABLE), _text(said, nf.NFTA_CHAIN_NAME)
            found.append(ForeignChain(family, *names))
    return tuple(each for each in found if (each.family, each.table) != ("inet", ours))


def flowtables(socket: NftSocket) -> tuple[Flowtable, ...]:
    """All of them: ours has none. Raises NftError."""
    return tuple(
        flowtable(family, body)
        for number, family in FAMILIES.items()
        for body in _dump(socket, nf.NFT_MSG_GETFLOWTABLE, number)
    )


def flowtable(family: str, body: bytes) -> Flowtable:
    """One of them, as the kernel lists it."""
    said = dict(attributes(body))
    names = _text(said, nf.NFTA_FLOWTABLE_TABLE), _text(said, nf.NFTA_FLOWTABLE_NAME)
    return Flowtable(family, *names)


def mark_writers(socket: NftSocket, ours: str) -> tuple[MarkWriter, ...]:
    """Every rule outside our table that writes conntrack marks. Raises NftError."""
    found: list[MarkWriter] = []
    for number, family in FAMILIES.items():
        for body in _dump(socket, nf.NFT_MSG_GETRULE, number):
            if b"ct\0" not in body and b"CONNMARK\0" not in body:
                continue
            said = dict(attributes(body))
            names = _text(said, nf.NFTA_RULE_TABLE), _text(said, nf.NFTA_RULE_CHAIN)
            bits = written_bits(said.get(nf.NFTA_RULE_EXPRESSIONS, b""))
            if bits and (family, names[0]) != ("inet", ours):
                found.append(MarkWriter(ForeignChain(family, *names), bits))
    return tuple(found)


def _dump(socket: NftSocket, kind: int, family: int) -> list[bytes]:
    for _ in range(_ATTEMPTS):
        try:
            return socket.dump(kind, b"", family)
        except DumpInterrupted:
            continue
    raise NftError("the rules of this network namespace change faster than they can be read")


def written_bits(expressions: bytes) -> int:
    """The bits of the conntrack mark that a rule writes; 0: none."""
    reader = _Marks()
    for _, expression in attributes(expressions):
        parts = dict(attributes(expression))
        name = _text(parts, nf.NFTA_EXPR_NAME)
        reader.take(name, dict(attributes(parts.get(nf.NFTA_EXPR_DATA, b""))))
    return reader.written


class _Marks:
    """What the registers hold, as far as it says which bits of the mark change."""

    def __init__(self) -> None:
        self._touched: dict[int, int] = {}
        """Of registers that hold the mark with some bits changed, those bits."""
        self.written = 0

    def take(self, name: str, data: Mapping[int, bytes]) -> None:
        if name == "ct" and nf.NFTA_CT_SREG in data:
            if _number(data, nf.NFTA_CT_KEY) == nf.NFT_CT_MARK:
                self.written |= self._touched.get(_register(data, nf.NFTA_CT_SREG), ALL_BITS)
        elif name == "ct":
            at = _register(data, nf.NFTA_CT_DREG)
            self._touched.pop(at, None)
            if _number(data, nf.NFTA_CT_KEY) == nf.NFT_CT_MARK:
                self._touched[at] = 0
        elif name == "bitwise":
            self._bitwise(data)
        elif name == "target" and _text(data, _TARGET_NAME) == "CONNMARK":
            revision = _number(data, _TARGET_REVISION)
            self.written |= _connmark_bits(revision, data.get(_TARGET_INFO, b""))
        else:  # whatever else it loads, it is not the mark
            for kind in (1, 3):
                if kind in data and len(data[kind]) == _WORD.size and name in _LOADS:
                    self._touched.pop(_register(data, kind), None)

    def _bitwise(self, data: Mapping[int, bytes]) -> None:
        source = self._touched.get(_register(data, nf.NFTA_BITWISE_SREG))
        at = _register(data, nf.NFTA_BITWISE_DREG)
        self._touched.pop(at, None)
        mask, flipped = (
            dict(attributes(data.get(kind, b""))).get(nf.NFTA_DATA_VALUE, b"")
            for kind in (nf.NFTA_BITWISE_MASK, nf.NFTA_BITWISE_XOR)
        )
        if source is not None and len(mask) == len(flipped) == _WORD.size:
            kept, changed = _WORD.unpack(mask)[0], _WORD.unpack(flipped)[0]
            self._touched[at] = source | (~kept & ALL_BITS) | changed


_LOADS = frozenset({"meta", "payload", "immediate", "lookup", "exthdr", "fib", "rt", "socket"})


def _connmark_bits(revision: int, info: bytes) -> int:
    """Bits that the target of iptables writes, all where it is not known."""
    at = _CONNMARK_MODE.get(revision)
    if at is None or len(info) <= at:
        return ALL_BITS
    mark, mask, packet = _CONNMARK.unpack_from(info)
    bits: int = {_SET: mark | mask, _SAVE: mask | packet, _RESTORE: 0}.get(info[at], ALL_BITS)
    return bits


def _register(data: Mapping[int, bytes], kind: int) -> int:
    """A small register; the large ones are four of them."""
    number = _number(data, kind)
    large = nf.NFT_REG_1 <= number < nf.NFT_REG32_00
    return nf.NFT_REG32_00 + 4 * (number - nf.NFT_REG_1) if large else number


def _number(data: Mapping[int, bytes], kind: int) -> int:
    return int.from_bytes(data.get(kind, b""), "big")


def _text(data: Mapping[int, bytes], kind: int) -> str:
    return data.get(kind, b"").rstrip(b"\0").decode("utf-8", "replace")
