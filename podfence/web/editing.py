"""Routes of the editor: files, drafts, completion, saving."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any, Final, Literal, TypeVar

import msgspec
from aiohttp import web
from msgspec import Struct

from podfence.errors import UNREADABLE
from podfence.policy.domains import DomainTable
from podfence.questions.completion import Completion, complete
from podfence.questions.tests.turning import TestedSide
from podfence.render.jsontext import json_bytes
from podfence.render.plan_edits import Edits, SideTexts
from podfence.render.plan_json import plan_data
from podfence.render.plan_tests import turning_data, turning_words
from podfence.render.plan_text import render_plan
from podfence.render.problems import problem_data
from podfence.web.draft import Base, Judgement
from podfence.web.folder import FileChanged, FileRefused, FileText, Folder
from podfence.web.pointing import pointed
from podfence.web.revision import InputRevision
from podfence.web.served import ServedInput
from podfence.web.server import json_body, refused, said
from podfence.web.worker import Worker

T = TypeVar("T")
READING: Final = 3.0
"""Seconds that a save waits for the input to be read again; then it is answered anyway. Without an
answer the page would save again, and get a conflict with its own write."""
SHOWN: Final = 40
"""Causes of a plan that are shown beside a text."""


class Draft(Struct, forbid_unknown_fields=True):
    """An unsaved text."""

    path: str
    text: str


class Evaluate(Struct, forbid_unknown_fields=True):
    """``tab``: identifies a page; only the newest drafts of each are judged. ``also``: slower
    parts, which are not requested at every key."""

    tab: str
    files: list[Draft]
    also: list[Literal["order", "tests"]] = []


class Save(Struct, forbid_unknown_fields=True):
    """``digest``: of the text that the editor has read."""

    path: str
    text: str
    digest: str


class Complete(Struct, forbid_unknown_fields=True):
    """``line`` from 1, ``column`` from 0, in characters of the line."""

    text: str
    line: int
    column: int


class Select(Struct, forbid_unknown_fields=True):
    """``line`` from 1."""

    text: str
    line: int


class Editing:
    """The editor's side of a server."""

    def __init__(self, served: ServedInput, folder: Folder, names: DomainTable) -> None:
        self._served = served
        self._folder = folder
        self._names = names
        self._base: tuple[InputRevision, Base] | None = None
        self._newest: dict[str, object] = {}
        self._kept = KeptDrafts()
        # Written here, and perhaps not read again yet: they count as known.
        self._written: dict[str, None] = {}
        # Files and completions are quick: they do not wait for drafts that are being judged.
        self._quick = Worker()

    def add(self, app: web.Application) -> None:
        """The routes."""
        app.router.add_get("/api/v1/files", self.files)
        app.router.add_get("/api/v1/file", self.file)
        app.router.add_put("/api/v1/file", self.save)
        app.router.add_post("/api/v1/evaluate", self.evaluate)
        app.router.add_post("/api/v1/complete", self.complete)
        app.router.add_get("/api/v1/plan", self.plan)
        app.router.add_post("/api/v1/select", self.select)

    # -- files

    @property
    def _paths(self) -> tuple[str, ...]:
        return self._served.revision.read.paths

    @property
    def _known(self) -> tuple[str, ...]:
        """The files that may be opened and written: those that were read, and those that were
        created here."""
        return (*self._paths, *self._written)

    async def files(self, request: web.Request) -> web.Response:
        """Names of all files, in the order in which they were read."""
        await self._served.fresh()
        return web.json_response({"files": self._paths})

    async def file(self, request: web.Request) -> web.Response:
        """One of them: ``?path=``."""
        path = request.query.get("path", "")
        await self._served.fresh()
        try:
            found = await self._quick.run(lambda: self._folder.open(path, self._known))
        except FileRefused as error:
            return said(404, str(error))
        return json_body(json_bytes(_file(found)))

    async def save(self, request: web.Request) -> web.Response:
        """Write a file, if it has not changed since the editor read it."""
        asked = await _read(request, Save)
        await self._served.fresh()
        try:
            found = await self._quick.run(
                lambda: self._folder.save(asked.path, asked.text, asked.digest, self._known)
            )
        except FileChanged as error:
            return json_body(json_bytes({"message": str(error), **_file(error.file)}), status=409)
        except FileRefused as error:
            return said(403, str(error))
        self._written[asked.path] = None
        await self._served.look_for(READING)
        return json_body(json_bytes(_file(found)))

    # -- drafts

    async def evaluate(self, request: web.Request) -> web.Response:
        """The effect of the drafts. 409 for drafts that newer ones have replaced."""
        asked = await _read(request, Evaluate)
        await self._served.fresh()
        texts = {each.path: each.text for each in asked.files}
        for path in texts:
            if not self._folder.may_hold(path, self._known):
                return said(404, "no file of the input is called so")
        mine = self._newest[asked.tab] = object()
        if len(self._newest) > SHOWN:
            del self._newest[next(iter(self._newest))]

        def judged() -> bytes | None:
            is_newest = self._newest.get(asked.tab) is mine
            return json_bytes(self._judged(texts, asked.also)) if is_newest else None

        body = await self._served.worker.run(judged)
        return said(409, "newer drafts came") if body is None else json_body(body)

    async def plan(self, request: web.Request) -> web.Response:
        """``?draft=``: the present effect of drafts that were judged, as ``plan`` reports it.
        ``order=1``: with the order of their edits."""
        name = request.query.get("draft", "")
        texts = self._kept.texts(name)
        if texts is None:
            return refused(404, "PF003", "no draft is called so any more; judge the texts again")
        await self._served.fresh()
        also = ["order"] if request.query.get("order") == "1" else []
        found = await self._served.worker.run(lambda: self._judged(texts, also))
        if "plan" not in found:
            return refused(409, "PF007", "the draft cannot be judged; POST evaluate says why")
        data = {"revision": found["revision"], "draft": name, "plan": found["plan"]}
        return json_body(json_bytes(data))

    def _judged(self, texts: Mapping[str, str], also: Sequence[str]) -> dict[str, Any]:
        revision = self._served.revision
        if self._base is None or self._base[0] is not revision:
            base = Base(self._folder, revision.read, self._names, revision.followed)
            self._base = revision, base
            self._base[1].prepare()
        start = perf_counter()
        found = self._base[1].judge(texts, order="order" in also)
        data = judgement_data(found)
        if "tests" in also and found.tested is not None:
            data |= self._turning(found, found.tested, self._base[1])
        data["revision"] = revision.name
        data["draft"] = self._kept.keep(texts)
        data["ms"] = round(1000 * (perf_counter() - start), 1)
        return data

    def _turning(self, judged: Judgement, drafted: TestedSide, base: Base) -> dict[str, Any]:
        """The effect of the drafts on the tests; nothing without tests."""
        found, tests = base.turning(drafted), self._served.revision.read.tests
        if found is None or tests is None or judged.sides is None:
            return {}
        locate = tests.locating(judged.sides[1].locate)
        return {"tests": {**turning_data(found, locate), "text": turning_words(found)}}

    async def complete(self, request: web.Request) -> web.Response:
        """Completions at the cursor."""
        asked = await _read(request, Complete)
        await self._served.fresh()
        cluster = self._served.revision.read.loaded.cluster
        found = await self._quick.run(
            lambda: complete(cluster, asked.text, asked.line, asked.column)
        )
        return json_body(json_bytes(_completion(found)))

    async def select(self, request: web.Request) -> web.Response:
        """The pods that the selector at a line matches; ``null`` if there is none."""
        asked = await _read(request, Select)
        await self._served.fresh()
        cluster = self._served.revision.read.loaded.cluster
        namespace = self._folder.namespace or ""
        found = await self._quick.run(lambda: pointed(cluster, asked.text, asked.line, namespace))
        return json_body(json_bytes({"selected": found}))


