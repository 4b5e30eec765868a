"""A lab that is up: what it enforces now, and how it becomes something else.

Rule: a change is all of it or nothing. Whatever is refused, by us or by the kernel, leaves pods,
rules and answers as they were.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import inf
from time import monotonic, sleep

from podfence.errors import LabError, PodfenceError, Position, Source
from podfence.lab.messages import (
    Apply,
    Down,
    Exec,
    Input,
    Message,
    Namespace,
    Reply,
    Status,
    TryAll,
    Why,
)
from podfence.lab.probing.process import LabProcess
from podfence.lab.probing.requests import Build, Enforce, Grow, Settle, Try, Unwatch, Watch, Where
from podfence.lab.run import (
    LabOptions,
    dial_all,
    families,
    local_node,
    report,
    try_all,
    with_services,
)
from podfence.lab.testbed.compare import Observed, agrees, expect
from podfence.lab.testbed.control import control_of, live_control, live_controls
from podfence.lab.testbed.liveflows import Flows, watched_flows
from podfence.lab.testbed.livetraffic import Watched, account
from podfence.lab.testbed.outcome import Outcome
from podfence.lab.testbed.placement import place
from podfence.lab.testbed.probeplan import LabPlan, Party, Side, make_plan
from podfence.lab.testbed.probes import Probe
from podfence.lab.testbed.report import Timings
from podfence.lab.testbed.services import dialled, dials, due, frontends, judge_dials, services_text
from podfence.model.cluster import Cluster
from podfence.model.meta import DEFAULT_NAMESPACE
from podfence.model.objects import IPAddress
from podfence.nft.difference import diff, load
from podfence.nft.lowering.epoch import generation, succeed
from podfence.nft.lowering.lower import lower
from podfence.nft.ruleset import Ruleset
from podfence.nft.transaction import Transaction
from podfence.policy.compile import compile_cluster
from podfence.policy.index import PolicyIndex
from podfence.questions.can import Asker, Can, Case
from podfence.questions.diff import changed_verdicts, changes_text
from podfence.questions.parties import NODE
from podfence.questions.why import why
from podfence.render.lab import outcome_text, report_text
from podfence.render.verdicts import why_text
from podfence.text import printable

_BEFORE, _AFTER = 0.2, 0.3
"""Seconds for which connections are watched before and after a change."""


@dataclass(frozen=True, slots=True)
class World:
    """Everything that follows from one input. ``rules``: what each node enforces, by its name."""

    input: Input
    index: PolicyIndex
    plan: LabPlan
    rules: dict[str, Ruleset]


def world(read: Input, options: LabOptions, before: World | None = None) -> World:
    """What a lab is to be; ``before``: what it is. Raises LabError when there is nothing to
    build."""
    cluster = Cluster.of(read.objects)
    placed = place(cluster, options.nodes, None if before is None else before.index.cluster)
    index = compile_cluster(placed, read.names)
    plan = make_plan(index, options.limits, families())
    if not any(party.side is Side.POD for party in plan.parties):
        raise LabError(
            "nothing to build: no pod of the input has an address that a lab can give it"
        )
    rules = {node.name: lower(index, local_node(plan, node)) for node in plan.nodes}
    if before is not None:
        rules = {name: succeed(before.rules[name], wanted) for name, wanted in rules.items()}
    return World(read, index, plan, rules)


class Session:
    """Answers messages, one after the other. Raises PodfenceError where one cannot be done."""

    def __init__(self, name: str, lab: LabProcess, first: World, options: LabOptions) -> None:
        """Builds and enforces ``first``."""
        self._name = name
        self._lab = lab
        self._options = options
        self._since = datetime.now().astimezone()
        self._world = first
        self._served: dict[str, str] = {}
        self.committed = monotonic()
        lab.call(Build())
        self._serve(first)
        for node, rules in first.rules.items():
            lab.call(Enforce(node, load(rules)))

    def do(self, message: Message) -> Reply | Namespace:
        """Answer one message."""
        match message:
            case Apply(read, watch):
                return self.apply(read, watch=watch)
            case Why(question):
                return self.why(question)
            case TryAll():
                return self.test()
            case Exec(node, pod, namespace):
                is_node = node in self._world.index.cluster.nodes
                return self.where(node if is_node else pod, namespace)
            case Status():
                return self.status(parties=True)
            case Down():
                return Reply(f"lab {self._name} is down\n")

    # -- state

    @property
    def plan(self) -> LabPlan:
        """What the lab is now."""
        return self._world.plan

    def status(self, *, parties: bool = False) -> Reply:
        """What is there; ``parties``: and who, with what can be dialled."""
        plan = self._world.plan
        pods = [party for party in plan.parties if party.side is Side.POD]
        how = " rootless" if self._lab.rootless else ""
        cluster = self._world.index.cluster
        policies = len(cluster.policies) + len(cluster.admin_policies)
        lines = [f"lab {self._name} is up{how} since {self._since:%Y-%m-%d %H:%M:%S}"]
        lines.append(f"{len(pods)} pods, {len(plan.nodes)} node(s), {policies} policies")
        for node in plan.nodes:
            here = sum(party.node == node.name for party in pods)
            addresses = ", ".join(map(str, node.addresses))
            number = generation(self._world.rules[node.name])
            lines.append(
                f"  node {printable(node.name)} ({addresses}): {here} pods, generation {number}"
            )
            if parties:
                lines.extend(f"    {_with_addresses(p)}" for p in pods if p.node == node.name)
        lines.extend(self._beyond() if parties else ())
        lines.extend(f"note: {printable(note)}" for note in plan.notes)
        return Reply("".join(f"{line}\n" for line in lines))

    def _beyond(self) -> Iterator[str]:
        """Outside addresses and Services, a line each."""
        outside = [p.name for p in self.plan.parties if p.side is Side.OUTSIDE]
        if outside:
            yield f"  outside: {', '.join(outside)}"
        for service in self._world.index.cluster.services:
            if service.cluster_ips:
                addresses = ", ".join(map(str, service.cluster_ips))
                ports = ", ".join(f"{p.protocol.value}/{p.port}" for p in service.ports)
                yield f"  service {printable(str(service.ref))} ({addresses}): {ports}"

    def where(self, name: str, namespace: str = DEFAULT_NAMESPACE) -> Namespace:
        """The namespace of a node, a pod, or a workload's first pod."""
        if name not in self._world.index.cluster.nodes:
            end = self._asker.directory.find(name, namespace).ends[0]
            name = end.name if end.what != NODE else end.name.removeprefix("node/")
        number = self._lab.call(Where(name)).number
        return Namespace(self._lab.pid, number, self._lab.rootless)

    def _locate(self, source: Source | None, path: str) -> Position | None:
        return None if source is None else self._world.input.positions.locate(source, path)

    @property
    def _asker(self) -> Asker:
        return Asker(self._world.index)

    # -- change

    def apply(self, read: Input, *, watch: bool = False) -> Reply:
        """Become another cluster, and say what that changed; ``watch``: and what live connections
        noticed of it."""
        old, new = self._world, world(read, self._options, self._world)
        flows = watched_flows(old.index, new.index, old.plan, new.plan) if watch else Flows()
        if watch:
            self._lab.call(Watch((*flows.revoked, *flows.kept)))
            sleep(_BEFORE)
        try:
            lines = [*self._become(old, new)]
        finally:
            found = self._unwatch() if watch else None
        if found is not None:
            lines.extend(self._watched(flows, found))
        return Reply("".join(f"{line}\n" for line in lines))

    def _unwatch(self) -> Watched:
        sleep(_AFTER)
        found = self._lab.call(Unwatch()).watched
        assert found is not None
        return found

    def _watched(self, flows: Flows, found: Watched) -> Iterator[str]:
        forever = [(self.committed, inf)]
        seen = account(found, dict.fromkeys(range(len(flows.revoked)), forever))
        yield (
            f"watched: {seen.revoked_flows} connections revoked, {seen.leaked} of {seen.refused} "
            f"messages came after the commit; {seen.kept_flows} connections kept, {seen.lost} of "
            f"{seen.kept} messages lost"
        )

    def _become(self, old: World, new: World) -> Iterator[str]:
        changes = {node: diff(old.rules[node], rules) for node, rules in new.rules.items()}
        start = monotonic()
        try:
            self._lab.call(Grow(new.plan))
            self._serve(new)
            self._commit({node: change for node, change in changes.items() if change}, old, new)
        except PodfenceError:
            self._lab.call(Settle(old.plan))
            self._serve(old)
            raise
        self._world = new
        self._lab.call(Settle(new.plan))
        yield from _applied(old, new, changes, monotonic() - start)

    def _serve(self, wanted: World) -> None:
        """Make the Services of a world reachable on every node."""
        every = frontends(wanted.index, wanted.plan)
        texts = {node.name: services_text(node, every) for node in wanted.plan.nodes}
        for node, text in texts.items():
            if self._served.get(node) != text:
                self._lab.call(Enforce(node, text))
                self._served[node] = text

    def _commit(self, changes: dict[str, Transaction], old: World, new: World) -> None:
        """One transaction a node. When one of several is refused, the others are taken back."""
        done: list[str] = []
        try:
            for node, change in changes.items():
                self._lab.call(Enforce(node, change))
                done.append(node)
            self.committed = monotonic()
        except PodfenceError:
            for node in done:
                back = succeed(new.rules[node], old.rules[node])
                self._lab.call(Enforce(node, diff(new.rules[node], back)))
                old.rules[node] = back
            raise

    # -- packets

    def test(self) -> Reply:
        """Every probe again, with the policies as they are."""
        plan, index = self._world.plan, self._world.index
        start = monotonic()
        tried = live_controls(plan)
        answers = self._lab.call(Try(tried, self._options.patience)).outcomes
        control = live_control(plan, tried, answers)
        controlled = monotonic() - start
        allowed = expect(index, plan)
        sent = try_all(self._lab, self._options, allowed, control)
        observed = Observed(plan, index, allowed, control, sent.outcomes)
        timings = Timings(0.0, controlled, 0.0, sent.seconds, 0.0)
        rootless = self._lab.rootless
        found = report(observed, sent.repeated, timings, rootless=rootless, live=True)
        every = frontends(index, plan)
        calls = dials(plan, every)
        judged = judge_dials(index, plan, every, calls)
        answered = dial_all(self._lab, plan, every, calls, self._options, due(judged))
        seen = dialled(plan, every, calls, judged, answered)
        found = with_services(found, len(calls), *seen)
        workloads = {f"{p.namespace}/{p.name}": str(p.owner or p.ref) for p in index.cluster.pods}
        text = report_text(found, workloads, self._locate)
        return Reply(text, 0 if found.clean else 1)

    def why(self, question: Can) -> Reply:
        """The engine's reasons, and what becomes of a real packet."""
        answer = why(self._asker, question)
        text = why_text(answer, self._locate)
        packet = "".join(f"{line}\n" for line in self._packet(answer.case))
        return Reply(f"{text}\n{packet}", 0 if answer.can.allowed else 1)

    def _packet(self, case: Case) -> Iterator[str]:
        if case.family is None:
            yield "packet: none sent, for an end has no address yet"
            return
        places = [self._place(end.address(case.family)) for end in (case.source, case.destination)]
        source, target = places
        address = case.destination.address(case.family)
        if any(address in s.cluster_ips for s in self._world.index.cluster.services):
            yield f"packet: none sent, for {address} only stands for pods; ask for one of them"
            return
        if source is None or target is None:
            yield "packet: none sent, for the lab has no such party; see podfence lab status"
            return
        probe = Probe(source, target, case.family, case.protocol, case.port)
        listening = control_of(self._world.plan, probe)
        answers = self._lab.call(Try([probe, listening], self._options.patience)).outcomes
        outcome = Outcome(answers[0])
        same = (
            "as the engine says" if agrees(case.verdict.allowed, outcome) else "the engine DIFFERS"
        )
        yield f"packet: {outcome_text(self._world.plan, probe, outcome)}: {same}"
        if outcome != Outcome.OPEN:
            yield f"control: {outcome_text(self._world.plan, listening, Outcome(answers[1]))}"

    def _place(self, address: IPAddress | None) -> int | None:
        parties = self._world.plan.parties
        return next((at for at, p in enumerate(parties) if address in p.addresses), None)


