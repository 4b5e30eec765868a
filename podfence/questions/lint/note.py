"""A note: what one check says of one NetworkPolicy, and what every check may ask about it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from msgspec import Struct

from podfence.model.networkpolicy import NetworkPolicy, NetworkPolicyRule
from podfence.policy.flow import Direction
from podfence.policy.index import Endpoint, PolicyIndex
from podfence.questions.phrases.matched import Matched

Raw = Mapping[str, object]
"""A policy as it was written, before decoding."""


class Note(Struct, frozen=True):
    """A finding whose policy the check need not repeat. ``path`` is the field that it is about."""

    code: str
    text: str
    path: str


class Case(Struct, frozen=True, dict=True):
    """One policy with everything that the checks ask about it. ``raw`` None: how it was written
    is not known, and the checks that depend on it are silent."""

    index: PolicyIndex
    policy: NetworkPolicy
    raw: Raw | None
    matched: Matched

    @property
    def namespace(self) -> str:
        """Namespace of the policy."""
        return self.policy.ref.namespace

    @cached_property
    def subjects(self) -> tuple[Endpoint, ...]:
        """Pods that the policy selects now."""
        return self.matched.subjects(self.policy)

    @cached_property
    def raw_spec(self) -> Raw:
        """``spec`` as written; empty if that is not known."""
        spec = (self.raw or {}).get("spec")
        return spec if isinstance(spec, Mapping) else {}

    @cached_property
    def rules(self) -> tuple[tuple[Direction, int, NetworkPolicyRule], ...]:
        """Direction, number and rule of every rule that counts (NP-15)."""
        return tuple(
            (direction, number, rule)
            for direction in Direction
            if direction.policy_type in self.policy.policy_types
            for number, rule in enumerate(self.policy.rules_of(direction.policy_type))
        )

    def targets(self, direction: Direction, rule: NetworkPolicyRule) -> tuple[Endpoint, ...]:
        """Pods whose ports a rule is about: the end that is connected to (NP-32)."""
        if direction is Direction.INGRESS:
            return self.subjects
        return self.matched.rule_peers(self.namespace, rule.peers)


def rule_path(direction: Direction, number: int) -> str:
    """``spec.ingress[0]``."""
    return f"spec.{direction.value}[{number}]"
