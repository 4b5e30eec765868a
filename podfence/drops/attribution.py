"""An attempt that was denied, or would be -> whose attempt it was, and which policies deny it.
Pure.

Rule: the log says in which direction it was denied. The policies in force when it is asked about
say why. Where these would allow it by now, the answer says so, and blames nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address

from msgspec.structs import replace

from podfence.drops.attempt import At, Attempt
from podfence.drops.record import ISOLATED, PAST, RULE, Cause, FlowEnd, NamedRule
from podfence.engine.evaluate import decide
from podfence.live.node import LiveIndex
from podfence.policy.flow import Decision, Direction, Reason
from podfence.policy.index import CompiledRule, CompiledTier, DirectionPolicy
from podfence.policy.origin import Origin
from podfence.questions.phrases.words import near_miss
from podfence.sets import PortSet
from podfence.sets.ports import OTHER

BLAMED = 8
"""Policies that are told: thousands of drops are kept, each with its own."""
NEAREST = 3
"""Near misses that are told: nobody reads more."""


class Attribution:
    """Asks the index of one node. ``group``: the name that a policy has in log prefixes."""

    def __init__(self, index: LiveIndex, group: Callable[[DirectionPolicy], str]) -> None:
        self._index = index
        self._group = group

    def end(self, at: At) -> FlowEnd:
        """Whose an address is now."""
        family, address = at
        text = str(IPv4Address(address) if family == 4 else IPv6Address(address))
        pods = tuple(sorted(map(self._index.name, self._index.holders(at))))
        return FlowEnd(text, pods, "" if pods else self._index.node_at(at))

    def cause(self, attempt: Attempt) -> Cause:
        """Why it is denied."""
        direction = attempt.direction
        if direction is None:
            return Cause(attempt.denier)
        for policy, audited in self._policies(attempt, direction):
            decision, tier = decide(policy, lambda rule: self._fits(rule, attempt, direction))
            if tier is not None and not decision.allowed:
                cause = self._denied(decision, tier, attempt, direction)
                return replace(cause, audited=audited) if audited else cause
        return Cause(PAST)

    def _policies(
        self, attempt: Attempt, direction: Direction
    ) -> list[tuple[DirectionPolicy, tuple[NamedRule, ...]]]:
        """The policies that judge it: those of each pod here that may have the address. Those that
        the log names come first, for several pods may be denied alike (NP-60a). Where audits are
        asked, the audited ones are among them."""
        is_egress = direction is Direction.EGRESS
        pods = self._index.judging(attempt.source if is_egress else attempt.destination)
        known = (self._index.policies.of.get(pod.variant.profile) for pod in pods)
        found = []
        for policies in known:
            policy = None if policies is None else policies.of(direction)
            audit = policies.audit(direction) if policies is not None and attempt.audit else None
            if audit is not None and policy is not None:
                found.append((audit, _audited(audit, policy)))
            elif policy is not None and not attempt.audit:
                found.append((policy, ()))
        return sorted(found, key=lambda each: self._group(each[0]) != attempt.denier)

    def _denied(
        self, decision: Decision, tier: CompiledTier, attempt: Attempt, direction: Direction
    ) -> Cause:
        named = tuple(map(_named_rule, decision.origins[:BLAMED]))
        if decision.reason is Reason.RULE:
            return Cause(RULE, tier.name, named)
        near = sorted(self._near(tier.rules, attempt, direction), key=lambda found: found[0])
        nearest = dict.fromkeys(rule for _, rule in near)
        more = len(decision.origins) - len(named)
        return Cause(ISOLATED, tier.name, named, tuple(nearest)[:NEAREST], more)

    def _near(
        self, rules: tuple[CompiledRule, ...], attempt: Attempt, direction: Direction
    ) -> Iterator[tuple[bool, NamedRule]]:
        """Rules of an isolation of which the peer or the port fits, and whether it is the
        port alone."""
        remote = _remote(attempt, direction)
        for rule in rules:
            ports = PortSet.union(match.ports for match in rule.matches)
            held = [m.path for m in rule.matches if self._index.holds(m.peers, remote)]
            paths = tuple(dict.fromkeys(held))
            port_fits = _asked(attempt) in ports
            said = near_miss(rule.origin.path, paths, ports, port_fits=port_fits)
            if said:
                named = _named_rule(rule.origin)
                yield not paths, NamedRule(named.kind, named.policy, named.path, said)

    def _fits(self, rule: CompiledRule, attempt: Attempt, direction: Direction) -> bool:
        remote, asked = _remote(attempt, direction), _asked(attempt)
        return any(
            asked in match.ports and self._index.holds(match.peers, remote)
            for match in rule.matches
        )


def _audited(audit: DirectionPolicy, enforced: DirectionPolicy) -> tuple[NamedRule, ...]:
    """The policies that are asked and not enforced."""
    known = {*enforced.policies}
    return tuple(NamedRule(r.kind, str(r), "") for r in audit.policies if r not in known)[:BLAMED]


def _remote(attempt: Attempt, direction: Direction) -> At:
    return attempt.destination if direction is Direction.EGRESS else attempt.source


def _asked(attempt: Attempt) -> tuple[str, int]:
    """Protocol and port as rules have them. An unknown port is one that no rule names."""
    return attempt.protocol, 0 if attempt.protocol == OTHER else (attempt.port or 0)


def _named_rule(origin: Origin) -> NamedRule:
    return NamedRule(origin.policy.kind, str(origin.policy), origin.path)
