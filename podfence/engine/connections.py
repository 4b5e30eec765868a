"""connections(index, ...) -> PortSet: ``evaluate`` for all ports at once.

Rule: agrees with ``evaluate`` on every port (a law that tests hold it to).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from msgspec import Struct

from podfence.policy.flow import Action, Direction
from podfence.policy.index import CompiledRule, CompiledTier, DirectionPolicy, PolicyIndex
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
    accepted = NOTHING
    for step in port_steps(policy, remote_class, family):
        if step.action is Action.ACCEPT:
            accepted |= step.ports
    return accepted


class PortStep(Struct, frozen=True):
    """Neighbours of one action in a tier, and the ports over which they decide. Without a tier: no
    tier decides over these ports, so they are accepted (CNP-28)."""

    action: Action
    ports: PortSet
    tier: CompiledTier | None = None
    fitting: tuple[tuple[CompiledRule, PortSet], ...] = ()
    """The ports of each match that the remote class fits, with its rule."""

    def rules(self) -> Iterator[CompiledRule]:
        """The rules that decide over some of the ports: all that fit (NP-7), of a tier in order the
        first for each port (CNP-7)."""
        ordered = self.tier is not None and self.tier.ordered
        left, last = self.ports, None
        for rule, ports in self.fitting:
            hit = left & ports
            if hit and rule is not last:
                yield rule
                last = rule
            if ordered:
                left -= hit


def port_steps(
    policy: DirectionPolicy, remote_class: int, family: int, ports: PortSet = EVERYTHING
) -> Iterator[PortStep]:
    """The tiers are asked in order about ``ports`` to or from a remote class: as ``asked`` of
    ``evaluate``, for all of them at once. Steps that decide nothing are left out, and so is what a
    default denies."""
    undecided = ports
    for tier in policy.tiers:
        passed = NOTHING
        for action, neighbours in groupby(tier.rules, key=lambda rule: rule.action):
            fitting = tuple(
                (rule, match.ports)
                for rule in neighbours
                for match in rule.matches
                if match.peers.holds(remote_class, family)
            )
            # Thousands of neighbours are one union: among them order does not count.
            hit = undecided & PortSet.union(ports for _, ports in fitting)
            if not hit:
                continue
            yield PortStep(action, hit, tier, fitting)
            undecided -= hit
            if action is Action.PASS:
                passed |= hit
        undecided = passed if tier.default is Action.DENY else undecided | passed
    if undecided:
        yield PortStep(Action.ACCEPT, undecided)


def matched_ports(rule: CompiledRule, remote_class: int, family: int) -> PortSet:
    """The ports on which a rule fits a remote class."""
    return PortSet.union(
        match.ports for match in rule.matches if match.peers.holds(remote_class, family)
    )
