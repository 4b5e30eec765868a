"""Headers of packets that strangers wrote."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podfence.drops.headers import MOST_EXTENSIONS, Headers, read_headers

A4, B4 = int(ip_address("10.0.0.1")), int(ip_address("10.0.1.2"))
A6, B6 = int(ip_address("fd00::1")), int(ip_address("fd00::2"))
PORTS = struct.pack(">HH", 40000, 5432)
TCP, UDP, ICMP, SCTP, GRE, ICMPV6 = 6, 17, 1, 132, 47, 58


def v4(number: int, rest: bytes = PORTS, *, words: int = 5, fragment: int = 0) -> bytes:
    head = struct.pack(">BBHHHBBH", 0x40 | words, 0, 0, 0, fragment, 64, number, 0)
    options = bytes(max(0, words - 5) * 4)
    return head + A4.to_bytes(4, "big") + B4.to_bytes(4, "big") + options + rest


def v6(number: int, rest: bytes = PORTS) -> bytes:
    head = struct.pack(">IHBB", 6 << 28, 0, number, 64)
    return head + A6.to_bytes(16, "big") + B6.to_bytes(16, "big") + rest


def extension(following: int, length: int = 0, *, more: int = 0) -> bytes:
    return bytes((following, length)) + bytes(6 + more)


@pytest.mark.parametrize(
    ("number", "protocol", "shown"),
    [
        (TCP, "TCP", "TCP"),
        (UDP, "UDP", "UDP"),
        (SCTP, "SCTP", "SCTP"),
        (ICMP, "OTHER", "ICMP"),
        (GRE, "OTHER", "protocol 47"),
    ],
)
def test_protocols(number: int, protocol: str, shown: str) -> None:
    found = read_headers(4, v4(number))
    assert found is not None
    assert (found.source, found.destination) == (A4, B4)
    assert (found.protocol, found.shown) == (protocol, shown)
    ports = (40000, 5432) if protocol != "OTHER" else (None, None)
    assert (found.source_port, found.destination_port) == ports


@pytest.mark.parametrize(
    "data",
    [
        v4(TCP, words=15),
        v6(TCP),
        v6(0, extension(TCP) + PORTS),
        v6(43, extension(60) + extension(TCP, 1, more=8) + PORTS),
        v6(51, extension(TCP, 1, more=4) + PORTS),
        v6(44, extension(TCP) + PORTS),
    ],
    ids=["options", "plain", "hop-by-hop", "routing and options", "authenticated", "fragment 0"],
)
def test_ports_are_found_behind_what_comes_before_them(data: bytes) -> None:
    found = read_headers(data[0] >> 4, data)
    assert found is not None
    assert (found.protocol, found.source_port, found.destination_port) == ("TCP", 40000, 5432)


@pytest.mark.parametrize(
    "data",
    [
        v4(TCP, PORTS[:3]),
        v4(TCP, fragment=8),
        v4(TCP, words=4),
        v4(TCP, words=0),
        v6(TCP, b""),
        v6(44, b"\x06\x00\x00\x08\x00\x00\x00\x00" + PORTS),
        v6(0, extension(TCP, 255)),
        v6(0, b"".join(extension(0) for _ in range(MOST_EXTENSIONS)) + extension(TCP) + PORTS),
    ],
    ids=["cut", "later fragment", "short", "no length", "v6 cut", "v6 later", "far", "too many"],
)
def test_what_is_not_there_is_not_known(data: bytes) -> None:
    found = read_headers(data[0] >> 4, data)
    assert found is not None
    assert (found.source_port, found.destination_port) == (None, None)


@pytest.mark.parametrize(
    ("family", "data"), [(4, b""), (4, v4(TCP)[:19]), (6, v6(TCP)[:39]), (4, v6(TCP)), (6, v4(TCP))]
)
def test_no_packet(family: int, data: bytes) -> None:
    assert read_headers(family, data) is None


WORD = st.binary(max_size=200)
HOSTILE = WORD | st.builds(lambda n, r: v6(n, r), st.integers(0, 255), WORD)
HOSTILE |= st.builds(
    lambda n, r, w, f: v4(n, r, words=w, fragment=f),
    st.integers(0, 255),
    WORD,
    st.integers(0, 15),
    st.integers(0, 0xFFFF),
)


@given(st.sampled_from((4, 6)), HOSTILE)
def test_whatever_comes_nothing_is_raised(family: int, data: bytes) -> None:
    found = read_headers(family, data)
    assert found is None or isinstance(found, Headers)
    if found is not None:
        assert found.shown
        ports = (found.source_port, found.destination_port)
        assert ports == (None, None) or all(0 <= port <= 65535 for port in ports if port)
