"""Ready-made jobs for build servers: their steps, run as a runner runs them, on a repository with
a change."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ACTION = ROOT / "action"
GIT = ("git", "-c", "user.name=dev", "-c", "user.email=dev@example.com")


def _action() -> Any:
    return yaml.safe_load((ACTION / "action.yml").read_text("utf-8"))


def _git(repository: Path, *words: str) -> str:
    done = subprocess.run(
        [*GIT, *words], cwd=repository, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A shop and what it promises, in a commit of its own."""
    root = tmp_path / "repository"
    root.mkdir()
    _git(root, "init", "-q")
    subprocess.run(["cp", "-R", ROOT / "examples/shop", ROOT / "examples/tests", root], check=True)
    _git(root, "add", "-A")
    _git(root, "commit", "-qm", "before")
    return root


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runner's folder, with an environment that is there already: tests need no network."""
    temporary = tmp_path_factory.mktemp("runner")
    program = temporary / "podfence-environment/bin/podfence"
    program.parent.mkdir(parents=True)
    program.write_text(
        f'#!/bin/sh\nexport PYTHONPATH="{ROOT}"\nexec "{sys.executable}" -P -m podfence "$@"\n'
    )
    program.chmod(0o755)
    return temporary


class Run:
    """What a run of the action gave."""

    def __init__(self, repository: Path, runner: Path, **inputs: str) -> None:
        files = {name: repository.parent / name for name in ("summary", "outputs")}
        for path in files.values():
            path.write_text("")
        (step,) = _action()["runs"]["steps"]
        done = subprocess.run(
            ["bash", "-c", step["run"]],
            cwd=repository,
            env={
                **os.environ,
                **_environment(step["env"], inputs),
                "GITHUB_ACTION_PATH": str(ACTION),
                "GITHUB_STEP_SUMMARY": str(files["summary"]),
                "GITHUB_OUTPUT": str(files["outputs"]),
                "RUNNER_TEMP": str(runner),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        self.status = done.returncode
        self.out = done.stdout
        self.err = done.stderr
        self.summary = files["summary"].read_text()
        lines = files["outputs"].read_text().splitlines()
        self.outputs = dict(line.split("=", 1) for line in lines)


def _environment(wanted: dict[str, str], inputs: dict[str, str]) -> dict[str, str]:
    """The variables of a step. An input that is not given has its default; an expression in there
    is empty, as it is outside of a pull request."""
    known = _action()["inputs"]
    assert set(inputs) <= {name.replace("-", "_") for name in known}
    found = {}
    for variable, text in wanted.items():
        named = re.fullmatch(r"\$\{\{ inputs\.([\w-]+) \}\}", text)
        assert named, text
        default = known[named[1]]["default"]
        default = "" if default.startswith("${{") else default
        found[variable] = inputs.get(named[1].replace("-", "_"), default)
    return found


def _change(repository: Path) -> str:
    """Open a way out of the database, in a second commit. The revision before it."""
    before = _git(repository, "rev-parse", "HEAD")
    backup = (ROOT / "examples/plan/backup.yaml").read_text("utf-8")
    (repository / "shop/policies/backup.yaml").write_text(backup)
    _git(repository, "add", "-A")
    _git(repository, "commit", "-qm", "after")
    return before


def test_a_clean_tree_passes(repository: Path, runner: Path) -> None:
    done = Run(repository, runner, paths="shop", tests="tests/shop.podfence.yaml")
    assert (done.status, done.err, done.summary, done.outputs) == (0, "", "", {})
    assert "10 tests: 10 passed" in done.out


def test_a_change_is_shown_where_a_reviewer_looks(repository: Path, runner: Path) -> None:
    done = Run(repository, runner, paths="shop", base=_change(repository))
    assert (done.status, done.err, done.outputs["changed"]) == (0, "", "true")
    assert "shop/db -> outside 0.0.0.0/0: opens TCP/443" in done.summary
    assert Path(done.outputs["plan"]).read_text("utf-8") == done.summary
    assert "::warning title=podfence PF404" in done.out


def test_a_change_is_a_failure_where_that_is_asked(repository: Path, runner: Path) -> None:
    before = _change(repository)
    done = Run(repository, runner, paths="shop", base=before, fail_on="outside")
    assert done.status == 1
    done = Run(repository, runner, paths="shop", base=before, fail_on="closes")
    assert (done.status, done.outputs["changed"]) == (0, "true")


FLOWS = "source,destination,protocol,port\nshop/backend,shop/db,TCP,5432\n"


def test_a_change_that_cuts_what_is_in_use_is_a_failure(repository: Path, runner: Path) -> None:
    (repository / "seen.csv").write_text(FLOWS)
    (repository / "more.csv").write_text(FLOWS.replace("backend", "frontend"))
    gate = {"paths": "shop", "base": "HEAD", "flows": "seen.csv\n more.csv ", "fail_on": "used"}
    done = Run(repository, runner, **gate)
    assert (done.status, done.err, done.outputs["changed"]) == (0, "", "false")
    (repository / "shop/policies/db.yaml").unlink()
    done = Run(repository, runner, **gate)
    assert (done.status, done.outputs["changed"]) == (1, "true")
    assert "passed when it was seen: shop/backend -> shop/db TCP/5432" in done.out
    assert "shop/backend -> shop/db TCP/5432" in done.summary


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (FLOWS.replace("backend", "nobody"), "unknown end"),
        (FLOWS + "shop/backend,shop/db,TCP,x\n", "PF011"),
        ("nothing\n", "PF011"),
    ],
    ids=["an end that nobody knows", "a damaged record", "no records"],
)
def test_records_that_say_too_little_open_no_gate(
    repository: Path, runner: Path, text: str, said: str
) -> None:
    (repository / "seen.csv").write_text(text)
    done = Run(repository, runner, paths="shop", base="HEAD", flows="seen.csv", fail_on="used")
    assert done.status == 2
    assert said in done.err


