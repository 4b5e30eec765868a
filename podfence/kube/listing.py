"""Lists of one kind, page by page; and work done one step ahead of its reader.

Rule: a list is complete, or it is started again. Pages are asked for without a resourceVersion, so
that each list is of one moment. When its pages expire (410), the reader is told to forget them.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import Struct

from podfence.errors import UNREADABLE, ClusterError
from podfence.kube.client import Client, ServerRefusal
from podfence.kube.follow import Item, ReadFunction
from podfence.kube.narrow import ListMeta, NarrowListPage, page_decoder
from podfence.kube.resource import Resource

T = TypeVar("T")

PAGE: Final = 500
"""Objects a page: what kubectl asks for, too."""
RESTARTS: Final = 3
"""Times that a list is started before it fails because its pages expire."""
GONE: Final = 410
_INTERRUPTED: Final = 0.02
"""Seconds between two interrupts of a maker that continues: a request may have been about to
begin."""
Decode = Callable[[bytes], NarrowListPage]


class _RawPage(Struct, frozen=True):
    metadata: ListMeta = ListMeta()
    items: list[msgspec.Raw] | None = None


_raw_page: Final = msgspec.json.Decoder(_RawPage)


class ListPage(Struct, Generic[T], frozen=True):
    """A page of a list. ``first``: the reader forgets what it has read of the list before."""

    items: tuple[T, ...]
    first: bool
    version: str = ""
    """The resourceVersion of the list."""
    last: bool = False
    """The list is complete."""


def list_parts(client: Client, resource: Resource, namespace: str = "") -> Iterator[ListPage[Any]]:
    """All objects of a kind, as narrow structs. Raises ServerRefusal, ClusterError."""
    decoder = page_decoder(resource.kind)

    def decode(body: bytes) -> NarrowListPage:
        return decoder.decode(body)

    return _parts(client, resource, namespace, decode)


def list_raw(client: Client, resource: Resource) -> Iterator[ListPage[msgspec.Raw]]:
    """All objects of a kind as bytes, so that the caller can decode them (``read_items``) while the
    next page is on its way. Raises ServerRefusal, ClusterError."""

    def decode(body: bytes) -> NarrowListPage:
        page = _raw_page.decode(body)
        return NarrowListPage(page.metadata, page.items)

    return _parts(client, resource, "", decode)


def read_items(
    resource: Resource, items: Iterable[msgspec.Raw], read: ReadFunction[T]
) -> tuple[Item[T], ...]:
    """The objects of a page, each as ``read`` reads it. Raises ClusterError."""
    try:
        return tuple(read(resource, item) for item in items)
    except UNREADABLE:
        text = f"the API server's list of {resource.name} has an item that is not an object"
        raise ClusterError(text) from None


def _parts(
    client: Client, resource: Resource, namespace: str, decode: Decode
) -> Iterator[ListPage[Any]]:
    path = resource.path(namespace)
    for _ in range(RESTARTS):
        try:
            yield from _pages(client, path, resource.query(limit=str(PAGE)), decode)
        except ServerRefusal as refusal:
            if refusal.status != GONE:
                raise
        else:
            return
    raise ClusterError(f"{path}: pages expired {RESTARTS} times before the list was complete")


def _pages(
    client: Client, path: str, query: dict[str, str], decode: Decode
) -> Iterator[ListPage[Any]]:
    first = True
    while True:
        page = decode_page(decode, client.get(path, query), path)
        token, version = page.metadata.next_page, page.metadata.resourceVersion
        yield ListPage(tuple(page.items or ()), first, version, last=not token)
        if not token:
            return
        query["continue"] = token
        first = False


def decode_page(decode: Decode, body: bytes, path: str) -> NarrowListPage:
    """Raises ClusterError when the server sent anything but a list."""
    try:
        return decode(body)
    except UNREADABLE:
        text = f"the API server's answer to {path} is not a list of objects"
        raise ClusterError(text) from None


class Prefetch(Generic[T]):
    """Iterates over what another thread makes, at most ``ahead`` items in advance: the server's
    next answer is on its way while this one is worked on.

    An exception of the maker is raised in the place of its next item. ``interrupt`` ends what the
    maker waits for. A reader that leaves early waits until the maker has ended.
    """

    AHEAD: Final = 2

    def __init__(
        self,
        source: Iterable[T],
        ahead: int = AHEAD,
        interrupt: Callable[[], object] | None = None,
    ) -> None:
        self._source, self._interrupt = source, interrupt
        self._is_over = False
        self._made: queue.Queue[tuple[T | None, BaseException | None, bool]] = queue.Queue(ahead)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._make, daemon=True)

    def __enter__(self) -> Iterator[T]:
        self._thread.start()
        return self._items()

    def __exit__(self, *_: object) -> None:
        """A maker that is not done ends with its current step. Nobody waits for that, but who can
        end the step."""
        self._stopped.set()
        with suppress(queue.Empty):
            while True:
                self._made.get_nowait()
        if self._interrupt is not None and not self._is_over:
            while self._thread.is_alive():
                self._interrupt()
                self._thread.join(_INTERRUPTED)

    def _make(self) -> None:
        error: BaseException | None = None
        try:
            for item in self._source:
                self._made.put((item, None, False))
                if self._stopped.is_set():
                    return
        except BaseException as caught:  # noqa: BLE001 - it is raised by the reader
            error = caught
        finally:
            if isinstance(self._source, Generator):
                self._source.close()
        self._made.put((None, error, True))
        error = None  # its traceback holds this frame, and would hold all that was asked

    def _items(self) -> Iterator[T]:
        while True:
            item, error, is_end = self._made.get()
            self._is_over = is_end
            if error is not None:
                try:
                    raise error
                finally:
                    error = None  # as above
            if is_end:
                return
            yield item  # type: ignore[misc]  # None comes at the end alone
