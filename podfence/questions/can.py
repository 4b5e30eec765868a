"""Can SRC reach DST on a port? One question, one answer, for one or for thousands."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from msgspec import Struct
from msgspec.structs import replace

from podfence.engine.evaluate import EvaluatedEnd, Evaluator
from podfence.errors import QuestionError
from podfence.model.claims import claims
from podfence.model.cluster import Cluster
from podfence.model.doubt import Doubt
from podfence.model.meta import DEFAULT_NAMESPACE, ObjectRef
from podfence.policy.compile import audit_of, compile_cluster
from podfence.policy.domains import DomainTable
from podfence.policy.flow import Decision, Direction, Flow, Verdict
from podfence.policy.index import Endpoint, PolicyIndex
from podfence.questions.certainty import Certainty
from podfence.questions.dns import DnsNotes
from podfence.questions.parties import PartyEnd, PartyLookup, literal
from podfence.questions.phrases.known import ObjectLookup
from podfence.questions.phrases.words import some
from podfence.questions.selecting import audited_at, audited_of
from podfence.questions.services import ServiceBackends, Services
from podfence.sets.addresses import IPAddress
from podfence.sets.ports import MAX_PORT, OTHER, PROTOCOLS


class Can(Struct, frozen=True):
    """``port``: a number, or the name of a container port of the destination; ``protocol`` upper
    case. ``OTHER`` asks for protocols without ports (ICMP, ...); its port is 0. ``namespace``: that
    of names of the form ``kind/name``."""

    source: str
    destination: str
    port: int | str
    protocol: str = "TCP"
    namespace: str = DEFAULT_NAMESPACE


class EndPair(Struct, frozen=True):
    """The question for one pair of ends. ``family`` is None when an end has no address yet."""

    source: PartyEnd
    destination: PartyEnd
    family: int | None
    port: int
    protocol: str
    verdict: Verdict

    @property
    def judged_family(self) -> int:
        """The IP version that was judged: where an end has no address yet, one of the other's."""
        return self.family or _family_of(self.source, self.destination)

    @property
    def pods(self) -> tuple[str, ...]:
        """The pods among its ends, ``namespace/name``."""
        ends = (self.source.endpoint, self.destination.endpoint)
        return tuple(f"{e.pod.namespace}/{e.pod.name}" for e in ends if e is not None)


def _family_of(source: PartyEnd, destination: PartyEnd) -> int:
    known = (*source.addresses, *destination.addresses)
    return known[0].version if known else 4


class AuditedAnswer(Struct, frozen=True):
    """The answer if audited policies were enforced. ``policies``: those that apply to an end in a
    direction whose verdict would change; if no verdict would change, those that apply in any
    direction."""

    answer: CanAnswer
    policies: tuple[ObjectRef, ...]


class CanAnswer(Struct, frozen=True):
    """``cases``: every pair of pods and every IP family that the question may mean; the first
    decides unless they differ. ``note``: "", or what a bare yes or no would hide."""

    question: Can
    cases: tuple[EndPair, ...]
    allowed: bool
    note: str = ""
    doubts: tuple[Doubt, ...] = ()
    """What could not be read and could turn the answer: with any, ``allowed`` is no answer."""
    audited: AuditedAnswer | None = None
    """Where audited policies apply to an end (AUD-3)."""

    @property
    def case(self) -> EndPair:
        """The case behind ``allowed``."""
        return next(c for c in self.cases if c.verdict.allowed is self.allowed)

    @property
    def verdict(self) -> Verdict:
        """The verdict behind ``allowed``."""
        return self.case.verdict


