"""Compresses lines once, for all readers.

Rule: each block of a compressed stream is independent, so that a stream may start with any block.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Final

import msgspec

from podfence.live.frames import Frame, line_of

_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""Of gzip (RFC 1952): no name, no time."""
_LEVEL: Final = 6
_encode: Final = msgspec.json.Encoder().encode


def packed(lines: bytes) -> bytes:
    """Lines as one chunk of an answer. The chunk does not refer to earlier data, and ends at a full
    byte (RFC 1951, 3.2.4), so that any other chunk may follow."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return chunk(packer.compress(lines) + packer.flush(zlib.Z_SYNC_FLUSH))


def chunk(data: bytes) -> bytes:
    """A chunk of HTTP/1.1."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK: Final = b"0\r\n\r\n"


def beginning() -> bytes:
    """The first bytes of every stream."""
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    )
    return head.encode("ascii") + chunk(_HEADER)


def snapshot(parts: Iterable[Frame], version: int) -> Iterator[bytes]:
    """All pods, and the end mark (as in WatchList of the API)."""
    for frame in parts:
        yield packed(line_of(frame))
    notes = {"k8s.io/initial-events-end": "true"}
    meta = {"resourceVersion": str(version), "annotations": notes}
    yield packed(_encode({"type": "BOOKMARK", "object": {"metadata": meta}}) + b"\n")


def error(status: HTTPStatus, message: str) -> bytes:
    """The last event of a stream that cannot continue."""
    return packed(_encode({"type": "ERROR", "object": _status(status, message)}) + b"\n")


def refusal(status: HTTPStatus, message: str, pause: int = 0) -> bytes:
    """A whole answer. ``pause``: the seconds of Retry-After; 0: none."""
    body = _encode(_status(status, message))
    after = f"Retry-After: {pause}\r\n" if pause else ""
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n{after}Connection: close\r\n\r\n"
    )
    return head.encode("ascii") + body


def _status(status: HTTPStatus, message: str) -> dict[str, str | int]:
    return {"kind": "Status", "status": "Failure", "code": status.value, "message": message}
