"""Why does a flow pass or not? Both directions, with every policy that decided or came near."""

from __future__ import annotations

from dataclasses import dataclass

from podfence.engine.evaluate import fits
from podfence.model.networkpolicy import NetworkPolicy, PolicyType
from podfence.policy.flow import Decision, Direction
from podfence.policy.index import CompiledRule, Endpoint, PolicyIndex
from podfence.policy.origin import Origin
from podfence.questions.can import Asker, Can, CanAnswer, Case
from podfence.sets import PortSet
from podfence.sets.ports import NOTHING


@dataclass(frozen=True, slots=True)
class RuleReport:
    """One rule against the flow. ``peer_paths``: the peer items that hold the remote end, or the
    rule's own path when it has no peers. ``ports``: all that the rule permits on any peer."""

    origin: Origin
    fits: bool
    peer_paths: tuple[str, ...]
    port_fits: bool
    ports: PortSet


@dataclass(frozen=True, slots=True)
class PolicyReport:
    """One policy that selects the subject. ``rules`` empty: it only isolates. ``active`` False: it
    has rules for this direction but not the direction in its policyTypes (NP-15)."""

    isolation: Origin
    rules: tuple[RuleReport, ...]
    active: bool = True


@dataclass(frozen=True, slots=True)
class DirectionReport:
    """One direction: its decision and all policies that select the subject in it."""

    direction: Direction
    subject: str
    decision: Decision
    policies: tuple[PolicyReport, ...]


@dataclass(frozen=True, slots=True)
class WhyAnswer:
    """The answer of ``can`` with the case that it stands for, explained."""

    can: CanAnswer
    case: Case
    egress: DirectionReport
    ingress: DirectionReport


def why(asker: Asker, question: Can) -> WhyAnswer:
    """Raises UnknownObject or QuestionError when the question cannot be asked."""
    answer = asker.can(question)
    case = next(c for c in answer.cases if c.verdict.allowed is answer.allowed)
    return WhyAnswer(
        answer,
        case,
        _direction(asker.index, case, Direction.EGRESS),
        _direction(asker.index, case, Direction.INGRESS),
    )


def _direction(index: PolicyIndex, case: Case, direction: Direction) -> DirectionReport:
    egress = direction is Direction.EGRESS
    near, far = (case.source, case.destination) if egress else (case.destination, case.source)
    decision = case.verdict.egress if egress else case.verdict.ingress
    reports: tuple[PolicyReport, ...] = ()
    if near.endpoint is not None:
        family = case.family or 4
        address = far.address(family)
        if address is not None:
            remote = index.class_of(address)
        else:
            remote = far.endpoint.endpoint_class if far.endpoint else -1
        flow = (remote, family, case.protocol, case.port)
        reports = (
            *_applying(index, near.endpoint, direction, flow),
            *_inactive(index, near.endpoint, direction),
        )
    return DirectionReport(direction, near.name, decision, reports)


def _applying(
    index: PolicyIndex, subject: Endpoint, direction: Direction, flow: tuple[int, int, str, int]
) -> list[PolicyReport]:
    reports = []
    for tier in index.policies[subject.endpoint_class].of(direction).tiers:
        for isolation in tier.isolated_by:
            rules = (rule for rule in tier.rules if rule.origin.policy == isolation.policy)
            reports.append(PolicyReport(isolation, tuple(_rule(rule, flow) for rule in rules)))
    return reports


def _rule(rule: CompiledRule, flow: tuple[int, int, str, int]) -> RuleReport:
    remote, family, protocol, port = flow
    ports = NOTHING
    for match in rule.matches:
        ports |= match.ports
    held = (m.path for m in rule.matches if m.peers.holds(remote, family))
    return RuleReport(
        rule.origin,
        fits(rule, remote, family, protocol, port),
        tuple(dict.fromkeys(held)),
        (protocol, port) in ports,
        ports,
    )


def _inactive(index: PolicyIndex, subject: Endpoint, direction: Direction) -> list[PolicyReport]:
    """Policies that select the subject and wrote rules for a direction that they do not have."""
    return [
        PolicyReport(Origin(policy.ref, f"spec.{direction.value}", policy.source), (), active=False)
        for policy in index.cluster.policies
        if subject.endpoint_class in index.selected[policy.ref] and _is_dead(policy, direction)
    ]


def _is_dead(policy: NetworkPolicy, direction: Direction) -> bool:
    if direction is Direction.INGRESS:
        return bool(policy.ingress) and PolicyType.INGRESS not in policy.policy_types
    return bool(policy.egress) and PolicyType.EGRESS not in policy.policy_types