class QueryEvaluator:
    """Answers questions about one index."""

    def __init__(self, index: PolicyIndex) -> None:
        self.index = index
        self.directory = PartyLookup(index)
        self._services = Services(index, self.directory)
        self._judge = Evaluator(index)
        self._known = ObjectLookup(index.cluster)
        self._dns = DnsNotes(index)
        self._certainty = Certainty(index)

    def can(self, question: Can) -> CanAnswer:
        """Raises UnknownObject or QuestionError when the question cannot be asked."""
        answer = self._enforced(question)
        if self.with_audited is None:
            return answer
        would = self.with_audited.can(question)
        policies = self._audited(answer, would)
        return replace(answer, audited=AuditedAnswer(would, policies)) if policies else answer

    @cached_property
    def with_audited(self) -> QueryEvaluator | None:
        """Who answers as if audited policies were enforced; None: there are none."""
        index = audit_of(self.index)
        return None if index is None else QueryEvaluator(index)

    def _audited(self, answer: CanAnswer, would: CanAnswer) -> tuple[ObjectRef, ...]:
        """The audited policies where a direction would be judged otherwise, else all that apply."""
        assert self.with_audited is not None
        audited = audited_of(self.index)
        found: dict[bool, dict[ObjectRef, None]] = {True: {}, False: {}}
        for was, case in zip(answer.cases, would.cases, strict=True):
            for direction, end in zip(Direction, (case.source, case.destination), strict=True):
                turned = was.verdict.of(direction).allowed is not case.verdict.of(direction).allowed
                if end.endpoint is not None:
                    asked = (self.with_audited.index, audited, end.endpoint, direction)
                    found[turned].update(dict.fromkeys(audited_at(*asked)))
        return tuple(found[True] or found[False])

    def _enforced(self, question: Can) -> CanAnswer:
        check_port(question)
        behind = self._behind(question)
        cases = self._cases(question, behind)
        first = cases[0]
        if self._certainty.doubts and (doubts := self._doubts(question, behind, cases)):
            return CanAnswer(question, cases, first.verdict.allowed, doubts=doubts)
        if behind is None and len(cases) == 1 and self._is_plain(first):
            return CanAnswer(question, cases, first.verdict.allowed)
        primary = [c for c in cases if c.family == first.family]
        allowed = all(c.verdict.allowed for c in primary)
        denied = [] if allowed else [c for c in primary if not c.verdict.egress.allowed]
        service = behind.note if behind else ""
        notes = (service, _note(cases, allowed), *self._about(cases), *self._open(denied))
        return CanAnswer(question, cases, allowed, "; ".join(filter(None, dict.fromkeys(notes))))

    def ends(self, question: Can) -> tuple[PartyEnd, ...]:
        """Every end of a connection that the question asks about; of a Service what is behind it.

        Raises UnknownObject or QuestionError when an end cannot be found.
        """
        behind = self._behind(question)
        found = self.directory.find(question.source, question.namespace).ends
        if behind is not None:
            return (*found, *(end for end, _ in behind.ways))
        return (*found, *self.directory.find(question.destination, question.namespace).ends)

    def _behind(self, question: Can) -> ServiceBackends | None:
        asked = (question.destination, question.namespace, question.port, question.protocol)
        return self._services.behind(*asked)

    def _doubts(
        self, question: Can, behind: ServiceBackends | None, cases: tuple[EndPair, ...]
    ) -> tuple[Doubt, ...]:
        found: dict[Doubt, None] = {}
        names = [question.source]
        if behind is None:
            names.append(question.destination)
        else:
            found.update(dict.fromkeys(self._certainty.behind(behind.service)))
        for name in names:
            owner = self.directory.find(name, question.namespace).workload
            found.update(dict.fromkeys(self._certainty.pods_of(owner)))
        for case in cases:
            doubts = self._certainty.open(case.source, case.destination, case.verdict)
            found.update(dict.fromkeys(doubts))
        return tuple(found)

    def _is_plain(self, case: EndPair) -> bool:
        """Whether there is nothing to note about a question's only case: two pods with addresses,
        and nothing that DNS could turn."""
        pods = (case.source.endpoint, case.destination.endpoint)
        if any(pod is None or pod.doubtful for pod in pods):
            return False
        return case.family is not None and (case.verdict.egress.allowed or not self._dns)

    def _cases(self, question: Can, behind: ServiceBackends | None) -> tuple[EndPair, ...]:
        sources = self.directory.find(question.source, question.namespace).ends
        if behind is None:
            destinations = self.directory.find(question.destination, question.namespace).ends
            ways = tuple((d, port) for d in destinations for port in _ports(question, d))
        else:
            ways = behind.ways
        triples = [(s, d, port) for s in sources for d, port in ways]
        if behind:  # a client takes the address of an IP version that it has
            triples = [each for each in triples if _share_a_version(*each[:2])] or triples
        others = [(s, d, port) for s, d, port in triples if s != d]
        how = question.protocol, behind is not None
        cases = [case for each in others or triples for case in self._judged(*each, *how)]
        if behind and others:  # it may lead back to who asks, and only tiers judge that (CNP-27)
            back = (self._judged(*each, *how) for each in triples if each[0] == each[1])
            cases += (c for found in back for c in found if c.family and not c.verdict.allowed)
        return tuple(cases)

    def _about(self, cases: tuple[EndPair, ...]) -> Iterator[str]:
        """What literal addresses are, if no pod has them, and other pods that may have a pod's
        address."""
        ends = {end.name: end for case in cases for end in (case.source, case.destination)}
        for end in ends.values():
            if end.endpoint is not None:
                yield from (self._known.doubt(end.name, a) for a in end.endpoint.doubtful)
            elif end.is_address:
                yield self._known.address(end.addresses[0])

    def _open(self, denied: list[EndPair]) -> Iterator[str]:
        """What DNS could turn in cases whose source may not connect."""
        found: dict[str, None] = {}
        for case in denied:
            address = case.destination.address(case.family) if case.family else None
            if case.source.endpoint is not None and address is not None:
                ask = (case.source.endpoint, address, case.protocol, case.port)
                found.update(dict.fromkeys(self._dns.about(*ask)))
        yield from found

    def _judged(
        self, source: PartyEnd, destination: PartyEnd, port: int, protocol: str, through: bool
    ) -> list[EndPair]:
        if not source.addresses or not destination.addresses:
            verdict = self._without_address(source, destination, port, protocol)
            return [EndPair(source, destination, None, port, protocol, verdict)]
        cases: list[EndPair] = []
        for address in destination.addresses:
            peer = source.address(family := address.version)
            if peer is not None:
                sides = self.side(source, peer), self.side(destination, address)
                flow = Flow(peer, address, protocol, port)
                verdict = self._judge.between(*sides, flow, through=through)
                cases.append(EndPair(source, destination, family, port, protocol, verdict))
        if not cases:
            raise QuestionError(
                f"{source.name} and {destination.name} share no IP family: "
                f"{_families(source)} against {_families(destination)}"
            )
        return cases

    def _without_address(
        self, source: PartyEnd, destination: PartyEnd, port: int, protocol: str
    ) -> Verdict:
        """A pod that waits for its address is already a subject, but no peer yet (NP-58)."""
        ask = (_family_of(source, destination), protocol, port)
        near, far = self.side(source, None), self.side(destination, None)
        return Verdict(
            self._judge.decision(near, Direction.EGRESS, far.endpoint_class, ask),
            self._judge.decision(far, Direction.INGRESS, near.endpoint_class, ask),
        )

    def decider(
        self,
        end: PartyEnd,
        direction: Direction,
        remote: int,
        ask: tuple[int, str, int],
        decision: Decision,
    ) -> Endpoint | None:
        """The pod whose policies made a decision: one of several where the end is an address that
        they may have. None: the end is no pod. ``ask``: family, protocol and port."""
        side = self.side(end, end.address(ask[0]))
        for subject in side.subjects:
            if self._judge.end(subject, direction, remote, *ask) == decision:
                return subject
        return side.subjects[0] if side.subjects else None

    def side(self, end: PartyEnd, address: IPAddress | None) -> EvaluatedEnd:
        """An end as it is judged. A pod or node that was named is itself, even if other pods have
        its address. An address is the pod that has it (NP-60a)."""
        if end.endpoint is not None:
            return EvaluatedEnd((end.endpoint,), end.endpoint.endpoint_class)
        address = address or end.addresses[0]
        if end.is_address:
            return self._judge.side(address)
        return EvaluatedEnd((), self.index.outside_lookup.find(address), of_node=True)