def _applied(old: World, new: World, made: dict[str, Transaction], seconds: float) -> Iterator[str]:
    """What became of a change, in lines."""
    yield from _pods("new pod", new.plan, old.plan)
    yield from _pods("pod gone", old.plan, new.plan)
    outside = _outside((old.plan, new.plan))
    changes = changed_verdicts(old.index, new.index, outside)
    yield from changes_text(changes)
    if not changes:
        yield "no verdict changed"
    touched = sum(map(bool, made.values()))
    judged = sum(
        generation(old.rules[node]) != generation(rules) for node, rules in new.rules.items()
    )
    yield (
        f"applied in {seconds:.2f} s: {touched} of {len(made)} node(s) got other rules"
        + (f", live connections are judged again on {judged}" if judged else "")
    )
    yield from (f"note: {printable(note)}" for note in new.plan.notes)


def _with_addresses(party: Party) -> str:
    return f"{printable(party.name)} ({', '.join(map(str, party.addresses))})"


def _pods(word: str, plan: LabPlan, other: LabPlan) -> Iterator[str]:
    known = {party.name: party for party in other.parties}
    for party in plan.parties:
        if party.side is Side.POD and known.get(party.name) != party:
            yield f"{word}: {_with_addresses(party)} on {printable(party.node)}"


def _outside(plans: Sequence[LabPlan]) -> list[IPAddress]:
    """Outside addresses that take part in any plan."""
    parties: dict[Party, None] = {
        party: None for plan in plans for party in plan.parties if party.side is Side.OUTSIDE
    }
    return [address for party in parties for address in party.addresses]
