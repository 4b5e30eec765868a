"""A log of one line of JSON an event.

Rule: every line is whole, whichever thread writes it. No line acts on a terminal, since names come
from the API.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO

import msgspec

from podfence.text import printable

LogValue = str | int | float | bool | None


def now_text() -> str:
    """The time of the day, as RFC 3339 has it."""
    text = datetime.now(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


class EventLog:
    """Lines to one stream."""

    def __init__(self, stream: TextIO, clock: Callable[[], str] = now_text) -> None:
        self._stream = stream
        self._clock = clock
        self._lock = threading.Lock()

    def info(self, event: str, **fields: LogValue) -> None:
        """What is as it should be."""
        self._write("info", event, fields)

    def warning(self, event: str, **fields: LogValue) -> None:
        """What somebody should know."""
        self._write("warning", event, fields)

    def error(self, event: str, **fields: LogValue) -> None:
        """What somebody has to see to."""
        self._write("error", event, fields)

    def _write(self, level: str, event: str, fields: dict[str, LogValue]) -> None:
        said = {k: printable(v) if isinstance(v, str) else v for k, v in fields.items()}
        line = {"time": self._clock(), "level": level, "event": event, **said}
        text = msgspec.json.encode(line).decode()
        with self._lock:
            self._stream.write(f"{text}\n")
            self._stream.flush()
