"""``podfence serve --edit``: drafts are judged as ``plan`` and ``check`` judge; files are safe."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from podfence.policy.compile import compile_cluster
from podfence.policy.domains import NO_NAMES
from podfence.web.editing import Editing
from podfence.web.folder import FileRefused, Folder
from podfence.web.revision import ReadInput
from podfence.web.served import InputSource, ServedInput
from tests.cli.session import ROOT, podfence
from tests.support.serving import Answer, Serving

pytestmark = pytest.mark.timeout(300)
DB = "shop/policies/db.yaml"
JSON = {"Content_Type": "application/json"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("edit")
    shutil.copytree(ROOT / "examples/shop", found / "shop")
    (found / "secret.yaml").write_text("kind: Secret\n")
    (found / "shop/out.yaml").symlink_to(found / "secret.yaml")
    return found


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Serving]:
    with Serving("-f", "shop", "--edit", directory=folder) as found:
        yield found


def post(server: Serving, path: str, body: object, method: str = "POST", **headers: str) -> Answer:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return server.ask(f"/api/v1/{path}", method, body=data, also={**JSON, **headers})


# -- completion


def test_completion_is_asked_of_what_is_there(server: Serving, folder: Path) -> None:
    text = (folder / DB).read_text()
    answer = post(server, "complete", {"text": text, "line": 13, "column": 28})
    assert {each["label"] for each in answer.data["options"]} == {"frontend", "backend", "db"}
    assert answer.data["options"][0]["detail"] == "2 pods"


# -- files


def test_a_file_that_was_just_made_is_no_stranger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading the input takes long: the new file is asked for before it was read."""
    (tmp_path / "old.yaml").write_text("kind: Pod\napiVersion: v1\nmetadata: {name: a}\n")
    folder = Folder((str(tmp_path),))
    loaded, files = folder.read()
    read = ReadInput(loaded, compile_cluster(loaded.cluster), files)
    stamps = iter(range(1000))
    held = threading.Event()
    waiting = [read]

    def again() -> ReadInput:
        if waiting:
            return waiting.pop()
        held.wait(60)
        return read

    monkeypatch.setattr("podfence.web.editing.READING", 0.01)

    async def made() -> list[int]:
        served = ServedInput(InputSource(again, lambda: next(stamps)), lambda _: {})
        app = web.Application()
        Editing(served, folder, NO_NAMES).add(app)
        path = str(tmp_path / "new.yaml")
        body = {"path": path, "text": "# new\n", "digest": ""}
        async with TestClient(TestServer(app)) as client:
            saved = await client.put("/api/v1/file", json=body)
            asked = await client.get("/api/v1/file", params={"path": path})
            digest = (await asked.json())["digest"]
            more = {**body, "text": "# newer\n", "digest": digest}
            again_saved = await client.put("/api/v1/file", json=more)
            held.set()
            return [saved.status, asked.status, again_saved.status]

    assert asyncio.run(made()) == [200, 200, 200]
    assert (tmp_path / "new.yaml").read_text() == "# newer\n"


def test_only_files_of_the_input_are_listed(server: Serving) -> None:
    assert DB in server.get("files")["files"]
    assert all(each.startswith("shop/") for each in server.get("files")["files"])


OUTSIDE = (
    "/etc/passwd",
    "secret.yaml",
    "../secret.yaml",
    "shop/../secret.yaml",
    "shop/policies/../../secret.yaml",
    "shop/policies/..%2f..%2fsecret.yaml",
    "shop/README.md",
    "shop/nowhere/new.yaml",
    "shop/.hidden.yaml",
    "shop/new.yaml\x00",
    "shop/out.yaml",
    "",
)


@pytest.mark.parametrize("path", OUTSIDE, ids=ascii)
def test_nothing_else_is_read_or_written(server: Serving, folder: Path, path: str) -> None:
    from urllib.parse import quote

    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert server.ask(f"/api/v1/file?path={quote(path)}").status == 404
    body = {"path": path, "text": "x", "digest": ""}
    assert post(server, "file", body, "PUT").status == 403
    draft = post(server, "evaluate", {"tab": "t", "files": [{"path": path, "text": "x"}]})
    assert draft.status in (200, 404)
    assert (draft.status == 200) == (path == "shop/out.yaml")  # judged as a text, never read
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


