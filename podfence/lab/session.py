"""A lab that is up: what it enforces now, and how it changes. Process: the background one of a lab.

Rule: a change happens completely or not at all. If the lab or the kernel refuses it, pods, rules
and answers stay as they were. Answers are values (``lab.replies``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from math import inf
from time import monotonic, sleep
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from podfence.drops.record import Drops
from podfence.errors import LabError, PodfenceError
from podfence.lab.denials import Denials
from podfence.lab.messages import (
    Apply,
    Down,
    Exec,
    LabInput,
    Message,
    Status,
    TellDenied,
    TryAll,
    Why,
)
from podfence.lab.probing.process import LabProcess
from podfence.lab.probing.requests import (
    Build,
    Enforce,
    Grow,
    HeldPorts,
    NamespaceOf,
    Settle,
    StartTraffic,
    StopTraffic,
    TakeLogged,
    Try,
    YieldPorts,
)
from podfence.lab.replies import (
    ApplyReply,
    DownReply,
    NetworkNamespace,
    NodeState,
    NotSent,
    RulePositions,
    StatusReply,
    TryReply,
    WhyReply,
)
from podfence.lab.testbed.compare import agrees
from podfence.lab.testbed.control import control_of
from podfence.lab.testbed.hostnames import RESOLVER, hosts_text
from podfence.lab.testbed.liveflows import Flows, flows_across
from podfence.lab.testbed.livetraffic import TrafficLosses, account
from podfence.lab.testbed.probeplan import PartyKind, ProbeParty, ProbePlan, make_plan
from podfence.lab.testbed.probes import Probe, ProbeOutcome
from podfence.lab.testbed.report import SentProbe
from podfence.lab.testbed.scheduling import schedule
from podfence.lab.testbed.services import frontends, services_text
from podfence.lab.trial import LabOptions, Trial, families, local_node
from podfence.model.cluster import Cluster
from podfence.model.meta import DEFAULT_NAMESPACE
from podfence.nft.difference import load
from podfence.nft.lowering.epoch import epoch
from podfence.nft.lowering.lower import lower
from podfence.nft.ruleset import Ruleset
from podfence.nft.transaction import Transaction
from podfence.policy.compile import compile_cluster
from podfence.policy.index import PolicyIndex
from podfence.policy.origin import Origin
from podfence.questions.can import Can, EndPair, QueryEvaluator
from podfence.questions.diff import changed_verdicts
from podfence.questions.parties import NODE
from podfence.questions.why import why
from podfence.reconcile.nodes import Commit, NodeStep, commit
from podfence.sets.addresses import IPAddress

_HELD = "a program in the target holds the port, so its answer proves nothing"
_BEFORE, _AFTER = 0.2, 0.3
"""Seconds for which live connections run before and after a change."""


class LabWorld(Struct, frozen=True):
    """Everything that follows from one input."""

    input: LabInput
    index: PolicyIndex
    plan: ProbePlan
    rules: Mapping[str, Ruleset]
    """What each node enforces, by its name."""


def world(read: LabInput, options: LabOptions, before: LabWorld | None = None) -> LabWorld:
    """The world that a lab is to have; ``before``: the present one. Raises LabError when there is
    nothing to build."""
    cluster = Cluster.of(read.objects)
    scheduled = schedule(cluster, options.nodes, None if before is None else before.index.cluster)
    index = compile_cluster(scheduled, read.names)
    plan = make_plan(index, options.limits, families())
    if not any(party.side is PartyKind.POD for party in plan.parties):
        raise LabError("nothing to build: no pod of the input has an address that the lab can use")
    rules = {node.name: lower(index, local_node(plan, node)) for node in plan.nodes}
    return LabWorld(read, index, plan, rules)


class Session:
    """Answers messages, one after the other. Raises PodfenceError where one cannot be done."""

    def __init__(self, name: str, lab: LabProcess, first: LabWorld, options: LabOptions) -> None:
        """Builds and enforces ``first``."""
        self._name = name
        self.lab = lab
        self._options = options
        self._since = datetime.now().astimezone()
        self._world = first
        self._served: dict[str, str] = {}
        self._denials = Denials()
        self.committed = monotonic()
        """When the last change took effect."""
        lab.call(Build())
        self._serve(first)
        for node, rules in first.rules.items():
            lab.call(Enforce(node, load(rules)))

    def do(self, message: Message[Any]) -> object:
        """The reply to one message, of the type that the message says. Raises PodfenceError."""
        match message:
            case Apply(read, traffic):
                return self.apply(read, traffic=traffic)
            case Why(question):
                return self.why(question)
            case TryAll():
                return self.test()
            case Exec(node, pod, namespace):
                is_node = node in self._world.index.cluster.nodes
                return self.where(node if is_node else pod, namespace)
            case TellDenied(since):
                return self.denied(since)
            case Status():
                return self.status()
            case Down():
                return DownReply(self._name)
        raise LabError(f"the lab knows no message of this kind: {type(message).__name__}")

    # -- state

    @property
    def plan(self) -> ProbePlan:
        """What the lab is now."""
        return self._world.plan

    def status(self) -> StatusReply:
        """What is there."""
        plan, cluster = self._world.plan, self._world.index.cluster
        pods = [party for party in plan.parties if party.side is PartyKind.POD]
        nodes = (
            NodeState(
                node,
                epoch(self._world.rules[node.name]) if self._world.rules else None,
                tuple(party for party in pods if party.node == node.name),
            )
            for node in plan.nodes
        )
        return StatusReply(
            name=self._name,
            since=self._since,
            rootless=self.lab.rootless,
            policies=len(cluster.policies) + len(cluster.admin_policies),
            nodes=tuple(nodes),
            outside=tuple(p.name for p in plan.parties if p.side is PartyKind.OUTSIDE),
            services=tuple(s for s in cluster.services if s.cluster_ips),
            notes=plan.notes,
        )

    def where(self, name: str, namespace: str = DEFAULT_NAMESPACE) -> NetworkNamespace:
        """The namespace of a node, a pod, or a workload's first pod."""
        if name not in self._world.index.cluster.nodes:
            end = self._asker.directory.find(name, namespace).ends[0]
            name = end.name if end.what != NODE else end.name.removeprefix("node/")
        number = self.lab.call(NamespaceOf(name)).value
        of = "" if name in self._world.index.cluster.nodes else name.partition("/")[0]
        hosts = hosts_text(self._world.index, self._world.plan, of)
        files = {"/etc/hosts": hosts, "/etc/resolv.conf": RESOLVER}
        return NetworkNamespace(self.lab.pid, number, self.lab.rootless, name, files)

    def step_aside(self, party: str, descriptor: int) -> None:
        """Leave ports of a party to its programs; ``descriptor``: of their bind notices."""
        self.lab.call_with(YieldPorts(party), descriptor)

    @property
    def _asker(self) -> QueryEvaluator:
        return QueryEvaluator(self._world.index)

    # -- change

    def apply(self, read: LabInput, *, traffic: bool = False) -> ApplyReply:
        """Become another cluster. ``traffic``: with live connections, which are accounted for."""
        old, new = self._world, world(read, self._options, self._world)
        if not traffic:
            return self._become(old, new)
        flows = flows_across(
            old.index, new.index, old.plan, new.plan, self.lab.call(HeldPorts()).value
        )
        self.lab.call(StartTraffic((*flows.revoked, *flows.kept)))
        sleep(_BEFORE)
        try:
            applied = self._become(old, new)
        finally:
            seen = self._account(flows)
        return replace(applied, traffic=seen)

    def _account(self, flows: Flows) -> TrafficLosses:
        """End the live connections."""
        sleep(_AFTER)
        found = self.lab.call(StopTraffic()).value
        forever = [(self.committed, inf)]
        return account(found, dict.fromkeys(range(len(flows.revoked)), forever))

    def _become(self, old: LabWorld, new: LabWorld) -> ApplyReply:
        self._note_denied()
        start = monotonic()
        changes = {
            node: NodeStep.between(old.rules[node], wanted) for node, wanted in new.rules.items()
        }
        self._change(old, new, changes)
        return _applied(old, new, changes, monotonic() - start)

    def _change(self, old: LabWorld, new: LabWorld, changes: Mapping[str, NodeStep]) -> None:
        """Make the whole change, or none of it. Raises PodfenceError."""
        try:
            self.lab.call(Grow(new.plan))
            self._serve(new)
            done = self._commit(changes)
        except PodfenceError:
            # Pods that were built for the change go, and those that were in its way come back.
            self.lab.call(Settle(old.plan))
            self._serve(old)
            raise
        self._world = replace(new, rules=done.rules)
        self.lab.call(Settle(new.plan))

    def close(self) -> None:
        """The lab process is all that was started."""

    def _serve(self, wanted: LabWorld) -> None:
        """Make the Services of a world reachable on every node."""
        every = frontends(wanted.index, wanted.plan)
        for node in wanted.plan.nodes:
            text = services_text(node, every)
            if self._served.get(node.name) != text:
                self.lab.call(Enforce(node.name, text))
                self._served[node.name] = text

    def _commit(self, changes: Mapping[str, NodeStep]) -> Commit:
        """Commit one transaction on each node. If one fails, the earlier ones are undone and the
        error is raised."""

        def enforce(node: str, step: Transaction) -> None:
            self.lab.call(Enforce(node, step))

        done = commit(changes, enforce)
        if done.refused is not None:
            self._world = replace(self._world, rules=done.rules)
            raise done.refused
        self.committed = monotonic()
        return done

    # -- packets

    def test(self) -> TryReply:
        """Send every probe again, under the present policies."""
        trial = Trial(self.lab, self._world.index, self._world.plan, self._options)
        report = trial.run(trial.live_control())
        return TryReply(report, self._positions(report.origins()))

    def denied(self, since: Mapping[str, int]) -> tuple[Drops, ...]:
        """What the nodes denied; see ``messages.TellDenied``. Raises LabError where a node has no
        log."""
        for node, fault in self._note_denied().items():
            raise LabError(f"node {node}: {fault}")
        return self._denials.drops(since)

    def _note_denied(self) -> Mapping[str, str]:
        index = self._world.index
        return self._denials.take(self.lab.call(TakeLogged()).value, index.cluster, index.names)

    def why(self, question: Can) -> WhyReply:
        """The engine's reasons, and what becomes of a real packet."""
        answer = why(self._asker, question)
        positions = self._positions(answer.origins())
        probe = self._probe(answer.case)
        if isinstance(probe, NotSent):
            return WhyReply(answer, positions, probe)
        plan, listening = self._world.plan, control_of(self._world.plan, probe)
        first, second = self.lab.call(Try([probe, listening], self._options.patience)).value
        held = probe[1:] in self.lab.call(HeldPorts()).value
        if held and probe.protocol != "TCP":
            return WhyReply(answer, positions, NotSent(_HELD))
        packet = SentProbe.of(plan, probe, ProbeOutcome(first))
        agreed = agrees(answer.case.verdict.allowed, packet.outcome)
        is_open = packet.outcome is ProbeOutcome.OPEN
        control = None if is_open else SentProbe.of(plan, listening, ProbeOutcome(second))
        return WhyReply(answer, positions, packet, agreed, control, held)

    def _probe(self, case: EndPair) -> Probe | NotSent:
        """The probe that a question asks for."""
        if case.family is None:
            return NotSent("an end has no address yet")
        if case.source == case.destination and not case.verdict.allowed:
            return NotSent("the Service leads back to the pod; podfence lab test sends that")
        address = case.destination.address(case.family)
        source = self._party(case.source.address(case.family))
        target = self._party(address)
        if source is None or target is None:
            return NotSent("the lab has no such party; see podfence lab status")
        return Probe(source, target, case.family, case.protocol, case.port)

    def _party(self, address: IPAddress | None) -> int | None:
        parties = self._world.plan.parties
        return next((at for at, p in enumerate(parties) if address in p.addresses), None)

    def _positions(self, origins: Iterable[Origin]) -> RulePositions:
        return RulePositions.of(origins, self._world.input.positions.shown)


def _applied(
    old: LabWorld, new: LabWorld, changes: Mapping[str, NodeStep], seconds: float
) -> ApplyReply:
    outside = _outside((old.plan, new.plan))
    return ApplyReply(
        came=_without(new.plan, old.plan),
        gone=_without(old.plan, new.plan),
        changes=changed_verdicts(old.index, new.index, outside),
        nodes=len(changes),
        changed=sum(bool(change.transaction) for change in changes.values()),
        judged=sum(change.judges_again for change in changes.values()),
        seconds=seconds,
        notes=new.plan.notes,
    )


def _without(plan: ProbePlan, other: ProbePlan) -> tuple[ProbeParty, ...]:
    """Pods of one plan that another one has not, or not in the same way."""
    known = {party.name: party for party in other.parties}
    pods = (party for party in plan.parties if party.side is PartyKind.POD)
    return tuple(party for party in pods if known.get(party.name) != party)


def _outside(plans: Sequence[ProbePlan]) -> list[IPAddress]:
    """Outside addresses that take part in any plan."""
    parties: dict[ProbeParty, None] = {
        party: None for plan in plans for party in plan.parties if party.side is PartyKind.OUTSIDE
    }
    return [address for party in parties for address in party.addresses]
