"""One kind of a cluster, followed: it is told what happened, and tells what changed and what to do.

Pure: no socket, no clock, no randomness. Rules: an object is gone only when the server says so, or
when a whole list does not have it, so that there is never an empty moment. A list replaces what is
held by difference. A version that is held already, or an older one, is no change. A kind that
cannot be listed is named, and its known objects stay known. Source: "Kubernetes API Concepts",
watches, bookmarks, streaming lists and 410.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import Final, Generic, TypeVar

from msgspec import Raw, Struct

from podfence.kube.resource import Resource
from podfence.kube.versions import Key, Versions

T = TypeVar("T")

LONGEST_PAUSE: Final = 30.0
"""Seconds between two tries at the most, where the server names none."""
ABSENT_PAUSE: Final = 60.0
"""Seconds until a kind that is absent or forbidden is asked for again."""
CONFIRM_PAUSE: Final = 5.0
"""Seconds after which an absence has to show again before what was held is given up."""
ALWAYS: Final = frozenset({"Namespace", "NetworkPolicy", "Node", "Pod"})
"""Kinds that every API server has: who does not know one is no API server, or is none yet."""
SPREAD: Final = 5.0
"""Seconds over which clients spread that all have to list again at one moment."""
_FIRST_PAUSE: Final = 0.2


class SyncState(Enum):
    """How much is known of a kind."""

    SYNCING = "syncing"
    """It was never known whole."""
    LIVE = "live"
    """It is known, and followed."""
    LATE = "late"
    """It was known; changes since may be missing, for the server cannot be asked."""
    FORBIDDEN = "forbidden"
    """It may not be listed: unknown, or as late as it was before."""
    ABSENT = "absent"
    """The cluster does not have the kind."""


class Item(Struct, Generic[T], frozen=True):
    """An object as it was read. ``version``: its resourceVersion; "" where it has none."""

    namespace: str
    """"" for kinds without one."""
    name: str
    version: str
    data: T

    @property
    def key(self) -> Key:
        """Which of its kind it is."""
        return self.namespace, self.name


ReadFunction = Callable[[Resource, Raw], Item[T]]
"""Reads the bytes of one object, once. Raises ClusterError for anything but an object with a name;
an object that does not have the form of its kind takes nothing away from the others. Threads call
it, each with a kind of its own."""


class ObjectChange(Struct, Generic[T], frozen=True):
    """One object. ``data``: what was read of it; None: it is gone."""

    kind: str
    namespace: str
    name: str
    data: T | None
    version: str = ""
    """Its resourceVersion; "" for what a list did not hold any more."""

    @property
    def key(self) -> Key:
        """Which of its kind it is."""
        return self.namespace, self.name


class KindState(Struct, frozen=True):
    """The state of a kind. ``message`` explains it where it is not plain."""

    kind: str
    standing: SyncState
    message: str = ""
    only: str = ""
    """The field selector of the part that is meant, "" for the whole kind."""


class Listing(Struct, frozen=True):
    """To do: list all objects, page by page."""

    resource: Resource


class Watching(Struct, frozen=True):
    """To do: watch from a version. ``initial``: the version is "", and all objects come first."""

    resource: Resource
    version: str
    initial: bool = False


class Pausing(Struct, frozen=True):
    """To do: nothing, for some seconds."""

    seconds: float


class Failure(Struct, frozen=True):
    """What failed. ``status``: the HTTP status, also that of an ERROR event; 0: no answer."""

    status: int
    message: str
    pause: float | None = None
    """The seconds that the server asks to wait."""
    too_new: bool = False
    """The server knows less than the version that it was asked from (restored from a backup)."""


class Follow(Generic[T]):
    """``resources``: the kind in each version that is read, the best one first. For a part of a
    kind, the part comes first, and then wider parts for servers that cannot select it.

    ``streamed``: ask for all objects by a watch (WatchList) before asking for lists.
    """

    def __init__(self, resources: Sequence[Resource], *, streamed: bool = False) -> None:
        self.kind = resources[0].kind
        self._resources = resources
        self._at = 0
        self._streamed = streamed
        self._held = Versions()
        self._unseen: set[Key] | None = None
        """What was held before the list that is being read, and was not in it yet; None while none
        is read."""
        self._version = ""
        self._is_whole = False
        self._failures = 0
        self._misses = 0
        self._pause: tuple[float, float] | None = None
        """The next pause in seconds, at the least and at the most."""
        self._only = resources[0].only
        self.remark = ""
        """A remark about a part that is live nevertheless."""
        self.state = KindState(self.kind, SyncState.SYNCING, only=self._only)
        self.relists: dict[str, int] = {}
        """Lists that are started again although the kind was known, by reason."""

    @property
    def version(self) -> str:
        """Up to which version all is known; "" while that is not so of any."""
        return self._version if self._unseen is None else ""

    def held(self, key: Key) -> str | None:
        """The version in which an object is held; None for one that is not. Any thread may ask."""
        return self._held.get(key)

    def next(self, chance: float) -> Listing | Watching | Pausing:
        """What to do now. ``chance``: a random number from 0 to 1, for the length of pauses."""
        if self._pause is not None:
            (least, most), self._pause = self._pause, None
            return Pausing(least + chance * (most - least))
        resource = self._resources[self._at]
        if self._version:
            return Watching(resource, self._version)
        return Watching(resource, "", initial=True) if self._streamed else Listing(resource)

    # -- what came

    def listed(
        self, items: Sequence[Item[T]], *, first: bool, last: bool, version: str
    ) -> list[ObjectChange[T]]:
        """A page of a list."""
        self._misses = 0
        if first or self._unseen is None:
            self._unseen = {*self._held}
        changes = [change for item in items for change in self._present(item)]
        if last:
            changes += self._complete(version)
        return changes

    def event(self, kind: str, item: Item[T]) -> list[ObjectChange[T]]:
        """An event ADDED, MODIFIED or DELETED."""
        version = item.version
        self._well()
        if self._unseen is None and not is_news(version, self._version):
            return []  # a watch brings what is newer alone: this was sent twice
        if kind == "DELETED":
            changes = self._absent(item.key, version)
        else:
            changes = list(self._present(item))
        if self._unseen is None:
            self._version = version
        return changes

    def became(
        self, items: Sequence[Item[T]], gone: Sequence[Key], version: str
    ) -> list[ObjectChange[T]]:
        """Take the state at ``version`` of all objects that changed since the last one."""
        self._well()
        if is_older(version, self._version):
            return []
        changes = [change for key in gone for change in self._absent(key, version)]
        for item in items:
            self._held.put(item.key, version)
            changes.append(ObjectChange(self.kind, *item.key, item.data, version))
        self._version = version
        return changes

    def begin_again(self) -> None:
        """Ask for all objects next, whatever is known."""
        self._version = ""

    def bookmark(self, version: str, *, ends_initial: bool) -> list[ObjectChange[T]]:
        """A bookmark; with ``ends_initial`` all objects have been sent."""
        self._well()
        if self._unseen is not None:
            return self._complete(version) if ends_initial else []
        if is_news(version, self._version):
            self._version = version
        return []

    def opened(self, action: Listing | Watching) -> None:
        """The server began to answer."""
        self._misses = 0
        if isinstance(action, Watching) and action.initial:
            self._unseen = {*self._held}
        elif isinstance(action, Watching) and self._is_whole:
            self._stand(SyncState.LIVE)

    # -- what did not

    def ended(self, *, anything: bool) -> None:
        """A watch ended as it should. ``anything``: it brought an event or a bookmark."""
        self._unseen = None
        if not anything:  # a server that hangs up at once is not asked without end
            self._back_off()

    def failed(self, failure: Failure) -> None:
        """A request or a stream did not work."""
        self._unseen = None
        initial = self._streamed and not self._version
        if failure.status != 404:
            self._misses = 0
        if failure.status == 410 or failure.too_new:
            self._begin_again("expired" if failure.status == 410 else "restored")
            self._failures += 1
            self._pause = (0.0, SPREAD) if self._failures == 1 else self._growing()
            self._stand(SyncState.LATE, failure.message)
        elif failure.status in (400, 422) and initial:
            self._streamed = False  # a server that cannot stream lists
        elif failure.status == 400 and self._wider():
            self._version = ""
        elif failure.status == 403:
            self._begin_again("forbidden")
            self._pause = (ABSENT_PAUSE / 2, ABSENT_PAUSE)
            self._stand(SyncState.FORBIDDEN, failure.message)
        elif failure.status == 404 and self.kind not in ALWAYS:
            self._begin_again("absent")
            self._missed(failure)
        else:
            self._back_off(failure.pause)
            self._stand(SyncState.LATE, failure.message)

    def given_up(self) -> list[ObjectChange[T]]:
        """The changes of an absence that is certain; to be asked for after ``failed``."""
        if self.state.standing is not SyncState.ABSENT:
            return []
        return [change for key in list(self._held) for change in self._absent(key, "")]

    # -- inside

    def _present(self, item: Item[T]) -> Iterator[ObjectChange[T]]:
        key, version = item.key, item.version
        held = self._held.get(key)
        if self._unseen is not None:  # a list is the truth, whatever its numbers
            self._unseen.discard(key)
            if held == version:
                return
        elif held is not None and not is_news(version, held):
            return
        self._held.put(key, version)
        yield ObjectChange(self.kind, *key, item.data, version)

    def _absent(self, key: Key, version: str) -> list[ObjectChange[T]]:
        held = self._held.get(key)
        if held is None or (version and is_older(version, held)):
            return []
        self._held.remove(key)
        if self._unseen is not None:
            self._unseen.discard(key)
        return [ObjectChange(self.kind, *key, None, version)]

    def _complete(self, version: str) -> list[ObjectChange[T]]:
        unseen, self._unseen = self._unseen or set(), None
        gone = [change for key in unseen for change in self._absent(key, "")]
        self._version = version
        self._is_whole = True
        self._stand(SyncState.LIVE)
        return gone

    def _missed(self, failure: Failure) -> None:
        """A kind is absent when none of its versions is served; where it was known, twice."""
        self._misses += 1
        self._at = (self._at + 1) % len(self._resources)
        if self._at:
            return
        rounds = self._misses // len(self._resources)
        if self._held and rounds < 2:
            self._pause = (CONFIRM_PAUSE, 2 * CONFIRM_PAUSE)
            self._stand(SyncState.LATE, failure.message)
        else:
            self._pause = (ABSENT_PAUSE / 2, ABSENT_PAUSE)
            self._is_whole = True
            self._stand(SyncState.ABSENT, failure.message)

    def _wider(self) -> bool:
        """Whether more may be asked for than this, where the server cannot select it."""
        here = self._resources[self._at]
        if here.only and self._at + 1 < len(self._resources):
            self._at += 1
            return True
        return False

    def _begin_again(self, reason: str) -> None:
        if self._version:
            self.relists[reason] = self.relists.get(reason, 0) + 1
        self._version = ""

    def _well(self) -> None:
        self._failures = 0
        if self._is_whole and self._unseen is None:
            self._stand(SyncState.LIVE)

    def _back_off(self, asked: float | None = None) -> None:
        self._failures += 1
        self._pause = self._growing() if asked is None else (asked, asked * 1.25)

    def _growing(self) -> tuple[float, float]:
        """Chance keeps clients that were thrown off together from coming back together."""
        most: float = min(_FIRST_PAUSE * 2.0 ** min(self._failures, 10), LONGEST_PAUSE)
        return most / 2, most

    def _stand(self, standing: SyncState, message: str = "") -> None:
        if standing is SyncState.LATE and not self._is_whole:
            standing = SyncState.SYNCING
        if standing is SyncState.LIVE:
            message = self.remark
        self.state = KindState(self.kind, standing, message, self._only)


def is_news(version: str, than: str) -> bool:
    """Whether a version may be one that was not seen yet."""
    return version != than and not is_older(version, than)


def is_older(version: str, other: str) -> bool:
    """Whether a resourceVersion is surely older: numbers are compared, as the API allows."""
    if version.isdecimal() and other.isdecimal():
        return int(version) < int(other)
    return False
