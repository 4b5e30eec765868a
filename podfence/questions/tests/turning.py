"""Which tests come out otherwise after a change. Pure.

Rule: a test turns where it was good and is not, or is good now; which way it fails is no matter.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from podfence.model.cluster import Cluster
from podfence.policy.domains import DomainTable
from podfence.questions.tests.form import PolicyTests
from podfence.questions.tests.judge import Result
from podfence.questions.tests.run import FileRunner
from podfence.questions.tests.throughentries import FindEntries


class TestedSide(Struct, frozen=True):
    """A cluster, and what finds the entries of the input that it was read from."""

    __test__ = False

    cluster: Cluster
    entries: FindEntries


class PairedTest(Struct, frozen=True):
    """One test, judged on both sides."""

    __test__ = False

    before: Result
    after: Result


class TestChanges(Struct, frozen=True):
    """``good``, ``bad``: how many tests are that on both sides; ``turns``: the others."""

    good: int
    bad: int
    turns: tuple[PairedTest, ...]


def turning(
    files: Sequence[PolicyTests], before: TestedSide, after: TestedSide, names: DomainTable
) -> TestChanges:
    """Judge all tests of some files against two clusters."""
    return turned(judged(files, before, names), judged(files, after, names))


def judged(
    files: Sequence[PolicyTests], side: TestedSide, names: DomainTable
) -> tuple[Result, ...]:
    """The results of all tests of some files, in their order."""
    runs = FileRunner(side.cluster, names, side.entries)
    return tuple(result for file in runs.all(files) for result in file.results)


def turned(before: Sequence[Result], after: Sequence[Result]) -> TestChanges:
    """What differs between the results of the same tests on two sides."""
    good = bad = 0
    turns: list[PairedTest] = []
    for was, is_now in zip(before, after, strict=True):
        if was.is_good != is_now.is_good:
            turns.append(PairedTest(was, is_now))
        elif was.is_good:
            good += 1
        else:
            bad += 1
    return TestChanges(good, bad, tuple(turns))