def test_a_repository_cannot_open_its_own_gate(repository: Path, runner: Path) -> None:
    before = _change(repository)
    (repository / "podfence.toml").write_text('[plan]\nfail-on = "never"\n')
    done = Run(repository, runner, paths="shop", base=before, fail_on="outside")
    assert done.status == 1


def test_an_unchanged_folder_reports_no_change(repository: Path, runner: Path) -> None:
    done = Run(repository, runner, paths="shop", base="HEAD", fail_on="any")
    assert (done.status, done.err, done.outputs["changed"]) == (0, "", "false")


def test_a_broken_promise_is_a_failure(repository: Path, runner: Path) -> None:
    (repository / "shop/policies/db.yaml").unlink()
    done = Run(repository, runner, paths="shop", tests="tests/shop.podfence.yaml")
    assert done.status == 1
    assert "::error title=podfence" in done.out


def test_what_the_server_refuses_is_a_failure_at_its_position(
    repository: Path, runner: Path
) -> None:
    path = repository / "shop/policies/db.yaml"
    path.write_text(path.read_text().replace("podSelector:", "podSelektor:", 1))
    done = Run(repository, runner, paths="shop", sarif="found.sarif")
    assert done.status == 1
    assert "file=shop/policies/db.yaml,line=7" in done.out
    assert "PF201" in (repository / "found.sarif").read_text()


def test_several_paths_stand_on_lines_of_their_own(repository: Path, runner: Path) -> None:
    (repository / "shop/policies").rename(repository / "with blank")
    done = Run(repository, runner, paths="shop\n  with blank  \n", tests="tests/shop.podfence.yaml")
    assert (done.status, done.err) == (0, "")


@pytest.mark.parametrize("hostile", ["$(touch broken)", "`touch broken`", "'; touch broken; '"])
@pytest.mark.parametrize("name", ["paths", "tests", "base", "sarif", "flows", "fail_on"])
def test_an_input_is_never_a_command(
    repository: Path, runner: Path, name: str, hostile: str
) -> None:
    base = {"base": "HEAD"} if name in ("flows", "fail_on") else {}
    done = Run(repository, runner, **{"paths": "shop", **base, name: hostile})
    assert not list(repository.rglob("broken"))
    assert name == "sarif" or done.status in (1, 2)