def asker_of(
    cluster: Cluster, names: DomainTable, question: Can, *, explains: bool = False
) -> QueryEvaluator:
    """Answers one question as ``QueryEvaluator`` of the whole cluster does, in less time.

    A NetworkPolicy selects only pods of its own namespace (NP-3), so only the policies and pods in
    the namespaces of the two ends are compiled. ``explains``: the answer is to be explained, which
    takes the other pods too: a rule that fits neither end may match them.

    Raises UnknownObject or QuestionError when an end cannot be found.
    """
    namespaces = frozenset(_namespaces(cluster, question))
    concerned = tuple(p for p in cluster.policies if p.ref.namespace in namespaces)
    asked = replace(cluster, policies=concerned)
    if not (explains or cluster.doubts or cluster.admin_policies or claims(cluster.pods)):
        pods = [pod for pod in cluster.pods if pod.namespace in namespaces]
        asker = QueryEvaluator(compile_cluster(asked, names, pods))
        if all(end.endpoint is not None or end.is_address for end in asker.ends(question)):
            return asker
    asker = QueryEvaluator(compile_cluster(asked, names))
    asker.ends(question)  # a name that means nothing is said before a port that no packet has
    return asker


def _namespaces(cluster: Cluster, question: Can) -> Iterator[str]:
    """Every namespace in which an end of a connection may be that the question is about."""
    addresses: set[IPAddress] = set()
    yield question.namespace
    for name in (question.source, question.destination):
        address = literal(name)
        if address is None:
            yield name.partition("/")[0]
        else:
            addresses.add(address)
    # Behind a Service are pods of its namespace, or those that have the addresses of its endpoints.
    for service in cluster.services:
        if not addresses.isdisjoint(service.addresses):
            yield service.ref.namespace
    for each in cluster.endpoint_slices:
        addresses.update(address for subset in each.subsets for address in subset.addresses)
    for pod in cluster.pods if addresses else ():
        if not addresses.isdisjoint(pod.addresses):
            yield pod.namespace


