"""The lines of a watch: what the server says with each.

Rule: a line is read, or counts as a failure of the server; none raises. Objects stay bytes, since
the reader knows what to keep of them.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from podfence.errors import UNREADABLE
from podfence.kube.follow import Failure

_INITIAL_END: Final = "k8s.io/initial-events-end"
_TOO_LARGE: Final = "ResourceVersionTooLarge"


class WatchEvent(Struct, frozen=True):
    """A change of an object. ``type``: ADDED, MODIFIED, DELETED, or a type of later servers."""

    type: str
    object: msgspec.Raw = msgspec.Raw(b"{}")


class Bookmark(Struct, frozen=True):
    """Everything up to ``version`` has been told. ``ends_initial``: so has what was there at the
    start."""

    version: str
    ends_initial: bool


class _MarkMeta(Struct, frozen=True):
    resourceVersion: str = ""
    annotations: dict[str, str] | None = None


class _Mark(Struct, frozen=True):
    metadata: _MarkMeta = _MarkMeta()


class _StatusCause(Struct, frozen=True):
    reason: str = ""


class _Details(Struct, frozen=True):
    causes: list[_StatusCause] | None = None
    retryAfterSeconds: int | None = None


class _Status(Struct, frozen=True):
    code: int = 0
    message: str = ""
    details: _Details | None = None


_EVENT: Final = msgspec.json.Decoder(WatchEvent)
_MARK: Final = msgspec.json.Decoder(_Mark)
_STATUS: Final = msgspec.json.Decoder(_Status)


def read_line(line: bytes) -> WatchEvent | Bookmark | Failure | None:
    """One line of a watch; None: it is not JSON, or of another form."""
    try:
        event = _EVENT.decode(line)
        if event.type == "ERROR":
            return _failure(_STATUS.decode(event.object))
        if event.type == "BOOKMARK":
            mark = _MARK.decode(event.object).metadata
            ends = (mark.annotations or {}).get(_INITIAL_END) == "true"
            return Bookmark(mark.resourceVersion, ends)
    except UNREADABLE:
        return None
    return event


def _failure(status: _Status) -> Failure:
    details = status.details or _Details()
    causes = {cause.reason for cause in details.causes or ()}
    return Failure(
        status.code,
        status.message,
        None if details.retryAfterSeconds is None else float(details.retryAfterSeconds),
        _TOO_LARGE in causes,
    )
