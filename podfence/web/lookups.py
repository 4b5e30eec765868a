"""Routes for one pair, one workload, one policy or one repair, for programs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from aiohttp import web

from podfence.errors import PodfenceError, UnknownObject
from podfence.render.jsontext import json_bytes
from podfence.web.revision import InputRevision
from podfence.web.served import ServedInput
from podfence.web.server import json_body, refused

LookupFunction = Callable[[str, Mapping[str, str]], Mapping[str, Any]]
"""Answers a question by its name, with the parameters of the request. Raises PodfenceError."""
MakeLookup = Callable[[InputRevision], LookupFunction]
Handler = Callable[[web.Request], Awaitable[web.Response]]
LONGEST: Final = 600
"""The longest parameter: the names of a namespace, a kind and an object together are shorter."""
_PAIR: Final = ("from", "to", "port", "protocol")
_FINDING: Final = ("code", "object", "path")
_UNCERTAIN: Final = "PF007"


class LookupRoutes:
    """``make``: returns the function that answers about a state; called once for each."""

    def __init__(self, served: ServedInput, make: MakeLookup) -> None:
        self._served = served
        self._make = make
        self._lookup: tuple[InputRevision, LookupFunction] | None = None

    def add(self, app: web.Application) -> None:
        """The routes."""
        app.router.add_get("/api/v1/pair", self.asked_with("pair", _PAIR))
        app.router.add_get("/api/v1/allow", self.asked_with("allow", _PAIR))
        app.router.add_get("/api/v1/fixes", self.asked_with("fixes", ()))
        app.router.add_get("/api/v1/fix", self.asked_with("fix", _FINDING))
        app.router.add_get("/api/v1/workload/{name:.+}", self.named("workload"))
        app.router.add_get("/api/v1/policy/{name:.+}", self.named("policy"))

    def asked_with(self, question: str, words: Sequence[str]) -> Handler:
        """A question with its parameters in the query. ``pair``, ``allow``: the answer of ``why``
        and the lines behind it, or the smallest edit that allows it. ``fixes``, ``fix``: which
        findings have a repair, or what one makes of the files."""

        async def handler(request: web.Request) -> web.Response:
            query = request.query
            unknown = [name for name in query if name not in words or len(query.getall(name)) > 1]
            if unknown:
                known = f"with {', '.join(words)}, each once" if words else "without words"
                return refused(400, "PF003", f"{question} is asked {known}")
            return await self._answer(question, dict(query))

        return handler

    def named(self, question: str) -> Handler:
        """The handler of a question about one thing."""

        async def handler(request: web.Request) -> web.Response:
            return await self._answer(question, {"name": request.match_info["name"]})

        return handler

    async def _answer(self, question: str, asked: Mapping[str, str]) -> web.Response:
        if any(len(word) > LONGEST for word in asked.values()):
            return refused(400, "PF003", f"a word is longer than {LONGEST} characters")
        await self._served.fresh()
        revision = self._served.revision
        try:
            body = await self._served.worker.run(lambda: self._body(revision, question, asked))
        except PodfenceError as error:
            return refused(_status(error), error.code, error.message)
        return json_body(body)

    def _body(self, revision: InputRevision, question: str, asked: Mapping[str, str]) -> bytes:
        """Runs in the thread that judges."""
        if self._lookup is None or self._lookup[0] is not revision:
            self._lookup = revision, self._make(revision)
        found = self._lookup[1](question, asked)
        return json_bytes({"revision": revision.name, **found})


def _status(error: PodfenceError) -> int:
    """404 for an unknown name, 409 without a verdict, 400 for a request that is not a question."""
    if isinstance(error, UnknownObject):
        return 404
    return 409 if error.code == _UNCERTAIN else 400
