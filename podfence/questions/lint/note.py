"""A note: what one check reports about one NetworkPolicy, and the facts that every check may
use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property

from msgspec import Struct

from podfence.errors import Severity, Source
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import (
    NetworkPolicy,
    NetworkPolicyPeer,
    NetworkPolicyPort,
    NetworkPolicyRule,
)
from podfence.model.selectors import LabelSelector
from podfence.policy.flow import DIRECTIONS, Direction
from podfence.policy.index import PolicyIndex
from podfence.questions.lint.surroundings import UNTOLD, ClusterDns
from podfence.questions.phrases.ends import Ends
from podfence.questions.phrases.matched import MatchedPods

Raw = Mapping[str, object]
"""A policy as it was written, before decoding."""


class Note(Struct, frozen=True):
    """A finding whose policy the check need not repeat. ``path`` is the field that it is about."""

    code: str
    text: str
    path: str
    severity: Severity | None = None
    """Where it weighs otherwise than its code does."""
    names: tuple[str, ...] = ()
    """As in ``LintFinding``."""


def field_of(value: object, *path: str) -> object:
    """A field of what was written, None where it is not there."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


_POD_SPECS = (
    ("spec",),
    ("spec", "template", "spec"),
    ("spec", "jobTemplate", "spec", "template", "spec"),
)


def pod_spec(raw: Raw | None) -> Raw:
    """The spec of the pods that an object is or runs; empty if that is not known."""
    for path in reversed(_POD_SPECS):
        spec = field_of(raw, *path)
        if isinstance(spec, Mapping):
            return spec
    return {}


class Owner(Struct, frozen=True):
    """A workload that runs pods, with the labels that it has itself."""

    ref: ObjectRef
    labels: Mapping[str, str]


class WrittenObjects:
    """How the objects of an index were written. ``raw``: None where that is not known."""

    def __init__(self, index: PolicyIndex, raw: Callable[[Source | None], Raw | None]) -> None:
        self._index = index
        self.raw = raw

    def after(self, raw: Callable[[Source | None], Raw | None]) -> WrittenObjects:
        """The same workloads, with policies that are written as ``raw``."""
        new = WrittenObjects(self._index, raw)
        new._owners = self._owners
        return new

    def prepare(self) -> None:
        """Read all workloads now."""
        _ = self._owners

    def owners(self, selector: LabelSelector) -> list[Owner]:
        """The workloads whose own labels a selector fits; none for a selector without labels."""
        if not selector.match_labels:
            return []
        known = self._owners.get(selector.match_labels[0], [])
        return [owner for owner in known if selector.matches(owner.labels)]

    @cached_property
    def _owners(self) -> dict[tuple[str, str], list[Owner]]:
        sources = {
            end.pod.source: end.pod.owner
            for end in self._index.endpoints.values()
            if end.pod.source is not None and end.pod.owner is not None
        }
        found: dict[tuple[str, str], list[Owner]] = {}
        for source, ref in sources.items():
            raw = self.raw(source)
            labels = field_of(raw, "metadata", "labels")
            if isinstance(labels, Mapping) and field_of(raw, "kind") != "Pod":
                own = {key: value for key, value in labels.items() if isinstance(value, str)}
                for label in own.items():
                    found.setdefault(label, []).append(Owner(ref, own))
        return found


class PeerItem(Struct, frozen=True):
    """An item of ``from`` or ``to``: ``at`` in the rule ``number``. ``ends``: the pods that it
    matches now."""

    direction: Direction
    number: int
    at: int
    peer: NetworkPolicyPeer
    ends: Ends


class PortItem(Struct, frozen=True):
    """An item of ``ports``: ``at`` in the rule ``number``. ``targets``: the pods whose ports the
    rule is about."""

    direction: Direction
    number: int
    at: int
    rule: NetworkPolicyRule
    port: NetworkPolicyPort
    targets: Ends

    @property
    def path(self) -> str:
        """``spec.ingress[0].ports[1]``."""
        return f"{rule_path(self.direction, self.number)}.ports[{self.at}]"


class LintedPolicy(Struct, frozen=True):
    """One policy with everything that the checks ask about it; made by ``of``. ``raw`` None: how it
    was written is not known, and the checks that depend on it are silent."""

    index: PolicyIndex
    policy: NetworkPolicy
    raw: Raw | None
    matched: MatchedPods
    written: WrittenObjects
    namespace: str
    """Namespace of the policy."""
    subjects: Ends
    """Pods that the policy selects now."""
    rules: tuple[tuple[Direction, int, NetworkPolicyRule], ...]
    """Direction, number and rule of every rule that counts (NP-15)."""
    peers: tuple[PeerItem, ...]
    """Every peer of these rules; most checks need the pods that it matches."""
    ports: tuple[PortItem, ...]
    """Every port of these rules."""
    dns: ClusterDns = UNTOLD

    @classmethod
    def of(
        cls,
        index: PolicyIndex,
        policy: NetworkPolicy,
        raw: Raw | None,
        matched: MatchedPods,
        written: WrittenObjects,
        dns: ClusterDns = UNTOLD,
    ) -> LintedPolicy:
        """A policy of the index. Everything is computed at once, because every check needs some of
        it."""
        namespace, subjects = policy.ref.namespace, matched.subjects(policy)
        rules: list[tuple[Direction, int, NetworkPolicyRule]] = []
        peers: list[PeerItem] = []
        ports: list[PortItem] = []
        for direction in DIRECTIONS:
            if direction.policy_type not in policy.policy_types:
                continue
            for number, rule in enumerate(policy.rules_of(direction.policy_type)):
                rules.append((direction, number, rule))
                for at, peer in enumerate(rule.peers):
                    ends = matched.peers(namespace, peer)
                    peers.append(PeerItem(direction, number, at, peer, ends))
                if rule.ports:
                    # The end that is connected to (NP-32).
                    is_ingress = direction is Direction.INGRESS
                    targets = subjects if is_ingress else matched.rule_peers(namespace, rule.peers)
                    for at, port in enumerate(rule.ports):
                        ports.append(PortItem(direction, number, at, rule, port, targets))
        return cls(
            index,
            policy,
            raw,
            matched,
            written,
            namespace,
            subjects,
            tuple(rules),
            tuple(peers),
            tuple(ports),
            dns,
        )

    @property
    def raw_spec(self) -> Raw:
        """``spec`` as written; empty if that is not known."""
        spec = (self.raw or {}).get("spec")
        return spec if isinstance(spec, dict) else {}


def rule_path(direction: Direction, number: int) -> str:
    """``spec.ingress[0]``."""
    return f"spec.{direction.value}[{number}]"