def test_saving_writes_the_bytes_and_keeps_the_mode(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples/shop", tmp_path / "shop")
    os.chmod(tmp_path / DB, 0o640)
    (tmp_path / "shop/windows.yaml").write_bytes(b"# a\r\n# b\r\n")
    with Serving("-f", "shop", "--edit", directory=tmp_path) as server:
        old = server.get(f"file?path={DB}")
        text = old["text"].replace("{app: backend}", "{app: frontend}") + "# caf\u00e9 \u202e\n"
        saved = post(server, "file", {"path": DB, "text": text, "digest": old["digest"]}, "PUT")
        assert (saved.status, saved.data["text"]) == (200, text)
        assert (tmp_path / DB).read_bytes() == text.encode()
        assert (tmp_path / DB).stat().st_mode & 0o777 == 0o640
        windows = server.get("file?path=shop/windows.yaml")
        assert windows["text"] == "# a\n# b\n"
        body = {**windows, "text": "# a\n# c\n"}
        assert post(server, "file", body, "PUT").status == 200
        assert (tmp_path / "shop/windows.yaml").read_bytes() == b"# a\r\n# c\r\n"
        new = {"path": "shop/policies/new.yaml", "text": "# new\n", "digest": ""}
        assert post(server, "file", new, "PUT").status == 200
        assert (tmp_path / "shop/policies/new.yaml").read_text() == "# new\n"
        assert [p.name for p in (tmp_path / "shop").rglob(".*")] == []


def test_a_file_that_has_changed_meanwhile_is_not_overwritten(
    server: Serving, folder: Path
) -> None:
    old = server.get("file?path=shop/db.yaml")
    (folder / "shop/db.yaml").write_text(old["text"] + "# theirs\n")
    body = {"path": "shop/db.yaml", "text": "# mine\n", "digest": old["digest"]}
    answer = post(server, "file", body, "PUT")
    assert answer.status == 409
    assert answer.data["text"].endswith("# theirs\n")
    assert (folder / "shop/db.yaml").read_text() == answer.data["text"]


# -- bodies


@pytest.mark.parametrize("path", ["evaluate", "complete", "file"])
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b'{"tab": 5}', 400),
        (b"\xff", 400),
        (b"[" * 100_000, 400),
        (b'{"tab":"t","files":[],"more":1}', 400),
        (b"x" * (5 << 20), 413),
    ],
    ids=["half", "list", "number", "bytes", "deep", "unknown", "large"],
)
def test_other_bodies_are_refused(server: Serving, path: str, body: bytes, status: int) -> None:
    method = "PUT" if path == "file" else "POST"
    assert post(server, path, body, method).status == status
    assert server.ask("/api/v1/state").status == 200


def test_a_form_of_another_site_cannot_write(server: Serving) -> None:
    """A form can send text/plain without asking first."""
    body = {"path": DB, "text": "", "digest": ""}
    answer = post(server, "file", body, "PUT", Content_Type="text/plain")
    assert answer.status == 415


def test_without_edit_there_is_nothing_to_write(tmp_path: Path) -> None:
    with Serving("-f", "examples/shop") as server:
        for method, path in (("GET", "files"), ("PUT", "file"), ("POST", "evaluate")):
            assert server.ask(f"/api/v1/{path}", method).status in (404, 405)
        assert server.ask("/static/editor.js").status == 404


def test_a_cluster_is_never_edited() -> None:
    done = podfence(["serve", "--edit"])
    assert (done.status, "a cluster is never written" in done.err) == (2, True)


# -- files that are special


