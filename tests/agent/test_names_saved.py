"""How often names are written for a restart: seldom, where writing takes long."""

from __future__ import annotations

import io
from itertools import pairwise
from pathlib import Path

import pytest

from podfence.agent.keptfiles import NameFile
from podfence.agent.log import EventLog
from podfence.agent.names import Names
from podfence.dns.cache import NameState
from podfence.kernel.nflog import LoggedPackets


@pytest.mark.parametrize(("takes", "rest"), [(0.0, 1), (0.04, 1), (0.5, 10)])
def test_writing_takes_a_small_part_of_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, takes: float, rest: float
) -> None:
    now, written = [100.0], list[float]()

    def save(*_: object) -> None:
        written.append(now[0])
        now[0] += takes

    monkeypatch.setattr(NameFile, "save", save)
    log = EventLog(io.StringIO())
    names = Names(lambda *_: None, frozenset, 78, NameFile(tmp_path, 0), log, clock=lambda: now[0])
    names.want(frozenset({"api.example.com"}))
    for _ in range(300):
        names._publish({"api.example.com": NameState()}, now[0])
        names.take(LoggedPackets())
        now[0] += 0.1
    pauses = [after - before for before, after in pairwise(written)]
    assert pauses
    assert min(pauses) >= rest - 0.01
    assert max(pauses) <= rest + takes + 0.2
