"""Files that are made or replaced together: whole, all or none, and as they were otherwise."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from podfence.manifests.wholefiles import ReadOnlyFile, create_whole, replace_whole

NAMES = ("a", "b", "c")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def olds(folder: Path) -> dict[str, bytes]:
    """Three files that are there, with what they shall hold."""
    for name in NAMES:
        (folder / name).write_text(f"old {name}")
        (folder / name).chmod(0o640)
    return {str(folder / name): f"new {name}".encode() for name in NAMES}


def state(folder: Path) -> dict[str, tuple[int, str]]:
    """Everything below a folder: mode and text, or where a link leads."""
    return {
        str(path.relative_to(folder)): (
            stat.S_IMODE(path.lstat().st_mode),
            os.readlink(path)
            if path.is_symlink()
            else path.read_text()
            if path.is_file()
            else "folder",
        )
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture(params=["links", "no links"])
def links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without hard links: a FAT stick has none."""

    def refused(source: str, target: str) -> None:
        raise OSError(errno.EPERM, "Operation not permitted", source)

    if request.param == "no links":
        monkeypatch.setattr(os, "link", refused)


def fail_at(monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> None:
    """The call of that number of a function of ``os`` finds no space."""
    real, calls = getattr(os, name), 0

    def failing(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls == number:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments)

    monkeypatch.setattr(os, name, failing)


# -- replacing


@pytest.mark.usefixtures("links")
def test_all_are_replaced_and_nothing_else_is_left(folder: Path, olds: dict[str, bytes]) -> None:
    replace_whole(olds | {str(folder / "d"): b"new d"})
    held = {name: text for name, (_, text) in state(folder).items()}
    assert held == {name: f"new {name}" for name in (*NAMES, "d")}


@pytest.mark.usefixtures("links")
@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("name", ["fsync", "chmod", "replace"])
def test_a_failure_at_any_step_leaves_every_file_as_it_was(
    folder: Path,
    olds: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    number: int,
) -> None:
    before = state(folder)
    fail_at(monkeypatch, name, number)
    with pytest.raises(OSError, match="No space left") as raised:
        replace_whole(olds)
    assert raised.value.filename in olds
    assert state(folder) == before


def test_a_new_file_is_taken_away_again(folder: Path, olds: dict[str, bytes]) -> None:
    before = state(folder)
    with pytest.raises(OSError, match="No space left"):
        replace_whole({str(folder / "new"): b"", **olds, "/dev/full": b"text"})
    assert state(folder) == before


@pytest.mark.parametrize("name", ["/dev/fd/{}", "/proc/self/fd/{}"])
def test_a_name_of_what_is_open_is_written_to(folder: Path, name: str) -> None:
    """As ``> file`` and /dev/stdout: the shell's file stays, with what stands there already."""
    file = folder / "a"
    with file.open("w") as open_file:
        open_file.write("before ")
        open_file.flush()
        replace_whole({name.format(open_file.fileno()): b"after"})
        assert os.fstat(open_file.fileno()).st_ino == file.stat().st_ino
    assert file.read_text() == "before after"


@pytest.mark.parametrize(("mode", "refused"), [(0o1777, True), (0o777, False)])
def test_in_a_folder_for_everybody_the_file_of_another_is_left(
    mode: int,
    refused: bool,
    folder: Path,
    olds: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A second name of it could not be taken away again."""
    folder.chmod(mode)
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    before = state(folder)
    if refused:
        with pytest.raises(PermissionError) as raised:
            replace_whole(olds)
        assert raised.value.filename == str(folder / "a")
        assert state(folder) == before
    else:
        replace_whole(olds)
        assert (folder / "a").read_bytes() == olds[str(folder / "a")]


def test_a_file_below_dev_is_a_file() -> None:
    """Memory as a file system: a second run replaces what the first has written."""
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("no file system in memory here")
    with TemporaryDirectory(dir="/dev/shm") as made:
        file = Path(made) / "a"
        for text in ("first, and longer", "second"):
            replace_whole({str(file): text.encode()})
            assert file.read_text() == text


def test_what_the_last_look_finds_changes_nothing(folder: Path, olds: dict[str, bytes]) -> None:
    before = state(folder)

    def confirm() -> None:
        assert {name: state(folder)[name] for name in NAMES} == before
        raise ValueError("somebody was faster")

    with pytest.raises(ValueError, match="faster"):
        replace_whole(olds, confirm)
    assert state(folder) == before


@pytest.mark.parametrize("mode", [0o444, 0o400, 0o555])
def test_a_read_only_file_stays_and_so_do_the_others(
    folder: Path, olds: dict[str, bytes], mode: int
) -> None:
    """For root as well, who could; a rename would ask the folder alone."""
    (folder / NAMES[-1]).chmod(mode)
    before = state(folder)
    with pytest.raises(ReadOnlyFile) as raised:
        replace_whole(olds)
    assert (raised.value.filename, raised.value.mode) == (str(folder / NAMES[-1]), mode)
    assert state(folder) == before


def test_a_link_stays_one_and_a_file_keeps_its_mode(tmp_path: Path) -> None:
    target, link, dangling = (tmp_path / name for name in ("target", "link", "dangling"))
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    dangling.symlink_to(tmp_path / "new")
    replace_whole({str(link): b"found", str(dangling): b"more"})
    assert link.is_symlink()
    assert (target.read_text(), stat.S_IMODE(target.stat().st_mode)) == ("found", 0o640)
    assert dangling.is_symlink()
    assert (tmp_path / "new").read_text() == "more"


@pytest.mark.usefixtures("links")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
@pytest.mark.parametrize("fails", [False, True])
def test_a_file_keeps_its_owner_also_when_it_is_put_back(folder: Path, fails: bool) -> None:
    path = folder / "a"
    path.write_text("old")
    os.chown(path, 1234, 4321)
    more = {"/dev/full": b"text"} if fails else {}
    try:
        replace_whole({str(path): b"new", **more})
    except OSError:
        assert fails
    found = path.stat()
    assert (path.read_text(), found.st_uid, found.st_gid) == ("old" if fails else "new", 1234, 4321)


# -- making


@pytest.mark.usefixtures("links")
def test_new_files_have_the_mode_that_the_process_gives(folder: Path) -> None:
    (plain := folder / "plain").write_text("")
    below = folder / "new/below"
    create_whole({str(below / name): name.encode() for name in NAMES}, str(below))
    assert [path.name for path in sorted(below.iterdir())] == [*NAMES]
    modes = {path.stat().st_mode for path in (plain, *below.iterdir())}
    assert len(modes) == 1


def a_file(path: Path) -> None:
    path.write_text("mine")


def a_link_to_nothing(path: Path) -> None:
    path.symlink_to("nowhere")


def a_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("there", [a_file, a_link_to_nothing, a_folder])
def test_nothing_that_is_there_is_written_over_and_then_nothing_is_new(
    folder: Path, there: Callable[[Path], None]
) -> None:
    there(folder / "b")
    before = state(folder)
    with pytest.raises(FileExistsError) as raised:
        create_whole({str(folder / name): b"new" for name in NAMES}, str(folder / "x/y"))
    assert raised.value.filename == str(folder / "b")
    assert state(folder) == before


@pytest.mark.usefixtures("links")
def test_a_file_that_comes_meanwhile_is_not_written_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first look, and before the names are given."""
    real = os.fsync

    def faster(handle: int) -> None:
        real(handle)
        (folder / "x/c").write_text("mine")

    monkeypatch.setattr(os, "fsync", faster)
    with pytest.raises(FileExistsError):
        create_whole({str(folder / "x" / name): b"new" for name in NAMES}, str(folder / "x"))
    held = {name: text for name, (_, text) in state(folder).items()}
    assert held == {"x": "folder", "x/c": "mine"}


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("name", ["fsync", "chmod", "mkdir", "link"])
def test_a_failure_at_any_step_leaves_no_file_and_no_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    fail_at(monkeypatch, name, number)
    with pytest.raises(OSError, match="No space left"):
        create_whole({str(folder / "x/y/z" / n): b"new" for n in NAMES}, str(folder / "x/y/z"))
    assert state(folder) == {}
