"""``podfence suggest --write-tests``: the content of the file, and its run."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from podfence.errors import PodfenceError
from podfence.manifests.testfiles import read_test_files
from podfence.model.cluster import Cluster
from podfence.policy.domains import DomainTable
from podfence.questions.suggest.promised import NeededTests
from podfence.questions.suggest.promises import Promises, promises
from podfence.questions.suggest.rules import SuggestOptions
from podfence.questions.suggest.suggest import Suggestion
from podfence.questions.tests.form import PolicyTests
from podfence.questions.tests.judge import Result, ResultStatus
from podfence.questions.tests.run import FileRunner
from podfence.questions.tests.throughentries import FindEntries
from podfence.render.suggest_tests import GivenTests, WrittenTests


def tests_for(found: Suggestion, wish: SuggestOptions, names: DomainTable) -> Promises:
    """What the flows need, as tests. Raises PodfenceError where there are none."""
    made = promises(found, wish, names)
    if not made.tests:
        raise PodfenceError("--write-tests: no connection of these workloads was seen, so no test")
    return made


def run_written(path: str, made: Promises, found: Suggestion, names: DomainTable) -> WrittenTests:
    """Read the tests that were written to ``path``, and run them with the suggested policies and
    without them."""
    files = read_test_files([path]).files
    passed = _passed(_results(found.after.cluster, names, files))
    without = _passed(_results(_without(found), names, files))
    return WrittenTests(path, made, passed, len(made.tests) - without)


def run_given(tests: NeededTests, found: Suggestion, names: DomainTable) -> GivenTests:
    """Run the tests whose needs the policies were made of, with these and without them."""
    results = _results(found.after.cluster, names, tests.files, tests.entries)
    without = _results(_without(found), names, tests.files, tests.entries)
    return GivenTests(found.promised, results, _passed(without))


def _without(found: Suggestion) -> Cluster:
    after, ours = found.after.cluster, {each.policy.ref for each in found.policies}
    return replace(after, policies=tuple(p for p in after.policies if p.ref not in ours))


def _results(
    cluster: Cluster,
    names: DomainTable,
    files: Sequence[PolicyTests],
    entries: FindEntries | None = None,
) -> tuple[Result, ...]:
    runs = FileRunner(cluster, names, entries)
    return tuple(result for each in runs.all(files) for result in each.results)


def _passed(results: Sequence[Result]) -> int:
    return sum(result.status is ResultStatus.PASSED for result in results)
