"""One process: whatever ends a thread ends all."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator

import pytest

from podfence.agent.process import HAND_OVER, Threads


@pytest.fixture(autouse=True)
def hand_over() -> Iterator[None]:
    """Puts the time of this process back."""
    before = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def handlers() -> Iterator[None]:
    """Puts the handlers of this process back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Broken(Exception):
    """What a thread dies of."""


def dies() -> None:
    raise Broken


def waits_for(threads: Threads) -> Callable[[], None]:
    """A thread as it should be: it ends when all is to end."""

    def waits() -> None:
        assert threads.stopped.wait(30)

    return waits


def test_a_thread_gives_way_soon() -> None:
    sys.setswitchinterval(1)
    Threads()
    assert sys.getswitchinterval() == pytest.approx(HAND_OVER)


def test_a_thread_that_dies_ends_the_process_with_its_reason() -> None:
    threads = Threads()
    threads.start("waits", waits_for(threads))
    threads.start("dies", dies)
    end = threads.end()
    assert isinstance(end, Broken)
    assert threads.stopped.is_set()


def test_a_thread_that_ends_too_early_is_named() -> None:
    threads = Threads()
    threads.start("short", lambda: None)
    assert str(threads.end()) == "the thread short ended"


def test_a_thread_that_ends_after_all_is_no_reason() -> None:
    threads = Threads()
    waits = threads.start("waits", waits_for(threads))
    threads.start("short", lambda: None)
    assert str(threads.end()) == "the thread short ended"
    waits.join(30)
    threads.start("late", lambda: None).join(30)
    threads.start("dies", dies)
    assert isinstance(threads.end(), Broken)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process(number: int) -> None:
    threads = Threads()
    threads.take_signals()
    os.kill(os.getpid(), number)
    assert threads.end() == number
