"""``plan --tests``: which promises a change breaks, and which it keeps again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.schema import violations
from tests.cli.session import ROOT, podfence

TESTS = """\
apiVersion: podfence.io/v1alpha1
kind: PolicyTests
metadata: {name: shop}
defaults: {namespace: shop}
tests:
- {name: the backend reads, from: backend, to: "db:5432", expect: allow}
- {name: "the `front` | @all does not", from: frontend, to: "db:5432", expect: deny}
- {name: nobody reads, from: backend, to: "db:5432", expect: deny}
- {name: later, from: backend, to: db, expect: deny, skip: not yet}
- {name: no such rule, from: frontend, to: "backend:9999", expect: allow}
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A shop, and one whose database lets nobody in."""
    for name in ("old", "new"):
        shutil.copytree(ROOT / "examples/shop", tmp_path / name)
    (tmp_path / "new/policies/db.yaml").unlink()
    (tmp_path / "shop.podfence.yaml").write_text(TESTS)
    return tmp_path


PLAN = ["plan", "old", "new", "--tests", "shop.podfence.yaml"]


def test_what_turns_is_told_with_its_reason(tree: Path) -> None:
    done = podfence(PLAN, directory=tree)
    assert (done.status, done.err) == (1, "")
    _, _, told = done.out.partition("\ntests: ")
    head, *lines = told.splitlines()
    assert head == "2 pass on both sides; 1 fails on both; 1 no longer passes; 1 passes now"
    assert lines[0] == "FAIL    the backend reads  (shop.podfence.yaml:6:3)"
    assert lines[1].strip() == "shop/backend -> shop/db TCP/5432 is denied"
    assert "shop/default-deny spec.podSelector (new/policies/default-deny.yaml:" in told
    assert lines[-1].startswith("pass    nobody reads")


def test_the_other_way_round_it_is_the_other_way_round(tree: Path) -> None:
    done = podfence(["plan", "new", "old", *PLAN[3:]], directory=tree)
    assert "1 no longer passes; 1 passes now" in done.out
    assert "FAIL    nobody reads" in done.out


def test_nothing_turns_where_nothing_changes(tree: Path) -> None:
    done = podfence(["plan", "old", "old", *PLAN[3:]], directory=tree)
    assert done.status == 0
    assert done.out.endswith("tests: 3 pass on both sides; 2 tests fail on both\n")


def test_as_data_and_in_a_comment(tree: Path) -> None:
    done = podfence([*PLAN, "-o", "json", "-o", "markdown=plan.md"], directory=tree)
    data = json.loads(done.out)
    schema = json.loads((ROOT / "docs/schemas/plan.schema.json").read_text("utf-8"))
    assert violations(data, schema, schema) == []
    assert (data["tests"]["passed"], data["tests"]["failed"]) == (2, 1)
    first, second = data["tests"]["turns"]
    assert (first["name"], first["before"], first["after"]) == (
        "the backend reads",
        "passed",
        "failed",
    )
    assert (first["file"], first["line"]) == ("shop.podfence.yaml", 6)
    assert first["because"][0] == "shop/backend -> shop/db TCP/5432 is denied"
    assert (second["before"], second["after"]) == ("failed", "passed")
    page = (tree / "plan.md").read_text()
    assert "- :warning: no longer passes: `the backend reads`\n- passes now: `nobody reads`" in page


def test_a_name_of_a_test_is_no_markdown(tree: Path) -> None:
    """It may come from a pull request; a name with a tick is fenced by more of them."""
    (tree / "new/policies/open.yaml").write_text(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
        "metadata: {name: open, namespace: shop}\n"
        "spec: {podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{}], egress: [{}]}\n"
    )
    podfence([*PLAN, "-o", "markdown=plan.md"], directory=tree)
    page = (tree / "plan.md").read_text()
    assert "no longer passes: ``the `front` | @all does not``" in page


@pytest.mark.parametrize(
    ("text", "said"),
    [("tests: {}", "the object has no kind"), (TESTS.replace("from", "form"), "from")],
)
def test_a_test_file_that_is_wrong_is_no_plan(tree: Path, text: str, said: str) -> None:
    (tree / "shop.podfence.yaml").write_text(text)
    done = podfence(PLAN, directory=tree)
    assert (done.status, done.out) == (2, "")
    assert said in done.err


def test_a_text_has_a_bound(tree: Path) -> None:
    one = '- {name: %s, from: backend, to: "db:5432", expect: allow}\n'
    (tree / "shop.podfence.yaml").write_text(
        TESTS.partition("- ")[0] + "".join(one % f"t{n}" for n in range(20))
    )
    text, wide = (podfence([*PLAN, "-o", form], directory=tree).out for form in ("text", "wide"))
    assert (text.count("FAIL"), wide.count("FAIL")) == (8, 20)
    assert text.endswith("and 12 tests more (-o wide)\n")
