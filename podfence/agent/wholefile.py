"""Files that outlive the agent, beside its lock.

Rule: a file is written whole or not at all, for nobody but who runs the agent; and it is read as if
anybody had written it.
"""

from __future__ import annotations

import os
from pathlib import Path

from podfence.errors import HostError
from podfence.text import printable


def write_whole(path: Path, data: bytes) -> None:
    """Raises OSError."""
    new = _new(path)
    opened = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(opened, "wb") as file:
        file.write(data)
    new.replace(path)


def read_whole(path: Path, largest: int) -> bytes | None:
    """None: there is none, or it has more bytes than ``largest``. Raises OSError."""
    with path.open("rb") as opened:
        data = opened.read(largest + 1)
    return data if len(data) <= largest else None


def delete_whole(path: Path) -> None:
    """With what a write that was cut short has left. Raises HostError."""
    for each in (path, _new(path)):
        try:
            each.unlink(missing_ok=True)
        except OSError as error:
            raise HostError(f"{printable(str(each))}: {error.strerror}") from error


def _new(path: Path) -> Path:
    return path.with_suffix(".new")
