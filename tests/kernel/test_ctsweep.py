"""Marks of old epochs are taken off connections, and nothing else of them changes."""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address

import pytest

from podfence.errors import NftError
from podfence.kernel import netns
from podfence.kernel.ctsweep import CTA_MARK, CTA_TUPLE_ORIG, sweep
from podfence.kernel.netlink import (
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_REQUEST,
    NLMSG_DONE,
    attribute,
    attributes,
    decode_answers,
    message,
    messages,
    nested,
)
from tests.kernel.nft_namespace import NftNamespace, nft_namespace

MASK = 0xFFFF0000
OTHERS = 0x1234
"""Bits of the mark that belong to somebody else."""


def opened(space: NftNamespace) -> socket.socket:
    return netns.run_inside(space.fd, lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12))


def number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">I", value))


def one_way(source: str, target: str, ports: tuple[int, int], kind: int) -> bytes:
    """A direction of a UDP connection."""
    ends = [ip_address(text).packed for text in (source, target)]
    first = 1 if len(ends[0]) == 4 else 3
    addresses = nested(1, attribute(first, ends[0]), attribute(first + 1, ends[1]))
    protocol = attribute(1, b"\x11")
    numbers = (attribute(2 + n, struct.pack(">H", port)) for n, port in enumerate(ports))
    return nested(kind, addresses, nested(2, protocol, *numbers))


def connect(connection: socket.socket, port: int, mark: int, source: str, target: str) -> None:
    """A connection in the table, as if packets had made it."""
    family = 2 if "." in source else 10
    body = (
        struct.pack(">BBH", family, 0, 0)
        + one_way(source, target, (port, 80), 1)
        + one_way(target, source, (80, port), 2)
        + number(7, 600)
        + number(CTA_MARK, mark)
    )
    flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_ACK
    connection.send(message(1 << 8, flags, 1, body))
    (answer,) = decode_answers(connection.recv(1 << 16))
    assert answer.error == 0


def marks(space: NftNamespace) -> list[int]:
    """The marks of all connections, sorted."""
    found: list[int] = []
    with opened(space) as connection:
        body = struct.pack(">BBH", 0, 0, 0)
        connection.send(message(1 << 8 | 1, NLM_F_REQUEST | NLM_F_DUMP, 1, body))
        while True:
            for kind, _, _, answer in messages(connection.recv(1 << 18)):
                if kind == NLMSG_DONE:
                    return sorted(found)
                said = dict(attributes(answer[4:]))
                assert CTA_TUPLE_ORIG in said
                found.append(int.from_bytes(said.get(CTA_MARK, b""), "big"))


def filled(space: NftNamespace, epochs: list[int]) -> None:
    with opened(space) as connection:
        for n, epoch in enumerate(epochs):
            ends = ("10.0.0.1", "10.0.0.2") if n % 2 else ("fd00::1", "fd00::2")
            connect(connection, 1_000 + n, epoch << 16 | OTHERS, *ends)


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("first", "last"),
    [(1, 0x3FFF), (0x4000, 0x7FFF), (0xC000, 0xFFFF), (5, 5), (3, 0xFFFE), (1, 0xFFFF)],
)
def test_marks_of_a_range_are_cleared(space: NftNamespace, first: int, last: int) -> None:
    epochs = [0, 1, 2, 5, 5, 6, 0x3FFF, 0x4000, 0x7FFF, 0x8000, 0xBFFF, 0xC000, 0xFFFE, 0xFFFF]
    filled(space, epochs)
    inside = [epoch for epoch in epochs if first <= epoch <= last]
    assert sweep(MASK, first, last, space.fd) == len(inside)
    kept = [epoch << 16 | OTHERS for epoch in epochs if epoch not in inside]
    assert marks(space) == sorted([*kept, *[OTHERS] * len(inside)])
    assert sweep(MASK, first, last, space.fd) == 0


@pytest.mark.kernel
def test_thousands_are_cleared_in_batches(space: NftNamespace) -> None:
    filled(space, [7] * 3_000 + [40_000] * 100)
    assert sweep(MASK, 1, 0x3FFF, space.fd) == 3_000
    assert marks(space) == sorted([OTHERS] * 3_000 + [40_000 << 16 | OTHERS] * 100)


@pytest.mark.kernel
def test_other_namespaces_are_left_alone(space: NftNamespace) -> None:
    with nft_namespace() as other:
        filled(space, [7])
        filled(other, [7])
        sweep(MASK, 1, 9, space.fd)
        assert marks(other) == [7 << 16 | OTHERS]


@pytest.mark.kernel
def test_a_namespace_that_cannot_be_entered_is_an_error(space: NftNamespace) -> None:
    filled(space, [7])
    with pytest.raises(NftError, match="marks of connections cannot be cleared: "):
        sweep(MASK, 1, 9, namespace_fd=0)
