"""Why can somebody come in through an entry, or not? Who sends, and what policies say of that.

Rule: the states are those of ``judge_entries``; an explanation is added only where it agrees with
the state. Without a known sender every rule is shown by its ports alone, since whom it lets in is
what is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct
from msgspec.structs import replace

from podfence.errors import QuestionError
from podfence.model.entries import Controllers, Entries, EntryPath, EntryPoint
from podfence.policy.index import CompiledTier
from podfence.policy.origin import Origin
from podfence.questions.can import Can, CanAnswer, EndPair, QueryEvaluator
from podfence.questions.controllers import Finder
from podfence.questions.entries import judge_entries
from podfence.questions.entryrows import EntryRow, EntryState
from podfence.questions.phrases.words import some
from podfence.questions.why import WhyAnswer, explained
from podfence.sets import PortSet


class PortRule(Struct, frozen=True):
    """A rule by its ports alone. ``fits``: it is about the port of the entry."""

    origin: Origin
    ports: PortSet
    fits: bool


class EntryWay(Struct, frozen=True):
    """One row about an entry, explained. ``sent``: who sends, and how that is known. ``pair``: an
    example of its senders and of its pods, judged; None where there is none. ``case``: the case of
    it that has the state of the row. ``rules``: of the pods, where no sender is known."""

    row: EntryRow
    sent: str
    pair: CanAnswer | None = None
    case: EndPair | None = None
    isolated_by: tuple[Origin, ...] = ()
    rules: tuple[PortRule, ...] = ()

    @property
    def pods(self) -> tuple[str, ...]:
        """The pods that it is about."""
        return (*self.row.pods, *(self.case.pods if self.case else ()))


class EntryAnswer(Struct, frozen=True):
    """All ways of the entries that a word names. ``name``: that word."""

    name: str
    ways: tuple[EntryWay, ...]

    @property
    def allowed(self) -> bool | None:
        """Whether all its ways are open; None: of some that is unknown."""
        states = {way.row.state for way in self.ways}
        if EntryState.UNKNOWN in states:
            return None
        return states == {EntryState.OPEN}


class EntryAsker:
    """Answers about entries of one index. ``known``: who serves which class, as the configuration
    says."""

    def __init__(self, asker: QueryEvaluator, entries: Entries, known: Controllers) -> None:
        self._asker = asker
        self._entries = entries
        self._known = known
        self._finder = Finder(asker.index, entries, known)

    def answer(
        self, name: str, entries: Iterable[EntryPoint], target: Can | None = None
    ) -> EntryAnswer:
        """Every way of some entries. ``target``: only to the pods and the port of its destination;
        port 0 is any. Raises QuestionError where they do not lead there, UnknownObject for a
        target that there is not."""
        chosen = replace(self._entries, entries=tuple(entries))
        rows = judge_entries(self._asker.index, chosen, self._known)
        if target is not None:
            rows = self._leading_to(name, rows, target)
        return EntryAnswer(name, tuple(map(self._way, rows)))

    def _leading_to(
        self, name: str, rows: tuple[EntryRow, ...], target: Can
    ) -> tuple[EntryRow, ...]:
        party = self._asker.directory.find(target.destination, target.namespace)
        wanted = {end.name for end in party.ends}
        found = []
        for row in rows:
            pods = tuple(pod for pod in row.pods if pod in wanted)
            if pods and (not target.port or row.port == f"{target.protocol}/{target.port}"):
                found.append(replace(row, pods=pods))
        if not found:
            ways = list(dict.fromkeys(f"{row.to}{_on(row)}" for row in rows))
            asked = f"{target.destination}{f':{target.port}' if target.port else ''}"
            raise QuestionError(f"{name} does not lead to {asked}; it leads to {some(ways, 5)}")
        return tuple(found)

    def _way(self, row: EntryRow) -> EntryWay:
        way = EntryWay(row, self._sent(row))
        if row.sender and row.pods:
            pair, case = self._example(row)
            if case is not None:
                return replace(way, pair=pair, case=case)
        isolated_by = tuple(origin for tier in self._tiers(row) for origin in tier.isolated_by)
        return replace(way, isolated_by=isolated_by, rules=tuple(self._rules(row)))

    def _sent(self, row: EntryRow) -> str:
        """The first hop in words."""
        entry = row.entry
        if entry.way is EntryPath.CONTROLLER:
            named = row.sender or row.controller
            who = row.sources if named else "an unknown controller"
            return f"{who} ({self._finder.grounds(entry)})"
        said = "the client"
        if entry.way is EntryPath.NODE:
            said = "the client, a load balancer or a node (externalTrafficPolicy: Cluster)"
        elif entry.pods_of is not None:
            said += ", whose address a hostPort keeps"
        else:
            said += ", whose address externalTrafficPolicy: Local keeps"
        if entry.ranges:
            said += f", if it is in {some([str(each) for each in entry.ranges], 4, ', ')}"
        return f"{said}; for example {row.sender}" if row.sender else said

    # -- the second hop

    def _example(self, row: EntryRow) -> tuple[CanAnswer | None, EndPair | None]:
        """The question about one sender and one pod, and the case of it that shows the state."""
        protocol, _, port = row.port.partition("/")
        pod = row.pods[0]
        try:
            answer = self._asker.can(Can(row.sender, pod, int(port), protocol))
        except QuestionError:  # no IP version in common: that is said by the row
            return None, None
        cases = (case for case in answer.cases if _agrees(case, row.state))
        return answer, next(cases, None)

    def explanation(self, way: EntryWay) -> WhyAnswer | None:
        """Its example with every policy that decided or came near."""
        if way.pair is None or way.case is None:
            return None
        return explained(self._asker, way.pair, way.case)

    def _tiers(self, row: EntryRow) -> tuple[CompiledTier, ...]:
        index = self._asker.index
        if not row.pods:
            return ()
        return index.policies[index.endpoints[row.pods[0]].endpoint_class].ingress.tiers

    def _rules(self, row: EntryRow) -> Iterator[PortRule]:
        protocol, _, port = row.port.partition("/")
        for tier in self._tiers(row):
            for rule in tier.rules:
                ports = PortSet.union(match.ports for match in rule.matches)
                yield PortRule(rule.origin, ports, (protocol, int(port)) in ports)


def _agrees(case: EndPair, state: EntryState) -> bool:
    """Whether a case shows the state of a row; it shows nothing against one that is unknown."""
    return state is EntryState.UNKNOWN or case.verdict.allowed is (state is EntryState.OPEN)


def _on(row: EntryRow) -> str:
    return f" {row.port}" if row.port else ""
