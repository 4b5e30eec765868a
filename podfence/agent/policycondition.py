"""The condition in a policy's status that says whether the policy is in force.

Rule: a condition is about a revision, and reports what agents told. A node that did not answer is
unknown, which is not False. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.json import Decoder

from podfence.agent.fleet import EnforcementState, NodeReply, is_there, on_nodes, standing
from podfence.agent.nodereport import PolicyReport
from podfence.errors import UNREADABLE
from podfence.model.facts import PolicyFacts
from podfence.model.meta import Revision
from podfence.text import printable

TYPE: Final = "podfence.io/Enforced"
WITHOUT_STATUS: Final = frozenset({"NetworkPolicy"})
"""Kinds of which the API has no status."""
_NAMED = 5
_LONGEST = 256
"""Characters of a name; those of the API are shorter."""


class PolicyCondition(Struct, frozen=True, rename="camel"):
    """As ``metav1.Condition`` has it."""

    type: str
    status: str
    reason: str
    message: str = ""
    observed_generation: int = 0
    last_transition_time: str = ""


def condition_of(
    revision: Revision,
    told: Sequence[NodeReply[PolicyReport]],
    now: str,
    before: PolicyCondition | None,
) -> PolicyCondition:
    """``now``: RFC 3339. ``before``: the condition that the policy has."""
    missing = [each for each in told if not is_there(each, revision)]
    status, reason = "Unknown", "NoNodes"
    if told:
        status, reason = _judged(missing, revision)
    message = on_nodes(told, revision)
    names = [printable(each.node)[:_LONGEST] for each in missing]
    if names:
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        message = f"{message}; not on {', '.join(names[:_NAMED])}{more}"
    if not told:
        message = "no node is known"
    same = before is not None and before.status == status
    since = before.last_transition_time if before is not None and same else now
    return PolicyCondition(TYPE, status, reason, message, revision.generation, since)


def _judged(missing: Sequence[NodeReply[PolicyReport]], revision: Revision) -> tuple[str, str]:
    found = {standing(each, revision) for each in missing}
    if EnforcementState.REFUSED in found:
        return "False", "Refused"
    if revision.audited:
        return "False", "Audited"
    if found & {EnforcementState.OTHER, EnforcementState.NOT_IN_SYNC}:
        return "False", "NotYet"
    return ("Unknown", "NodesSilent") if found else ("True", "InForce")


# -- Parts of a policy that are read and not enforced. Pure
# Rule: people are told which fields these are (CNP-19).


class _EgressPeer(Struct, rename="camel"):
    domain_names: list[str] = []


class _EgressRule(Struct):
    action: str = ""
    to: list[_EgressPeer] = []


class _EgressSpec(Struct):
    egress: list[_EgressRule] = []


class _EgressPolicy(Struct):
    spec: _EgressSpec


_KINDS = ("ClusterNetworkPolicy", "AdminNetworkPolicy")
_ACCEPTING = ("Accept", "Allow")
_policy = Decoder(_EgressPolicy)


def unenforced(facts: PolicyFacts) -> str:
    """The fields that do nothing, and why; "" for none. What cannot be read is told
    elsewhere."""
    if facts.kind not in _KINDS or b'"domainNames"' not in facts.document:
        return ""
    try:
        rules = _policy.decode(facts.document).spec.egress
    except UNREADABLE:
        return ""
    paths = [
        f"spec.egress[{rule}].to[{peer}].domainNames"
        for rule, each in enumerate(rules)
        for peer, found in enumerate(each.to)
        if found.domain_names and each.action not in _ACCEPTING
    ]
    if not paths:
        return ""
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return f"{paths[0]}{more}: names are for rules that accept; here they match nothing"
