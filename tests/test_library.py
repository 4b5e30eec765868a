"""The library answers as the commands do, and is guarded as they are."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import podfence
from podfence.errors import PodfenceError, QuestionError, UnknownObject
from podfence.library.find import Find

Ask = Callable[[Find], object]
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
        lambda: mixed.find.to("fine/good"),
        lambda: mixed.find.from_("fine/good"),
        mixed.find.exposed,
        mixed.find.entries,
        lambda: mixed.find.policies("torn/judged"),
        lambda: mixed.find.pods("fine/good"),
        lambda: mixed.find.path("fine/good", "torn/judged"),
        mixed.find.unprotected,
        mixed.find.newcomers,
        mixed.find.unused_selectors,
        lambda: mixed.test(ROOT / "tests/cli/inputs/tests/mixed.podfence.yaml"),
    ):
        with pytest.raises(PodfenceError, match="could not be read") as caught:
            ask()
        assert caught.value.code == "PF007"


HEAD = "source,destination,protocol,port\n"


def without_db(tmp_path: Path) -> podfence.Input:
    """The shop whose database has no policy that lets the backend in."""
    shutil.copytree(ROOT / "examples/shop", tmp_path / "new")
    (tmp_path / "new/policies/db.yaml").unlink()
    return podfence.load(tmp_path / "new")


def test_a_plan_says_what_of_the_traffic_it_cuts(shop: podfence.Input, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(HEAD + "shop/backend,shop/db,TCP,5432\n" * 3)
    (tmp_path / "b.csv").write_text(HEAD + "shop/frontend,shop/backend,TCP,8000\n")
    planned = shop.plan(without_db(tmp_path), flows=[tmp_path / "a.csv", tmp_path / "b.csv"])

    assert planned
    assert len(planned) == len(planned.changes) == len([*planned])
    traffic = planned.traffic
    assert traffic is not None
    assert [(u.source, u.destination, u.port, u.count) for u in traffic.cut] == [
        ("shop/backend", "shop/db", "TCP/5432", 3)
    ]
    assert (traffic.opened, traffic.kept, traffic.refused, traffic.gaps) == ((), 1, 0, "")


def test_a_plan_of_nothing_is_false_and_without_flows_says_nothing_of_traffic(
    shop: podfence.Input,
) -> None:
    planned = shop.plan(shop)
    assert (bool(planned), len(planned), planned.traffic) == (False, 0, None)


def test_records_of_unknown_pods_are_a_gap(shop: podfence.Input, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(HEAD + "shop/nobody,shop/db,TCP,5432\n")
    traffic = shop.plan(shop, flows=tmp_path / "a.csv").traffic
    assert traffic is not None
    assert "an unknown end" in traffic.gaps


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + "shop/backend,shop/db,TCP,x\n" * 7, r"a.csv:2: .*; and 2 more"),
        ("no records\n", "a.csv: "),
    ],
)
def test_records_that_cannot_be_read_are_no_answer(
    shop: podfence.Input, tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(PodfenceError, match=said) as caught:
        shop.plan(shop, flows=tmp_path / "a.csv")
    assert caught.value.code == "PF011"


def test_failed_tests_say_why(shop: podfence.Input) -> None:
    results = shop.test("tests/cli/inputs/tests/failing.podfence.yaml")

    failed = next(result for result in results if result.name == "nobody scrapes")
    assert not failed.ok
    assert failed.because[0] == "monitoring/prometheus -> shop/backend TCP/9102 is allowed"


def test_a_wrong_test_file_is_an_error(shop: podfence.Input) -> None:
    with pytest.raises(PodfenceError, match="did you mean from") as caught:
        shop.test("tests/cli/inputs/tests/broken.podfence.yaml")
    assert caught.value.code == "PF500"


def test_findings_have_positions() -> None:
    found = podfence.load(str(ROOT / "examples/gotchas")).check()

    assert {finding.code for finding in found} >= {"PF320", "PF304"}
    assert all(finding.place for finding in found)


# -- find


def test_who_reaches_something_is_told_with_rules_and_nobody_else_does(
    shop: podfence.Input,
) -> None:
    found = shop.find.to("shop/db:sql")

    assert [(row.sources, row.ports) for row in found] == [(("shop/backend",), "TCP/5432")]
    assert found.connections[0].rules[0].place == "examples/shop/policies/db.yaml:11:5"
    assert (found.workloads_without, found.outside_without) == (2, ("0.0.0.0/0", "::/0"))
    assert not shop.find.to("shop/db", "9999")
    assert found == shop.find.to("db", "sql", namespace="shop")


def test_what_something_reaches_is_told_by_its_own_rules(shop: podfence.Input) -> None:
    found = shop.find.from_("shop/frontend")
    assert {(row.destinations, row.rules[0].policy) for row in found} == {
        (("shop/backend",), "shop/frontend")
    }


def test_what_outside_reaches_and_what_reaches_outside(shop: podfence.Input) -> None:
    inside = {name for row in shop.find.exposed() for name in row.destinations}
    assert "shop/frontend" in inside
    out = {name for row in shop.find.exposed(to_internet=True) for name in row.sources}
    assert out == {"shop/backend"}


def test_a_policy_is_told_by_what_would_change_without_it(shop: podfence.Input) -> None:
    purpose = shop.find.pods("shop/db")
    assert (purpose.selects, purpose.directions) == (("shop/db",), ("ingress",))
    assert [(c.sources, c.closes) for c in purpose.without] == [(("shop/backend",), "TCP/5432")]
    assert purpose.policy in [each.policy for each in shop.find.policies("shop/db")]
    assert not purpose.audited


def test_a_policy_that_is_audited_selects_whom_it_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    find = podfence.load("examples/audit").find
    purpose = find.pods("shop/db")
    assert purpose.audited
    assert (purpose.selects, purpose.directions) == (("shop/db-0",), ("ingress",))
    assert purpose.without == ()
    assert find.policies("shop/db-0") == (purpose,)


def test_a_way_over_several_pods(shop: podfence.Input) -> None:
    way = shop.find.path("shop/frontend", "shop/db")
    assert [(hop.source, hop.destination) for hop in way] == [
        ("shop/frontend", "shop/backend"),
        ("shop/backend", "shop/db"),
    ]
    assert shop.find.path("shop/frontend", "shop/db", hops=1) == ()


def test_what_stands_open_and_what_does_nothing(shop: podfence.Input) -> None:
    assert shop.find.unprotected() == ()
    assert {each.name: each.directions for each in shop.find.newcomers()} == {
        "+/+": ("ingress", "egress"),
        "monitoring/+": (),
        "shop/+": (),
    }
    unused = {(each.rule.policy, each.rule.path) for each in shop.find.unused_selectors()}
    assert ("shop/dns", "spec.egress[0].to[0]") in unused


def test_ways_in_from_outside_have_a_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    alone = podfence.load("examples/entries").find.entries()
    assert {(each.state, each.because) for each in alone if "front" in each.destination} == {
        ("unknown", "Service shop/frontend is not in the input")
    }
    together = podfence.load(["examples/entries", "examples/shop"]).find.entries()
    assert [each.state for each in together] == ["open", "closed", "unknown", "open"]
    assert together[0].rules[0].place == "examples/shop/policies/frontend.yaml:12:5"


@pytest.mark.parametrize(
    "ask",
    [
        lambda find: find.to("shop/bd"),
        lambda find: find.from_("shop/bd"),
        lambda find: find.pods("shop/bd"),
        lambda find: find.policies("shop/bd"),
        lambda find: find.path("shop/frontend", "shop/bd"),
    ],
)
def test_find_knows_nobody_who_is_not_there(shop: podfence.Input, ask: Ask) -> None:
    with pytest.raises(UnknownObject):
        ask(shop.find)


@pytest.mark.parametrize(
    "ask",
    [
        lambda find: find.to("shop/db:sql", "5432"),
        lambda find: find.to("shop/db:a b"),
        lambda find: find.path("shop/frontend", "shop/db", port="sql"),
        lambda find: find.path("shop/frontend", "outside"),
    ],
)
def test_questions_that_mean_nothing_are_errors(shop: podfence.Input, ask: Ask) -> None:
    with pytest.raises(QuestionError):
        ask(shop.find)
