"""Addresses of domain names, kept over a restart of the agent in a file beside the lock.

Rule: the file is written whole or not at all, and read as if anybody had written it. Times are
those of the monotonic clock. That clock runs on over restarts of the agent and begins anew when the
machine does, so the file names the run of the machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path

import msgspec
from msgspec import Struct

from podfence.agent.wholefile import delete_whole, read_whole, write_whole
from podfence.dns.cache import CachedAddress
from podfence.errors import UNREADABLE

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_LARGEST = 1 << 25
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
            data = read_whole(self._path, _LARGEST)
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
