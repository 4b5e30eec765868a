"""The repository keeps its own rules: packaging, lock, import contract, hygiene.

Rule: whatever is checked here can be read from the tracked files alone, without a network.
"""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import podfence._version

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "podfence"
LOCKS = ("requirements/dev.txt", "requirements/runtime.txt", "requirements/site.txt")

MAX_LINES = 400
LONG_MODULES: dict[str, str] = {}
"""Modules and tests beyond the limit, each with the reason why it is not two."""

# Written in parts, so that this file does not trip over itself.
REGISTRY_HOSTS = ("pypi" + ".org", "python" + "hosted", "npm" + "js", "artifact" + "ory")
WORKPLACE_PATHS = re.compile(r"(?<![\w.~-])/(?:work|home|root|Users)/[a-z]")

PURE = {
    "agent.conditions",
    "agent.eventseries",
    "agent.latency",
    "agent.fleet",
    "agent.localpods",
    "agent.nodereport",
    "agent.policycondition",
    "agent.revisions",
    "agent.status",
    "agent.wanted",
    "live",
    "errors",
    "text",
    "likeness",
    "reconcile",
    "drops",
    "usage",
    "flows",
    "dns",
    "sets",
    "model",
    "admission",
    "policy",
    "engine",
    "nft",
    "questions",
    "intake",
    "kube.access",
    "kube.follow",
    "kube.narrow",
    "kube.resource",
    "kube.substitute",
    "kube.watchlines",
    "kube.writes",
    "lab.api.garbage",
    "lab.api.nodes",
    "lab.api.podstatus",
    "lab.api.slices",
    "lab.api.state",
    "lab.api.workloads",
    "lab.testbed",
    "lab.replies",
    "podprobe.attempts",
    "podprobe.cast",
    "podprobe.container",
    "podprobe.judging",
    "podprobe.planning",
    "mirror.history",
    "mirror.packing",
    "mirror.requests",
    "render",
}
WORLDLY = {
    "asyncio",
    "os",
    "pathlib",
    "random",
    "socket",
    "subprocess",
    "threading",
    "time",
    "yaml",
}


@cache
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@cache
def tracked() -> tuple[str, ...]:
    """Files of the repository; in an unpacked archive, where git knows none, there is no test."""
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listing.returncode != 0:
        pytest.skip("not a git clone")
    return tuple(name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file())


@cache
def tracked_text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8", errors="replace")


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def rooms() -> set[str]:
    return {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}


def contract(identity: str) -> dict[str, Any]:
    contracts: list[dict[str, Any]] = project()["tool"]["importlinter"]["contracts"]
    return next(found for found in contracts if found["id"] == identity)


def requirements(lock: str) -> list[str]:
    """The entries of a lock: each a requirement with its continuation lines, comments dropped."""
    text = re.sub(r"^\s*#.*\n", "", tracked_text(lock), flags=re.MULTILINE)
    return [entry for entry in re.split(r"\n(?=\S)", text.strip()) if entry]


# --- hygiene ---------------------------------------------------------------------------------


def test_no_tracked_file_names_a_package_registry() -> None:
    found = [
        f"{name}: {host}"
        for name in tracked()
        for host in REGISTRY_HOSTS
        if host in tracked_text(name)
    ]
    assert found == []


def test_no_tracked_file_names_a_path_of_somebodys_machine() -> None:
    found = [
        f"{name}: {match.group()}"
        for name in tracked()
        for match in WORKPLACE_PATHS.finditer(tracked_text(name))
    ]
    assert found == []


def test_no_tracked_file_is_huge() -> None:
    assert [name for name in tracked() if (ROOT / name).stat().st_size > 1_000_000] == []


@pytest.mark.parametrize("script", ["dev", ".ci/run"])
def test_scripts_are_executable(script: str) -> None:
    assert (ROOT / script).stat().st_mode & 0o111 == 0o111


# --- modules ---------------------------------------------------------------------------------


def test_every_module_has_a_docstring() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in modules()
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert silent == []


def test_no_module_and_no_test_is_longer_than_the_limit_without_a_reason() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in (*modules(), *sorted((ROOT / "tests").rglob("*.py")))
    }
    too_long = {name: length for name, length in lengths.items() if length > MAX_LINES}
    assert too_long.keys() == LONG_MODULES.keys(), too_long


# --- the import contract ---------------------------------------------------------------------


def test_what_decoding_others_json_raises_is_named_in_one_place() -> None:
    """Whoever lists these errors himself forgets one, such as that of deep nesting."""
    alone = re.compile(r"(except|suppress)\b.*\b(msgspec\.|(?<![\w.]))DecodeError\b")
    found = [
        f"{module.relative_to(ROOT)}:{number}"
        for module in modules()
        for number, line in enumerate(module.read_text().splitlines(), 1)
        if alone.search(line)
    ]
    assert found == [], "use podfence.errors.UNREADABLE"


def test_the_import_contract_lists_exactly_the_rooms_that_exist() -> None:
    layers = contract("rooms")["layers"]
    listed = {name.strip() for layer in layers for name in layer.split("|")}
    listed -= {"__main__", "errors", "text", "likeness", "collector", "_version"}
    assert listed == rooms()


