"""Counts of rules, kept over restarts of the agent and of the machine in a file on the node's disk.

Rule: some kilobytes a second are written at most, whatever the size. When the file cannot be read
or written, what was counted is lost and nothing else; the log says so once.
"""

from __future__ import annotations

from contextlib import suppress
from glob import escape
from pathlib import Path

from podfence.agent.log import EventLog
from podfence.agent.wholefile import delete_whole, read_whole, write_whole
from podfence.usage.kept import Kept
from podfence.usage.saved import restored, saved

RATE = 2048
"""Bytes a second that are written at the most, in the mean."""
SOONEST, LATEST = 60.0, 1800.0
"""Seconds between two writings. Less than an hour, after which nothing saved is used."""
_NAME = "rules.json"
_LARGEST = 1 << 26
"""Bytes: as many policies and rules as there is room for are less."""


class RuleFile:
    """The file of the node ``node`` (the name of a Node), in a folder that nodes may share."""

    def __init__(self, folder: Path, node: str, log: EventLog) -> None:
        self._path, self._node, self._log = folder / node / _NAME, node, log
        self._said = ""

    def load(self) -> Kept | None:
        """What was counted; None where there is no such file, or one that cannot be used."""
        try:
            data = read_whole(self._path, _LARGEST)
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

    def save(self, kept: Kept) -> float:
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
