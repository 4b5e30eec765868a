"""Answers of ``can`` and ``why`` as text and as JSON data."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from podfence.errors import Position, Source
from podfence.policy.flow import Decision, Direction, Reason
from podfence.policy.origin import Origin
from podfence.questions.can import CanAnswer, Case
from podfence.questions.why import DirectionReport, PolicyReport, RuleReport, WhyAnswer
from podfence.render.safe import printable
from podfence.sets.ports import OTHER

Locate = Callable[[Source | None, str], Position | None]

_REASONS = {
    Reason.NOT_ISOLATED: "no policy selects {subject} for {direction}, so everything is allowed",
    Reason.NOT_A_POD: "{subject} is {kind}: no policy judges its {direction}",
    Reason.SELF: "a pod can always reach itself",
    Reason.OWN_NODE: "traffic from the pod's own node is always allowed",
    Reason.ISOLATED: "{subject} is isolated for {direction} and no rule allows this",
    Reason.RULE: "a rule {says} this",
    Reason.DEFAULT: "no rule that applies to {subject} decides this, so it is allowed",
}


def place(origin: Origin, locate: Locate) -> str:
    """``file:line:col`` of an origin, or nothing for policies that come from no file."""
    position = locate(origin.source, origin.path)
    return printable(str(position)) if position else ""


def origin_text(origin: Origin, locate: Locate) -> str:
    """``shop/db-allow spec.ingress[0] (policies.yaml:12:5)``."""
    where = place(origin, locate)
    return f"{printable(str(origin.policy))} {origin.path}{f' ({where})' if where else ''}"


def protocol_text(protocol: str, port: int) -> str:
    """``TCP/80``; protocols without ports are shown as ICMP and the like."""
    return "ICMP and other protocols" if protocol == OTHER else f"{protocol}/{port}"


def _flow_text(case: Case) -> str:
    return (
        f"{printable(case.source.name)} -> {printable(case.destination.name)} "
        f"{protocol_text(case.protocol, case.port)}"
    )


def can_text(answer: CanAnswer, locate: Locate) -> str:
    """Yes or no first; then one line a direction."""
    case = next(c for c in answer.cases if c.verdict.allowed is answer.allowed)
    lines = [f"{'yes' if answer.allowed else 'no'}: {_flow_text(case)}"]
    ends = (
        (Direction.EGRESS, case.source.name, case.verdict.egress),
        (Direction.INGRESS, case.destination.name, case.verdict.ingress),
    )
    for direction, subject, decision in ends:
        lines.append(f"  {_decision_text(direction, subject, decision)}")
        lines.extend(f"      {origin_text(o, locate)}" for o in decision.origins)
    if answer.note:
        lines.append(f"  note: {printable(answer.note)}")
    return "\n".join(lines) + "\n"


def _reason_text(direction: Direction, subject: str, decision: Decision) -> str:
    """A pod that is judged as no pod is one on its node's network (NP-50)."""
    return _REASONS[decision.reason].format(
        subject=printable(subject),
        direction=direction.value,
        kind="on the network of its node" if "/" in subject else "not a pod",
        says="allows" if decision.allowed else "denies",
    )


def _decision_text(direction: Direction, subject: str, decision: Decision) -> str:
    words = _reason_text(direction, subject, decision)
    if decision.reason is Reason.ISOLATED:
        words += "; isolated by:"
    elif decision.origins:
        words += ":"
    return f"{direction.value:<7} {'allowed' if decision.allowed else 'denied'}: {words}"


def why_text(answer: WhyAnswer, locate: Locate) -> str:
    """Both directions with every policy that selects the subject, rule by rule."""
    lines = [f"{'yes' if answer.can.allowed else 'no'}: {_flow_text(answer.case)}"]
    for report in (answer.egress, answer.ingress):
        lines.append("")
        lines.extend(_direction_lines(report, locate))
    if answer.can.note:
        lines.extend(["", f"note: {printable(answer.can.note)}"])
    return "\n".join(lines) + "\n"


def _direction_lines(report: DirectionReport, locate: Locate) -> Iterator[str]:
    words = _reason_text(report.direction, report.subject, report.decision)
    verdict = "allowed" if report.decision.allowed else "denied"
    yield f"{report.direction.value} of {printable(report.subject)}: {verdict}"
    yield f"  {words}"
    for policy in report.policies:
        yield from _policy_lines(policy, report.direction, locate)


def _policy_lines(report: PolicyReport, direction: Direction, locate: Locate) -> Iterator[str]:
    name = printable(str(report.isolation.policy))
    where = place(report.isolation, locate)
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
    where = place(rule.origin, locate)
    if rule.fits:
        said = f"ALLOWS this ({rule.ports}; {', '.join(rule.peer_paths)})"
    elif rule.peer_paths and not rule.port_fits:
        peers = ", ".join(rule.peer_paths)
        said = f"near miss: the peer fits ({peers}), but it allows only {rule.ports}"
    elif rule.peer_paths:
        said = f"near miss: the peer fits, but not on this port ({', '.join(rule.peer_paths)})"
    elif rule.port_fits:
        said = f"near miss: the port fits ({rule.ports}), but no peer does"
    else:
        said = f"neither peer nor port fits (it allows {rule.ports})"
    return f"{rule.origin.path}: {said}{f'  {where}' if where else ''}"


# -- data


class VerdictEncoder:
    """Verdicts as JSON data; what is the same for many answers is made once."""

    def __init__(self, locate: Locate) -> None:
        self._locate = locate
        self._decisions: dict[int, tuple[Decision, dict[str, object]]] = {}
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
        return data

    def decision(self, decision: Decision) -> dict[str, object]:
        """``{"allowed", "reason", "policies": [...]}``."""
        known = self._decisions.get(id(decision))
        if known is None:
            data: dict[str, object] = {
                "allowed": decision.allowed,
                "reason": decision.reason.value,
                "policies": [self.origin(origin) for origin in decision.origins],
            }
            known = self._decisions[id(decision)] = (decision, data)
        return known[1]

    def origin(self, origin: Origin) -> dict[str, object]:
        """``{"policy", "path", "file", "line", "column"}``."""
        known = self._origins.get(origin)
        if known is None:
            known = self._origins[origin] = {"policy": str(origin.policy), "path": origin.path}
            position = self._locate(origin.source, origin.path)
            if position is not None:
                known |= {
                    "file": position.file,
                    "line": position.line,
                    "column": position.column,
                }
        return known

    def why(self, answer: WhyAnswer) -> dict[str, object]:
        """The answer with every policy and rule that was looked at."""
        return {
            **self.answer(answer.can),
            "source": answer.case.source.name,
            "destination": answer.case.destination.name,
            "protocol": answer.case.protocol,
            "port": answer.case.port,
            "looked": {
                report.direction.value: [self._policy(p) for p in report.policies]
                for report in (answer.egress, answer.ingress)
            },
        }

    def _policy(self, report: PolicyReport) -> dict[str, object]:
        return {
            **self.origin(report.isolation),
            "active": report.active,
            "rules": [
                {
                    **self.origin(rule.origin),
                    "allows": rule.fits,
                    "peers": rule.peer_paths,
                    "portFits": rule.port_fits,
                    "ports": str(rule.ports).split(" "),
                }
                for rule in report.rules
            ],
        }
