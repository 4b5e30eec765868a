"""The wire of NRI: protobuf's encoding, ttRPC's frames, and several connections over one socket.

Rule: the other side is not trusted. Lengths are checked before anything is kept, and what the
protocol does not allow is ``Malformed``. Only what NRI uses is here: calls with one request and one
response. Sources: "Encoding" of Protocol Buffers; ttRPC's PROTOCOL.md; NRI's multiplexer, which has
a header of connection and length before each piece.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator

from msgspec import Struct

MOST = 4 << 20
"""Bytes of a message."""
REQUEST, RESPONSE = 1, 2
_HEADER = struct.Struct(">IIBB")
_PIECE = struct.Struct(">II")
_MOST_PIECE = MOST + _HEADER.size
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10
_HIGHEST_FIELD = (1 << 29) - 1


class Malformed(Exception):
    """Bytes that the protocol does not allow; nothing that follows can be understood."""


class TtrpcMessage(Struct, frozen=True):
    """One message of ttRPC."""

    stream: int
    kind: int
    data: bytes


class TtrpcRequest(Struct, frozen=True):
    """A request."""

    service: str
    method: str
    payload: bytes


# -- protobuf


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field, in order. Raises Malformed."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if not 1 <= number <= _HIGHEST_FIELD:
            raise Malformed(f"field {number}")
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == _BYTES:
            length, at = _varint(data, at)
        else:
            length = {_FIXED64: 8, _FIXED32: 4}.get(wire, -1)
        if length < 0 or at + length > len(data):
            raise Malformed(f"field {number} of {length} bytes at {at} of {len(data)}")
        yield number, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index in range(_LONGEST_VARINT):
        if at + index >= len(data):
            break
        byte = data[at + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value & (1 << 64) - 1, at + index + 1
    raise Malformed(f"no number at {at}")


def text(value: int | bytes) -> str:
    """A field that is a text. Raises Malformed."""
    if isinstance(value, int):
        raise Malformed("a number in the place of a text")
    return value.decode("utf-8", "replace")


def nested(value: int | bytes) -> bytes:
    """A field that is a message. Raises Malformed."""
    if isinstance(value, int):
        raise Malformed("a number in the place of a message")
    return value


def field(number: int, value: int | str | bytes) -> bytes:
    """A field as bytes."""
    if isinstance(value, int):
        return _number(number << 3 | _VARINT) + _number(value)
    data = value.encode() if isinstance(value, str) else value
    return _number(number << 3 | _BYTES) + _number(len(data)) + data


def _number(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


# -- ttRPC


def request(stream: int, call: TtrpcRequest) -> bytes:
    """A message that calls a method."""
    data = field(1, call.service) + field(2, call.method) + field(3, call.payload)
    return _HEADER.pack(len(data), stream, REQUEST, 0) + data


def response(stream: int, payload: bytes, code: int = 0, words: str = "") -> bytes:
    """A message that answers; ``code``: 0, or what went wrong as gRPC numbers it."""
    status = field(1, field(1, code) + field(2, words)) if code else b""
    data = status + field(2, payload)
    return _HEADER.pack(len(data), stream, RESPONSE, 0) + data


def read_call(data: bytes) -> TtrpcRequest:
    """The call in a request. Raises Malformed."""
    service = method = ""
    payload = b""
    for number, value in fields(data):
        if number == 1:
            service = text(value)
        elif number == 2:
            method = text(value)
        elif number == 3:
            payload = nested(value)
    return TtrpcRequest(service, method, payload)


def read_error(data: bytes) -> str:
    """What went wrong, of a response; "" for nothing. Raises Malformed."""
    for number, value in fields(data):
        if number == 1:
            status = dict(fields(nested(value)))
            if status.get(1, 0):
                return text(status.get(2, b"")) or f"code {status[1]!r}"
    return ""


class Mux:
    """A socket that carries several connections. Reading is for one thread, writing for any."""

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        self._lock = threading.Lock()
        self._rest: dict[int, bytearray] = {}

    def send(self, connection: int, message: bytes) -> None:
        """A message in one piece. Raises OSError."""
        with self._lock:
            self._socket.sendall(_PIECE.pack(connection, len(message)) + message)

    def messages(self) -> Iterator[tuple[int, TtrpcMessage]]:
        """The messages of each connection, until the other side ends. Raises Malformed, OSError."""
        while head := self._read(_PIECE.size, may_end=True):
            connection, length = _PIECE.unpack(head)
            if length > _MOST_PIECE or connection not in (1, 2):
                raise Malformed(f"a piece of {length} bytes for connection {connection}")
            rest = self._rest.setdefault(connection, bytearray())
            rest += self._read(length)
            while found := _taken(rest):
                yield connection, found

    def _read(self, length: int, *, may_end: bool = False) -> bytes:
        found = bytearray()
        while len(found) < length:
            data = self._socket.recv(min(length - len(found), 1 << 16))
            if not data:
                if may_end and not found:
                    return b""
                raise Malformed("the connection ended within a message")
            found += data
        return bytes(found)


def _taken(rest: bytearray) -> TtrpcMessage | None:
    """The first whole message, taken away; None while there is none. Raises Malformed."""
    if len(rest) < _HEADER.size:
        return None
    length, stream, kind, _ = _HEADER.unpack_from(rest)
    if length > MOST:
        raise Malformed(f"a message of {length} bytes")
    end = _HEADER.size + length
    if len(rest) < end:
        return None
    data = bytes(rest[_HEADER.size : end])
    del rest[:end]
    return TtrpcMessage(stream, kind, data)
