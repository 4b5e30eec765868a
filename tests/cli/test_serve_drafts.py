"""``podfence serve --edit``: drafts are judged as ``plan``, ``check`` and ``test`` judge."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.session import podfence
from tests.cli.test_serve_edit import DB, folder, post, server
from tests.support.serving import Serving

__all__ = ["folder", "server"]
pytestmark = pytest.mark.timeout(300)


def judged(server: Serving, texts: dict[str, str], *also: str) -> Any:
    files = [{"path": path, "text": text} for path, text in texts.items()]
    answer = post(server, "evaluate", {"tab": "t", "files": files, "also": also})
    assert answer.status == 200, answer
    return answer.data


def change(text: str) -> str:
    return text.replace("{app: backend}", "{app: frontend}")


CHANGES: dict[str, Callable[[str], str]] = {
    "another peer": change,
    "no policy": lambda text: "# nothing\n",
    "another name": lambda text: text.replace("name: db\n", "name: db-2\n"),
    "a policy more": lambda text: f"{text}---\n{text.replace('name: db', 'name: more')}",
    "another namespace": lambda text: text.replace("namespace: shop", "namespace: elsewhere"),
    "a workload": lambda text: (
        f"{text}---\napiVersion: v1\nkind: Pod\nmetadata: {{name: stranger, namespace: shop}}\n"
    ),
    "labels that none had": lambda text: text.replace("{app: backend}", "{tier: gold}"),
    "a block": lambda text: text.replace(
        "podSelector:\n        matchLabels: {app: backend}", "ipBlock: {cidr: 192.0.2.0/24}"
    ),
    "what another file says": lambda text: text.replace("name: db\n", "name: backend\n"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_draft_is_judged_as_plan_judges_the_saved_file(
    server: Serving, folder: Path, tmp_path: Path, name: str
) -> None:
    text = CHANGES[name]((folder / DB).read_text())
    shutil.copytree(folder / "shop", tmp_path / "shop")
    (tmp_path / DB).write_text(text)
    done = podfence(["plan", str(folder / "shop"), "shop", "-o", "json"], directory=tmp_path)
    expected = json.loads(done.out)
    found = judged(server, {DB: text})["plan"]
    for field in ("summary", "changes", "arrives", "leaves", "undecided"):
        assert found[field] == expected[field], field
    for field in ("outcomes", "newcomers"):
        said = [sorted(map(_reach, plan[field])) for plan in (found, expected)]
        assert said[0] == said[1], field


def _reach(outcome: dict[str, Any]) -> str:
    return json.dumps([outcome[key] for key in ("from", "to", "opened", "closed")])


def test_two_files_are_judged_together(server: Serving, folder: Path) -> None:
    """The database lets the frontend in, and the frontend may go there: alone neither does."""
    db = (folder / DB).read_text().replace("{app: backend}", "{app: frontend}")
    path = "shop/policies/frontend.yaml"
    frontend = (folder / path).read_text().replace("{app: backend}", "{app: db}")
    alone = judged(server, {DB: db})["plan"]["summary"]
    both = judged(server, {DB: db, path: frontend})["plan"]["summary"]
    assert alone["opened"] == 0
    assert both["opened"] >= 0
    assert both["edits"] == 2


def test_a_new_file_is_judged(server: Serving) -> None:
    text = (
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
        "metadata: {name: open, namespace: shop}\nspec: {podSelector: {}, ingress: [{}]}\n"
    )
    found = judged(server, {"shop/policies/new.yaml": text})
    assert found["plan"]["changes"]


def test_a_text_that_cannot_be_read_says_where(server: Serving, folder: Path) -> None:
    text = (folder / DB).read_text().replace("podSelector:", "podSelektor:")
    found = judged(server, {DB: text})
    assert "plan" not in found
    said = {(each["code"], each["line"]) for each in found["problems"]}
    checked = json.loads(podfence(["check", "-f", "-", "-o", "json"], stdin=text.encode()).out)
    assert said == {(each["code"], each["line"]) for each in checked["problems"]}


def test_a_misspelt_label_is_said_as_check_says_it(server: Serving, folder: Path) -> None:
    text = (folder / DB).read_text().replace("{app: backend}", "{app: bakcend}")
    found = judged(server, {DB: text})
    [problem] = [each for each in found["problems"] if each["code"] == "PF320"]
    assert problem["line"] == 12
    assert "backend" in problem["message"]


def test_the_order_is_that_of_plan(server: Serving, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "shop", tmp_path / "shop")
    texts = {DB: "# nothing\n", "shop/policies/more.yaml": (folder / DB).read_text()}
    texts["shop/policies/more.yaml"] = texts["shop/policies/more.yaml"].replace(
        "name: db", "name: more"
    )
    for path, text in texts.items():
        (tmp_path / path).write_text(text)
    words = ["plan", str(folder / "shop"), "shop", "--order", "-o", "json"]
    expected = json.loads(podfence(words, directory=tmp_path).out)["order"]
    assert "order" not in judged(server, texts)["plan"]
    found = judged(server, texts, "order")["plan"]["order"]
    assert found == expected
    assert [step["verb"] for step in found["steps"]] == ["create", "delete"]


TESTS = """
apiVersion: podfence.io/v1alpha1
kind: PolicyTests
tests:
- name: the backend uses the database
  from: shop/backend
  to: shop/db
  ports: [5432]
  expect: allow
- name: the frontend does not
  from: shop/frontend
  to: shop/db
  ports: [5432]
  expect: deny
"""


def test_tests_turn_with_a_draft_as_plan_says_it(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "shop", tmp_path / "shop")
    (tmp_path / "tests.yaml").write_text(TESTS)
    text = (tmp_path / DB).read_text()
    with Serving("-f", "shop", "--edit", "--tests", "tests.yaml", directory=tmp_path) as server:
        assert "tests" not in judged(server, {DB: change(text)})
        found = judged(server, {DB: change(text)}, "tests")["tests"]
        same = judged(server, {DB: f"{text}# more\n"}, "tests")["tests"]
    assert (same["passed"], same["failed"], same["turns"]) == (2, 0, [])
    (tmp_path / DB).write_text(change(text))
    words = ["plan", str(folder / "shop"), "shop", "--tests", "tests.yaml", "-o", "json"]
    assert found.pop("text") == "1 pass on both sides; 1 no longer passes"
    assert found == json.loads(podfence(words, directory=tmp_path).out)["tests"]


def test_without_test_files_nothing_is_said_of_tests(server: Serving, folder: Path) -> None:
    text = (folder / DB).read_text()
    assert "tests" not in judged(server, {DB: change(text)}, "tests")
