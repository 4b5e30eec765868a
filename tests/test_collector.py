"""The collector is held back, and does not look through what was made meanwhile."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from podfence.collector import collector_paused


@pytest.fixture(autouse=True)
def an_enabled_collector() -> Iterator[None]:
    gc.unfreeze()  # tests before this one may have frozen theirs
    gc.enable()
    yield
    gc.unfreeze()
    gc.enable()


def test_what_was_made_while_it_paused_is_old() -> None:
    with collector_paused():
        assert not gc.isenabled()
        with collector_paused():
            made: list[object] = [[]]
        assert not gc.isenabled()
    assert gc.isenabled()
    assert not any(each is made for each in gc.get_objects(0))
    assert gc.get_freeze_count() == 0


def test_values_that_somebody_froze_stay_frozen() -> None:
    gc.freeze()
    with collector_paused():
        pass
    assert gc.get_freeze_count() > 0


def test_a_collector_that_is_off_stays_off() -> None:
    gc.disable()
    with collector_paused():
        pass
    assert not gc.isenabled()
