"""Copies of packets that rules log: what the kernel hands over, and what it could not."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podfence.errors import NftError
from podfence.kernel import netns
from podfence.kernel.netlink import attribute, message
from podfence.kernel.nflog import COPIED, LoggedPacket, LogListener, read_copies
from podfence.kernel.rtnetlink import Rtnetlink, link_up
from tests.kernel.nft_namespace import NftNamespace, nft_namespace

PREFIX = "podfence:deny:in_0123456789ab"
RULES = f"""table inet filter {{
    chain output {{
        type filter hook output priority 0
        udp dport 9 log prefix "{PREFIX}" group 77 drop
    }}
}}
"""
ENOUGH = 60.0


@pytest.fixture
def kernel() -> Iterator[NftNamespace]:
    with nft_namespace() as made:
        with netns.inside(made.fd), Rtnetlink() as links:
            links.apply([link_up(1)], of="the namespace")
        made.nft("-f", "-", text=RULES)
        yield made


def send(kernel: NftNamespace, number: int, family: int = 4, size: int = 1000) -> None:
    with netns.inside(kernel.fd):
        sender = socket.socket(
            socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM
        )
    with sender:
        for _ in range(number):
            with suppress(PermissionError):  # dropped on its way out
                sender.sendto(bytes(size), ("127.0.0.1" if family == 4 else "::1", 9))


def collect(listener: LogListener, number: int) -> tuple[list[LoggedPacket], int]:
    """Copies and losses, until they are so many together."""
    found: list[LoggedPacket] = []
    lost = 0
    until = time.monotonic() + ENOUGH
    while len(found) + lost < number and time.monotonic() < until:
        copies = listener.wait(0.2)
        found += copies.packets
        lost += copies.lost
    return found, lost


@pytest.mark.kernel
@pytest.mark.parametrize("family", [4, 6])
def test_a_copy_has_the_prefix_and_the_first_bytes(kernel: NftNamespace, family: int) -> None:
    listener = LogListener(77, kernel.fd)
    send(kernel, 1, family)
    (copy,), lost = collect(listener, 1)
    assert (copy.prefix, copy.family, len(copy.data), lost) == (PREFIX, family, COPIED, 0)
    assert copy.data[0] >> 4 == family
    listener.close()


@pytest.mark.kernel
def test_every_packet_is_copied_or_counted_as_lost(kernel: NftNamespace) -> None:
    listener = LogListener(77, kernel.fd)
    send(kernel, 1)
    collect(listener, 1)
    send(kernel, 20_000, size=200)  # nobody reads meanwhile
    found = lost = silent = 0
    while silent < 3:  # that some were lost is an empty answer, too
        copies = listener.wait(0.3)
        silent = 0 if copies.packets else silent + 1
        found, lost = found + len(copies.packets), lost + copies.lost
    send(kernel, 1)  # its number tells how many were lost before it
    more, missed = collect(listener, 20_001 - found - lost)
    assert lost + missed > 0
    assert found + len(more) + lost + missed == 20_001
    listener.close()


@pytest.mark.kernel
def test_a_group_has_one_listener_at_a_time(kernel: NftNamespace) -> None:
    first = LogListener(77, kernel.fd)
    with pytest.raises(NftError, match="another process listens to log group 77"):
        LogListener(77, kernel.fd)
    first.close()
    LogListener(77, kernel.fd).close()


@pytest.mark.kernel
def test_without_a_packet_the_listener_returns_nothing(kernel: NftNamespace) -> None:
    listener = LogListener(77, kernel.fd)
    assert listener.wait(0.01).packets == ()
    listener.close()


# -- datagrams


def packet(*attributes: bytes) -> bytes:
    return message(4 << 8, 0, 0, struct.pack(">BBH", 2, 0, 77) + b"".join(attributes))


HEADER = attribute(1, b"\x08\x00\x02\x00")


def test_a_copy_without_number_prefix_or_bytes() -> None:
    assert list(read_copies(packet(HEADER))) == [(None, LoggedPacket("", 4, b""))]


@pytest.mark.parametrize(
    "data",
    [b"", packet(), packet(attribute(1, b"\x08\x06\0\0")), packet(attribute(1, b"")), b"\xff" * 40],
    ids=["nothing", "no header", "ARP", "short header", "no message"],
)
def test_what_is_no_packet_is_left_out(data: bytes) -> None:
    assert list(read_copies(data)) == []


@given(st.binary(max_size=400), st.lists(st.tuples(st.integers(0, 30), st.binary(max_size=40))))
def test_whatever_a_datagram_holds_nothing_is_raised(
    tail: bytes, attributes: list[tuple[int, bytes]]
) -> None:
    body = [attribute(kind, value) for kind, value in attributes]
    for data in (tail, packet(HEADER, *body) + tail, packet(HEADER, tail)):
        assert all(isinstance(copy, LoggedPacket) for _, copy in read_copies(data))
