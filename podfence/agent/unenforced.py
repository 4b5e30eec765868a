"""Parts of a policy that are read and not enforced. Pure.

Rule: people are told which fields these are (CNP-19).
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.json import Decoder

from podfence.errors import UNREADABLE
from podfence.model.facts import PolicyFacts


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
