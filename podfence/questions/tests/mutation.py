"""Which mistakes in the policies the tests would notice.

Rule: a mutant is killed if a test that passes does not pass with it. A mutant that changes no
verdict, not even of pods to come, is equal and does not count. Each is derived from the compiled
cluster incrementally; nothing is compiled from scratch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct
from pyroaring import BitMap, FrozenBitMap

from podfence.engine.clusterpairs import ClusterPairs
from podfence.engine.partition import Blocks
from podfence.live.clusterindex import ClusterIndex
from podfence.questions.tests.cells import TestInWorld
from podfence.questions.tests.edits import edited
from podfence.questions.tests.ends import Resolver
from podfence.questions.tests.form import PolicyTest
from podfence.questions.tests.judge import ResultStatus, judge, judge_asked
from podfence.questions.tests.mutants import Mutant, MutationOperator, mutants
from podfence.questions.tests.world import ClusterWorld
from podfence.sets import AddressSet

if TYPE_CHECKING:
    from podfence.questions.tests.throughentries import KnownEntries


class Mutation(Struct, frozen=True):
    """``killed``: by the name of the test that noticed. ``left_out``: how many were not tried."""

    killed: tuple[tuple[Mutant, str], ...]
    survived: tuple[Mutant, ...]
    equal: tuple[Mutant, ...]
    left_out: int = 0

    @property
    def score(self) -> tuple[int, int]:
        """How many were killed, of how many that change something."""
        return len(self.killed), len(self.killed) + len(self.survived)

    @property
    def rules(self) -> tuple[int, int]:
        """How many rules the tests need, of how many."""
        needed = sum(mutant.operator is MutationOperator.RULE for mutant, _ in self.killed)
        others = (*self.survived, *self.equal)
        return needed, needed + sum(mutant.operator is MutationOperator.RULE for mutant in others)


def mutate(
    state: ClusterIndex,
    tests: Sequence[PolicyTest],
    most: int = 0,
    entries: KnownEntries | None = None,
) -> Mutation:
    """Try the mutants of a prepared cluster. ``tests``: those that pass; ``most``: the most mutants
    to try, spread evenly over all; 0: all. ``entries``: of the input, which no mutant changes;
    needed where a test is about entries."""
    every = list(mutants(state.index.cluster))
    step = max(1, -(-len(every) // most)) if most else 1
    tried = every[::step]
    trial = _Trial(state, tests, entries)
    killed: list[tuple[Mutant, str]] = []
    survived: list[Mutant] = []
    equal: list[Mutant] = []
    for mutant in tried:
        by = trial.noticed(mutant)
        if by is None:
            equal.append(mutant)
        elif by:
            killed.append((mutant, by))
        else:
            survived.append(mutant)
    return Mutation(tuple(killed), tuple(survived), tuple(equal), len(every) - len(tried))


class _Trial:
    """One cluster and its tests, with what all mutants share."""

    def __init__(
        self, state: ClusterIndex, tests: Sequence[PolicyTest], entries: KnownEntries | None
    ) -> None:
        self._state = state
        self._entries = entries
        families: set[int] = {address.version for address in state.index.by_address}
        self._pairs = {family: ClusterPairs.of(state.index, family) for family in sorted(families)}
        self._world = ClusterWorld(state.index, pairs=self._pairs)
        self._resolver = Resolver(self._world)
        self._plain = [
            (test, TestInWorld(test, self._resolver, self._world))
            for test in tests
            if not _is_other(test)
        ]
        self._others = [test for test in tests if _is_other(test)]

    def noticed(self, mutant: Mutant) -> str | None:
        """The test that does not pass, "" for none; None: no verdict is another."""
        state, affected = self._state.apply([mutant.event])
        if not affected:
            return None
        pairs = {f: each.after(state.index, affected) for f, each in self._pairs.items()}
        world = ClusterWorld(state.index, self._world, pairs)
        changed = [
            number
            for family, each in pairs.items()
            for number in each.changed | (affected.classes & each.partitions.everyone)
            if self._differs(world, family, each, number)
        ]
        if not changed:
            return None
        pods = FrozenBitMap.union(FrozenBitMap(), *(world.members[n] for n in changed))
        outside = any(number in world.outside for number in changed)
        for test, asked in self._plain:
            looks = asked.looks_at(pods, outside=outside)
            if looks and judge_asked(asked, world).status is not ResultStatus.PASSED:
                return test.name
        for test in self._others:
            if self._other(test, state, world) is not ResultStatus.PASSED:
                return test.name
        return ""

    def _other(self, test: PolicyTest, state: ClusterIndex, world: ClusterWorld) -> ResultStatus:
        if not test.given:
            return self._judge(test, world, self._resolver)
        cluster, _ = edited(state.index.cluster, test.given)
        supposed = ClusterWorld(state.to(cluster)[0].index, self._world)
        same = supposed.pods is self._world.pods
        return self._judge(test, supposed, self._resolver if same else Resolver(supposed))

    def _judge(self, test: PolicyTest, world: ClusterWorld, resolver: Resolver) -> ResultStatus:
        if not test.entries:
            return judge(test, world, resolver).status
        from podfence.questions.tests.throughentries import judge_entries_of

        assert self._entries is not None
        return judge_entries_of(test, world, resolver, self._entries).status

    # -- whether anything is another

    def _differs(self, world: ClusterWorld, family: int, pairs: ClusterPairs, number: int) -> bool:
        """Whether any member of a class gets something else than before."""
        before, known = self._world, self._pairs[family]
        row = pairs.row(number)
        for old in self._classes_before(world, number):
            if old not in known.partitions.everyone:
                continue
            was = known.row(old)
            if _pods(row, world) != _pods(was, before) or _outside(row, world) != _outside(
                was, before
            ):
                return True
        return False

    def _classes_before(self, world: ClusterWorld, number: int) -> Iterator[int]:
        pods = world.members[number]
        if pods:
            yield from {self._world.class_of[pod] for pod in pods}
            return
        addresses = world.index.classes[number].outside or AddressSet()
        yield from (old for old in self._world.outside if self._world.overlap(addresses, old))


def _is_other(test: PolicyTest) -> bool:
    """Whether it is judged as a whole, and not by the classes that it looks at."""
    return bool(test.isolated or test.given or test.expect_failure or test.entries)


def _pods(row: Blocks, world: ClusterWorld) -> dict[int, BitMap]:
    """The pods of a row by number of the ports; the numbers are those of one table."""
    found: dict[int, BitMap] = {}
    for ports, classes in row.items():
        members = BitMap.union(BitMap(), *(world.members[n] for n in classes - world.outside))
        if members:
            found[ports] = members
    return found


def _outside(row: Blocks, world: ClusterWorld) -> dict[int, AddressSet]:
    found: dict[int, AddressSet] = {}
    for ports, classes in row.items():
        parts = [world.index.classes[n].outside or AddressSet() for n in classes & world.outside]
        if any(parts):
            found[ports] = AddressSet.union(parts)
    return found
