"""``podfence suggest --write-tests``: the file is written, read again, and run twice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from podfence.errors import PodfenceError
from podfence.manifests.testfiles import read_test_files
from podfence.model.cluster import Cluster
from podfence.policy.domains import DomainTable
from podfence.questions.suggest.promises import promises
from podfence.questions.suggest.rules import SuggestOptions
from podfence.questions.suggest.suggest import Suggestion
from podfence.questions.tests.form import PolicyTests
from podfence.questions.tests.judge import ResultStatus
from podfence.questions.tests.run import Runs
from podfence.render.suggest_tests import WrittenTests, tests_yaml


def write_tests(
    path: str, found: Suggestion, wish: SuggestOptions, names: DomainTable
) -> WrittenTests:
    """Write what the flows need as a test file, and run it with the suggested policies and without
    them. Raises PodfenceError where there is nothing to keep, or the file cannot be made; no file
    is written over."""
    made = promises(found, wish, names)
    if not made.tests:
        raise PodfenceError("--write-tests: no connection of these workloads was seen, so no test")
    try:
        with Path(path).open("x", encoding="utf-8") as file:
            file.write(tests_yaml(made))
    except OSError as error:
        raise PodfenceError(f"--write-tests: {path}: {error.strerror}") from error
    files = read_test_files([path]).files
    after = found.after.cluster
    ours = {each.policy.ref for each in found.policies}
    before = replace(after, policies=tuple(p for p in after.policies if p.ref not in ours))
    passed = _passed(after, names, files)
    return WrittenTests(path, made, passed, len(made.tests) - _passed(before, names, files))


def _passed(cluster: Cluster, names: DomainTable, files: Sequence[PolicyTests]) -> int:
    return sum(
        result.status is ResultStatus.PASSED
        for found in Runs(cluster, names).all(files)
        for result in found.results
    )
