"""Labs that are asked and end meanwhile."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from podfence.errors import LabGone
from podfence.lab.client import ask, labs_that_are_up, socket_path, take_down
from podfence.lab.messages import Status
from tests.cli.session import podfence


@pytest.fixture(autouse=True)
def a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@contextmanager
def a_lab_that_crashes(at: int) -> Iterator[None]:
    """One that takes ``at - 1`` connections and crashes when the next one has asked something. Its
    socket stays."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(socket_path("torn")))
    listener.listen()

    def crash() -> None:
        for _ in range(at - 1):
            listener.accept()[0].close()
        with Connection(listener.accept()[0].detach()) as connection:
            connection.recv()
            listener.close()

    thread = threading.Thread(target=crash)
    thread.start()
    yield
    thread.join(60)


def test_a_lab_that_crashes_when_it_is_asked_is_gone() -> None:
    with a_lab_that_crashes(at=1), pytest.raises(LabGone, match="torn ended before it answered"):
        ask("torn", Status())


def test_a_lab_that_crashes_while_it_is_taken_down_is_down() -> None:
    with a_lab_that_crashes(at=2):
        assert take_down("torn")
    assert labs_that_are_up() == []
    assert not socket_path("torn").exists()


def test_a_lab_that_was_never_there_is_not_taken_down() -> None:
    assert not take_down("torn")


@pytest.mark.parametrize("words", [["list"], ["down", "--all"]])
def test_commands_about_every_lab_pass_over_one_that_crashes(words: list[str]) -> None:
    with a_lab_that_crashes(at=2):
        assert podfence(["lab", *words]).status == 0
