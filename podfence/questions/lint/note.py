"""A note: something in a policy that does not do what its name or its shape suggests.

Rule: a note never says that a policy is wrong, for the server accepts it; it says what it really
does. Every code has one meaning, stands in NOTE_CODES and does not change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from msgspec import Struct

from podfence.model.networkpolicy import NetworkPolicy, NetworkPolicyRule
from podfence.policy.flow import Direction
from podfence.policy.index import Endpoint, PolicyIndex
from podfence.questions.phrases.matched import Matched

NOTE_CODES: Mapping[str, str] = {
    "PF301": "the name or a remark says deny, the rules allow",
    "PF302": "an empty egress list without policyTypes does not close egress",
    "PF303": "egress rules without policyTypes close ingress",
    "PF304": "rules of a direction that policyTypes does not name count for nothing",
    "PF305": "a null list item allows everything that its place can allow",
    "PF306": "the policy selects no pod",
    "PF307": "a peer means no pod and no address",
    "PF308": "a named port that no destination declares allows nothing",
    "PF309": "the number is a Service's port, policies see the container's",
    "PF310": "a rule {} allows everyone, outside the cluster included",
    "PF311": "an ipBlock that covers addresses of pods or Services",
    "PF312": "port 53 over TCP alone is not enough for DNS",
    "PF313": "a catch-all of one IP family leaves the other closed",
    "PF314": "two selectors in one item must both hold; as two items they would match pods",
    "PF315": "two items are alternatives; as one item they would match fewer pods",
    "PF316": "another policy allows everything that this one restricts",
    "PF317": "the name says A to B, the rules allow B to A",
    "PF318": "the port is declared by the end that connects, not by the end connected to",
    "PF319": "a neighbour in the same policy allows what this one restricts",
    "PF363": "a rule with peers alone beside a rule with ports alone: one rule, split by a dash",
}
"""Every code with its meaning in one line."""

Raw = Mapping[str, object]
"""A policy as it was written, before decoding."""


class Note(Struct, frozen=True):
    """``path`` is the field that the note is about, for its place in the file."""

    code: str
    title: str
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

    def rules(self) -> Iterator[tuple[Direction, int, NetworkPolicyRule]]:
        """Direction, number and rule of every rule that counts (NP-15)."""
        for direction in Direction:
            if direction.policy_type in self.policy.policy_types:
                for number, rule in enumerate(self.policy.rules_of(direction.policy_type)):
                    yield direction, number, rule

    def targets(self, direction: Direction, rule: NetworkPolicyRule) -> tuple[Endpoint, ...]:
        """Pods whose ports a rule is about: the end that is connected to (NP-32)."""
        if direction is Direction.INGRESS:
            return self.subjects
        return self.matched.rule_peers(self.namespace, rule.peers)


def note(code: str, text: str, path: str) -> Note:
    """A note with its code's title."""
    return Note(code, NOTE_CODES[code], text, path)


def rule_path(direction: Direction, number: int) -> str:
    """``spec.ingress[0]``."""
    return f"spec.{direction.value}[{number}]"
