"""Pods of other nodes, told by a mirror instead of the API server.

Rule: a mirror never tells what pods of this node depend on: the API server tells those, policies
and namespaces. While no mirror answers, pods stay as they were. When that lasts, the API server is
asked again, from the version that the mirror had reached.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from msgspec import Struct

from podfence.errors import ClusterError
from podfence.kube.access import Access, ServerAddress
from podfence.kube.client import Client, ServerRefusal
from podfence.kube.follow import Failure, Follow, Item, Listing, ObjectChange, Watching
from podfence.kube.incluster import TokenFile
from podfence.kube.watchlines import Bookmark, read_line
from podfence.live.frames import FRAME, PATH, Frame, Identities, frame_of
from podfence.live.wire import ReadObject
from podfence.model.facts import PodFacts
from podfence.text import printable

PATIENCE = 60.0
"""Seconds without a word of a mirror after which the API server is asked."""
START = 10.0
"""The same for an agent that has never heard of one: until then nothing is in sync."""
RETRY: Final = 60.0
"""Seconds until a mirror is asked again that was away."""
SILENCE: Final = 30.0
"""Seconds without a byte that count as a lost connection: a mirror says something each ten."""
STALE: Final = 120.0
"""Seconds of silence of the API server after which a mirror knows too little."""
_SHORTEST, _LONGEST = 0.2, 5.0
_EXPIRED, _TIMED_OUT = 410, 504
Tell = Callable[[Sequence[ObjectChange[ReadObject]], float], None]


class MirrorAddress(Struct, frozen=True):
    """Where mirrors are. ``ca``: the file of certificates that a mirror's certificate must lead to.
    ``token``: a file with a token of this agent for the audience ``podfence.io``. Both files are
    read again and again."""

    url: str
    ca: Path
    token: Path
    patience: float = PATIENCE


class Mirrored:
    """A ``Substitute`` of the API server. ``node``: whose pods are left out."""

    longest = round(2 * RETRY)

    def __init__(
        self,
        address: MirrorAddress,
        node: str,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._address = address
        self._token = TokenFile(address.token)
        self._clock = clock
        self._chance = chance
        self._identities = Identities(node)
        self._at = ""
        """The version of which the identities are known."""
        self._newest = ""
        """The version that a snapshot must have reached."""
        self._heard = clock() - max(address.patience - START, 0.0)
        self._again = 0.0
        self._failures = 0
        self._client: Client | None = None

    def is_asked(self) -> bool:
        """Whether it is asked now: while it was heard of lately, and now and then after that."""
        return not self._is_away() or self._clock() >= self._again

    def _is_away(self) -> bool:
        return self._clock() - self._heard > self._address.patience

    def interrupt(self) -> None:
        """End what ``run`` waits for."""
        if (client := self._client) is not None:
            client.interrupt()

    def run(self, action: Listing | Watching, follow: Follow[ReadObject], tell: Tell) -> None:
        """Ask a mirror for what ``action`` asks the API server for, until its answer ends."""
        version = action.version if isinstance(action, Watching) else ""
        self._newest = version or self._newest
        try:
            with self._opened() as self._client:
                self._read(self._client, action, follow, tell)
        except ServerRefusal as refusal:
            self._fail(follow, refusal.status, refusal.said, refusal.pause)
        except ClusterError as error:
            self._fail(follow, 0, error.message)
        finally:
            self._client = None

    def _opened(self) -> Client:
        """Raises ClusterError."""
        try:
            ca = self._address.ca.read_bytes()
        except OSError as error:
            raise ClusterError(f"{printable(str(self._address.ca))}: {error.strerror}") from None
        access = Access(ServerAddress(self._address.url, ca), self._token)
        return Client(access, {}, tries=1, silence=SILENCE)

    def _read(
        self, client: Client, action: Listing | Watching, follow: Follow[ReadObject], tell: Tell
    ) -> None:
        """Raises ClusterError."""
        is_resumed = isinstance(action, Watching) and "" != self._at == action.version
        query = {"watch": "true", "allowWatchBookmarks": "true"}
        if self._newest:
            query["resourceVersion"] = self._newest
        if not is_resumed:
            query["sendInitialEvents"] = "true"
            query["resourceVersionMatch"] = "NotOlderThan"
            self._at = ""
            self._identities.clear()
        stream = _MirrorStream(follow, self._identities, self._at)
        with closing(client.lines(PATH, query, packed=True)) as pieces:
            for lines in pieces:
                if not lines:
                    follow.remark = ""
                    if is_resumed:
                        follow.opened(action)
                for line in lines:
                    changes, age = stream.line(line)
                    # Also what is told late: it is newer than what was known, and taken in by now.
                    tell(changes, self._clock() - age)
                    self._at = stream.version
                    if age > STALE:
                        text = f"it has not heard of the API server for {age:.0f} s"
                        raise ClusterError(text)
                    if self._at:
                        self._newest = self._at
                        self._heard, self._failures = self._clock(), 0
        follow.ended(anything=True)

    def _fail(
        self, follow: Follow[ReadObject], status: int, said: str, pause: float | None = None
    ) -> None:
        message = f"the mirror {printable(self._address.url)} cannot be asked: {printable(said)}"
        follow.remark = message
        if status == _EXPIRED:
            self._at = ""
        elif status == _TIMED_OUT:  # it knows no such version, nor will it
            self._at = self._newest = ""
            follow.begin_again()
        if self._is_away():
            self._again = self._clock() + RETRY * (0.5 + self._chance() / 2)
            follow.ended(anything=True)  # without a pause: the API server is asked
            return
        self._failures += 1
        growing = min(_SHORTEST * 2.0**self._failures, _LONGEST) * (0.5 + self._chance() / 2)
        follow.failed(Failure(0, message, growing if pause is None else pause))


class _MirrorStream:
    """One answer of a mirror. ``version``: everything up to it has been told; "" at the beginning
    of a snapshot."""

    def __init__(self, follow: Follow[ReadObject], identities: Identities, version: str) -> None:
        self._follow = follow
        self._identities = identities
        self._is_first = True
        self.version = version

    def line(self, line: bytes) -> tuple[list[ObjectChange[ReadObject]], float]:
        """The changes of a line, and the age of the mirror's state in seconds. Raises ClusterError,
        and ServerRefusal for an error of the mirror."""
        told = read_line(line)
        if isinstance(told, Failure):
            raise ServerRefusal(told.message, told.status, told.message)
        if isinstance(told, Bookmark):
            return self._end(told.version), 0.0
        if told is None or told.type != FRAME:
            raise ClusterError("an event is not JSON, or of another form")
        frame = frame_of(told.object)
        return self._frame(frame), float(frame.age)

    def _frame(self, frame: Frame) -> list[ObjectChange[ReadObject]]:
        pods, gone = self._identities.take(frame)
        if not frame.version.isdecimal():
            raise ClusterError("a frame has no version")
        items = _items(pods, frame.version)
        if self.version:
            self.version = frame.version
            return self._follow.became(items, gone, frame.version)
        first, self._is_first = self._is_first, False
        return self._follow.listed(items, first=first, last=False, version="")

    def _end(self, version: str) -> list[ObjectChange[ReadObject]]:
        """The end of a snapshot."""
        if self.version or not version.isdecimal():
            return []
        self.version = version
        return self._follow.listed((), first=self._is_first, last=True, version=version)


def _items(pods: Sequence[PodFacts], version: str) -> list[Item[ReadObject]]:
    return [Item(pod.namespace, pod.name, version, ReadObject(pod, "", version)) for pod in pods]
