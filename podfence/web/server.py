"""The server: routes, access, and its end.

Rule: answers come from a revision, and one separate thread judges. No request is logged.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from podfence.render.jsontext import json_bytes
from podfence.render.map_levels import by_namespace, of_namespaces
from podfence.web.guard import HEADERS, Guard
from podfence.web.listening import Address, host_names, listening
from podfence.web.revision import InputRevision
from podfence.web.served import ServedInput
from podfence.web.shell import StaticFiles
from podfence.web.steps import IDLE, Step

BODY_BYTES: Final = 4 << 20
IN_FLIGHT: Final = 8
STREAMS: Final = 16
SECONDS: Final = 30.0
HEARTBEAT: Final = 15.0
OPENING: Final = 1.0
"""Seconds that a page waits for a look at the input before it shows what was read last."""
_STREAMING: Final = frozenset({"/api/v1/events", "/api/v1/drops", "/api/v1/counters"})
"""Streams that last as long as a page is open; each route limits their number."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Routes = Callable[[web.Application], None]


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether it is an error of this program. Anything but HTTP gets 400: any program of this
    machine can send it, so it is not printed on the user's terminal."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_LOGGER: Final = logging.getLogger("podfence.web")
_LOGGER.addFilter(_is_ours)


class ListeningServer:
    """A server that listens. ``address``: for a person, with the token."""

    def __init__(self, port: int, token: str, host: str) -> None:
        self.port = port
        self.address = f"http://{host}/#token={token}"


def said(status: int, text: str) -> web.Response:
    """An answer as text."""
    return web.json_response({"message": text}, status=status)


def refused(status: int, code: str, message: str) -> web.Response:
    """An error for a program: its request is not a question, or has no answer."""
    return web.json_response({"code": code, "message": message}, status=status)


def json_body(data: bytes, **options: Any) -> web.Response:
    """An answer that is JSON already."""
    return web.Response(body=data, content_type="application/json", **options)