def check_port(question: Can) -> None:
    """Raises QuestionError for a protocol or port number that no packet can have."""
    if question.protocol not in (*PROTOCOLS, OTHER):
        raise QuestionError(
            f"unknown protocol {question.protocol!r}; known are TCP, UDP, SCTP and ICMP"
        )
    port = question.port
    low = 0 if question.protocol == OTHER else 1
    if isinstance(port, int) and not low <= port <= MAX_PORT:
        raise QuestionError(f"port {port} is not between 1 and {MAX_PORT}")


def _share_a_version(source: PartyEnd, destination: PartyEnd) -> bool:
    """Whether a connection is possible; an end without an address yet may get any."""
    if not source.addresses or not destination.addresses:
        return True
    return any(source.address(address.version) for address in destination.addresses)


def _ports(question: Can, destination: PartyEnd) -> list[int]:
    """A number is itself; a name is what the destination pod declares (NP-32..NP-34)."""
    if isinstance(question.port, int):
        return [question.port]
    declared = destination.endpoint.pod.ports if destination.endpoint else ()
    found = sorted(
        {
            p.port
            for p in declared
            if p.name == question.port and p.protocol.value == question.protocol
        }
    )
    if not found:
        names = sorted({f"{p.name}/{p.protocol.value}" for p in declared if p.name})
        raise QuestionError(
            f"{destination.name} declares no {question.protocol} port named {question.port!r}"
            + (f"; it declares {', '.join(names)}" if names else "")
        )
    return found


def _families(end: PartyEnd) -> str:
    return " and ".join(sorted({f"IPv{a.version}" for a in end.addresses}))


def _note(cases: tuple[EndPair, ...], allowed: bool) -> str:
    """What differs between the cases, and what is not known yet."""
    other = [c for c in cases if c.verdict.allowed is not allowed]
    if other:
        named = [
            f"{c.source.name} to {c.destination.name}:{c.port}"
            + (f" over IPv{c.family}" if c.family else "")
            for c in other
        ]
        words = some(named, 5, ", ")
        return f"not the same for all: {'yes' if not allowed else 'no'} for {words}"
    waiting = {e.name for c in cases for e in (c.source, c.destination) if not e.addresses}
    if waiting:
        return f"no address yet: {', '.join(sorted(waiting))}"
    return ""
