"""deciding(policy, remote, family, ports) -> the rules that let ports through in one direction.

Rule: tiers are evaluated as in the engine (CNP-1, CNP-7), so a rule is named only for ports that
reach it. Ports that no rule decides are listed separately.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from podfence.policy.flow import Action, Direction
from podfence.policy.index import CompiledRule, DirectionPolicy
from podfence.policy.origin import Origin
from podfence.sets import PortSet
from podfence.sets.ports import EVERYTHING, NOTHING


class Deciding(Struct, frozen=True):
    """``rules``: each allows some of the ports. ``free``: of some no policy says anything."""

    rules: tuple[Origin, ...] = ()
    free: bool = False

    def joined(self, other: Deciding) -> Deciding:
        """Both, as of two IP versions."""
        rules = tuple(dict.fromkeys((*self.rules, *other.rules)))
        return Deciding(rules, self.free or other.free)


FREE = Deciding(free=True)
"""An end that no policy judges."""

Via = tuple[tuple[Direction, Deciding], ...]
"""What lets a connection through at each end that policies judge: the source's first."""


def deciding(
    policy: DirectionPolicy, remote: int, family: int, ports: PortSet = EVERYTHING
) -> Deciding:
    """The rules that let ``ports`` through to or from a class; all of them are allowed."""
    walk = Walk(policy, remote, family, ports)
    found = (rule.origin for rule in walk if rule.action is Action.ACCEPT)
    return Deciding(tuple(dict.fromkeys(found)), bool(walk.undecided))


class Walk:
    """The rules that decide over some of ``ports``, to or from a class, whatever they decide.
    ``undecided``: the ports that no tier walked so far has decided over."""

    def __init__(self, policy: DirectionPolicy, remote: int, family: int, ports: PortSet) -> None:
        self.undecided = self._ports = ports
        self._policy = policy
        self._class = remote, family

    def __iter__(self) -> Iterator[CompiledRule]:
        self.undecided = self._ports
        for tier in self._policy.tiers:
            passed, left = NOTHING, self.undecided
            for rule in tier.rules:
                hit = left & matched(rule, *self._class)
                if not hit:
                    continue
                yield rule
                if rule.action is Action.PASS:
                    passed |= hit
                if tier.ordered:  # else every rule that fits allows, whatever the others do
                    left -= hit
            self.undecided = passed if tier.default is Action.DENY else left | passed
            if not self.undecided:
                return


def matched(rule: CompiledRule, remote: int, family: int) -> PortSet:
    """The ports on which a rule fits a class."""
    held = [match.ports for match in rule.matches if match.peers.holds(remote, family)]
    return PortSet.union(held) if held else NOTHING
