"""The served state: the last input that could be read, and the listeners for the next.

Rule: a page never goes blank. If the input becomes unreadable, the problem is reported beside the
last good state.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from msgspec import Struct, field

from podfence.errors import PodfenceError
from podfence.render.jsontext import json_bytes
from podfence.web.revision import InputRevision, Make, ReadInput
from podfence.web.steps import IDLE, Step, Steps
from podfence.web.worker import Worker

LOOK_SECONDS: Final = 0.5
"""Between two looks at the files."""
_KEPT_NEWS: Final = 64


class InputSource(Struct, frozen=True):
    """``read``: reads everything; raises PodfenceError. ``stamp``: returns a value that differs
    once ``read`` may have another result. ``seconds``: between two calls of it. ``steps``: the
    progress of ``read``."""

    read: Callable[[], ReadInput]
    stamp: Callable[[], object]
    seconds: float = LOOK_SECONDS
    steps: Steps = field(default_factory=Steps)


class ServedInput:
    """Used only from the event loop; slow work runs in ``worker``."""

    def __init__(self, source: InputSource, make: Make, *, edit: bool = False) -> None:
        """Reads the input for the first time. Raises PodfenceError."""
        self.worker = Worker()
        self._source = source
        self._make = make
        self._edit = edit
        self._name = secrets.token_hex(4)
        self._number = 0
        self._problem = ""
        self._listeners: set[asyncio.Queue[str]] = set()
        self._one_looks = asyncio.Lock()
        self._looks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._step = IDLE
        source.steps.listen(self._advanced)
        self._stamp = source.stamp()
        self.revision = self._next(source.read())
        self._looked = time.monotonic()

    def _next(self, read: ReadInput) -> InputRevision:
        self._number += 1
        return InputRevision(f"{self._name}-{self._number}", read, self._make)

    def state(self) -> dict[str, Any]:
        """The first answer for a page."""
        return {
            "revision": self.revision.name,
            "live": bool(self.revision.read.loaded.live),
            "edit": self._edit,
            "tests": self.revision.read.tests is not None,
            "problem": self._problem,
        }

    # -- reading again

    async def watch(self) -> None:
        """Look for changes until cancelled. Without an open page, only ``fresh`` looks."""
        while True:
            await asyncio.sleep(self._source.seconds)
            if self._listeners:
                await self.look()

    async def look(self) -> None:
        """Read again if something has changed."""
        async with self._one_looks:
            await self._look()

    async def _look(self) -> None:
        stamp = await self.worker.run(self._source.stamp)
        if stamp != self._stamp:
            await self.read_again()
            self._stamp = stamp  # not before: the request may have been cancelled
        self._looked = time.monotonic()

    async def look_for(self, seconds: float) -> None:
        """Look now, and wait at most so long; reading a large input continues afterwards."""
        await self._waited(self.look(), seconds)

    async def fresh(self, seconds: float | None = None) -> None:
        """Look before an answer, if no page is open and the last look was a while ago.
        ``seconds``: the longest wait; None: until the look is done."""
        if not self._listeners and self._is_old:
            await self._waited(self._look_if_old(), seconds)

    @property
    def _is_old(self) -> bool:
        return time.monotonic() - self._looked >= self._source.seconds

    async def _look_if_old(self) -> None:
        async with self._one_looks:
            if self._is_old:  # another request may have looked
                await self._look()

    async def _waited(self, look: Coroutine[Any, Any, None], seconds: float | None) -> None:
        """A cancelled request does not stop the look."""
        task = asyncio.create_task(look)
        self._looks.add(task)
        task.add_done_callback(self._looks.discard)
        await asyncio.wait({task}, timeout=seconds)

    async def read_again(self) -> None:
        """Read everything."""
        try:
            read = await self.worker.run(self._source.read)
        except PodfenceError as error:
            self._problem = error.message
        except Exception as error:  # noqa: BLE001 - what is shown is not to stop following
            self._problem = f"the input cannot be read: {type(error).__name__}: {error}"
        else:
            self._problem = ""
            self.revision = self._next(read)
        self.advance(IDLE)
        self._tell("state")

    # -- telling

    def _advanced(self, step: Step) -> None:
        """From the thread that reads."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.advance, step)

    def advance(self, step: Step) -> None:
        """Report progress."""
        if step != self._step:
            self._step = step
            self._send(_event(step))

    def _tell(self, event: str) -> None:
        self._send("end" if event == "end" else f"data: {json.dumps(self.state())}")

    def _send(self, text: str) -> None:
        for each in self._listeners:
            with suppress(asyncio.QueueFull):
                each.put_nowait(text)

    def end(self) -> None:
        """No more events."""
        self._tell("end")

    @asynccontextmanager
    async def told(self) -> AsyncIterator[asyncio.Queue[str]]:
        """The present state, then every later event."""
        self._loop = asyncio.get_running_loop()
        news: asyncio.Queue[str] = asyncio.Queue(_KEPT_NEWS)
        news.put_nowait(f"data: {json.dumps(self.state())}")
        if self._step != IDLE:
            news.put_nowait(_event(self._step))
        self._listeners.add(news)
        try:
            yield news
        finally:
            self._listeners.discard(news)


def _event(step: Step) -> str:
    return f"event: progress\ndata: {json_bytes(step).decode()}"
