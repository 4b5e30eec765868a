"""The effect of one policy of the Admin or the Baseline tier, in plain sentences, as of now.

Rule: complete and exact, as for NetworkPolicy (``describe``); ``render.describe`` lays the values
out. The order of rules is part of the meaning, so they stay in order, each with its action. A rule
that fails closed is described by what it does, not by what was written (CNP-25).
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from podfence.errors import Source
from podfence.model.clusternetworkpolicy import (
    ClusterNetworkPolicy,
    Peer,
    ProtocolMatch,
    RuleAction,
    TierRule,
)
from podfence.model.meta import ObjectRef
from podfence.policy.domains import resolve
from podfence.policy.flow import Direction
from podfence.policy.index import Endpoint, PolicyIndex
from podfence.policy.namedports import PortName
from podfence.questions.describe import PeerDescription, resolution
from podfence.questions.phrases import tierphrases, words
from podfence.questions.phrases.ends import Ends
from podfence.questions.phrases.matched import MatchedPods, PodGroup, grouped
from podfence.questions.phrases.tierwords import (
    in_order,
    policy_words,
    priority_of,
    unreadable,
)
from podfence.sets.addresses import IPAddress

EXEMPT = (
    "Whatever policies say, these pass: answers on accepted connections, a pod to itself, and a "
    "node to the pods that run on it."
)
"""CNP-10, CNP-27, NP-52."""
ONLY_PODS = (
    " Ingress rules match only pods: nodes, host-network pods and addresses outside the cluster "
    "never match."
)
"""CNP-16; not so for a rule that cannot be read and denies everything (CNP-25)."""
_SHOWN = 5


class TierRuleDescription(Struct, frozen=True):
    """One rule. ``does``: its action on the connections that it matches. ``broken``: why the rule
    cannot be read completely; then ``does`` holds whatever its peers and ports are. ``ports``: a
    phrase that begins with "on"."""

    path: str
    name: str
    does: str
    peers: tuple[PeerDescription, ...]
    ports: str
    broken: str = ""


class TierDirectionDescription(Struct, frozen=True):
    """One direction; ``text`` says what happens to what no rule matches."""

    direction: Direction
    text: str
    rules: tuple[TierRuleDescription, ...]


class TierPolicyDescription(Struct, frozen=True):
    """``selects``: the sentence about the subjects; ``pods``: the subjects now. ``when_asked``:
    when the policy is evaluated, and what that means; ``neighbours``: the policies of its tier that
    are evaluated before and after it for the same pods."""

    policy: ObjectRef
    source: Source | None
    selects: str
    pods: tuple[PodGroup, ...]
    when_asked: str
    neighbours: tuple[str, ...]
    ingress: TierDirectionDescription
    egress: TierDirectionDescription
    exempt: str


def describe_tier_policy(index: PolicyIndex, policy: ClusterNetworkPolicy) -> TierPolicyDescription:
    """What ``policy``, one of ``index``, does. Never fails."""
    return _TierDescriber(index, policy).describe()


class _TierDescriber:
    """Holds what the parts of one description share."""

    def __init__(self, index: PolicyIndex, policy: ClusterNetworkPolicy) -> None:
        self._index = index
        self._policy = policy
        self._matched = MatchedPods(index)
        self._subjects = self._matched.subjects(policy)

    def describe(self) -> TierPolicyDescription:
        policy = self._policy
        return TierPolicyDescription(
            policy=policy.ref,
            source=policy.source,
            selects=self._selects(),
            pods=grouped(self._subjects),
            when_asked=tierphrases.tier(policy.tier, priority_of(policy)),
            neighbours=tuple(self._neighbours()),
            ingress=self._direction(Direction.INGRESS),
            egress=self._direction(Direction.EGRESS),
            exempt=EXEMPT if any(map(_denies_all, policy.ingress)) else EXEMPT + ONLY_PODS,
        )

    def _selects(self) -> str:
        subject = self._policy.subject
        if subject.unknown:
            return f"Selects no pod: its subject cannot be read ({subject.unknown})."
        what = (
            tierphrases.namespaced(subject.pods)
            if subject.pods is not None
            else f"every pod in {words.namespaces(subject.namespaces or tierphrases.ANYTHING)}"
        )
        number = len(self._subjects)
        now = f"{words.count(number, 'pod')} now" if number else "no pod now"
        return f"Selects {what}: {now}."

    def _neighbours(self) -> Iterable[str]:
        """Policies of the tier that select some of the same pods, by the order of asking."""
        own = self._index.selected[self._policy.ref]
        others = in_order(
            other
            for other in self._index.cluster.admin_policies
            if other.tier is self._policy.tier and self._index.selected[other.ref] & own
        )
        at = next((n for n, other in enumerate(others) if other.ref == self._policy.ref), 0)
        for word, found in (("before", others[:at]), ("after", others[at + 1 :])):
            if found:
                yield f"Evaluated {word} it for some of these pods: {_listing(found)}."

    # -- one direction

    def _direction(self, direction: Direction) -> TierDirectionDescription:
        rules = self._policy.rules_of(direction.policy_type)
        return TierDirectionDescription(
            direction,
            tierphrases.direction(self._policy.tier, direction, len(rules)),
            tuple(self._rule(direction, at, rule) for at, rule in enumerate(rules)),
        )

    def _rule(self, direction: Direction, at: int, rule: TierRule) -> TierRuleDescription:
        path = f"spec.{direction.value}[{at}]"
        broken = unreadable(rule)
        if broken:
            does = tierphrases.broken(rule.action)
            return TierRuleDescription(path, rule.name, does, (), "", broken)
        field = "from" if direction is Direction.INGRESS else "to"
        peers = tuple(
            self._peer(f"{path}.{field}[{number}]", rule, peer)
            for number, peer in enumerate(rule.peers)
        )
        does = tierphrases.action(rule.action, self._policy.tier)
        return TierRuleDescription(path, rule.name, does, peers, self._ports(direction, rule))

    # -- peers

    def _peer(self, path: str, rule: TierRule, peer: Peer) -> PeerDescription:
        text = tierphrases.peer(peer)
        if peer.networks:
            pods = grouped(self._matched.in_networks(peer.networks))
            return PeerDescription(path, text, pods, outside=True)
        if peer.nodes is not None:
            return PeerDescription(path, text, (), outside=True, now=self._nodes(peer))
        if peer.domain_names:
            return PeerDescription(path, text, (), outside=True, now=self._known(rule, peer))
        return PeerDescription(path, text, grouped(self._pods(peer)), outside=False)

    def _pods(self, peer: Peer) -> Ends:
        if peer.pods is not None:
            namespaces = peer.pods.namespace_selector or tierphrases.ANYTHING  # CNP-15
            return self._matched.pods_in(peer.pods.pod_selector, namespaces)
        return self._matched.pods_in(tierphrases.ANYTHING, peer.namespaces or tierphrases.ANYTHING)

    def _nodes(self, peer: Peer) -> str:
        selector = peer.nodes or tierphrases.ANYTHING
        found = [
            f"{node.name} ({', '.join(map(str, node.addresses)) or 'no address'})"
            for node in self._index.cluster.nodes.values()
            if selector.matches(dict(node.labels))
        ]
        return f"now {words.some(found, _SHOWN)}" if found else "now no node"

    def _known(self, rule: TierRule, peer: Peer) -> str:
        """CNP-19."""
        if rule.action is not RuleAction.ACCEPT:
            return "matches nothing: domain names count only in rules that accept"
        parts = []
        for name in peer.domain_names:
            found = [str(a) for a in sorted(resolve(name, self._index.names), key=_family_order)]
            parts.append(f"{name}: {words.some(found, _SHOWN) if found else 'no address known'}")
        return f"now {'; '.join(parts)}"

    # -- ports

    def _ports(self, direction: Direction, rule: TierRule) -> str:
        return words.ports(
            tierphrases.protocol(item) + self._resolved(direction, rule, item)
            for item in rule.protocols
        )

    def _resolved(self, direction: Direction, rule: TierRule, item: ProtocolMatch) -> str:
        """What a port name means on the pods that are connected to (CNP-23)."""
        if not item.named_port:
            return ""
        if direction is Direction.INGRESS:
            targets: Iterable[Endpoint] = self._subjects
        else:
            selectors = (p for p in rule.peers if p.pods is not None or p.namespaces is not None)
            targets = {e.pod.ref: e for peer in selectors for e in self._pods(peer)}.values()
        name = PortName(item.named_port, "")
        return f" ({resolution(targets, name)})"


def _denies_all(rule: TierRule) -> bool:
    return bool(unreadable(rule)) and rule.action is not RuleAction.ACCEPT


def _family_order(address: IPAddress) -> tuple[int, int]:
    return address.version, int(address)


def _listing(policies: list[ClusterNetworkPolicy]) -> str:
    return words.some([policy_words(policy) for policy in policies], _SHOWN)
