"""A connection that passed -> the rules that it uses. Pure.

Rule: of policies that add up, all rules that fit are used, since each of them alone would do. Of
policies in order, the first rule that fits is used, and the rules before it that pass on. Where the
policies of now would deny the connection, no rule is used: earlier ones let it pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from podfence.engine.evaluate import asked
from podfence.engine.permitted import is_itself
from podfence.live.node import LiveIndex
from podfence.model.meta import ObjectRef
from podfence.policy.domains import At
from podfence.policy.flow import Action, Direction
from podfence.policy.index import CompiledRule, DirectionPolicy
from podfence.sets.ports import OTHER

RuleRef = tuple[ObjectRef, str]
"""A policy, and the path of a rule in it."""


class ConnectionKind(Struct, frozen=True):
    """Connections that policies cannot tell apart: the client's port is left out. ``protocol`` is
    as policies see it. ``port``: the server's, 0 where there is none."""

    client: At
    server: At
    protocol: str = OTHER
    port: int = 0


class Credit:
    """Asks the index of one node, as it is now."""

    def __init__(self, index: LiveIndex) -> None:
        self._index = index

    @property
    def state(self) -> int:
        """Another number: other answers, maybe."""
        return self._index.events

    def rules(self, kind: ConnectionKind) -> tuple[RuleRef, ...]:
        """The rules here that a connection uses, at either end."""
        if is_itself(self._index.judging(kind.client), self._index.judging(kind.server)):
            return ()
        ends = ((kind.client, Direction.EGRESS), (kind.server, Direction.INGRESS))
        found = (rule for at, direction in ends for rule in self._at(at, direction, kind))
        return tuple(dict.fromkeys(found))

    def written(self) -> Mapping[ObjectRef, tuple[str, ...]]:
        """The rules that apply to pods here, by policy. One that has none is there, too."""
        policies: dict[int, DirectionPolicy] = {}
        for applying in self._index.policies.of.values():
            for direction in Direction:
                policy = applying.of(direction)
                policies[policy.number] = policy
        found: dict[ObjectRef, dict[str, None]] = {}
        for policy in policies.values():
            for tier in policy.tiers:
                for origin in tier.isolated_by:
                    found.setdefault(origin.policy, {})
                for rule in tier.rules:
                    found.setdefault(rule.origin.policy, {})[rule.origin.path] = None
        return {ref: tuple(paths) for ref, paths in found.items()}

    def _at(self, at: At, direction: Direction, kind: ConnectionKind) -> Iterator[RuleRef]:
        remote = kind.server if direction is Direction.EGRESS else kind.client
        for pod in self._index.judging(at):
            applying = self._index.policies.of.get(pod.variant.profile)
            if applying is not None:
                yield from self._used(applying.of(direction), remote, kind)

    def _used(self, policy: DirectionPolicy, remote: At, kind: ConnectionKind) -> Iterator[RuleRef]:
        found: list[RuleRef] = []
        for _, action, rules in asked(policy, lambda rule: self._fits(rule, remote, kind)):
            if action is Action.DENY:
                return
            found += ((rule.origin.policy, rule.origin.path) for rule in rules)
        yield from found

    def _fits(self, rule: CompiledRule, remote: At, kind: ConnectionKind) -> bool:
        port = kind.protocol, kind.port
        return any(port in m.ports and self._index.holds(m.peers, remote) for m in rule.matches)
