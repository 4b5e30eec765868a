"""connections(index, ...) -> PortSet: ``evaluate`` for all ports at once.

Rule: agrees with ``evaluate`` on every port (a law that tests hold it to).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from podfence.policy.flow import Action, Direction
from podfence.policy.index import CompiledRule, DirectionPolicy, PolicyIndex
from podfence.sets import PortSet
from podfence.sets.ports import EVERYTHING, NOTHING


def connections(index: PolicyIndex, source: int, destination: int, family: int) -> PortSet:
    """Everything that passes from an endpoint of one class to *another* endpoint of a class.

    ``source``/``destination`` are class numbers; outside classes are not judged at their end
    (NP-1). Two facts about single addresses are not in it: a pod reaches itself (NP-54), and a
    pod's own node reaches the pod (NP-52).
    """
    return end_ports(index, source, Direction.EGRESS, destination, family) & end_ports(
        index, destination, Direction.INGRESS, source, family
    )


def end_ports(
    index: PolicyIndex, subject: int, direction: Direction, remote: int, family: int
) -> PortSet:
    """What one end permits: everything for an outside class."""
    if index.classes[subject].outside is not None:
        return EVERYTHING
    return allowed_ports(index.policies[subject].of(direction), remote, family)


def allowed_ports(policy: DirectionPolicy, remote_class: int, family: int) -> PortSet:
    """Everything that one direction permits to or from a remote class."""
    accepted, undecided = NOTHING, EVERYTHING
    for tier in policy.tiers:
        passed = NOTHING
        for action, rules in groupby(tier.rules, key=lambda rule: rule.action):
            hit = undecided & _matched(rules, remote_class, family)
            undecided -= hit
            if action is Action.ACCEPT:
                accepted |= hit
            elif action is Action.PASS:
                passed |= hit
        undecided = passed if tier.default is Action.DENY else undecided | passed
    return accepted | undecided


def _matched(rules: Iterable[CompiledRule], remote_class: int, family: int) -> PortSet:
    """The ports that rules match for a remote class. Among neighbours of one action order does not
    count, and thousands of them are one union."""
    return PortSet.union(
        match.ports
        for rule in rules
        for match in rule.matches
        if match.peers.holds(remote_class, family)
    )
