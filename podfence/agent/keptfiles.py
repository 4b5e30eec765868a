"""Files that outlive the agent: beside its lock, or on the disk.

Rule: a file is written whole or not at all, also when the machine loses its power. Only the user
that runs the agent may read it. It is read as if anybody had written it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from glob import escape
from ipaddress import ip_address
from pathlib import Path

import msgspec
from msgspec import Struct

from podfence.agent.log import EventLog
from podfence.dns.cache import CachedAddress
from podfence.errors import UNREADABLE, HostError
from podfence.text import printable
from podfence.usage.kept import KeptUsage, restored, saved


def write_whole(path: Path, data: bytes) -> None:
    """Raises OSError; then the file is as it was, and nothing new takes room."""
    new = _new(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        # What lies there may be a pipe that nobody reads, or another name of a file elsewhere.
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, flags, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # a name may reach the disk before what it stands for
        new.replace(path)
    except OSError:
        with suppress(OSError):
            new.unlink()
        raise


def read_whole(path: Path, largest: int) -> bytes | None:
    """None: it has more bytes than ``largest``. Raises OSError; also for what is no file, which
    might never end."""
    opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(opened, "rb") as file:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise OSError(errno.EINVAL, "it is not a file")
        data = file.read(largest + 1)
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


# -- Addresses of domain names, kept over a restart of the agent in a file beside the lock
# Rule: the file is written whole or not at all, and read as if anybody had written it. Times are
# those of the monotonic clock. That clock runs on over restarts of the agent and restarts when
# the machine does, so the file names the run of the machine.


_BOOT = Path("/proc/sys/kernel/random/boot_id")
_LARGEST_NAMES = 1 << 25
"""Bytes; 65,536 addresses with long names are less."""


class _NameLine(Struct, array_like=True):
    name: str
    address: str
    until: float


class _Content(Struct):
    boot: str
    known: list[_NameLine]


class NameFile:
    """The file of one network namespace, by its inode, in a folder."""

    def __init__(self, folder: Path, namespace: int) -> None:
        self._path = folder / f"names-{namespace}.json"

    def load(self) -> list[CachedAddress]:
        """What was known; nothing where there is no such file, or one that cannot be used."""
        try:
            data = read_whole(self._path, _LARGEST_NAMES)
            content = msgspec.json.decode(data or b"", type=_Content)
            if content.boot != _boot():
                return []
            found = ((line, ip_address(line.address)) for line in content.known)
            return [CachedAddress(line.name, (a.version, int(a)), line.until) for line, a in found]
        except (OSError, ValueError, *UNREADABLE):
            return []

    def save(self, known: Iterable[CachedAddress]) -> None:
        """Raises OSError."""
        lines = [_NameLine(each.name, _text(each), each.until) for each in known]
        data = msgspec.json.encode(_Content(_boot(), lines))
        write_whole(self._path, data)

    def delete(self) -> None:
        """Nothing is known any more. Raises HostError."""
        delete_whole(self._path)


def _text(known: CachedAddress) -> str:
    family, number = known.at
    return str(ip_address(number.to_bytes(4 if family == 4 else 16, "big")))


def _boot() -> str:
    return _BOOT.read_text("ascii").strip()


# -- Counts of rules, kept over restarts of the agent and of the machine in a file on the node's
# Rule: some kilobytes a second are written at most, whatever the size. When the file cannot be read
# or written, what was counted is lost and nothing else; the log says so once.


RATE = 2048
"""Bytes a second that are written at the most, in the mean."""
SOONEST, LATEST = 60.0, 1800.0
"""Seconds between two writings. Less than an hour, after which nothing saved is used."""
_NAME = "rules.json"
_LARGEST_COUNTS = 1 << 26
"""Bytes: as many policies and rules as there is room for are less."""


class RuleFile:
    """The file of the node ``node`` (the name of a Node), in a folder that nodes may share."""

    def __init__(self, folder: Path, node: str, log: EventLog) -> None:
        self._path, self._node, self._log = folder / node / _NAME, node, log
        self._said = ""

    def load(self) -> KeptUsage | None:
        """What was counted; None where there is no such file, or one that cannot be used."""
        try:
            data = read_whole(self._path, _LARGEST_COUNTS)
            if data is None:
                raise ValueError("it is too large")
            return restored(data, self._node)
        except FileNotFoundError:
            return None
        except OSError as error:
            self.refuse(error.strerror or "it cannot be read")
        except ValueError as error:
            self.refuse(str(error))
        return None

    def refuse(self, why: str) -> None:
        """Say that what was loaded is not used."""
        self._log.warning("uses of rules are counted from zero", file=str(self._path), message=why)

    def save(self, kept: KeptUsage) -> float:
        """After how many seconds to save again."""
        data = saved(self._node, kept)
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(self._path, data)
            message = ""
        except OSError as error:
            message = error.strerror or "no reason is known"
        if message and message != self._said:
            self._log.warning(
                "uses of rules cannot be saved", file=str(self._path), message=message
            )
        self._said = message
        return min(max(SOONEST, len(data) / RATE), LATEST)


def forget_rules(folder: Path, node: str = "") -> None:
    """Nothing is known any more: of one node, or of all that have counts in the folder. Raises
    HostError."""
    left = folder.glob(f"{escape(node) or '*'}/{Path(_NAME).stem}.*")
    for each in {path.parent for path in left}:
        delete_whole(each / _NAME)
        with suppress(OSError):  # somebody else has put something there
            each.rmdir()
