"""Drops of a node, narrowed to a reader who may see one namespace.

Rule: the reader gets the packets of that namespace's pods, with both ends, since somebody who has
one end can see the other. What policies of other namespaces say is left out.
"""

from __future__ import annotations

from msgspec.structs import replace

from podfence.drops.record import Drop, Drops, NamedRule


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
