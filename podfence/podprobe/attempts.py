"""What is tried from inside pods, and what became of it, as values.

Rule: pure. A pod is called ``namespace/name``; a destination is an address, because that is what a
pod dials.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

from msgspec import Struct

from podfence.lab.testbed.probes import ProbeOutcome
from podfence.questions.tests.cells import TestInWorld
from podfence.questions.tests.ends import UnmatchedEnd
from podfence.questions.tests.form import PolicyTest, PolicyTests
from podfence.questions.tests.world import ClusterWorld
from podfence.sets.addresses import IPAddress


class Listener(Struct, frozen=True):
    """An address with a port that somebody may answer. ``pod``: who has the address."""

    pod: str
    address: IPAddress
    protocol: str
    port: int


class Dial(Struct, frozen=True):
    """One connection that a pod tries. Of a Service, ``address`` is the cluster's own."""

    source: str
    address: IPAddress
    protocol: str
    port: int


class Asked(Struct, frozen=True):
    """A connection that a test asks about. ``target``: the pod, or ``service namespace/name``;
    ``behind``: who may answer; ``must``: it has to come about, with ``one``: on some port of the
    pair; otherwise it must not. ``unit``: connections of which at least one has to tell something,
    or the test is not proved; "" where none needs to."""

    dial: Dial
    target: str
    behind: tuple[Listener, ...]
    must: bool
    unit: str
    one: bool = False


class PlannedTest(Struct, frozen=True):
    """A test with its connections. ``skipped``: why it has none, "" where it has; ``untried``: what
    else it is about, in words."""

    test: PolicyTest
    asked: tuple[Asked, ...] = ()
    skipped: str = ""
    misses: tuple[UnmatchedEnd, ...] = ()
    untried: tuple[str, ...] = ()


class PlannedFile(Struct, frozen=True):
    """The tests of one document. ``world``: what the engine knows of its ends."""

    file: PolicyTests
    world: ClusterWorld
    tests: tuple[PlannedTest, ...]


class TestInFile(Struct, frozen=True):
    """A test whose ends were looked up; ``skipped`` instead where it is not tried."""

    test: PolicyTest
    found: TestInWorld | None = None
    skipped: str = ""


class DialPlan(Struct, frozen=True, dict=True):
    """All that a run tries. ``pods``: those that take part; ``left_out``: how many more would, if
    there were room."""

    files: tuple[PlannedFile, ...]
    pods: frozenset[str]
    left_out: int = 0

    @property
    def asked(self) -> Iterator[Asked]:
        """The connections of all tests."""
        return (asked for file in self.files for test in file.tests for asked in test.asked)

    @cached_property
    def dials(self) -> Mapping[str, Sequence[Dial]]:
        """What each pod that takes part tries, by its name: the connections of tests, and as their
        control whether its own addresses answer what others ask there."""
        found: dict[str, dict[Dial, None]] = {}
        for asked in self.asked:
            found.setdefault(asked.dial.source, {})[asked.dial] = None
        for asked in self.asked:
            for each in (one for one in asked.behind if one.pod in self.pods):
                control = Dial(each.pod, each.address, each.protocol, each.port)
                found.setdefault(each.pod, {})[control] = None
        return {pod: tuple(dials) for pod, dials in sorted(found.items())}


class Outcomes(Struct, frozen=True, dict=True):
    """What became of a run. ``got``: of each attempt that was made; ``failures``: why a pod made
    none, by its name."""

    got: Mapping[Dial, ProbeOutcome]
    failures: Mapping[str, str]

    @cached_property
    def answering(self) -> frozenset[tuple[IPAddress, str, int]]:
        """Where somebody got an answer."""
        return frozenset(
            (dial.address, dial.protocol, dial.port)
            for dial, outcome in self.got.items()
            if outcome is ProbeOutcome.OPEN
        )

    def answers(self, listener: Listener) -> bool:
        """Whether somebody got an answer there: the pod itself, or another one."""
        return (listener.address, listener.protocol, listener.port) in self.answering
