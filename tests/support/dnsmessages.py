"""DNS messages and packets for tests, as the real ones are: made by dnspython, or by hand."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

import dns.flags
import dns.message
import dns.rrset

from podfence.dns.questions import Interfaces

POD, RESOLVER = ip_address("10.1.0.5"), ip_address("10.1.9.9")
POD6, RESOLVER6 = ip_address("fd00:1::5"), ip_address("fd00:1::9")
Address = IPv4Address | IPv6Address
THERE, BACK = Interfaces(comes=3, goes=7), Interfaces(comes=7, goes=3)
"""From a pod's interface to that of the resolver, and back."""
_HEAD = struct.Struct(">BBHHHBBH4s4s")


def at(text: str) -> tuple[int, int]:
    """An address as rooms hold it."""
    found = ip_address(text)
    return found.version, int(found)


def question(name: str, kind: str = "A", number: int = 1) -> bytes:
    """What a pod asks."""
    made = dns.message.make_query(name, kind, id=number)
    return made.to_wire()


def answer(
    name: str,
    records: Sequence[tuple[str, int, str, str]],
    kind: str = "A",
    number: int = 1,
    flags: int = 0,
) -> bytes:
    """What a resolver says. ``records``: owner, seconds, type, value."""
    made = dns.message.make_response(dns.message.make_query(name, kind, id=number))
    made.flags |= dns.flags.RA | flags
    made.answer = [
        dns.rrset.from_text(owner.rstrip(".") + ".", seconds, "IN", type_, value)
        for owner, seconds, type_, value in records
    ]
    return made.to_wire(max_size=65535)


def udp(source: Address, source_port: int, destination: Address, port: int, data: bytes) -> bytes:
    """A packet of UDP from the IP header on, without a checksum of UDP."""
    return _ip(
        source, destination, 17, struct.pack(">HHHH", source_port, port, 8 + len(data), 0) + data
    )


def tcp(
    source: Address,
    source_port: int,
    destination: Address,
    port: int,
    data: bytes,
    sequence: int = 0,
    flags: int = 0x18,
) -> bytes:
    """A segment of TCP."""
    head = struct.pack(">HHIIBBHHH", source_port, port, sequence, 0, 0x50, flags, 512, 0, 0)
    return _ip(source, destination, 6, head + data)


def _ip(source: Address, destination: Address, protocol: int, data: bytes) -> bytes:
    if isinstance(source, IPv4Address):
        length = 20 + len(data)
        ends = source.packed, destination.packed
        words = struct.unpack(">10H", _HEAD.pack(0x45, 0, length, 0, 0, 64, protocol, 0, *ends))
        total = sum(words)
        total = (total & 0xFFFF) + (total >> 16)
        check = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
        return _HEAD.pack(0x45, 0, length, 0, 0, 64, protocol, check, *ends) + data
    head = struct.pack(">IHBB", 6 << 28, len(data), protocol, 64)
    return head + source.packed + destination.packed + data