@pytest.mark.parametrize("tests", ["tests/no-such-file.yaml", "--help", "--watch"])
def test_tests_that_cannot_be_run_end_in_an_error_after_the_plan(
    repository: Path, runner: Path, tests: str
) -> None:
    """A name is never an option, and annotations of a step before are not said again."""
    (repository / "shop/policies/db.yaml").unlink()
    Run(repository, runner, paths="shop", tests="tests/shop.podfence.yaml")
    done = Run(repository, runner, paths="shop", tests=tests, base="HEAD")
    assert (done.status, "PF106" in done.err, "cat:" in done.err) == (2, True, False)
    assert done.out.count("::group::") == done.out.count("::endgroup::") == 3
    assert "::error title=podfence PF5" not in done.out
    assert done.outputs["changed"] == "true"


def test_a_plan_of_another_step_is_not_shown_again(repository: Path, runner: Path) -> None:
    assert Run(repository, runner, paths="shop", base=_change(repository)).summary
    done = Run(repository, runner, paths="shop", base="no-such-revision")
    assert (done.status, done.summary) == (2, "")


def test_no_path_is_an_error_that_says_so(repository: Path, runner: Path) -> None:
    done = Run(repository, runner, paths=" \n ")
    assert done.status == 2
    assert "::error::the input 'paths' names no file or directory" in done.out


def test_a_revision_that_is_not_there_is_an_error(repository: Path, runner: Path) -> None:
    done = Run(repository, runner, paths="shop", base="no-such-revision")
    assert done.status == 2
    assert "no-such-revision" in done.err


def test_hooks_of_pre_commit_name_commands_that_exist() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
    assert hooks
    for hook in hooks:
        words: list[str] = [*hook["entry"].split(), *hook["args"], "--help"]
        assert words.pop(0) == "podfence"
        done = subprocess.run(
            [sys.executable, "-m", "podfence", *words], capture_output=True, cwd=ROOT, check=False
        )
        assert (hook["id"], done.returncode) == (hook["id"], 0)


def _gitlab(repository: Path, runner: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    job = yaml.safe_load((ROOT / "deploy/ci/gitlab.yml").read_text("utf-8"))["podfence"]
    programs = f"{runner / 'podfence-environment/bin'}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(job["script"])],
        cwd=repository,
        env={
            **os.environ,
            **job["variables"],
            "CI_MERGE_REQUEST_DIFF_BASE_SHA": "",
            "PATH": programs,
            "PODFENCE_MANIFESTS": "shop",
            **variables,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_job_for_gitlab_shows_a_change(repository: Path, runner: Path) -> None:
    before = _change(repository)
    done = _gitlab(repository, runner, CI_MERGE_REQUEST_DIFF_BASE_SHA=before)
    assert (done.returncode, done.stderr) == (0, "")
    plan = (repository / "podfence-plan.md").read_text("utf-8")
    assert "shop/db -> outside 0.0.0.0/0: opens TCP/443" in plan


def test_the_job_for_gitlab_fails_on_a_broken_promise(repository: Path, runner: Path) -> None:
    tests = "tests/shop.podfence.yaml"
    assert _gitlab(repository, runner, PODFENCE_TESTS=tests).returncode == 0
    (repository / "shop/policies/db.yaml").unlink()
    assert _gitlab(repository, runner, PODFENCE_TESTS=tests).returncode == 1
    assert "<failure" in (repository / "podfence.xml").read_text("utf-8")


def test_the_job_for_gitlab_fails_where_nothing_can_be_compared(
    repository: Path, runner: Path
) -> None:
    done = _gitlab(repository, runner, CI_MERGE_REQUEST_DIFF_BASE_SHA="no-such-revision")
    assert done.returncode == 2
