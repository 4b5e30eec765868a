"""Records of denied packets: values, as JSON has them.

Rule: every text comes from the API or from a packet and is hostile; code that prints one escapes
it. Names of fields are an interface (``docs/schemas/drops.schema.json``).
"""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec import Struct
from msgspec.structs import replace

from podfence.model.meta import Count


class FlowEnd(Struct, frozen=True, omit_defaults=True):
    """One end of a flow. ``pods``: namespace/name of the pod that has the address; several where it
    is not clear whose it is, none outside. ``node``: whose address it is, if a node's."""

    address: str
    pods: tuple[str, ...] = ()
    node: str = ""


class NamedRule(Struct, frozen=True, omit_defaults=True):
    """A policy, or one rule of it. ``policy``: namespace/name, or the name alone. ``said``: how
    near the rule comes to the flow."""

    kind: str
    policy: str
    path: str
    said: str = ""


ISOLATED, RULE = "isolated", "rule"
"""Policies isolate the pod and no rule of theirs fits; a rule denies."""
PAST = "past"
"""The rules that denied are not in force any more: the policies of now would allow it."""


class Cause(Struct, frozen=True, omit_defaults=True):
    """What denies."""

    reason: str
    """ISOLATED, RULE, PAST, or ``unknown``, ``stateless``, ``closed``."""
    tier: str = ""
    """The tier of the policies."""
    policies: tuple[NamedRule, ...] = ()
    """The policies that isolate, or the rule that denies."""
    near: tuple[NamedRule, ...] = ()
    """Rules that nearly fit."""
    more: Count = 0
    """How many policies are not told."""
    audited: tuple[NamedRule, ...] = ()
    """Where the packet was not dropped, the audited policies without which all would be as it
    is."""


class Drop(Struct, frozen=True, omit_defaults=True):
    """Packets that are alike."""

    node: str
    serial: Count
    """Grows with each change, over all drops of the node."""
    first: str
    """RFC 3339."""
    last: str
    """RFC 3339."""
    count: Count
    """Packets that were seen; floods are logged in part."""
    direction: str
    """Of the policies that deny, seen from their pod; "" where no policy is asked."""
    source: FlowEnd
    destination: FlowEnd
    protocol: str
    """As people call it."""
    cause: Cause
    port: Count | None = None
    """At the destination; None where there is none, or it is not known."""
    reply: bool = False
    """The packets were replies, and ``source`` began the connection."""
    audit: bool = False
    """The packets passed, and would have been dropped if audited policies were enforced (AUD-4)."""


class Drops(Struct, frozen=True):
    """What a node tells. ``serial``: the latest. ``seen``: packets that were looked at since the
    agent started. ``lost``: packets that were logged, and that nobody could look at. ``forgotten``:
    drops that gave way to newer ones."""

    node: str
    serial: Count = 0
    seen: Count = 0
    lost: Count = 0
    forgotten: Count = 0
    drops: tuple[Drop, ...] = ()


def rfc3339(seconds: float) -> str:
    """Seconds since 1970 as RFC 3339 has them, in UTC and to the millisecond."""
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


# -- Drops of a node, narrowed to a reader who may see one namespace
# Rule: the reader gets the packets of that namespace's pods, with both ends, since somebody who has
# one end can see the other. What policies of other namespaces say is left out.


def of_namespace(drops: Drops, namespace: str) -> Drops:
    """Those of which an end is a pod of the namespace. Counts of the node stay."""
    found = tuple(_narrowed(drop, namespace) for drop in drops.drops if _is_of(drop, namespace))
    return replace(drops, drops=found)


def _is_of(drop: Drop, namespace: str) -> bool:
    pods = (*drop.source.pods, *drop.destination.pods)
    return any(pod.partition("/")[0] == namespace for pod in pods)


def _narrowed(drop: Drop, namespace: str) -> Drop:
    cause = drop.cause
    policies = tuple(rule for rule in cause.policies if _may_see(rule, namespace))
    near = tuple(rule for rule in cause.near if _may_see(rule, namespace))
    audited = tuple(rule for rule in cause.audited if _may_see(rule, namespace))
    if (policies, near, audited) == (cause.policies, cause.near, cause.audited):
        return drop
    more = cause.more if policies else 0  # of the same namespace as those that are told
    narrowed = replace(cause, policies=policies, near=near, audited=audited, more=more)
    return replace(drop, cause=narrowed)


def _may_see(rule: NamedRule, namespace: str) -> bool:
    """Policies of the cluster are not of a namespace; their names are told to everybody whom they
    deny."""
    where, slash, _ = rule.policy.partition("/")
    return not slash or where == namespace