class _Gate:
    """Admits requests; limits their number, size and duration."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._running = 0

    @web.middleware
    async def __call__(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        refusal = self._guard.refusal(request.path, request.headers)
        if refusal is not None:
            return self._sealed(said(refusal.status, refusal.text))
        if request.path in _STREAMING:
            return await self._stream(request, handler)
        if self._running >= IN_FLIGHT:
            return self._sealed(said(503, "busy; ask again in a second"))
        self._running += 1
        try:
            async with asyncio.timeout(SECONDS):
                return self._sealed(await handler(request))
        except TimeoutError:
            return self._sealed(said(503, "this takes longer; ask again in a second"))
        except web.HTTPException as error:
            return self._sealed(said(error.status, error.reason))
        finally:
            self._running -= 1

    async def _stream(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """A stream has sent its headers already; any other response gets the usual headers."""
        try:
            response = await handler(request)
        except web.HTTPException as error:
            response = said(error.status, error.reason)
        return response if response.prepared else self._sealed(response)

    def _sealed(self, response: web.StreamResponse) -> web.StreamResponse:
        for name, value in HEADERS.items():
            response.headers[name] = value
        return response


def application(
    served: ServedInput, static: StaticFiles, guard: Guard, *more: Routes
) -> web.Application:
    """All routes. ``more``: those of editing."""
    gate = _Gate(guard)
    app = web.Application(middlewares=[gate.__call__], client_max_size=BODY_BYTES)
    pages = _Pages(served, static)
    app.router.add_get("/", pages.shell)
    app.router.add_get("/static/{name}", pages.file)
    app.router.add_get("/api/v1/state", pages.state)
    app.router.add_get("/api/v1/events", pages.events)
    app.router.add_post("/api/v1/read", pages.read_again)
    app.router.add_get("/api/v1/{part:about|map|newcomers|rules|findings|tests}", pages.part)
    for add in more:
        add(app)
    return app


class _Pages:
    def __init__(self, served: ServedInput, static: StaticFiles) -> None:
        self._served = served
        self._static = static
        self._streams = 0

    async def shell(self, request: web.Request) -> web.Response:
        text, csp = self._static.page(secrets.token_urlsafe(16))
        headers = {"Content-Security-Policy": csp}
        return web.Response(text=text, content_type="text/html", headers=headers)

    async def file(self, request: web.Request) -> web.Response:
        found = self._static.file(request.match_info["name"])
        if found is None:
            return said(404, "there is no such file")
        body, content = found
        return web.Response(body=body, content_type=content, charset="utf-8")

    async def state(self, request: web.Request) -> web.Response:
        await self._served.fresh(OPENING)
        return web.json_response(self._served.state())

    async def part(self, request: web.Request) -> web.Response:
        """A part of the page. ``?revision=``: of this revision, or 409. Numbers of one revision
        mean nothing in another, so a page requests all parts by the same one."""
        if "revision" not in request.query:
            await self._served.fresh()
        revision = self._served.revision
        if request.query.get("revision", revision.name) != revision.name:
            return said(409, "the input has changed since; ask for the state")
        name = request.match_info["part"]
        if name == "map" and not {"level", "ns"}.isdisjoint(request.query):
            return await self._part_of_the_map(revision, request.query)
        tag = f'"{revision.name}-{name}"'
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers={"ETag": tag})
        if not revision.has(name):
            self._served.advance(Step(name, objects=revision.objects))
        try:
            body = await self._served.worker.run(lambda: revision.part(name))
        finally:
            self._served.advance(IDLE)
        return json_body(body, headers={"ETag": tag})

    async def _part_of_the_map(
        self, revision: InputRevision, asked: Mapping[str, str]
    ) -> web.Response:
        """``?ns=``: of some namespaces; ``?level=namespace``: counts between namespaces."""
        level = asked.get("level", "workload")
        if level not in ("namespace", "workload"):
            return refused(400, "PF003", "level is namespace or workload")
        names = [name for name in asked.get("ns", "").split(",") if name]

        def made() -> bytes:
            found = msgspec.json.decode(revision.part("map"))
            found = of_namespaces(found, names) if names else found
            found = by_namespace(found) if level == "namespace" else found
            return json_bytes({"revision": revision.name, "map": found})

        try:
            return json_body(await self._served.worker.run(made))
        except KeyError as error:
            return refused(404, "PF003", f"no namespace of the map is called {error.args[0]!r}")

    async def read_again(self, request: web.Request) -> web.Response:
        await self._served.read_again()
        return web.json_response(self._served.state())

    async def events(self, request: web.Request) -> web.StreamResponse:
        """An event whenever the page should update. Each contains the whole state, so a reader may
        miss events."""
        if self._streams >= STREAMS:
            return said(503, "too many pages are open")
        response = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream"})
        self._streams += 1
        try:
            await response.prepare(request)
            async with self._served.told() as news:
                while (event := await _within(news, HEARTBEAT)) != "end":
                    await response.write(f"{event}\n\n".encode())
        except ConnectionError:
            pass
        finally:
            self._streams -= 1
        return response


async def _within(news: asyncio.Queue[str], seconds: float) -> str:
    try:
        async with asyncio.timeout(seconds):
            return await news.get()
    except TimeoutError:
        return ":"


@asynccontextmanager
async def serving(
    served: ServedInput, static: StaticFiles, port: int, *more: Routes, bind: Address | None = None
) -> AsyncIterator[ListeningServer]:
    """Listen on ``bind``, by default on this machine's own addresses. ``port`` 0: any free one.
    Raises HostError."""
    sockets = listening(port, bind)
    port = sockets[0].getsockname()[1]
    token = secrets.token_urlsafe(32)
    hosts = host_names(port, bind)
    app = application(served, static, Guard(frozenset(hosts), token), *more)
    runner = web.AppRunner(
        app, access_log=None, logger=_LOGGER, shutdown_timeout=0.2, handle_signals=False
    )
    await runner.setup()
    try:
        for each in sockets:
            await web.SockSite(runner, each).start()
        watching = asyncio.create_task(served.watch())
        try:
            yield ListeningServer(port, token, hosts[0])
        finally:
            watching.cancel()
            served.end()
    finally:
        await runner.cleanup()


async def until_stopped(
    served: ServedInput,
    static: StaticFiles,
    port: int,
    tell: Callable[[ListeningServer], None],
    *more: Routes,
    bind: Address | None = None,
) -> None:
    """Serve until a person or the system ends it. ``tell``: called once it listens."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with serving(served, static, port, *more, bind=bind) as bound:
        tell(bound)
        await stop.wait()