def test_a_read_only_file_is_not_replaced(tmp_path: Path) -> None:
    """A rename would ask the folder alone, and root may write everything."""
    folder = Folder((str(tmp_path),))
    path = tmp_path / "p.yaml"
    path.write_text("# old\n")
    path.chmod(0o444)
    old = folder.open(str(path), [str(path)])
    with pytest.raises(FileRefused, match="read-only"):
        folder.save(str(path), "# new\n", old.digest, [str(path)])
    assert path.read_text() == "# old\n"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_a_saved_file_keeps_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("# old\n")
    os.chown(path, 1234, 4321)
    folder = Folder((str(tmp_path),))
    old = folder.open(str(path), [str(path)])
    folder.save(str(path), "# new\n", old.digest, [str(path)])
    status = path.stat()
    assert (path.read_text(), status.st_uid, status.st_gid) == ("# new\n", 1234, 4321)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("text", ["a: 1\r\n", "a: 1\rb: 2\n", "\ufeffa: 1\n"])
def test_a_text_that_could_not_be_opened_again_is_not_saved(
    tmp_path: Path, newline: str, text: str
) -> None:
    path = str(tmp_path / "a.yaml")
    Path(path).write_bytes(f"a: 0{newline}".encode())
    folder = Folder((str(tmp_path),))
    before = folder.open(path, (path,))

    with pytest.raises(FileRefused, match="carriage return"):
        folder.save(path, text, before.digest, (path,))
    assert folder.open(path, (path,)) == before


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """What it leads to is written, where that is a part of the input."""
    (tmp_path / "real.yaml").write_text("# old\n")
    link = tmp_path / "link.yaml"
    link.symlink_to("real.yaml")
    folder = Folder((str(tmp_path),))
    old = folder.open(str(link), [str(link)])
    folder.save(str(link), "# new\n", old.digest, [str(link)])
    assert link.is_symlink()
    assert (tmp_path / "real.yaml").read_text() == "# new\n"


@pytest.mark.timeout(60)
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    os.mkfifo(path)
    with pytest.raises(FileRefused, match="not a regular file"):
        Folder((str(tmp_path),)).open(str(path), [str(path)])


def test_a_new_file_may_stand_where_the_input_begins(tmp_path: Path) -> None:
    """Also where no file of the input is left."""
    folder = Folder((str(tmp_path),))
    path = str(tmp_path / "new.yaml")
    assert folder.save(path, "# new\n", "", []).digest != ""
    assert not folder.may_hold(str(tmp_path / "inner/new.yaml"), [])


# -- inputs that take long to read


def test_a_save_is_answered_before_a_long_reading_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written then; who had to save again would be told of a conflict with himself."""
    path = tmp_path / "p.yaml"
    path.write_text("{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: a}}\n")
    folder = Folder((str(tmp_path),))
    done = threading.Event()
    reads = []

    def read() -> ReadInput:
        reads.append(1)
        if len(reads) > 1:
            assert done.wait(60)
        loaded, files = folder.read()
        return ReadInput(loaded, compile_cluster(loaded.cluster), files)

    monkeypatch.setattr("podfence.web.editing.READING", 0.05)

    async def run() -> tuple[bool, bool]:
        served = ServedInput(InputSource(read, folder.stamp), lambda *_: {}, edit=True)
        editing = Editing(served, folder, NO_NAMES)
        app = web.Application()
        editing.add(app)
        async with TestClient(TestServer(app)) as client:
            old = await (await client.get("/api/v1/file", params={"path": str(path)})).json()
            first = served.revision
            body = {**old, "text": old["text"] + "# more\n"}
            answer = await client.put("/api/v1/file", json=body)
            assert (answer.status, path.read_text()) == (200, body["text"])
            early = served.revision is first
            done.set()
            while served.revision is first:
                await asyncio.sleep(0.01)
            return early, len(reads) == 2

    assert asyncio.run(run()) == (True, True)


def test_parts_of_another_revision_are_refused(server: Serving) -> None:
    revision = server.get("state")["revision"]
    for part in ("about", "map", "rules", "findings"):
        assert server.ask(f"/api/v1/{part}?revision={revision}").status == 200
        assert server.ask(f"/api/v1/{part}?revision=another").status == 409