async def _read(request: web.Request, form: type[T]) -> T:
    """The body as a value. Raises HTTPBadRequest for anything else."""
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(reason="send JSON")
    try:
        return msgspec.json.decode(await request.read(), type=form)
    except UNREADABLE as error:
        raise web.HTTPBadRequest(reason="the body is not what is expected here") from error


def _file(file: FileText) -> dict[str, object]:
    return {"path": file.path, "text": file.text, "digest": file.digest}


def judgement_data(found: Judgement) -> dict[str, Any]:
    """The answer about drafts; without a plan where a text cannot be judged."""
    data: dict[str, Any] = {
        "problems": [problem_data(problem, position) for problem, position in found.problems]
    }
    if found.plan is None or found.sides is None:
        return data
    edits = Edits(*(SideTexts(side.raw, side.locate) for side in found.sides))
    data["plan"] = plan_data(found.plan, edits)
    data["text"] = render_plan(found.plan, edits.spots, top=SHOWN, wide=False)
    return data


def _completion(found: Completion | None) -> dict[str, object]:
    if found is None:
        return {"from": 0, "options": []}
    return {
        "from": found.start,
        "options": [
            {"label": each.text, "detail": each.detail, "weight": each.weight}
            for each in found.options
        ],
    }


# -- Drafts that were judged, by name, so that a program can ask about one again
# Rule: a name means the same texts for as long as it means any. It is forgotten after a while, and
# when there are many others.


SECONDS: Final = 600.0
MOST: Final = 40


class KeptDrafts:
    """``now``: seconds of some clock."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._kept: dict[str, tuple[float, Mapping[str, str]]] = {}

    def keep(self, texts: Mapping[str, str]) -> str:
        """The name of the texts of some files."""
        self._forget()
        name = secrets.token_hex(8)
        self._kept[name] = self._now() + SECONDS, dict(texts)
        while len(self._kept) > MOST:
            del self._kept[next(iter(self._kept))]
        return name

    def texts(self, name: str) -> Mapping[str, str] | None:
        """The texts of a name; None for one that means none, or none any more."""
        self._forget()
        found = self._kept.get(name)
        return None if found is None else found[1]

    def _forget(self) -> None:
        now = self._now()
        self._kept = {name: each for name, each in self._kept.items() if each[0] > now}
