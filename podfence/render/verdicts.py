"""Answers of ``can`` and ``why`` as text and as JSON data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from podfence.errors import Locate
from podfence.model.meta import ObjectRef
from podfence.policy.flow import Action, Decision, Direction, Reason
from podfence.policy.index import NETWORK_POLICY_TIER
from podfence.policy.origin import Origin
from podfence.questions.can import AuditedAnswer, CanAnswer, EndPair
from podfence.questions.parties import PartyEnd
from podfence.questions.phrases.tierwords import origin_name, policy_name
from podfence.questions.phrases.words import near_miss, some
from podfence.render.jsontext import position_data
from podfence.render.problems import message_text
from podfence.sets.ports import OTHER
from podfence.text import printable

if TYPE_CHECKING:
    from podfence.questions.why import (
        DirectionReport,
        PolicyShare,
        RuleReport,
        TierDecision,
        TierReport,
        WhyAnswer,
    )

_SHOWN = 5
"""Audited policies that are named."""

_REASONS = {
    Reason.NOT_ISOLATED: "no policy selects {subject} for {direction}, so everything is allowed",
    Reason.NOT_A_POD: "{subject} is {kind}: no policy judges its {direction}",
    Reason.SELF: "a pod can always reach itself",
    Reason.OWN_NODE: "traffic from the pod's own node is always allowed",
    Reason.ISOLATED: "{subject} is isolated for {direction} and no rule allows this",
    Reason.RULE: "a rule {says} this",
    Reason.DEFAULT: "no rule that applies to {subject} decides this, so it is allowed",
}


def position_text(origin: Origin, locate: Locate) -> str:
    """``file:line:col`` of an origin, or nothing for policies that come from no file."""
    position = locate(origin.source, origin.path)
    return printable(str(position)) if position else ""


def origin_text(origin: Origin, locate: Locate) -> str:
    """``shop/db-allow spec.ingress[0] (policies.yaml:12:5)``; kinds other than NetworkPolicy are
    named."""
    where = position_text(origin, locate)
    return f"{printable(origin_name(origin))}{f' ({where})' if where else ''}"


def protocol_text(protocol: str, port: int) -> str:
    """``TCP/80``; protocols without ports are shown as ICMP and the like."""
    return "ICMP and other protocols" if protocol == OTHER else f"{protocol}/{port}"


def _flow_text(case: EndPair) -> str:
    return (
        f"{printable(case.source.name)} -> {printable(case.destination.name)} "
        f"{protocol_text(case.protocol, case.port)}"
    )


def can_text(answer: CanAnswer, locate: Locate) -> str:
    """Yes or no first; then one line a direction."""
    lines = [f"{'yes' if answer.allowed else 'no'}: {_flow_text(answer.case)}"]
    lines += _decision_lines(answer.case, locate)
    if answer.audited is not None:
        would = answer.audited.answer
        lines.append(f"  audited: {_audited_text(answer.audited, answer.allowed)}")
        if would.allowed is not answer.allowed:
            lines += (f"  {line}" for line in _decision_lines(would.case, locate))
    if answer.note:
        lines.append(f"  note: {printable(answer.note)}")
    return "\n".join(lines) + "\n"


def _decision_lines(case: EndPair, locate: Locate) -> Iterator[str]:
    for direction, subject in zip(Direction, (case.source, case.destination), strict=True):
        decision = case.verdict.of(direction)
        yield f"  {_decision_text(direction, subject, decision)}"
        yield from (f"      {origin_text(o, locate)}" for o in decision.origins)


def _audited_text(audited: AuditedAnswer, allowed: bool) -> str:
    """``no, if shop/db were enforced``."""
    names = some([printable(policy_name(ref)) for ref in audited.policies], _SHOWN)
    would = "yes" if audited.answer.allowed else "no"
    return (
        f"{would}{', too' if audited.answer.allowed is allowed else ''}, if {names} were enforced"
    )


def _reason_text(direction: Direction, subject: PartyEnd, decision: Decision) -> str:
    return _REASONS[decision.reason].format(
        subject=printable(subject.name),
        direction=direction.value,
        kind=subject.what,
        says="allows" if decision.allowed else "denies",
    )


def _decision_text(direction: Direction, subject: PartyEnd, decision: Decision) -> str:
    words = _reason_text(direction, subject, decision)
    if decision.reason is Reason.ISOLATED:
        words += "; isolated by:"
    elif decision.origins:
        words += ":"
    return f"{direction.value:<7} {'allowed' if decision.allowed else 'denied'}: {words}"


def why_text(answer: WhyAnswer, locate: Locate) -> str:
    """Both directions with every policy that selects the subject, rule by rule."""
    lines = [f"{'yes' if answer.can.allowed else 'no'}: {_flow_text(answer.case)}"]
    ends = (answer.case.source, answer.case.destination)
    for report, end in zip((answer.egress, answer.ingress), ends, strict=True):
        lines.append("")
        lines.extend(direction_lines(report, end, locate))
    if answer.audited is not None and answer.can.audited is not None:
        lines.extend(["", f"audited: {_audited_text(answer.can.audited, answer.can.allowed)}"])
        lines.extend(f"  {line}" for line in _turned_lines(answer, answer.audited, locate))
    if answer.can.note:
        lines.extend(["", f"note: {printable(answer.can.note)}"])
    return "\n".join(lines) + "\n"


def _turned_lines(answer: WhyAnswer, audited: WhyAnswer, locate: Locate) -> Iterator[str]:
    """The directions that audited policies would judge otherwise."""
    ends = (audited.case.source, audited.case.destination)
    pairs = ((answer.egress, audited.egress), (answer.ingress, audited.ingress))
    for (now, would), end in zip(pairs, ends, strict=True):
        if now.decision.allowed is not would.decision.allowed:
            yield from direction_lines(would, end, locate)


def direction_lines(report: DirectionReport, end: PartyEnd, locate: Locate) -> Iterator[str]:
    """One direction, its policies and their rules."""
    words = _reason_text(report.direction, end, report.decision)
    verdict = "allowed" if report.decision.allowed else "denied"
    yield f"{report.direction.value} of {printable(report.subject)}: {verdict}"
    yield f"  {words}"
    if report.ladder:
        yield f"  {ladder_text(report)}"
    tiered = any(tier.ordered for tier in report.tiers)
    for tier in report.tiers:
        if tiered:
            yield f"  {tier.name} tier{'' if tier.asked else ', not asked'}:"
        yield from _tier_lines(tier, report.direction, locate)


def _tier_lines(tier: TierReport, direction: Direction, locate: Locate) -> Iterator[str]:
    for policy in tier.policies:
        if tier.ordered:
            yield from _ordered_lines(policy, locate)
        else:
            yield from _policy_lines(policy, direction, locate)


# -- the ladder


def ladder_text(report: DirectionReport) -> str:
    """``Admin p10 "in" spec.ingress[0] pass -> NetworkPolicy no policy selects -> default
    accept``."""
    rungs = [_rung_text(rung) for rung in report.ladder]
    if report.ladder[-1].action in (None, Action.PASS):
        rungs.append("default accept")
    return " -> ".join(rungs)


def _rung_text(rung: TierDecision) -> str:
    if not rung.selected:
        return f"{rung.tier} no policy selects"
    if rung.action is None:
        return f"{rung.tier} no rule fits"
    if rung.policy is None or rung.rule is None:
        return f"{rung.tier} isolated, no rule fits: deny"
    policy, rule = rung.policy, rung.rule
    priority = "" if policy.priority is None else f" p{policy.priority}"
    named = f" ({printable(rule.name)})" if rule.name else ""
    return (
        f'{rung.tier}{priority} "{printable(str(policy.isolation.policy))}" '
        f"{rule.origin.path}{named} {rule.action.value}"
    )


# -- the policies of the tiers in which order counts


def _ordered_lines(report: PolicyShare, locate: Locate) -> Iterator[str]:
    name = printable(policy_name(report.isolation.policy))
    where = position_text(report.isolation, locate)
    priority = "" if report.priority is None else f", priority {report.priority}"
    yield f"  - {name}{priority}{f'  {where}' if where else ''}"
    for rule in report.rules:
        yield f"      {_ordered_text(rule, locate)}"


def _ordered_text(rule: RuleReport, locate: Locate) -> str:
    where = position_text(rule.origin, locate)
    name = f" ({printable(rule.name)})" if rule.name else ""
    said = _said_of_ordered(rule)
    if not rule.reached:
        said = f"not reached ({said})" if rule.fits else "not reached"
    elif rule.fits:
        said = f"{_VERBS[rule.action]} ({rule.ports}; {', '.join(rule.peer_paths)})"
    if rule.remark:
        said = _with_remark(rule, said)
    head = f"{rule.origin.path}{name} {rule.action.value}"
    return f"{head}: {said}{f'  {where}' if where else ''}"


def _with_remark(rule: RuleReport, said: str) -> str:
    """The remark says it all of a rule that has nothing to match."""
    remark = message_text(rule.remark)
    return f"{said}; {remark}" if rule.ports or not rule.reached else remark


_VERBS = {
    Action.ACCEPT: "ACCEPTS this",
    Action.DENY: "DENIES this",
    Action.PASS: "PASSES this on to the next tier",
}


def _said_of_ordered(rule: RuleReport) -> str:
    if rule.fits:
        return "it would fit"
    if not rule.ports:
        return "it matches nothing now"
    peers = ", ".join(rule.peer_paths)
    if peers and not rule.port_fits:
        return f"near miss: the peer fits ({peers}), but it applies only to {rule.ports}"
    if peers:
        return f"near miss: the peer fits, but not on this port ({peers})"
    if rule.port_fits:
        return f"near miss: the port fits ({rule.ports}), but no peer does"
    return f"neither peer nor port fits (it applies to {rule.ports})"


# -- the policies that add up


def _policy_lines(report: PolicyShare, direction: Direction, locate: Locate) -> Iterator[str]:
    name = printable(str(report.isolation.policy))
    where = position_text(report.isolation, locate)
    suffix = f"  {where}" if where else ""
    if not report.active:
        yield f"  - {name}: its {direction.value} rules are ignored, because policyTypes lacks "
        yield f"    {direction.value.capitalize()}{suffix}"
        return
    yield f"  - {name}: isolates{suffix}"
    if not report.rules:
        yield f"      it has no {direction.value} rules, so it allows nothing"
    for rule in report.rules:
        yield f"      {_rule_text(rule, locate)}"


def _rule_text(rule: RuleReport, locate: Locate) -> str:
    where = position_text(rule.origin, locate)
    if rule.fits:
        verb = "ALLOWS" if rule.reached else "would allow"
        said = f"{verb} this ({rule.ports}; {', '.join(rule.peer_paths)})"
    else:
        path, peers = rule.origin.path, rule.peer_paths
        said = near_miss(path, peers, rule.ports, port_fits=rule.port_fits)
        said = said or f"neither peer nor port fits (it allows {rule.ports})"
    if rule.remark:
        said += f"; {message_text(rule.remark)}"
    return f"{rule.origin.path}: {said}{f'  {where}' if where else ''}"


# -- data


class VerdictEncoder:
    """Verdicts as JSON data; what is the same for many answers is made once."""

    def __init__(self, locate: Locate) -> None:
        self._locate = locate
        self._decisions: dict[Decision, dict[str, object]] = {}
        self._origins: dict[Origin, dict[str, object]] = {}

    def answer(self, answer: CanAnswer) -> dict[str, object]:
        """``{"allowed": ..., "egress": {...}, "ingress": {...}}``, and ``note`` where there is
        one."""
        verdict = answer.verdict
        data: dict[str, object] = {
            "allowed": answer.allowed,
            "egress": self.decision(verdict.egress),
            "ingress": self.decision(verdict.ingress),
        }
        if answer.note:
            data["note"] = answer.note
        if answer.audited is not None:
            policies = [_named(policy) for policy in answer.audited.policies]
            data["audited"] = {**self.answer(answer.audited.answer), "policies": policies}
        return data

    def decision(self, decision: Decision) -> dict[str, object]:
        """``{"allowed", "reason", "policies": [...]}``."""
        known = self._decisions.get(decision)
        if known is None:
            known = self._decisions[decision] = {
                "allowed": decision.allowed,
                "reason": decision.reason.value,
                "policies": [self.origin(origin) for origin in decision.origins],
            }
        return known

    def origin(self, origin: Origin) -> dict[str, object]:
        """``{"policy", "kind", "path", "file", "line", "column"}``; ``kind`` only where it is not
        NetworkPolicy."""
        known = self._origins.get(origin)
        if known is None:
            known = self._origins[origin] = {
                **_named(origin.policy),
                "path": origin.path,
                **position_data(self._locate(origin.source, origin.path)),
            }
        return known

    def why(self, answer: WhyAnswer) -> dict[str, object]:
        """The answer with every policy and rule that was looked at; ``ladder`` for directions in
        which tiers beyond NetworkPolicy have policies."""
        reports = (answer.egress, answer.ingress)
        data: dict[str, object] = {
            **self.answer(answer.can),
            "source": answer.case.source.name,
            "destination": answer.case.destination.name,
            "protocol": answer.case.protocol,
            "port": answer.case.port,
            "looked": {
                report.direction.value: [
                    self._policy(policy, tier) for tier in report.tiers for policy in tier.policies
                ]
                for report in reports
            },
        }
        ladders = {
            r.direction.value: [self._rung(rung) for rung in r.ladder] for r in reports if r.ladder
        }
        if ladders:
            data["ladder"] = ladders
        return data

    def _rung(self, rung: TierDecision) -> dict[str, object]:
        data: dict[str, object] = {
            "tier": rung.tier,
            "selected": rung.selected,
            "action": None if rung.action is None else rung.action.value,
        }
        if rung.policy is not None and rung.rule is not None:
            if rung.policy.priority is not None:
                data["priority"] = rung.policy.priority
            if rung.rule.name:
                data["name"] = rung.rule.name
            data |= self.origin(rung.rule.origin)
        return data

    def _policy(self, report: PolicyShare, tier: TierReport) -> dict[str, object]:
        data: dict[str, object] = {**self.origin(report.isolation), "active": report.active}
        if tier.ordered:
            data["tier"] = tier.name
            if report.priority is not None:
                data["priority"] = report.priority
        data["rules"] = [self._rule(rule, ordered=tier.ordered) for rule in report.rules]
        return data

    def _rule(self, rule: RuleReport, *, ordered: bool) -> dict[str, object]:
        data: dict[str, object] = {
            **self.origin(rule.origin),
            "allows": rule.fits and rule.action is Action.ACCEPT,
            "peers": rule.peer_paths,
            "portFits": rule.port_fits,
            "ports": str(rule.ports).split(" "),
        }
        if ordered:
            data |= {"action": rule.action.value, "fits": rule.fits, "reached": rule.reached}
            data |= {"name": rule.name} if rule.name else {}
        data |= {"remark": rule.remark} if rule.remark else {}
        return data


def _named(policy: ObjectRef) -> dict[str, object]:
    if policy.kind == NETWORK_POLICY_TIER:
        return {"policy": str(policy)}
    return {"policy": str(policy), "kind": policy.kind}
