"""The arithmetic of the table beside peers, and that both sides are asked the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.beside import MARKS, Row, _answering, _asked, flows, line, rows
from bench.conformance.peers import PEERS
from bench.run import Sample, written
from podfence.manifests.load import load

SHOP = Path(__file__).resolve().parents[2] / "examples" / "shop"
ROW = Row("map", tuple, tuple, "peer")


def sample(cpu: float, status: int = 0) -> Sample:
    return Sample(cpu, cpu, 10, status)


def test_a_row_has_medians_and_their_ratio() -> None:
    ours, theirs = [sample(1), sample(2), sample(9)], [sample(8), sample(4), sample(5)]
    cells = "| map | 2.00 s | peer | 5.00 s | 2.5 | 3 |"
    assert line(ROW, ours, theirs) == cells


def test_a_command_that_failed_has_no_ratio() -> None:
    assert "| FAILED |" in line(ROW, [sample(1)], [sample(1, status=2)])


def test_the_table_goes_between_its_marks() -> None:
    begin, end = MARKS
    text = written(f"a\n{begin}\nold\n{end}\nb", "new", MARKS)
    assert text == f"a\n{begin}\nnew\n{end}\nb"
    with pytest.raises(ValueError, match="no markers"):
        written("a", "new", MARKS)


def test_both_sides_are_asked_the_same(tmp_path: Path) -> None:
    there = tmp_path / "shop"
    there.symlink_to(SHOP)
    ours = json.loads(Path(_asked(lambda: there, 50)[5]).read_text())
    theirs = json.loads(Path(_answering(lambda: there, 50, ("program",))[-1]).read_text())
    assert len(ours) == len(theirs["flows"]) == len(flows(load([str(SHOP)]).cluster, 50))
    assert [each["port"] for each in ours] == [each["port"] for each in theirs["flows"]]


def test_every_row_names_a_peer(tmp_path: Path) -> None:
    assert {row.peer for row in rows(tmp_path)} <= {peer.name for peer in PEERS}
