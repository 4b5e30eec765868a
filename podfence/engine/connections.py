"""connections(index, ...) -> PortSet: ``evaluate`` for all ports at once.

Rule: agrees with ``evaluate`` on every port (a law that tests hold it to).
"""

from __future__ import annotations

from podfence.policy.flow import Action, Direction
from podfence.policy.index import DirectionPolicy, PolicyIndex
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
        for rule in tier.rules:
            for match in rule.matches:
                if not match.peers.holds(remote_class, family):
                    continue
                hit = undecided & match.ports
                undecided -= hit
                if rule.action is Action.ACCEPT:
                    accepted |= hit
                elif rule.action is Action.PASS:
                    passed |= hit
        undecided = passed if tier.default is Action.DENY else undecided | passed
    return accepted | undecided
