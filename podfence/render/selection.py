"""The policies that select a pod or workload, for the terminal and as data."""

from __future__ import annotations

from collections.abc import Iterator

from podfence.errors import Locate, Position
from podfence.policy.index import NETWORK_POLICY_TIER
from podfence.questions.phrases import words
from podfence.questions.selecting import SelectingPolicies, SelectingPolicy
from podfence.render.jsontext import position_data
from podfence.text import printable

SCHEMA = "podfence.describe/v1"


def render_selection(selection: SelectingPolicies, locate: Locate) -> str:
    """The whole text, with a newline at its end."""
    return "".join(f"{line}\n" for line in _lines(selection, locate))


def _lines(selection: SelectingPolicies, locate: Locate) -> Iterator[str]:
    number = len(selection.pods)
    if number:
        yield printable(f"{selection.name}: {words.count(number, 'pod')}")
    for name in selection.pods:
        if name != selection.name:
            yield printable(f"  {name}")
    for name in selection.exempt:
        yield printable(f"{name} is on the network of its node, and no policy selects it")
    if not selection.pods:
        return
    for direction, policies in (("Ingress", selection.ingress), ("Egress", selection.egress)):
        yield ""
        enforced = [policy for policy in policies if not policy.audited]
        if not policies:
            yield f"{direction}: no policy, so every connection is allowed"
            continue
        yield f"{direction}: {_counted(len(policies))}"
        for policy in policies:
            yield f"  {_policy(policy, number)}{_position(locate(policy.source, ''))}"
        if all(policy.tier != NETWORK_POLICY_TIER for policy in enforced):
            yield "  no NetworkPolicy isolates: what no tier denies is allowed"


def _counted(number: int) -> str:
    return f"{number} {'policy' if number == 1 else 'policies'}"


def _policy(policy: SelectingPolicy, pods: int) -> str:
    name = f"{policy.policy.kind} {policy.policy}"
    rules = words.count(policy.rules, "rule")
    if policy.tier == NETWORK_POLICY_TIER:
        does = f"isolates, {rules}" if policy.rules else "isolates, allows nothing"
    else:
        priority = "" if policy.priority is None else f", priority {policy.priority}"
        does = f"{policy.tier} tier{priority}, {rules}"
    part = "" if len(policy.pods) == pods else f", selects {len(policy.pods)} of these {pods} pods"
    audited = ", audited: enforces nothing" if policy.audited else ""
    return printable(f"{name}: {does}{part}{audited}")


def _position(position: Position | None) -> str:
    return f"  {printable(str(position))}" if position else ""


def selection_data(selection: SelectingPolicies, locate: Locate) -> dict[str, object]:
    """The same for ``-o json``."""
    return {
        "schema": SCHEMA,
        "name": selection.name,
        "pods": list(selection.pods),
        "exempt": list(selection.exempt),
        "ingress": [_data(policy, locate) for policy in selection.ingress],
        "egress": [_data(policy, locate) for policy in selection.egress],
    }


def _data(policy: SelectingPolicy, locate: Locate) -> dict[str, object]:
    ref = policy.policy
    data: dict[str, object] = {"kind": ref.kind, "name": ref.name, "tier": policy.tier}
    if ref.namespace:
        data["namespace"] = ref.namespace
    if policy.priority is not None:
        data["priority"] = policy.priority
    data |= {"rules": policy.rules, "pods": list(policy.pods)}
    data |= {"audited": True} if policy.audited else {}
    return data | position_data(locate(policy.source, ""))
