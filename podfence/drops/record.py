"""Records of denied packets: values, as JSON has them.

Rule: every text comes from the API or from a packet and is hostile; whoever prints one escapes it.
Names of fields are an interface (``docs/schemas/drops.schema.json``).
"""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec import Struct

from podfence.model.counted import Count


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
    """What denies. ``reason``: ISOLATED, RULE, PAST, or ``unknown``, ``stateless``, ``closed``.
    ``tier``: that of the policies. ``policies``: those that isolate, or the rule that denies.
    ``more``: how many policies are not told. ``near``: rules that nearly fit. ``audited``: where it
    was not dropped, the audited policies without which all would be as it is."""

    reason: str
    tier: str = ""
    policies: tuple[NamedRule, ...] = ()
    near: tuple[NamedRule, ...] = ()
    more: Count = 0
    audited: tuple[NamedRule, ...] = ()


class Drop(Struct, frozen=True, omit_defaults=True):
    """Packets that are alike. ``direction``: of the policies that deny, seen from their pod; ""
    where no policy is asked. ``protocol``: as people call it. ``port``: at the destination; None
    where there is none, or it is not known. ``reply``: they were answers, and ``source`` is who had
    begun the connection. ``count``: those that were seen: floods are logged in part. ``first`` and
    ``last``: RFC 3339. ``serial``: grows with each change, over all drops of the node. ``audit``:
    they passed, and would have been dropped if audited policies were enforced (AUD-4)."""

    node: str
    serial: Count
    first: str
    last: str
    count: Count
    direction: str
    source: FlowEnd
    destination: FlowEnd
    protocol: str
    cause: Cause
    port: Count | None = None
    reply: bool = False
    audit: bool = False


class Drops(Struct, frozen=True):
    """What a node tells. ``serial``: the latest. ``seen``: packets since the agent started that
    were looked at; ``lost``: that were logged, and that nobody could look at; ``forgotten``: drops
    that had to give way to newer ones."""

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
