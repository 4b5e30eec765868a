"""All tests of some files, judged against one cluster.

Rule: a test that something unreadable could turn is undecided, never passed. Worlds are made once:
one for the files, one for each list of what-if edits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from podfence.admission.kinds import TESTS_KIND
from podfence.model.cluster import Cluster
from podfence.model.doubt import Doubt
from podfence.model.workloads import WORKLOAD_KINDS
from podfence.policy.compile import compile_cluster
from podfence.policy.domains import NO_NAMES, DomainTable
from podfence.policy.flow import Direction
from podfence.questions.certainty import Certainty
from podfence.questions.plan.newcomers import with_newcomers
from podfence.questions.tests.cells import TestInWorld
from podfence.questions.tests.edits import edited, prepared
from podfence.questions.tests.ends import Resolver, UnmatchedEnd
from podfence.questions.tests.form import Expect, PolicyTest, PolicyTests
from podfence.questions.tests.judge import Result, ResultStatus, judge
from podfence.questions.tests.world import ClusterWorld

if TYPE_CHECKING:  # few runs need more than to judge, and it takes a while to import
    from podfence.live.clusterindex import ClusterIndex
    from podfence.questions.tests.coverage import Touching
    from podfence.questions.tests.mutation import Mutation
    from podfence.questions.tests.throughentries import FindEntries, KnownEntries

_MAKES_PODS = WORKLOAD_KINDS | {"Pod", ""}


class FileResults(Struct, frozen=True):
    """The results of one document of a test file, in its order."""

    file: PolicyTests
    results: tuple[Result, ...]


class FileRunner:
    """Judges tests against one cluster. ``entries``: finds those of the input; needed where a test
    may be about entries."""

    def __init__(
        self,
        cluster: Cluster,
        names: DomainTable = NO_NAMES,
        entries: FindEntries | None = None,
    ) -> None:
        self._cluster = cluster
        self._names = names
        self._entries = entries

    def all(
        self,
        files: Sequence[PolicyTests],
        wanted: Callable[[PolicyTest], bool] = lambda _: True,
        touching: Touching | None = None,
    ) -> Iterator[FileResults]:
        """The results of every file. ``wanted``: which of its tests are run at all; ``touching``:
        collects the rules that tests with a verdict look at."""
        plain: PreparedCluster | None = None
        for file in files:
            if file.fixture_pods or file.fixture_namespaces:
                bench = PreparedCluster(
                    prepared(self._cluster, files, file), self._names, self._entries
                )
            else:
                if plain is None:
                    plain = PreparedCluster(
                        prepared(self._cluster, files, file), self._names, self._entries
                    )
                bench = plain
            results = [bench.result(test) for test in file.tests if wanted(test)]
            if touching is not None:
                for result in results:
                    judged = result.status in (ResultStatus.PASSED, ResultStatus.FAILED)
                    if judged:
                        bench.touch(result.test, touching)
            yield FileResults(file, tuple(results))

    def first(self, namespace: str) -> Mapping[str, Any]:
        """A test file that says what is true of a namespace now."""
        from podfence.questions.tests.first import first_file

        bench = PreparedCluster(
            with_newcomers(self._cluster, self._cluster.namespaces.keys()), self._names
        )
        return first_file(bench.world, namespace, TESTS_KIND)

    def mutation(self, found: Sequence[FileResults], most: int = 0) -> Mutation:
        """Mistakes that the passing tests would notice. Fixtures are those of the first file that
        has any."""
        from podfence.questions.tests.mutation import mutate

        files = [each.file for each in found]
        first = next((f for f in files if f.fixture_pods or f.fixture_namespaces), files[0])
        bench = PreparedCluster(prepared(self._cluster, files, first), self._names, self._entries)
        passed = [
            result.test
            for each in found
            for result in each.results
            if result.status is ResultStatus.PASSED and not result.test.allow_empty
        ]
        entries = bench.entries if any(test.entries for test in passed) else None
        return mutate(bench.state, passed, most, entries)


class PreparedCluster:
    """One prepared cluster, on which tests are judged."""

    def __init__(
        self, cluster: Cluster, names: DomainTable, entries: FindEntries | None = None
    ) -> None:
        self.cluster = cluster
        self.names = names
        self._find = entries

    @cached_property
    def state(self) -> ClusterIndex:
        """The cluster in the form that can be changed step by step."""
        from podfence.live.clusterindex import ClusterIndex

        return ClusterIndex.of(self.cluster, self.names)

    @cached_property
    def entries(self) -> KnownEntries:
        """Those of the input. They cost a look at every Service, and few tests are about them."""
        assert self._find is not None, "a test is about entries, and nobody finds those"
        return self._find()

    @cached_property
    def world(self) -> ClusterWorld:
        """The cluster as it is."""
        return ClusterWorld(compile_cluster(self.cluster, self.names))

    @cached_property
    def resolver(self) -> Resolver:
        """Looks up ends in the present cluster, whatever a test supposes."""
        return Resolver(self.world)

    def result(self, test: PolicyTest) -> Result:
        """Judge one test."""
        if test.skip:
            return Result(test, ResultStatus.SKIPPED, text=test.skip)
        if test.runs_in and "model" not in test.runs_in:
            return Result(
                test, ResultStatus.SKIPPED, text=f"runs only in {', '.join(test.runs_in)}"
            )
        world, resolver, misses = self.supposed(test)
        if misses:
            return Result(test, ResultStatus.VACUOUS, misses=misses)
        if test.entries:
            return self._through_entries(test, world, resolver)
        found = judge(test, world, resolver)
        if found.status is ResultStatus.VACUOUS and resolver is self.resolver and test.given:
            found = judge(test, world, Resolver(world))  # an end that is given first
        if not self.cluster.doubts:
            return found
        return self._certain(found, world, resolver)

    def _through_entries(self, test: PolicyTest, world: ClusterWorld, resolver: Resolver) -> Result:
        from podfence.questions.tests.throughentries import judge_entries_of

        found = judge_entries_of(test, world, resolver, self.entries)
        doubts = tuple(d for d in self.cluster.doubts if d.kind in _MAKES_PODS)
        if not doubts or found.status is ResultStatus.FAILED:
            return found
        said = ", ".join(dict.fromkeys(map(str, doubts)))
        return Result(test, ResultStatus.UNDECIDED, text=said)

    def touch(self, test: PolicyTest, touching: Touching) -> None:
        """Collect the rules that a test looks at."""
        world, resolver, _ = self.supposed(test)
        if not test.entries:
            touching.look(test, world, resolver)
            return
        from podfence.questions.tests.throughentries import rows_of

        rows, _ = rows_of(test, world, resolver, self.entries)
        touching.look_through(rows, world)

    def supposed(self, test: PolicyTest) -> tuple[ClusterWorld, Resolver, tuple[UnmatchedEnd, ...]]:
        """The world that a test is about, where its ends are looked up, and edits of nothing."""
        if not test.given:
            return self.world, self.resolver, ()
        cluster, misses = edited(self.cluster, test.given)
        state, _ = self.state.to(cluster)
        world = ClusterWorld(state.index, self.world)
        same = world.pods is self.world.pods
        return world, self.resolver if same else Resolver(world), misses

    # -- what could not be read

    def _certain(self, result: Result, world: ClusterWorld, resolver: Resolver) -> Result:
        """The result, if nothing that could not be read can turn it."""
        test = result.test
        if result.status in (ResultStatus.VACUOUS, ResultStatus.SKIPPED):
            doubts: tuple[Doubt, ...] = ()
            if result.status is ResultStatus.VACUOUS:
                doubts = tuple(d for d in self.cluster.doubts if d.kind in _MAKES_PODS)
        elif test.isolated:
            doubts = self._about_everybody()
        else:
            doubts = self._of_pairs(result, world, resolver)
        if not doubts:
            return result
        said = ", ".join(dict.fromkeys(map(str, doubts)))
        return replace(result, status=ResultStatus.UNDECIDED, text=said, witness=None)

    def _about_everybody(self) -> tuple[Doubt, ...]:
        return self.cluster.doubts

    def _of_pairs(
        self, result: Result, world: ClusterWorld, resolver: Resolver
    ) -> tuple[Doubt, ...]:
        """The doubts about one of the pods of a test. A denial by one side needs nothing of the
        other."""
        test, asked = result.test, TestInWorld(result.test, resolver, world)
        certainty = Certainty(world.index)
        if result.witness is not None and test.expect is not Expect.SOME:
            names = [n for n in (result.witness.source_pod, result.witness.destination_pod) if n]
            return tuple(certainty.about(names))
        near = [] if asked.sources is None else [asked.sources]
        far = [aim.found for aim in asked.aims or ()]
        denies = test.only is None and test.expect is Expect.DENY and test.by is None
        sides = [(Direction.EGRESS, near), (Direction.INGRESS, far)] if denies else []
        for direction, founds in sides:
            names = [world.pods[pod] for found in founds for pod in found.pods]
            if not names or certainty.about(names) or self._may_be_more(test):
                continue
            if judge(replace(test, by=direction), world, resolver).status is ResultStatus.PASSED:
                return ()
        if test.only is not None or self._may_be_more(test):
            return self.cluster.doubts
        names = [world.pods[pod] for found in (*near, *far) for pod in found.pods]
        return tuple(certainty.about(names))

    def _may_be_more(self, test: PolicyTest) -> bool:
        """Whether an end may hold pods that could not be read."""
        return any(doubt.kind in _MAKES_PODS for doubt in self.cluster.doubts)


def chosen(run: str, tags: Iterable[str]) -> Callable[[PolicyTest], bool]:
    """Which tests are run. ``run``: a regular expression that the name has to hold; ``tags``: one
    of these. Raises ``re.error``."""
    import re

    pattern, wanted = re.compile(run), frozenset(tags)
    return lambda test: (
        bool(pattern.search(test.name)) and (not wanted or not wanted.isdisjoint(test.tags))
    )
