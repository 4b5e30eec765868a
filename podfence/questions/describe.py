"""The effect of one NetworkPolicy, in plain sentences, with the pods that it selects now.

Rule: complete and exact. The sentences say what the policy changes and what it does not; other
policies on which the result depends are named. The sentences are values; ``render.describe`` lays
them out.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from pyroaring import FrozenBitMap

from podfence.errors import Source
from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy, Tier
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import (
    NetworkPolicy,
    NetworkPolicyPort,
    NetworkPolicyRule,
    PolicyType,
)
from podfence.policy.flow import Direction
from podfence.policy.index import Endpoint, PolicyIndex
from podfence.policy.namedports import PortName, named_number
from podfence.questions.phrases import words
from podfence.questions.phrases.matched import (
    MatchedPods,
    PodGroup,
    allows_everything,
    grouped,
    workload_of,
)
from podfence.questions.phrases.tierwords import in_order, policy_words

_PEER_LIST = {Direction.INGRESS: "from", Direction.EGRESS: "to"}
EXEMPT = (
    "Whatever policies say, these pass: answers on allowed connections, a pod to itself, and a "
    "node to the pods that run on it."
)
"""NP-41, NP-54, NP-52."""
_WHEN = {
    Tier.ADMIN: "Evaluated before every NetworkPolicy for some of these pods, and final where it "
    "accepts or denies",
    Tier.BASELINE: "Evaluated for those of these pods and directions that no NetworkPolicy "
    "isolates",
}
_NAMED_WORKLOADS = 4
"""How many workloads are named for one number of a named port; the others are counted."""


class PeerDescription(Struct, frozen=True):
    """One alternative of a rule. ``path``: of the peer item, or of the rule when it has no peers.
    ``pods``: the pods that match now; ``outside``: whether addresses that belong to no pod match
    too. ``now``: the present meaning where that is not pods, else ""."""

    path: str
    text: str
    pods: tuple[PodGroup, ...]
    outside: bool
    now: str = ""


class RuleDescription(Struct, frozen=True):
    """One rule: any of ``peers``, on any of ``ports`` (a phrase that begins with "on")."""

    path: str
    peers: tuple[PeerDescription, ...]
    ports: str


class DirectionDescription(Struct, frozen=True):
    """One direction. ``isolates``: whether the policy has it. ``text``: the effect on the selected
    pods. ``others``: the effect of other policies in this direction. ``rules``: empty when the
    policy does not have the direction, because its rules then have no effect (NP-15)."""

    direction: Direction
    isolates: bool
    text: str
    others: str
    rules: tuple[RuleDescription, ...]


class OtherPolicy(Struct, frozen=True):
    """Another policy that selects some of the same pods; ``text`` says how many and what it
    does."""

    policy: ObjectRef
    source: Source | None
    text: str


class PolicyDescription(Struct, frozen=True):
    """``selects``: the sentence about the subjects; ``pods``: the subjects now. ``types``: where
    the directions come from (NP-8). ``tiers``: sentences about the policies of other tiers that
    select some of the same pods. ``exempt``: what no policy denies."""

    policy: ObjectRef
    source: Source | None
    selects: str
    pods: tuple[PodGroup, ...]
    types: str
    ingress: DirectionDescription
    egress: DirectionDescription
    others: tuple[OtherPolicy, ...]
    tiers: tuple[str, ...]
    exempt: str


def describe(index: PolicyIndex, policy: NetworkPolicy) -> PolicyDescription:
    """What ``policy``, one of the policies of ``index``, does; never fails."""
    return _Describer(index, policy).describe()


def peer_path(direction: Direction, rule: int, peer: int) -> str:
    """Field path of a peer item: ``spec.ingress[0].from[1]``."""
    return f"spec.{direction.value}[{rule}].{_PEER_LIST[direction]}[{peer}]"


class _Describer:
    """Holds what the parts of one description share."""

    def __init__(self, index: PolicyIndex, policy: NetworkPolicy) -> None:
        self._index = index
        self._policy = policy
        self._matched = MatchedPods(index)
        self._subjects = self._matched.subjects(policy)
        self._others = tuple(
            other
            for other in index.cluster.policies
            if other.ref.namespace == policy.ref.namespace
            and other.ref != policy.ref
            and self._shared(other)
        )

    def describe(self) -> PolicyDescription:
        policy = self._policy
        return PolicyDescription(
            policy=policy.ref,
            source=policy.source,
            selects=self._selects(),
            pods=grouped(self._subjects),
            types=_types(policy),
            ingress=self._direction(Direction.INGRESS),
            egress=self._direction(Direction.EGRESS),
            others=tuple(map(self._other, self._others)),
            tiers=tuple(self._tiers()),
            exempt=EXEMPT,
        )

    def _shared(self, other: NetworkPolicy) -> int:
        """How many pods both policies select."""
        selected = self._index.selected
        classes = selected.get(self._policy.ref)
        if classes is None or other.ref not in selected:
            return 0
        return sum(len(self._index.members[n]) for n in classes & selected[other.ref])

    def _selects(self) -> str:
        what = words.pods(self._policy.pod_selector)
        number = len(self._subjects)
        now = f"{words.count(number, 'pod')} now" if number else "no pod now"
        return f"Selects {what} in namespace {self._policy.ref.namespace}: {now}."

    # -- one direction

    def _direction(self, direction: Direction) -> DirectionDescription:
        isolates = direction.policy_type in self._policy.policy_types
        rules = self._policy.rules_of(direction.policy_type)
        text = _isolated(direction, bool(rules)) if isolates else _untouched(direction, len(rules))
        described = enumerate(rules) if isolates else ()
        return DirectionDescription(
            direction=direction,
            isolates=isolates,
            text=text,
            others=self._by_others(direction, isolates=isolates),
            rules=tuple(self._rule(direction, number, rule) for number, rule in described),
        )

    def _by_others(self, direction: Direction, *, isolates: bool) -> str:
        """What the union with the other policies means here (NP-7); "" if there is nothing to
        add."""
        others = [p for p in self._others if direction.policy_type in p.policy_types]
        total = len(self._subjects)
        if not total:
            return ""
        open_for = [p for p in others if allows_everything(p, direction)]
        everywhere = [p for p in open_for if self._shared(p) == total]
        if everywhere and isolates and not allows_everything(self._policy, direction):
            return (
                f"All of this is pointless while {_names(everywhere)} allows every "
                f"{_connection(direction)}."
            )
        if isolates:
            return ""
        if not others and self._tiers_with(direction):
            rest = f"every {_connection(direction)} that no other tier denies is allowed"
            return f"No NetworkPolicy isolates them: {rest}."
        if not others:
            return f"No policy isolates them: every {_connection(direction)} is allowed."
        return f"{_names(others)} {'isolates' if len(others) == 1 else 'isolate'} " + (
            "them." if all(self._shared(p) == total for p in others) else "some of them."
        )

    # -- other tiers

    def _tier_policies(self) -> list[ClusterNetworkPolicy]:
        """Those that select some of the same pods, in the order of asking."""
        own = self._index.selected.get(self._policy.ref, FrozenBitMap())
        return in_order(
            other
            for other in self._index.cluster.admin_policies
            if self._index.selected[other.ref] & own
        )

    def _tiers_with(self, direction: Direction) -> bool:
        return any(policy.rules_of(direction.policy_type) for policy in self._tier_policies())

    def _tiers(self) -> Iterable[str]:
        """CNP-1, CNP-13."""
        for tier, when in _WHEN.items():
            found = [policy_words(p) for p in self._tier_policies() if p.tier is tier]
            if found:
                yield f"{when}: {words.listed(found)}."

    # -- rules

    def _rule(self, direction: Direction, number: int, rule: NetworkPolicyRule) -> RuleDescription:
        path = f"spec.{direction.value}[{number}]"
        namespace = self._policy.ref.namespace
        peers = tuple(
            PeerDescription(
                peer_path(direction, number, at),
                words.peer(peer, namespace),
                grouped(self._matched.peers(namespace, peer)),
                peer.ip_block is not None,
            )
            for at, peer in enumerate(rule.peers)
        )
        return RuleDescription(path, peers or (self._everyone(path),), self._ports(direction, rule))

    def _everyone(self, path: str) -> PeerDescription:
        pods = grouped(self._matched.rule_peers(self._policy.ref.namespace, ()))
        return PeerDescription(path, words.EVERYONE, pods, True)

    # -- ports

    def _ports(self, direction: Direction, rule: NetworkPolicyRule) -> str:
        return words.ports(
            words.port(port) + self._resolved(direction, rule, port) for port in rule.ports
        )

    def _resolved(
        self, direction: Direction, rule: NetworkPolicyRule, port: NetworkPolicyPort
    ) -> str:
        """What a port name means on the pods that are connected to (NP-32..NP-36)."""
        if not isinstance(port.port, str):
            return ""
        if direction is Direction.INGRESS:
            targets = self._subjects
        else:
            targets = self._matched.rule_peers(self._policy.ref.namespace, rule.peers)
        return f" ({resolution(targets, PortName(port.port, port.protocol.value))})"

    # -- other policies

    def _other(self, other: NetworkPolicy) -> OtherPolicy:
        shared, total = self._shared(other), len(self._subjects)
        of = "the same pods" if shared == total else f"{shared} of these {total} pods"
        return OtherPolicy(other.ref, other.source, f"selects {of}; {_effect(other)}")


def _names(policies: Iterable[NetworkPolicy]) -> str:
    return words.listed([str(policy.ref) for policy in policies])


def _connection(direction: Direction) -> str:
    return f"connection {'to' if direction is Direction.INGRESS else 'from'} these pods"


def _types(policy: NetworkPolicy) -> str:
    """Where the effective policyTypes come from (NP-8)."""
    names = [t.value for t in PolicyType if t in policy.policy_types]
    if policy.declared_types:
        return f"policyTypes says {_listed_types(names)}."
    because = "there is at least one egress rule" if policy.egress else "there is no egress rule"
    return (
        f"No policyTypes is written: the server makes it {_listed_types(names)}, because {because}."
    )


def _listed_types(names: list[str]) -> str:
    return f"{names[0]} only" if len(names) == 1 else words.listed(names)


def _isolated(direction: Direction, has_rules: bool) -> str:
    """NP-5, NP-7, NP-9."""
    if direction is Direction.INGRESS:
        verb, unless = "accept", "accept no connection"
    else:
        verb, unless = "open", "open no connection, DNS included,"
    if has_rules:
        return (
            f"Isolated: these pods {verb} only the connections that a rule here, or a rule of "
            "another policy, allows."
        )
    return f"Isolated, and no rule here: these pods {unless} unless another policy allows it."


def _untouched(direction: Direction, dead_rules: int) -> str:
    """NP-15: rules of a direction that the policy does not have."""
    what = "to these pods" if direction is Direction.INGRESS else "that these pods open"
    text = f"Untouched: this policy neither isolates nor allows connections {what}."
    if not dead_rules:
        return text
    verb = "has" if dead_rules == 1 else "have"
    name = direction.policy_type.value
    return (
        f"{text} Its {words.count(dead_rules, f'{direction.value} rule')} {verb} no effect, "
        f"because policyTypes does not name {name}."
    )


def resolution(targets: Iterable[Endpoint], name: PortName) -> str:
    """What a port name means on these pods: ``8080 on shop/frontend; not declared by shop/db``."""
    found: dict[str, dict[str, None]] = {}
    missing: dict[str, None] = {}
    for endpoint in targets:
        workload, _ = workload_of(endpoint.pod)
        numbers = [
            str(low) if name.protocol else f"{protocol} {low}"
            for protocol, low, _ in named_number(endpoint.pod.ports, name).ranges()
        ]
        if not numbers:
            missing[workload] = None
        for number in numbers:
            found.setdefault(number, {})[workload] = None
    parts = [f"{number} on {_some(names)}" for number, names in found.items()]
    if missing and parts:
        parts.append(f"not declared by {_some(missing)}")
    nothing = (
        f"declared by none of them now, so this {'allows' if name.protocol else 'matches'} nothing"
    )
    return "; ".join(parts) or nothing


def _some(names: Iterable[str]) -> str:
    return words.some(list(names), _NAMED_WORKLOADS)


def _effect(policy: NetworkPolicy) -> str:
    """``isolates ingress, allows nothing; isolates egress, 2 rules``."""
    parts = []
    for direction in (Direction.INGRESS, Direction.EGRESS):
        if direction.policy_type not in policy.policy_types:
            continue
        rules = policy.rules_of(direction.policy_type)
        what = f"has {words.count(len(rules), 'rule')}" if rules else "allows nothing"
        if allows_everything(policy, direction):
            what = "allows everything"
        parts.append(f"isolates {direction.value} and {what}")
    return ", ".join(parts)
