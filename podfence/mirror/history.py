"""The state of a mirror: the pods, and the changes that led to it.

Pure: a function of the batches of the API watch. Rules: all versions are the API server's own, so
that a version means the same to every mirror, and a reader may continue at another one. If the
changes since a version are not known for certain, a reader gets a snapshot.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from itertools import islice

from msgspec import Struct

from podfence.errors import ClusterError
from podfence.kube.follow import ObjectChange
from podfence.live.frames import Frame, Identity, IdentityPod, Key, identity_of, row_of
from podfence.live.wire import ReadObject
from podfence.model.facts import NO_ADDRESS, PodFacts

WINDOW = 600.0
"""Seconds for which frames are kept for readers that reconnect."""
ENTRIES = 1 << 14
"""The largest number of frames that are kept."""
PART = 2000
"""The number of pods in one part of a snapshot."""


class KeptFrame(Struct, frozen=True):
    """One frame. ``since``: the version of the frame before. ``broken``: the changes between the
    two are unknown, so no reader can continue across it. ``at``: when it was made."""

    since: int
    frame: Frame
    version: int
    broken: bool
    at: float


class NoResume(Enum):
    """Why a reader cannot continue from a version."""

    EXPIRED = "expired"
    """The changes since then are no longer kept, or were never known."""
    AHEAD = "ahead"
    """It is newer than the state of this mirror."""


class History:
    """Pods by name, and the latest frames. Frames have numbers without gaps; ``first`` is the
    number of the oldest frame that is kept. ``restored``: how often the API server went back in
    time; after that, earlier readers must start again."""

    def __init__(self, window: float = WINDOW) -> None:
        self._window = window
        self._rows: dict[Key, tuple[str, IdentityPod]] = {}
        self._identities: dict[str, tuple[Identity, int]] = {}
        self._touched: dict[Key, None] = {}
        self._changed: dict[str, bool] = {}
        """Identities that began since the last frame (True) or only ended (False)."""
        self._entries: deque[KeptFrame] = deque()
        self._listing = False
        self._broken = False
        self._taken = -1
        self.first = 0
        self.version = -1
        self.restored = 0

    def __len__(self) -> int:
        """The number of pods."""
        return len(self._rows)

    @property
    def is_known(self) -> bool:
        """Whether all pods were listed once."""
        return self.version >= 0

    @property
    def identities(self) -> int:
        """How many there are."""
        return len(self._identities)

    @property
    def next(self) -> int:
        """The number of the next frame."""
        return self.first + len(self._entries)

    # -- what the API tells

    def take(self, changes: Iterable[ObjectChange[ReadObject]], version: str) -> None:
        """Process the changes of a watch; ``version`` is its version afterwards, "" during a list.
        Raises ClusterError for a version that is not a number."""
        self._listing = self._listing or not version
        for change in changes:
            facts = None if change.data is None else change.data.facts
            self._set(change.key, facts if isinstance(facts, PodFacts) else None)
        if not version:
            return
        if not version.isdecimal():
            raise ClusterError(f"the API server's version is not a number: {version}")
        if int(version) < self._taken:
            self._restore()
        elif self._listing and self.is_known:
            self._broken = True
        self._taken, self._listing = int(version), False

    def cut(self, now: float, age: float = 0.0) -> Frame | None:
        """One more frame: the changes since the last one; None while they are not known. ``age``:
        seconds since the API server last sent anything."""
        while self._entries and self._is_old(now):
            self._entries.popleft()
            self.first += 1
        if self._listing or self._taken < 0:
            return None
        frame = self._frame(int(age)) if self.is_known else Frame(str(self._taken), int(age))
        since = self.version if self.is_known else self._taken
        self.version = self._taken
        self._entries.append(KeptFrame(since, frame, self._taken, self._broken, now))
        self._touched.clear()
        self._changed.clear()
        self._broken = False
        return frame

    @property
    def has_news(self) -> bool:
        """Whether a frame would contain a change of pods."""
        return bool(self._touched or self._changed or self._broken) and not self._listing

    # -- who asks

    def resume(self, version: int) -> int | NoResume:
        """The number of the first frame for a reader that has the pods of a version."""
        if version > self.version:
            return NoResume.AHEAD
        if not self._entries or version < self._entries[0].since:
            return NoResume.EXPIRED
        for number, entry in enumerate(self._entries, self.first):
            if entry.version > version:
                is_lost = entry.broken and version != entry.since
                return NoResume.EXPIRED if is_lost else number
        return self.next

    def since(self, number: int) -> Iterator[Frame]:
        """The frames from a number on."""
        return (each.frame for each in islice(self._entries, number - self.first, None))

    @property
    def is_settled(self) -> bool:
        """Whether ``version`` covers every processed change."""
        return self.is_known and not self._listing and not self.has_news

    def snapshot(self) -> Iterator[Frame]:
        """All pods at ``version``, in parts; the caller sends the end mark. Call it only if the
        state is settled; the parts may be made later, and by another thread."""
        return _parts(str(self.version), [*self._rows.values()], dict(self._identities))

    # -- inside

    def _is_old(self, now: float) -> bool:
        return len(self._entries) > ENTRIES or now - self._entries[0].at > self._window

    def _set(self, name: Key, pod: PodFacts | None) -> None:
        if pod is not None and (not pod.seen or pod.v4 == pod.v6 == NO_ADDRESS):
            pod = None
        old = self._rows.get(name)
        new = None
        if pod is not None:
            identity = identity_of(pod)
            new = identity.key, row_of(pod)
            if new == old:
                return
            self._enter(identity)
            self._rows[name] = new
        elif old is None:
            return
        else:
            del self._rows[name]
        if old is not None:
            self._leave(old[0])
        self._touched[name] = None

    def _enter(self, identity: Identity) -> None:
        known = self._identities.get(identity.key)
        if known is None:
            self._changed[identity.key] = True
        self._identities[identity.key] = identity, (known[1] if known else 0) + 1

    def _leave(self, key: str) -> None:
        identity, count = self._identities[key]
        if count > 1:
            self._identities[key] = identity, count - 1
        else:
            del self._identities[key]
            self._changed.setdefault(key, False)

    def _frame(self, age: int) -> Frame:
        put: dict[str, list[IdentityPod]] = {}
        gone: dict[str, list[str]] = {}
        for name in self._touched:
            found = self._rows.get(name)
            if found is None:
                gone.setdefault(name[0], []).append(name[1])
            else:
                put.setdefault(found[0], []).append(found[1])
        there = self._identities
        began = tuple(there[k][0] for k, new in self._changed.items() if new and k in there)
        return Frame(
            str(self._taken),
            age,
            began,
            tuple(key for key in self._changed if key not in there),
            tuple((key, tuple(rows)) for key, rows in put.items()),
            tuple((namespace, tuple(names)) for namespace, names in gone.items()),
        )

    def _restore(self) -> None:
        self.first += len(self._entries)
        self._entries.clear()
        self._touched.clear()
        self._changed.clear()
        self.version = -1
        self.restored += 1


def _parts(
    version: str,
    pods: Iterable[tuple[str, IdentityPod]],
    identities: Mapping[str, tuple[Identity, int]],
) -> Iterator[Frame]:
    of: dict[str, list[IdentityPod]] = {}
    for key, row in pods:
        of.setdefault(key, []).append(row)
    began: list[Identity] = []
    put: list[tuple[str, tuple[IdentityPod, ...]]] = []
    size = 0
    for key, rows in of.items():
        began.append(identities[key][0])
        for start in range(0, len(rows), PART):
            put.append((key, tuple(rows[start : start + PART])))
            size += len(put[-1][1])
            if size >= PART:
                yield Frame(version, began=tuple(began), put=tuple(put))
                began, put, size = [], [], 0
    if put:
        yield Frame(version, began=tuple(began), put=tuple(put))
