"""Framing that every netlink protocol shares: messages, attributes, acknowledgements.

Rule: bytes in, values out, and the other way; no socket is opened in here. Lengths and flags are
those of ``linux/netlink.h``; numbers in headers and attribute headers have the host's byte order.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from msgspec import Struct

HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_ERRNO = struct.Struct("=i")
_OFFSET = struct.Struct("=I")

NLMSG_ERROR, NLMSG_DONE = 2, 3
"""Types of messages that answer a request."""
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP_INTR = 0x1, 0x4, 0x10
NLM_F_CREATE, NLM_F_EXCL, NLM_F_APPEND = 0x400, 0x200, 0x800
NLM_F_DUMP = 0x300
"""Flags of messages; NLM_F_DUMP is NLM_F_ROOT and NLM_F_MATCH."""
SOL_NETLINK, NETLINK_CAP_ACK, NETLINK_EXT_ACK = 270, 10, 11
"""Socket options: an answer repeats no request, and says why in words."""
MAX_ATTRIBUTE = 0xFFFF
"""Bytes of one attribute with its header."""

NLA_TYPE_MASK = 0x3FFF
"""Of the type of an attribute; the other bits are flags."""
NLA_F_NESTED = 0x8000
NLM_F_ACK_TLVS = 0x200
NLMSGERR_ATTR_MSG, NLMSGERR_ATTR_OFFS = 1, 2


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded; ``value`` is at most MAX_ATTRIBUTE - 4 bytes long."""
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + bytes(-length % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | NLA_F_NESTED, b"".join(attributes))


def text(kind: int, value: str) -> bytes:
    """A name or a text with its final zero."""
    return attribute(kind, value.encode("utf-8") + b"\0")


def message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    """One message, padded."""
    length = HEADER.size + len(body)
    return HEADER.pack(length, kind, flags, sequence, 0) + body + bytes(-length % 4)


def messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """``(type, flags, sequence, body)`` of the messages in a datagram; a cut one is left out."""
    at = 0
    while at + HEADER.size <= len(data):
        length, kind, flags, sequence, _ = HEADER.unpack_from(data, at)
        yield kind, flags, sequence, data[at + HEADER.size : at + length]
        at += max(length + -length % 4, HEADER.size)


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """``(type, value)`` of each attribute, in order; nested ones are not entered."""
    for kind, start, end in spans(data, 0, len(data)):
        yield kind, data[start:end]


def spans(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """``(type, start, end)`` of the value of each attribute between two offsets of ``data``."""
    while start + _ATTRIBUTE.size <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, start)
        yield kind & NLA_TYPE_MASK, start + _ATTRIBUTE.size, min(start + length, end)
        start += max(length + -length % 4, _ATTRIBUTE.size)


class Ack(Struct, frozen=True):
    """What the kernel says about one request.

    ``error``: an errno, 0: done. ``reason``: the kernel's words, often none. ``offset``: where in
    the request, counted from its header, the attribute begins that it did not like; 0: not said.
    """

    sequence: int
    error: int
    reason: str = ""
    offset: int = 0


def decode_answers(data: bytes) -> Iterator[Ack]:
    """The acknowledgements in a datagram; other messages are ignored."""
    for kind, flags, sequence, body in messages(data):
        if kind != NLMSG_ERROR or len(body) < _ERRNO.size:
            continue
        error = -_ERRNO.unpack_from(body)[0]
        extra = body[_ERRNO.size + HEADER.size :] if flags & NLM_F_ACK_TLVS else b""
        yield _answer(sequence, error, dict(attributes(extra)))


def _answer(sequence: int, error: int, extra: dict[int, bytes]) -> Ack:
    """A capped acknowledgement repeats the header of the request, then says more if it can."""
    reason = extra.get(NLMSGERR_ATTR_MSG, b"").rstrip(b"\0").decode("ascii", "replace")
    offset = extra.get(NLMSGERR_ATTR_OFFS, b"")
    at = _OFFSET.unpack(offset)[0] if len(offset) == _OFFSET.size else 0
    return Ack(sequence, error, reason, at)
