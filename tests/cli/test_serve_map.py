"""``podfence serve``: parts of the map, and the plan of a draft, for programs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from podfence.web.editing import MOST, SECONDS, KeptDrafts
from tests.cli.schema import violations
from tests.cli.serveanswers import SCHEMA, asked
from tests.cli.session import ROOT, podfence
from tests.support.serving import Serving

pytestmark = pytest.mark.timeout(300)
SHOP = "examples/shop"
DB = "shop/policies/db.yaml"
TORN = (
    "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
    "metadata: {name: torn, namespace: shop}\nspec: {podSelector: 5}\n"
)
Pair = tuple[str, str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("map")
    shutil.copytree(ROOT / SHOP, found / "shop")
    return found


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Serving]:
    with Serving("-f", "shop", "--edit", directory=folder) as found:
        yield found


def cells(reach: Any) -> dict[Pair, list[Any]]:
    """What each pair may do: ports and IP version."""
    names = [end["name"] for end in reach["endpoints"]]
    found: dict[Pair, list[Any]] = {}
    for to, ports, family, sources in reach["rows"]:
        for source in accumulate(sources):
            found.setdefault((names[source], names[to]), []).append((reach["ports"][ports], family))
    return found


# -- the map


@pytest.mark.parametrize("chosen", ["shop", "monitoring", "monitoring,shop"])
def test_of_some_namespaces_the_cells_are_those_of_the_whole(server: Serving, chosen: str) -> None:
    whole, part = server.get("map"), asked(server, f"map?ns={chosen}")["map"]
    inside = {
        end["name"]
        for end in whole["endpoints"]
        if "namespace" in end and whole["namespaces"][end["namespace"]] in chosen.split(",")
    }
    kept = {end["name"] for end in part["endpoints"]}
    talking = {
        other
        for a, b in cells(whole)
        for one, other in ((a, b), (b, a))
        if one in inside and other.startswith("outside ")
    }
    assert kept == inside | talking
    wanted = {pair: found for pair, found in cells(whole).items() if set(pair) <= kept}
    assert cells(part) == wanted


def test_between_namespaces_pairs_are_counted(server: Serving) -> None:
    whole, found = server.get("map"), asked(server, "map?level=namespace")["map"]
    assert found["namespaces"] == ["monitoring", "shop"]
    of = {end["name"]: end.get("namespace", 2) for end in whole["endpoints"]}
    counted: dict[tuple[int, int], int] = {}
    for a, b in cells(whole):
        counted[of[a], of[b]] = counted.get((of[a], of[b]), 0) + 1
    rows = {(a, b): (allowed, every, open_) for a, b, allowed, every, open_ in found["rows"]}
    assert {pair: row[0] for pair, row in rows.items() if row[0]} == counted
    # A pod alone has no pair with itself; of three workloads in shop, one has two pods.
    assert rows[1, 1][1] == 3 * 3 - 2
    assert rows[0, 1][1] == 3
    assert rows[1, 2][1] == 3 * 3
    assert rows.keys() == counted.keys()
    assert not any(open_ for _, _, open_ in rows.values())


def test_what_could_not_be_read_leaves_counts_unknown(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "shop", tmp_path / "shop")
    (tmp_path / "shop/torn.yaml").write_text(TORN)
    with Serving("-f", "shop", directory=tmp_path) as server:
        rows = asked(server, "map?level=namespace")["map"]["rows"]
    assert {(a, b) for a, b, *_, open_ in rows if open_} == {(0, 1), (1, 0), (1, 1), (1, 2), (2, 1)}
    assert all(1 in (a, b) or not open_ for a, b, *_, open_ in rows)


def test_both_go_together(server: Serving) -> None:
    found = asked(server, "map?level=namespace&ns=shop")["map"]
    assert {a for a, *_ in found["rows"]} == {1, 2}


@pytest.mark.parametrize(
    ("path", "status"),
    [("map?level=pod", 400), ("map?ns=gone", 404), ("map?ns=shop,%3Cb%3E", 404)],
)
def test_what_is_no_part_of_the_map_is_refused(server: Serving, path: str, status: int) -> None:
    answer = server.ask(f"/api/v1/{path}")
    assert answer.status == status
    assert violations(answer.data, SCHEMA, SCHEMA) == []


# -- the plan of a draft


def judged(server: Serving, text: str) -> Any:
    body = json.dumps({"tab": "a", "files": [{"path": DB, "text": text}]}).encode()
    also = {"Content_Type": "application/json"}
    return server.ask("/api/v1/evaluate", "POST", body=body, also=also).data


def test_the_plan_of_a_draft_is_what_plan_says(
    server: Serving, folder: Path, tmp_path: Path
) -> None:
    text = (folder / DB).read_text().replace("app: backend", "app: frontend")
    draft = judged(server, text)["draft"]
    shutil.copytree(folder / "shop", tmp_path / "shop")
    (tmp_path / DB).write_text(text)
    words = ["plan", "--old", str(folder / "shop"), "--new", str(tmp_path / "shop")]
    done = podfence([*words, "--order", "-o", "json"])
    wanted = json.loads(done.out)
    found = asked(server, f"plan?draft={draft}&order=1")
    assert found["draft"] == draft
    for key in ("summary", "outcomes", "newcomers"):
        assert found["plan"][key] == wanted[key]
    steps = [(step["verb"], step["name"]) for step in found["plan"]["order"]["steps"]]
    assert steps == [("update", "db")]
    assert "order" not in asked(server, f"plan?draft={draft}")["plan"]


def test_a_draft_that_cannot_be_judged_has_no_plan(server: Serving) -> None:
    draft = judged(server, "kind: NetworkPolicy\nspec: [")["draft"]
    answer = server.ask(f"/api/v1/plan?draft={draft}")
    assert (answer.status, answer.data["code"]) == (409, "PF007")


@pytest.mark.parametrize("query", ["", "?draft=", "?draft=ffff"])
def test_a_draft_that_nobody_judged_is_not_there(server: Serving, query: str) -> None:
    answer = server.ask(f"/api/v1/plan{query}")
    assert answer.status == 404
    assert violations(answer.data, SCHEMA, SCHEMA) == []


def test_without_editing_there_are_no_drafts() -> None:
    with Serving("-f", SHOP) as server:
        assert server.ask("/api/v1/plan?draft=a").status == 404


def test_a_draft_is_forgotten_after_a_while_and_where_there_are_many() -> None:
    now = 0.0
    kept = KeptDrafts(lambda: now)
    first = kept.keep({"a": "1"})
    names = [kept.keep({"a": str(number)}) for number in range(MOST - 1)]
    assert kept.texts(first) == {"a": "1"}
    kept.keep({})
    assert kept.texts(first) is None
    assert kept.texts(names[0]) == {"a": "0"}
    now = SECONDS
    assert [kept.texts(name) for name in names] == [None] * len(names)
