"""The library answers as the commands do, and is guarded as they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import podfence
from podfence.errors import PodfenceError, QuestionError, UnknownObject

ROOT = Path(__file__).parents[1]
MIXED = str(ROOT / "tests/cli/inputs/mixed.yaml")


def test_the_example_of_the_page_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    text = (ROOT / "docs/library.md").read_text(encoding="utf-8")
    found = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert found is not None

    exec(compile(found[1], "library.md", "exec"), {})

    said = capsys.readouterr().out
    assert said.startswith("no: shop/frontend")
    assert "('shop/frontend',) ('shop/db',) opens TCP/5432" in said


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> podfence.Input:
    monkeypatch.chdir(ROOT)
    return podfence.load("examples/shop")


def test_a_denial_names_the_policies_that_isolate(shop: podfence.Input) -> None:
    answer = shop.can("shop/frontend", "shop/db:5432")

    assert not answer
    assert {way.source_address.partition(".")[0] for way in answer.ways} >= {"10"}
    assert all(rule.place for way in answer.ways for rule in way.rules)


def test_names_that_mean_nothing_are_errors(shop: podfence.Input) -> None:
    with pytest.raises(UnknownObject, match="shop/backend"):
        shop.can("shop/bckend", "shop/db:5432")
    with pytest.raises(QuestionError, match="has no port"):
        shop.can("shop/backend", "shop/db")


def test_what_could_not_be_read_turns_no_answer() -> None:
    mixed = podfence.load(MIXED)

    assert mixed.can("192.0.2.7", "fine/good:80")
    for ask in (
        lambda: mixed.can("fine/good", "torn/judged:80"),
        lambda: mixed.why("fine/good", "torn/judged:80"),
        mixed.map,
        lambda: mixed.plan(mixed),
        lambda: mixed.test(ROOT / "tests/cli/inputs/tests/mixed.podfence.yaml"),
    ):
        with pytest.raises(PodfenceError, match="could not be read") as caught:
            ask()
        assert caught.value.code == "PF007"


def test_failed_tests_say_why(shop: podfence.Input) -> None:
    results = shop.test("tests/cli/inputs/tests/failing.podfence.yaml")

    failed = next(result for result in results if result.name == "nobody scrapes")
    assert not failed.ok
    assert failed.because[0] == "monitoring/prometheus -> shop/backend TCP/9102 is allowed"


def test_a_wrong_test_file_is_an_error(shop: podfence.Input) -> None:
    with pytest.raises(PodfenceError, match="did you mean from") as caught:
        shop.test("tests/cli/inputs/tests/broken.podfence.yaml")
    assert caught.value.code == "PF500"


def test_findings_have_places() -> None:
    found = podfence.load(str(ROOT / "examples/gotchas")).check()

    assert {finding.code for finding in found} >= {"PF320", "PF304"}
    assert all(finding.place for finding in found)
