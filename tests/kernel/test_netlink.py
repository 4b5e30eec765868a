"""Netlink framing as bytes; that the kernel agrees is shown by those who talk to it."""

from __future__ import annotations

import struct

import pytest

from podfence.kernel.netlink import (
    HEADER,
    Ack,
    attribute,
    attributes,
    decode_answers,
    message,
    messages,
    nested,
    text,
)


def acknowledgement(sequence: int, error: int, text: bytes = b"") -> bytes:
    body = struct.pack("=i", -error) + bytes(16)
    if text:
        attribute = struct.pack("=HH", 4 + len(text) + 1, 1) + text + b"\0"
        body += attribute + bytes(-len(attribute) % 4)
    flags = 0x200 if text else 0
    return struct.pack("=IHHII", 16 + len(body), 2, flags, sequence, 0) + body


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(acknowledgement(7, 0), [Ack(7, 0)], id="done"),
        pytest.param(acknowledgement(8, 17), [Ack(8, 17)], id="refused"),
        pytest.param(acknowledgement(8, 22, b"bad"), [Ack(8, 22, "bad")], id="with-the-reason"),
        pytest.param(
            acknowledgement(1, 17, b"twice") + acknowledgement(2, 0),
            [Ack(1, 17, "twice"), Ack(2, 0)],
            id="several-in-a-datagram",
        ),
        pytest.param(b"", [], id="empty"),
        pytest.param(acknowledgement(1, 0)[:10], [], id="cut-short"),
    ],
)
def test_answers(data: bytes, expected: list[Ack]) -> None:
    assert list(decode_answers(data)) == expected


def test_the_offset_that_the_kernel_refused() -> None:
    extra = struct.pack("=HHI", 8, 2, 44)
    body = struct.pack("=i", -2) + bytes(16) + extra
    data = struct.pack("=IHHII", HEADER.size + len(body), 2, 0x200, 5, 0) + body
    assert list(decode_answers(data)) == [Ack(5, 2, "", 44)]


def test_attributes_read_back_as_written() -> None:
    data = text(1, "name") + nested(2, attribute(3, b"abc")) + attribute(4, b"")
    assert list(attributes(data)) == [(1, b"name\0"), (2, b"\x07\0\x03\0abc\0"), (4, b"")]


def test_a_broken_length_ends_the_walk_and_loops_never() -> None:
    assert len(list(attributes(bytes(16)))) == 4
    assert len(list(messages(bytes(64)))) == 4


def test_messages_read_back_as_written() -> None:
    data = message(7, 1, 2, b"xyz") + message(8, 0, 3, b"")
    assert len(data) % 4 == 0
    assert list(messages(data)) == [(7, 1, 2, b"xyz"), (8, 0, 3, b"")]
