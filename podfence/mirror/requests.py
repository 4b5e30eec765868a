"""A request of an agent to a mirror: a GET with a few words and a token. Pure.

Rule: the bytes come from an unknown client. A request that no agent would send is refused, and the
refusal does not repeat its text.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl

from msgspec import Struct

from podfence.live.frames import PATH

LARGEST: Final = 1 << 15
"""Bytes of a request: a token may have 16,384."""
_LINES: Final = 64
_WORDS: Final = 16
_DIGITS: Final = 20
"""The most digits of a version; etcd counts with 64 bits."""


class BadMirrorRequest(Exception):
    """A request that is refused; the message says what would be right."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class MirrorRequest(Struct, frozen=True):
    """``token``: of the client, "" for none. ``version``: the one that the client has, or that a
    snapshot must have reached; None: none. ``initial``: send all pods first."""

    token: str
    version: int | None
    initial: bool


def parse(head: bytes) -> MirrorRequest:
    """Parse the head of a request, up to the empty line. Raises BadMirrorRequest."""
    try:
        first, *lines = head.decode("ascii").split("\r\n")
    except UnicodeDecodeError:
        raise BadMirrorRequest(HTTPStatus.BAD_REQUEST, "a request is ASCII") from None
    words = first.split(" ")
    if len(words) != 3 or words[2] != "HTTP/1.1" or len(lines) > _LINES:
        raise BadMirrorRequest(HTTPStatus.BAD_REQUEST, "a request is a GET of HTTP/1.1")
    if words[0] != "GET":
        raise BadMirrorRequest(HTTPStatus.METHOD_NOT_ALLOWED, "only GET is answered")
    path, _, query = words[1].partition("?")
    headers = dict(_header(line) for line in lines if line)
    if "content-length" in headers or "transfer-encoding" in headers:
        raise BadMirrorRequest(HTTPStatus.BAD_REQUEST, "a GET has no body")
    scheme, _, token = headers.get("authorization", "").partition(" ")
    token = token if scheme.lower() == "bearer" else ""
    if path != PATH:
        raise BadMirrorRequest(HTTPStatus.NOT_FOUND, f"there is {PATH}")
    if "gzip" not in headers.get("accept-encoding", ""):
        raise BadMirrorRequest(
            HTTPStatus.NOT_ACCEPTABLE, "answers are compressed, so Accept-Encoding: gzip is needed"
        )
    return _asked(token, query)


def _header(line: str) -> tuple[str, str]:
    """Raises BadMirrorRequest."""
    name, colon, value = line.partition(":")
    if not colon or not name or name != name.strip():
        raise BadMirrorRequest(HTTPStatus.BAD_REQUEST, "a header is a name, a colon and a value")
    return name.lower(), value.strip()


def _asked(token: str, query: str) -> MirrorRequest:
    """Raises BadMirrorRequest."""
    try:
        words = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=_WORDS))
    except ValueError:
        raise BadMirrorRequest(
            HTTPStatus.BAD_REQUEST, "the query of the path cannot be read"
        ) from None
    if words.get("watch") != "true":
        raise BadMirrorRequest(HTTPStatus.BAD_REQUEST, "only watches are answered: watch=true")
    text = words.get("resourceVersion", "")
    if text and not (text.isdecimal() and text.isascii() and len(text) <= _DIGITS):
        raise BadMirrorRequest(HTTPStatus.BAD_REQUEST, "a resourceVersion is a number")
    initial = words.get("sendInitialEvents") == "true"
    if not text and not initial:
        raise BadMirrorRequest(
            HTTPStatus.BAD_REQUEST, "name a beginning: resourceVersion, or sendInitialEvents=true"
        )
    return MirrorRequest(token, int(text) if text else None, initial)
