"""CIDR texts: which the server can read, which it refuses, and which it warns about.

Rule: reading is as generous as the server's (leading zeros, host bits, IPv4-mapped IPv6), because
the order and number of its complaints depend on that; ``complaints`` then holds the strict mode,
which servers since 1.36 apply. Zones, missing lengths and short forms are never readable.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from msgspec import Struct

from podfence.sets.addresses import IPNetwork

_HEXADECIMAL = r"[0-9A-Fa-f]+"
# No readable text is longer without being padded with zeros beyond reason; int() of a longer one
# would be slow or refused.
_LONGEST = 1024


class Cidr(Struct, frozen=True):
    """A readable CIDR text. ``bits`` is 32 or 128; ``padded``: zeros stand where none may.

    ``address`` still has its host bits.
    """

    address: int
    bits: int
    length: int
    padded: bool

    @property
    def first(self) -> int:
        """The network address: host bits masked (NP-29)."""
        host_bits = self.bits - self.length
        return self.address >> host_bits << host_bits

    @property
    def is_mapped(self) -> bool:
        """Whether the address is an IPv4 address written as ``::ffff:…``."""
        return _is_mapped(self.address, self.bits)

    @property
    def network(self) -> IPNetwork:
        """The network, masked; an IPv4-mapped one is of IPv4, as Go compares it (NP-29)."""
        if self.bits == 32:
            return IPv4Network((self.first, self.length))
        if _is_mapped(
            self.first, self.bits
        ):  # not with fewer bits, because masking would cut the prefix
            return IPv4Network((self.first & 0xFFFFFFFF, self.length - 96))
        return IPv6Network((self.first, self.length))

    @property
    def shown(self) -> tuple[str, str]:
        """The network and the single address as Go prints them: IPv4-mapped ones as IPv4, but with
        the length that was written for the single one.
        """
        address, bits = _unmapped(self.address, self.bits)
        single = IPv4Address(address) if bits == 32 else IPv6Address(address)
        return str(self.network), f"{single}/{self.bits}"

    def contains(self, other: Cidr) -> bool:
        """Whether the network address of ``other`` is in here, as Go's IPNet.Contains has it:
        IPv4-mapped addresses count as IPv4."""
        first, bits = _unmapped(self.first, self.bits)
        address, other_bits = _unmapped(other.first, other.bits)
        host_bits = self.bits - self.length
        return bits == other_bits and first >> host_bits == address >> host_bits


def _is_mapped(address: int, bits: int) -> bool:
    return bits == 128 and address >> 32 == 0xFFFF


def _unmapped(address: int, bits: int) -> tuple[int, int]:
    return (address & 0xFFFFFFFF, 32) if _is_mapped(address, bits) else (address, bits)


def _is_decimal(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _is_padded(digits: str) -> bool:
    return len(digits) > 1 and digits[0] == "0"


def _ipv4(text: str) -> tuple[int, bool] | None:
    octets = text.split(".")
    if len(octets) != 4 or not all(map(_is_decimal, octets)):
        return None
    numbers = [int(octet) for octet in octets]
    if max(numbers) > 255:
        return None
    return int.from_bytes(bytes(numbers)), any(map(_is_padded, octets))


def _groups(texts: Sequence[str]) -> tuple[list[int], bool] | None:
    if not all(re.fullmatch(_HEXADECIMAL, text) for text in texts):
        return None
    numbers = [int(text, 16) for text in texts]
    if any(number > 0xFFFF for number in numbers):
        return None
    return numbers, any(len(text) > 4 for text in texts)


def _dotted_tail(text: str) -> tuple[str, bool] | None:
    """Rewrites a dotted IPv4 at the end of an IPv6 text as two groups."""
    head, colon, tail = text.rpartition(":")
    if "." not in text:
        return text, False
    ipv4 = _ipv4(tail)
    if ipv4 is None:
        return None
    value, padded = ipv4
    return f"{head}{colon}{value >> 16:x}:{value & 0xFFFF:x}", padded


def _ipv6(text: str) -> tuple[int, bool] | None:
    rewritten = _dotted_tail(text) if ":" in text else None
    if rewritten is None:
        return None
    plain, padded = rewritten
    head, ellipsis, tail = plain.partition("::")
    sides = [_groups(side.split(":") if side else []) for side in (head, tail)]
    if sides[0] is None or sides[1] is None:
        return None
    (left, left_padded), (right, right_padded) = sides[0], sides[1]
    missing = 8 - len(left) - len(right)
    if missing < 1 if ellipsis else missing != 0:
        return None
    value = 0
    for group in (*left, *([0] * missing), *right):
        value = value << 16 | group
    return value, padded or left_padded or right_padded


@lru_cache(maxsize=1 << 16)
def parse_cidr(text: str) -> Cidr | None:
    """Reads a CIDR text as the server does; ``None`` when it cannot."""
    address_text, _, length_text = text.partition("/")
    if len(text) > _LONGEST or not _is_decimal(length_text):
        return None
    length, bits, address = int(length_text), 32, _ipv4(address_text)
    if address is None:
        bits, address = 128, _ipv6(address_text)
    if address is None or length > bits:
        return None
    return Cidr(address[0], bits, length, address[1] or _is_padded(length_text))


@lru_cache(maxsize=1 << 16)
def cidr_complaints(text: str) -> tuple[str, ...]:
    """The server's complaint about a CIDR text in strict mode; empty when it is valid."""
    cidr = parse_cidr(text)
    if cidr is None:
        return ("must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",)
    if cidr.padded:
        return ("must not have leading 0s in IP or prefix length",)
    if cidr.is_mapped:
        return ("must not have an IPv4-mapped IPv6 address",)
    if cidr.address != cidr.first:
        return ("must not have bits set beyond the prefix length",)
    return ()


@lru_cache(maxsize=1 << 16)
def canonical_cidr(text: str) -> str | None:
    """RFC 5952 form of a valid IPv6 CIDR text that is written otherwise, else ``None``."""
    cidr = parse_cidr(text)
    if cidr is None or cidr.bits == 32 or cidr_complaints(text):
        return None
    canonical = str(cidr.network)
    return None if canonical == text else canonical
