"""What ``serve`` shows is what is on disk: no change is missed, and nothing ends the following."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
from pathlib import Path

import pytest
from msgspec.structs import replace

from podfence.cli.common import read_names
from podfence.cli.serve_command import _begun, _files
from podfence.cli.watching import look
from podfence.web import steps
from podfence.web.draft import Base
from podfence.web.folder import FileRefused, Folder
from podfence.web.revision import ReadInput
from podfence.web.served import InputSource, ServedInput
from podfence.web.steps import IDLE, Step, Steps

PODS = "".join(
    f"---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: a}}\n"
    for name in ("web", "db")
)
NAMES = read_names(None)


def policy(name: str) -> str:
    head = "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
    return f"{head}metadata: {{name: {name}, namespace: a}}\nspec: {{podSelector: {{}}}}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    (tmp_path / "pods.yaml").write_text(PODS)
    (tmp_path / "p.yaml").write_text(policy("p"))
    return Folder((str(tmp_path),))


def add(folder: Folder, name: str) -> None:
    path = Path(folder.paths[0]) / "p.yaml"
    path.write_text(path.read_text() + policy(name))


def served(source: InputSource) -> ServedInput:
    return ServedInput(source, lambda read: {})


def shown(of: ServedInput) -> list[str]:
    return [policy.ref.name for policy in of.revision.read.loaded.cluster.policies]


async def look_again(of: ServedInput) -> None:
    for _ in range(3):
        await of.look()


def test_a_file_that_changes_while_the_first_state_is_judged_is_read_again(folder: Folder) -> None:
    source = _files(folder, NAMES)
    stamp, first = source.stamp(), source.read()
    add(folder, "q")
    page = served(_begun(first, stamp, source))
    asyncio.run(look_again(page))
    assert shown(page) == ["p", "q"]


def test_a_look_that_is_cut_off_is_made_up_for(folder: Folder) -> None:
    source = _files(folder, NAMES)
    slow, is_gone = False, threading.Event()

    def read() -> ReadInput:
        if slow:
            assert is_gone.wait(60)
        return source.read()

    page = served(replace(source, read=read))

    async def cut_off() -> None:
        nonlocal slow
        slow = True
        add(folder, "q")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await page.look()
        slow = False
        is_gone.set()
        await look_again(page)

    asyncio.run(cut_off())
    assert shown(page) == ["p", "q"]


def test_whatever_breaks_is_told_and_looked_at_again(folder: Folder) -> None:
    source = _files(folder, NAMES)
    numbers = itertools.count()
    broken = False

    def read() -> ReadInput:
        if broken:
            raise RecursionError("too deep")
        return source.read()

    page = served(InputSource(read, lambda: next(numbers)))

    async def break_and_mend() -> tuple[str, str]:
        nonlocal broken
        broken = True
        await page.look()
        told = page.state()["problem"]
        broken = False
        await page.look()
        return told, page.state()["problem"]

    told, after = asyncio.run(break_and_mend())
    assert "too deep" in told
    assert after == ""


def test_a_reading_tells_how_far_it_is(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "_APART", 0.0)
    for number in range(3):
        (Path(folder.paths[0]) / f"q{number}.yaml").write_text(policy(f"q{number}"))
    source, heard = _files(folder, NAMES), list[Step]()
    source.steps.listen(heard.append)
    source.read()
    files = [Step("files", number, 5) for number in range(5)]
    assert heard == [*files, Step("policies", 5, 5, objects=6)]


def test_steps_of_one_kind_are_told_apart_in_time() -> None:
    told, heard = Steps(), list[Step]()
    told.listen(heard.append)
    assert list(told.counted(range(1000))) == list(range(1000))
    assert heard == [Step("files", 0, 1000)]


def test_who_comes_late_hears_the_present_step(folder: Folder) -> None:
    page = served(_files(folder, NAMES))

    async def come_late() -> list[str]:
        page.advance(Step("map", objects=3))
        async with page.told() as news:
            page.advance(IDLE)
            return [news.get_nowait() for _ in range(news.qsize())]

    state, step, idle = asyncio.run(come_late())
    assert state.startswith("data: ")
    assert step == 'event: progress\ndata: {"doing":"map","done":0,"of":0,"objects":3}'
    assert '"doing":""' in idle


def test_changes_behind_a_link_are_seen(tmp_path: Path) -> None:
    """What is read is looked at: directories behind links, too."""
    (tmp_path / "top").mkdir()
    (tmp_path / "shared").mkdir()
    (tmp_path / "top/pods.yaml").write_text(PODS)
    file = tmp_path / "shared/p.yaml"
    file.write_text(policy("p"))
    (tmp_path / "top/link").symlink_to("../shared")
    (tmp_path / "top/round").symlink_to("../top")
    folder = Folder((str(tmp_path / "top"),))
    before, seen = folder.stamp(), look(folder.paths)
    os.utime(file, (1, 1))
    assert folder.stamp() != before
    assert look(folder.paths) != seen


def test_a_file_that_is_excluded_is_not_the_editor_s(folder: Folder) -> None:
    secret = Path(folder.paths[0]) / "secret.yaml"
    secret.write_text("kind: Secret\n")
    folder = replace(folder, exclude=("secret.yaml",))
    known = _files(folder, NAMES).read().paths
    with pytest.raises(FileRefused):
        folder.open(str(secret), known)
    assert folder.open(str(secret.with_name("new.yaml")), known).text == ""


def test_of_a_policy_that_stands_in_two_files_the_other_is_not_forgotten(folder: Folder) -> None:
    again = Path(folder.paths[0]) / "q.yaml"
    again.write_text(policy("p"))
    base = Base(folder, _files(folder, NAMES).read(), NAMES)
    judged = base.judge({str(again): "# nothing\n"})
    assert judged.plan is not None
    assert judged.plan.outcomes == ()
