"""Every row is answered by the server and by ``podfence check``: in the same words, position
apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.apiserver.client import Client
from tests.apiserver.crds import Crds
from tests.apiserver.judge import DRY_RUN, ask, differences, judge, path_of, says, server_said
from tests.apiserver.rows import ROWS, Row, policy
from tests.cli.session import podfence

pytestmark = pytest.mark.apiserver

IDS = [f"{row.section}: {row.name[:40]}" for row in ROWS]


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_the_server_says_it(row: Row, crds: Crds, admin: Client) -> None:
    crds.install("experimental")
    said = server_said(ask(admin, row.body))
    assert said.accepted is not bool(row.texts)
    assert (sorted(said.texts), sorted(said.warnings)) == (sorted(row.texts), sorted(row.warnings))
    assert differences(said, judge(row.body)) == []


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_check_says_it_with_a_position(row: Row, tmp_path: Path) -> None:
    """Besides, it may warn of what the server takes without a word."""
    file = tmp_path / "row.yaml"
    file.write_text(yaml.safe_dump(row.body, allow_unicode=True, sort_keys=False), "utf-8")
    done = podfence(["check", "--server-only", "-f", str(file), "-o", "json"])
    assert done.status == bool(row.texts)
    problems = json.loads(done.out)["problems"]
    errors = [problem for problem in problems if problem["severity"] == "error"]
    warnings = [problem for problem in problems if problem["code"] == "PF206"]
    for texts, found in ((row.texts, errors), (row.warnings, warnings)):
        assert len(found) == len(texts)
        for text in texts:
            (said,) = (problem for problem in found if says(problem["message"], text))
            assert (said["file"], said["line"] >= 1) == (str(file), True)
            if not text.startswith(("strict decoding", "json:", "parsing")):
                assert said["path"] == text.partition(": ")[0]


def test_a_key_that_is_given_twice_is_refused(admin: Client, tmp_path: Path) -> None:
    """A duplicate is in the text alone, so it needs a request of its own."""
    body = policy({"podSelector": {}})
    text = json.dumps(body).replace('"podSelector": {}', '"podSelector": {}, "podSelector": {}')
    answer = admin.send("POST", path_of(body) + DRY_RUN, text.encode())
    assert answer.status == 400
    assert server_said(answer).texts == {
        'strict decoding error: duplicate field "spec.podSelector"'
    }
    file = tmp_path / "twice.json"
    file.write_text(text)
    done = podfence(["check", "-f", str(file)])
    assert done.status == 1
    assert "podSelector" in done.out
