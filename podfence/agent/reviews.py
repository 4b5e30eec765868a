"""Whether somebody may ask: the API server says so, and its answer is remembered for a short time.

Rule: the answer is no unless the API server says yes. When it cannot be asked, there is no answer.
Nobody can make an agent ask often.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final, Protocol, TypeVar

import msgspec
from msgspec import Struct

from podfence.errors import UNREADABLE, ClusterError
from podfence.kube.agents import AUDIENCE
from podfence.kube.client import ConnectionLost

_T = TypeVar("_T")
TOKENS = "/apis/authentication.k8s.io/v1/tokenreviews"
RIGHTS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
LONGEST = 16384
"""Characters of a token; those of Kubernetes have about a thousand."""
REMEMBERED = 10.0
"""Seconds that an answer of the API server counts."""
KEPT = 256
"""Answers that are remembered at the most, where nobody says otherwise."""
WAITING = 8
"""Who waits for the API server at the most."""
RATE = 20
"""Reviews a second at the most, where nobody says otherwise."""


class ReviewOutcome(Enum):
    """What becomes of a request."""

    ALLOWED = "allowed"
    UNKNOWN = "unknown"
    """Nobody is known by this token, or it is for somebody else."""
    FORBIDDEN = "forbidden"
    BUSY = "busy"
    """Many have asked in this second."""
    UNASKED = "unasked"
    """The API server did not answer."""


class ResourceAttributes(Struct, frozen=True):
    """What somebody wants to read: a resource of the group ``podfence.io``, of one namespace or,
    with "", of all of them."""

    resource: str
    namespace: str = ""


class ApiWriter(Protocol):
    """What ``Client.write`` does."""

    def write(self, method: str, path: str, body: bytes, content_type: str) -> bytes:
        """Raises ClusterError."""


class _User(Struct):
    username: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: dict[str, tuple[str, ...]] = {}


class _TokenReviewStatus(Struct):
    authenticated: bool = False
    audiences: tuple[str, ...] = ()
    user: _User | None = None


class _TokenReview(Struct):
    status: _TokenReviewStatus


class _Right(Struct):
    allowed: bool = False
    denied: bool = False


class _RightReview(Struct):
    status: _Right


# Made here: msgspec may not work out one form in two threads at once.
_TOKEN: Final = msgspec.json.Decoder(_TokenReview)
_RIGHT: Final = msgspec.json.Decoder(_RightReview)


class Reviewer:
    """For any thread; the API server is asked one question at a time. ``clock``: monotonic
    seconds. ``rate``: reviews a second at the most; ``kept``: answers that are remembered."""

    def __init__(
        self, server: ApiWriter, clock: Callable[[], float], *, rate: int = RATE, kept: int = KEPT
    ) -> None:
        self._server = server
        self._clock = clock
        self._rate = rate
        self._kept = kept
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(WAITING)
        self._known: dict[tuple[bytes, ResourceAttributes], tuple[float, ReviewOutcome]] = {}
        self._second, self._asked = 0, 0

    def review(self, token: str, wish: ResourceAttributes) -> ReviewOutcome:
        """Whether whom a token belongs to may read this."""
        if not 0 < len(token) <= LONGEST or not token.isascii() or not token.isprintable():
            return ReviewOutcome.UNKNOWN
        key = hashlib.sha256(token.encode("ascii")).digest(), wish
        if (known := self._remembered(key)) is not None:
            return known
        if not self._slots.acquire(blocking=False):
            return ReviewOutcome.BUSY
        try:
            return self._reviewed(key, token, wish)
        finally:
            self._slots.release()

    def _remembered(self, key: tuple[bytes, ResourceAttributes]) -> ReviewOutcome | None:
        known = self._known.get(key)
        return known[1] if known is not None and self._clock() - known[0] < REMEMBERED else None

    def _reviewed(
        self, key: tuple[bytes, ResourceAttributes], token: str, wish: ResourceAttributes
    ) -> ReviewOutcome:
        with self._lock:
            if (known := self._remembered(key)) is not None:
                return known
            if not self._may_ask():
                return ReviewOutcome.BUSY
            try:
                outcome = self._ask(token, wish)
            except (ClusterError, *UNREADABLE):
                return ReviewOutcome.UNASKED
            self._known.pop(key, None)
            while len(self._known) >= self._kept:
                del self._known[next(iter(self._known))]
            self._known[key] = self._clock(), outcome
            return outcome

    def _may_ask(self) -> bool:
        second = int(self._clock())
        if second != self._second:
            self._second, self._asked = second, 0
        self._asked += 1
        return self._asked <= self._rate

    def _ask(self, token: str, wish: ResourceAttributes) -> ReviewOutcome:
        """Raises ClusterError, DecodeError."""
        spec: dict[str, Any] = {"token": token, "audiences": [AUDIENCE]}
        found = self._post(TOKENS, "TokenReview", "authentication.k8s.io/v1", spec, _TOKEN)
        status = found.status
        # A server that knows no audiences would take a token that is for anybody.
        if not status.authenticated or AUDIENCE not in status.audiences or status.user is None:
            return ReviewOutcome.UNKNOWN
        user = status.user
        spec = {
            "user": user.username,
            "uid": user.uid,
            "groups": user.groups,
            "extra": user.extra,
            "resourceAttributes": {
                "group": AUDIENCE,
                "resource": wish.resource,
                "namespace": wish.namespace,
                "verb": "get",
            },
        }
        right = self._post(
            RIGHTS, "SubjectAccessReview", "authorization.k8s.io/v1", spec, _RIGHT
        ).status
        return (
            ReviewOutcome.ALLOWED if right.allowed and not right.denied else ReviewOutcome.FORBIDDEN
        )

    def _post(
        self,
        path: str,
        kind: str,
        version: str,
        spec: Mapping[str, Any],
        decoder: msgspec.json.Decoder[_T],
    ) -> _T:
        body = msgspec.json.encode({"apiVersion": version, "kind": kind, "spec": spec})
        try:
            found = self._server.write("POST", path, body, "application/json")
        except (
            ConnectionLost
        ):  # a connection that was idle for long; the server keeps nothing of a review
            found = self._server.write("POST", path, body, "application/json")
        return decoder.decode(found)
