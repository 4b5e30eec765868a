"""What of a policy this node cannot enforce, though it is read. Pure.

Rule: what is left out allows nothing, so it never opens; people are told which field it is.
"""

from __future__ import annotations

from msgspec import DecodeError, Struct, ValidationError
from msgspec.json import Decoder

from podfence.model.facts import PolicyFacts


class _Peer(Struct, rename="camel"):
    domain_names: list[str] = []


class _Rule(Struct):
    to: list[_Peer] = []


class _Spec(Struct):
    egress: list[_Rule] = []


class _Policy(Struct):
    spec: _Spec


_policy = Decoder(_Policy)


def unenforced(facts: PolicyFacts) -> str:
    """The fields that are not enforced, and why; "" for none. What cannot be read is told
    elsewhere."""
    if facts.kind != "ClusterNetworkPolicy" or b'"domainNames"' not in facts.document:
        return ""
    try:
        rules = _policy.decode(facts.document).spec.egress
    except (DecodeError, ValidationError):
        return ""
    paths = [
        f"spec.egress[{rule}].to[{peer}].domainNames"
        for rule, each in enumerate(rules)
        for peer, found in enumerate(each.to)
        if found.domain_names
    ]
    if not paths:
        return ""
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return f"{paths[0]}{more}: the agent resolves no domain names; they allow nothing"
