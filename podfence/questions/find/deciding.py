"""deciding(policy, remote, family, ports) -> the rules that let ports through in one direction.

Rule: tiers are evaluated as in the engine (CNP-1, CNP-7), so a rule is named only for ports that
reach it. Ports that no rule decides are listed separately.
"""

from __future__ import annotations

from msgspec import Struct

from podfence.engine.connections import port_steps
from podfence.policy.flow import Action, Direction
from podfence.policy.index import DirectionPolicy
from podfence.policy.origin import Origin
from podfence.sets import PortSet
from podfence.sets.ports import EVERYTHING


class DecidingRules(Struct, frozen=True):
    """``rules``: each allows some of the ports. ``free``: of some no policy says anything."""

    rules: tuple[Origin, ...] = ()
    free: bool = False

    def joined(self, other: DecidingRules) -> DecidingRules:
        """Both, as of two IP versions."""
        rules = tuple(dict.fromkeys((*self.rules, *other.rules)))
        return DecidingRules(rules, self.free or other.free)


FREE = DecidingRules(free=True)
"""An end that no policy judges."""

Via = tuple[tuple[Direction, DecidingRules], ...]
"""What lets a connection through at each end that policies judge: the source's first."""


def deciding(
    policy: DirectionPolicy, remote: int, family: int, ports: PortSet = EVERYTHING
) -> DecidingRules:
    """The rules that let ``ports`` through to or from a class; all of them are allowed."""
    free = False
    found: dict[Origin, None] = {}
    for step in port_steps(policy, remote, family, ports):
        if step.tier is None:
            free = True
        elif step.action is Action.ACCEPT:
            found |= dict.fromkeys(rule.origin for rule in step.rules())
    return DecidingRules(tuple(found), free)
