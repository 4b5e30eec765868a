"""Reports of agents as streams for open pages: drops and counters.

Rule: agents are queried only while a page is open, in a separate thread, so that a slow node delays
no verdict. Each event contains the whole report, so a reader may miss events.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

from podfence.errors import PodfenceError
from podfence.render.jsontext import json_bytes
from podfence.web.guard import HEADERS
from podfence.web.server import said
from podfence.web.worker import Worker

STREAMS: Final = 4
HEARTBEATS: Final = 7
"""The number of queries without news after which a heartbeat is sent."""

NewsRequest = Callable[[], dict[str, Any]]
"""Returns the present report. Raises PodfenceError if agents cannot be queried."""


class AgentNews:
    """A stream. ``what``: its name in the address, and the key of its report; ``ask`` None: the
    input is not a cluster, so there are no agents. ``seconds``: between two queries."""

    def __init__(self, what: str, ask: NewsRequest | None, seconds: float = 2.0) -> None:
        self._what = what
        self._ask = ask
        self._seconds = seconds
        self._worker = Worker()
        self._streams = 0

    def add(self, app: web.Application) -> None:
        """The route."""
        app.router.add_get(f"/api/v1/{self._what}", self.stream)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Sends an event whenever the report changes."""
        if self._streams >= STREAMS:
            return said(503, f"too many pages look at {self._what}")
        response = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream"})
        self._streams += 1
        try:
            await response.prepare(request)
            last, silent = b"", 0
            while True:
                told = await self._told()
                if told != last or silent >= HEARTBEATS:
                    await response.write(b":\n\n" if told == last else b"data: %b\n\n" % told)
                    last, silent = told, 0
                silent += 1
                if self._ask is None:
                    break
                await asyncio.sleep(self._seconds)
                if request.transport is None or request.transport.is_closing():
                    break  # the page is closed; without news, no write would notice that
        except ConnectionError:
            pass
        finally:
            self._streams -= 1
        return response

    async def _told(self) -> bytes:
        if self._ask is None:
            return self._nothing(_NO_CLUSTER)
        try:
            return json_bytes(await self._worker.run(self._ask))
        except PodfenceError as error:
            return self._nothing(error.message)
        except Exception as error:  # noqa: BLE001 - words of an agent end no page's stream
            return self._nothing(f"What agents tell cannot be shown ({type(error).__name__}).")

    def _nothing(self, why: str) -> bytes:
        return json_bytes({self._what: [], "notes": [], "absent": why})


_NO_CLUSTER: Final = (
    "This is told by the podfence agents of a cluster, and this page shows files. "
    "`podfence serve` without -f shows the cluster of kubectl's context."
)
