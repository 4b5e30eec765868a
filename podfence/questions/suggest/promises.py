"""What the flows need, as a test file: the policies may be rewritten, and the need is kept.

Rule: a connection that was seen and is allowed is required by a test; whatever else the policies
let through may be, and nothing more. So the file passes as it is written, and where a policy that
closes something goes, a test fails.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from podfence.admission.kinds import TESTS_KIND
from podfence.model.meta import ObjectRef
from podfence.policy.compile import compile_cluster
from podfence.policy.domains import NO_NAMES, DomainTable
from podfence.policy.flow import AS_WRITTEN, Direction
from podfence.questions.plan.newcomers import with_newcomers
from podfence.questions.suggest.evidence import ObservedConnection
from podfence.questions.suggest.resolver import LABELS as DNS_LABELS
from podfence.questions.suggest.resolver import OUTSIDE, KnownEnd
from podfence.questions.suggest.rules import SuggestOptions, ends_of
from podfence.questions.suggest.suggest import Suggestion
from podfence.questions.tests.decode import API_VERSION
from podfence.questions.tests.judge import is_closed
from podfence.questions.tests.reach import (
    PortsByClass,
    common,
    entries,
    everybody,
    is_to_come,
    port_words,
    received,
    sent,
)
from podfence.questions.tests.world import ClusterWorld
from podfence.sets import AddressSet, PortSet

_NAME: Final = "from-flows"


class Promises(Struct, frozen=True):
    """``document``: the test file. ``unheld``: connections that were seen and are in no test, since
    they are not allowed over all that their ends share, or an end has no address."""

    document: Mapping[str, Any]
    unheld: tuple[ObservedConnection, ...]

    @property
    def tests(self) -> Sequence[Mapping[str, Any]]:
        """Its tests."""
        found: Sequence[Mapping[str, Any]] = self.document["tests"]
        return found


def promises(found: Suggestion, wish: SuggestOptions, names: DomainTable = NO_NAMES) -> Promises:
    """The tests for a suggestion, of the workloads and directions that were wished for."""
    return _Writing(found, wish, names).promises()


class _Writing:
    def __init__(self, found: Suggestion, wish: SuggestOptions, names: DomainTable) -> None:
        cluster = found.after.cluster
        coming = with_newcomers(cluster, cluster.namespaces.keys())
        self._world = world = ClusterWorld(compile_cluster(coming, names))
        self._found = found
        self._wish = wish
        self._pods: dict[ObjectRef, list[int]] = defaultdict(list)
        for number in world.real:
            pod = world.endpoint(number).pod
            self._pods[pod.owner or pod.ref].append(number)
        self._assumed = frozenset(found.assumed)
        self._words: dict[ObjectRef, str] = {
            ref: self._word(ref, world.names[pods[0]]) for ref, pods in self._pods.items()
        }
        self._held: set[ObservedConnection] = set()

    def promises(self) -> Promises:
        needed = [each for each in self._found.needed if self._is_wanted(each)]
        tests = [*self._closed(needed)]
        tests += self._open([each for each in needed if each not in self._held])
        document: dict[str, Any] = {
            "apiVersion": API_VERSION,
            "kind": TESTS_KIND,
            "metadata": {"name": _NAME},
        }
        words = {word for test in tests for word in _named(test)}
        assumed = [ref for ref in sorted(self._assumed) if self._words.get(ref) in words]
        if assumed:
            pods = [{"name": str(ref), "labels": dict(DNS_LABELS)} for ref in assumed]
            document["fixtures"] = {"pods": pods}
        document["tests"] = tests
        return Promises(document, tuple(each for each in needed if each not in self._held))

    def _is_wanted(self, each: ObservedConnection) -> bool:
        return any(
            self._is_of_wish(ends_of(each, direction)[0].workload)
            for direction in self._wish.directions
        )

    def _is_of_wish(self, workload: ObjectRef | None) -> bool:
        wanted = self._wish.workloads
        return workload is not None and (wanted is None or workload in wanted)

    # -- directions that policies close

    def _closed(self, needed: Sequence[ObservedConnection]) -> Iterator[Mapping[str, Any]]:
        """A test for each workload and direction that is closed but for what rules allow."""
        seen: dict[tuple[ObjectRef, Direction], list[ObservedConnection]] = defaultdict(list)
        for each in needed:
            for direction in self._wish.directions:
                near = ends_of(each, direction)[0].workload
                if near is not None and self._is_of_wish(near) and near not in self._assumed:
                    seen[near, direction].append(each)
        for ref in sorted({ref for ref, _ in seen}, key=lambda ref: self._words[ref]):
            for direction in AS_WRITTEN:
                if (ref, direction) in seen and self._is_closed(ref, direction):
                    yield self._only(ref, direction, seen[ref, direction])

    def _is_closed(self, ref: ObjectRef, direction: Direction) -> bool:
        world = self._world
        classes = self._classes(ref)
        return bool(classes) and all(
            is_closed(world.index.policies[number].of(direction), world, number, direction)
            for number in classes
        )

    def _only(
        self, ref: ObjectRef, direction: Direction, seen: Sequence[ObservedConnection]
    ) -> Mapping[str, Any]:
        """Required is what was seen; what rules allow besides may be."""
        is_coming_in = direction is Direction.INGRESS
        said = self._said(ref, direction)
        needed: dict[str, PortSet] = {}
        far: dict[str, list[int]] = {}
        for each in seen:
            party = ends_of(each, direction)[1]
            word = self._word_of(party)
            ports = PortSet.port(each.protocol, each.port)
            both = common(said, numbers) if (numbers := self._numbers(party)) else None
            if not word or both is None or not ports <= both[0]:
                continue
            self._held.add(each)
            needed[word] = needed.get(word, PortSet()) | ports
            if party.workload is None:
                far[word] = numbers
        words = {**self._classes_of_words(), **far}
        ends = list(everybody(self._world, words.items(), said))
        if OUTSIDE.name in words and ends[-1][0] == OUTSIDE.name:
            ends.pop()  # the end that a record names already

        def required(end: Any, ports: PortSet) -> PortSet:
            wanted = needed.get(end) if isinstance(end, str) and not is_to_come(end) else None
            return PortSet() if wanted is None else wanted & ports

        word = self._words[ref]
        return {
            "name": f"who reaches {word}" if is_coming_in else f"where {word} goes",
            "to" if is_coming_in else "from": word,
            "only": entries("from" if is_coming_in else "to", said, ends, required),
        }

    # -- directions that stay open

    def _open(self, needed: Sequence[ObservedConnection]) -> Iterator[Mapping[str, Any]]:
        """A test for each pair of ends of which no end is closed."""
        pairs: dict[tuple[str, str], PortSet] = {}
        for each in needed:
            source, to = self._word_of(each.source), self._word_of(each.destination)
            ports = PortSet.port(each.protocol, each.port)
            if source and to and ports <= self._allowed(each):
                self._held.add(each)
                pairs[source, to] = pairs.get((source, to), PortSet()) | ports
        for (source, to), ports in pairs.items():
            yield {
                "name": f"{source} reaches {to}",
                "from": source,
                "to": to,
                "ports": port_words(ports),
                "expect": "allow",
            }

    def _allowed(self, each: ObservedConnection) -> PortSet:
        """What all of one end is allowed to all of the other."""
        if each.destination.workload is not None:
            said = self._said(each.destination.workload, Direction.INGRESS)
            far = self._numbers(each.source)
        else:
            assert each.source.workload is not None
            said = self._said(each.source.workload, Direction.EGRESS)
            far = self._numbers(each.destination)
        both = common(said, far)
        return both[0] if both is not None else PortSet()

    def _said(self, ref: ObjectRef, direction: Direction) -> PortsByClass:
        ask = received if direction is Direction.INGRESS else sent
        return ask(self._world, self._classes(ref))

    # -- ends

    def _word(self, ref: ObjectRef, name: str) -> str:
        """What pods are called in the file: those that are assumed, by their labels."""
        if ref not in self._assumed:
            return name
        labels = ",".join(f"{key}={value}" for key, value in DNS_LABELS)
        return f"{ref.namespace}/{labels}"

    def _word_of(self, party: KnownEnd) -> str:
        """An end as a test file writes it, "" where it cannot."""
        if party.workload is not None:
            return self._words.get(party.workload, "")
        if party == OUTSIDE:
            return "outside"
        if party.block is not None:
            first, *others = party.block.networks()
            return "" if others else str(first)
        return str(party.address) if party.address is not None else ""

    def _classes_of_words(self) -> dict[str, list[int]]:
        """The classes of all workloads by their words; one word may be about several."""
        found: dict[str, list[int]] = {}
        for ref, word in self._words.items():
            found[word] = found.get(word, []) + self._classes(ref)
        return found

    def _classes(self, ref: ObjectRef) -> list[int]:
        return sorted({self._world.class_of[pod] for pod in self._pods.get(ref, ())})

    def _numbers(self, party: KnownEnd) -> list[int]:
        """The classes of an end."""
        world = self._world
        if party.workload is not None:
            return self._classes(party.workload)
        if party == OUTSIDE:
            return [n for n in world.outside if world.index.classes[n].outside]
        if party.block is not None:
            return [n for n in world.outside if party.block & _outside(world, n)]
        if party.address is None:
            return []
        return [n for n in world.outside if party.address in _outside(world, n)]


def _outside(world: ClusterWorld, number: int) -> AddressSet:
    return world.index.classes[number].outside or AddressSet()


def _named(test: Mapping[str, Any]) -> Iterator[str]:
    """The words of all ends of a test."""
    for part in (test, *test.get("only", ())):
        for ends in (part.get("from"), part.get("to")):
            yield from (end for end in _listed(ends) if isinstance(end, str))


def _listed(ends: Any) -> Sequence[Any]:
    return ends if isinstance(ends, list) else [ends]