def test_the_plan_of_rooms_for_contributors_is_the_contract() -> None:
    """Layer by layer; beside each stands what it is for."""
    plan = (
        tracked_text("docs/contributing.md").split("Imports go downwards only")[1].split("```")[1]
    )
    shown = [re.split(r" {2,}", row)[0] for row in plan.splitlines() if row and row[0] != " "]
    assert shown == contract("rooms")["layers"]


def test_the_architecture_has_a_row_for_every_room() -> None:
    rows = re.findall(r"^\| (`.+?) \|", tracked_text("docs/architecture.md"), re.MULTILINE)
    named = {name.partition(".")[0] for row in rows for name in re.findall(r"`([\w.]+)`", row)}
    assert rooms() - named == set()


def test_the_import_contract_is_exhaustive() -> None:
    assert contract("rooms")["exhaustive"] is True


def test_the_two_back_ends_are_siblings() -> None:
    assert "engine | nft" in contract("rooms")["layers"]


def test_pure_rooms_may_not_touch_the_world() -> None:
    pure = contract("pure")
    sources = {name.removeprefix("podfence.") for name in pure["source_modules"]}
    assert sources == PURE
    assert set(pure["forbidden_modules"]) == WORLDLY


# --- what tests and benchmarks may import ------------------------------------------------------


def imports(directory: str) -> list[tuple[str, str]]:
    """(file, imported module) of everything below a directory of the repository."""
    found = []
    for path in sorted((ROOT / directory).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = str(path.relative_to(ROOT))
            if isinstance(node, ast.ImportFrom):
                found.append((name, node.module or "."))
            elif isinstance(node, ast.Import):
                found += [(name, alias.name) for alias in node.names]
    return found


def is_below(module: str, *parents: str) -> bool:
    return any(module == parent or module.startswith(f"{parent}.") for parent in parents)


@pytest.mark.parametrize("directory", ["tests", "podfence"])
def test_nothing_imports_the_benchmarks(directory: str) -> None:
    assert [found for found in imports(directory) if is_below(found[1], "bench")] == []


SUPPORT = ("tests.support", "tests.cluster", "tests.apiserver")
"""Where there is what several tests share: values and judges, and clusters that can be started."""


def test_benchmarks_import_no_tests_but_what_is_there_to_support_them() -> None:
    wrong = [
        found
        for found in imports("bench")
        if is_below(found[1], "tests")
        and (not is_below(found[1], *SUPPORT) or ".test_" in found[1])
    ]
    assert wrong == []


def test_nothing_that_is_shipped_imports_tests() -> None:
    assert [found for found in imports("podfence") if is_below(found[1], "tests")] == []


SHARED_TESTS = {
    "apiserver",
    "cluster",
    "deploy",
    "docs",
    "fuzz",
    "golden",
    "property",
    "spec",
    "support",
    "web",
}
"""Folders of tests that look at several rooms at once, or at what is outside of all."""


def test_tests_mirror_the_rooms() -> None:
    folders = {path.name for path in (ROOT / "tests").iterdir() if any(path.glob("*.*"))}
    assert folders - {"__pycache__"} - SHARED_TESTS - rooms() == set()


# --- packaging -------------------------------------------------------------------------------


def test_the_two_versions_are_one() -> None:
    assert podfence._version.__version__ == project()["project"]["version"]


def test_the_package_says_that_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()


def test_every_directory_with_modules_is_a_package() -> None:
    parents = {path.parent for path in modules()}
    assert [str(path) for path in parents if not (path / "__init__.py").is_file()] == []


@pytest.mark.parametrize("script", ["podfence", "kubectl-podfence"])
def test_scripts_start_the_command_line(script: str) -> None:
    assert project()["project"]["scripts"][script] == "podfence.cli.main:main"


@pytest.mark.parametrize("name", ["README.md", "LICENSE", "CHANGELOG.md"])
def test_files_that_packaging_names_exist(name: str) -> None:
    assert (ROOT / name).is_file()


# --- the lock --------------------------------------------------------------------------------


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_requirement_is_pinned_and_hashed(lock: str) -> None:
    entries = requirements(lock)
    assert entries
    loose = [
        entry.splitlines()[0]
        for entry in entries
        if not re.match(r"[a-z0-9-]+==\S+ ", entry) or "--hash=sha256:" not in entry
    ]
    assert loose == []


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_holds_no_address_and_no_path(lock: str) -> None:
    found = re.findall(r"://|file:|--index|--extra-index|--find-links|@ |^/", tracked_text(lock))
    assert found == []


def test_the_lock_covers_every_dependency() -> None:
    groups = project()["dependency-groups"]
    wanted = [*project()["project"]["dependencies"], *groups["build"]]
    wanted += [entry for entry in groups["dev"] if isinstance(entry, str)]
    names = {re.split(r"[><=~! ]", entry)[0].lower().replace("_", "-") for entry in wanted}
    locked = {entry.split("==")[0] for entry in requirements("requirements/dev.txt")}
    assert names - locked == set()


def test_the_runtime_lock_is_part_of_the_development_lock() -> None:
    runtime = {entry.split(" ")[0] for entry in requirements("requirements/runtime.txt")}
    development = {entry.split(" ")[0] for entry in requirements("requirements/dev.txt")}
    assert runtime <= development


def test_the_build_back_end_is_the_locked_one() -> None:
    assert project()["build-system"]["requires"] == project()["dependency-groups"]["build"]
