"""Why does a flow pass or not? Both directions, with every policy that decided or came near.

Rule: a direction is explained as it was judged, tier by tier. A tier is evaluated only if those
before it have not decided; inside the ordered tiers the first rule that fits ends the tier (CNP-1,
CNP-7).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from msgspec import Struct
from msgspec.structs import replace

from podfence.engine.evaluate import deciding, fits
from podfence.model.clusternetworkpolicy import TierRule
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import NetworkPolicy, NetworkPolicyRule, PolicyType
from podfence.policy.addressblocks import ip_block
from podfence.policy.flow import Action, Decision, Direction, Reason
from podfence.policy.index import (
    NETWORK_POLICY_TIER,
    CompiledRule,
    CompiledTier,
    Endpoint,
    PolicyIndex,
)
from podfence.policy.origin import Origin
from podfence.questions.can import Can, CanAnswer, EndPair, QueryEvaluator
from podfence.questions.parties import PartyEnd
from podfence.questions.phrases.matched import MatchedPods
from podfence.questions.phrases.tierwords import (
    priority_of,
    unknown_names,
    unreadable,
    written_rules,
)
from podfence.questions.whyempty import (
    PodSelectors,
    left_out,
    named_ports,
    undeclared,
    wanted_by_policy,
    wanted_by_tier,
)
from podfence.sets import PortSet

TIER_ORDER = ("Admin", NETWORK_POLICY_TIER, "Baseline")
_BY_TIERS = frozenset({Reason.RULE, Reason.ISOLATED, Reason.DEFAULT, Reason.NOT_ISOLATED})
"""The reasons that tiers give; the other reasons come before all policies."""


class RuleReport(Struct, frozen=True):
    """One rule against the flow. ``peer_paths``: the peer items that match the remote end, or the
    rule's own path when it has no peers. ``ports``: all ports of the rule, for any peer. ``name``:
    of the rule, "" if it has none. ``reached`` False: an earlier rule ended the tier, or an earlier
    tier decided. ``remark``: what compiling the rule drops, such as why a peer or a port of it
    matches nothing; "" if nothing."""

    origin: Origin
    fits: bool
    peer_paths: tuple[str, ...]
    port_fits: bool
    ports: PortSet
    action: Action = Action.ACCEPT
    name: str = ""
    reached: bool = True
    remark: str = ""


class PolicyShare(Struct, frozen=True):
    """One policy that selects the subject. ``rules`` empty: it only isolates. ``active`` False: it
    has rules for this direction but not the direction in its policyTypes (NP-15). ``priority``
    None: the kind has none."""

    isolation: Origin
    rules: tuple[RuleReport, ...]
    active: bool = True
    priority: int | None = None


class TierReport(Struct, frozen=True):
    """One tier with its policies that select the subject."""

    name: str
    ordered: bool
    """Whether the first rule that fits decides; not so in the tier of NetworkPolicy."""
    asked: bool
    """False: an earlier tier decided, or the decision comes before all policies."""
    policies: tuple[PolicyShare, ...]


class TierDecision(Struct, frozen=True):
    """The decision of one tier. ``action`` None: no rule fits, or no policy selects the subject
    when ``selected`` is False. ``rule`` None with an action: isolation decides (NP-5)."""

    tier: str
    selected: bool
    action: Action | None = None
    policy: PolicyShare | None = None
    rule: RuleReport | None = None


class DirectionReport(Struct, frozen=True):
    """One direction: its decision and all policies that select the subject in it. ``ladder``: the
    decision of each tier, up to the one that decided; empty if no policy beyond NetworkPolicy
    selects the subject, or if the decision comes before all policies."""

    direction: Direction
    subject: str
    decision: Decision
    tiers: tuple[TierReport, ...]
    ladder: tuple[TierDecision, ...] = ()

    @property
    def policies(self) -> tuple[PolicyShare, ...]:
        """The policies of all tiers, in the order of evaluation."""
        return tuple(policy for tier in self.tiers for policy in tier.policies)


class WhyAnswer(Struct, frozen=True):
    """The answer of ``can`` with its case explained. ``audited``: the same if audited policies were
    enforced, where that would change the answer."""

    can: CanAnswer
    case: EndPair
    egress: DirectionReport
    ingress: DirectionReport
    audited: WhyAnswer | None = None

    def origins(self) -> Iterator[Origin]:
        """Every policy and rule that the answer names."""
        for report in (self.egress, self.ingress):
            yield from report.decision.origins
            for policy in report.policies:
                yield policy.isolation
                yield from (rule.origin for rule in policy.rules)


def why(asker: QueryEvaluator, question: Can) -> WhyAnswer:
    """Raises UnknownObject or QuestionError when the question cannot be asked."""
    answer = asker.can(question)
    return explained(asker, answer, answer.case)


def explained(asker: QueryEvaluator, answer: CanAnswer, case: EndPair) -> WhyAnswer:
    """An answer by one of its cases."""
    audited = None
    if answer.audited is not None and asker.with_audited is not None:
        audited = why(asker.with_audited, answer.question)
    return WhyAnswer(
        answer,
        case,
        _direction(asker, case, Direction.EGRESS),
        _direction(asker, case, Direction.INGRESS),
        audited,
    )


def _direction(asker: QueryEvaluator, case: EndPair, direction: Direction) -> DirectionReport:
    egress = direction is Direction.EGRESS
    near, far = (case.source, case.destination) if egress else (case.destination, case.source)
    decision = case.verdict.egress if egress else case.verdict.ingress
    by_tiers = decision.reason in _BY_TIERS
    tiers: tuple[TierReport, ...] = ()
    family = case.judged_family
    remote = asker.side(far, far.address(family)).endpoint_class
    ask = (family, case.protocol, case.port)
    subject = asker.decider(near, direction, remote, ask, decision)
    if subject is not None:
        written = written_rules(asker.index)
        reporter = _Reporter(asker, direction, subject, far, remote, *ask, written)
        tiers = tuple(reporter.tiers(subject, asked=by_tiers))
    ladder: tuple[TierDecision, ...] = ()
    if by_tiers and any(tier.ordered for tier in tiers):
        ladder = tuple(_ladder(tiers))
    return DirectionReport(direction, near.name, decision, tiers, ladder)


# -- the ladder


def _ladder(tiers: tuple[TierReport, ...]) -> Iterator[TierDecision]:
    by_name = {tier.name: tier for tier in tiers}
    for name in TIER_ORDER:
        tier = by_name.get(name)
        rung = TierDecision(name, selected=False) if tier is None else _rung(tier)
        yield rung
        if rung.action in (Action.ACCEPT, Action.DENY):
            return


def _rung(tier: TierReport) -> TierDecision:
    active = [policy for policy in tier.policies if policy.active]
    for policy in active:
        for rule in policy.rules:
            if rule.fits:
                return TierDecision(tier.name, True, rule.action, policy, rule)
    if active and not tier.ordered:
        return TierDecision(tier.name, True, Action.DENY)
    return TierDecision(tier.name, bool(active))


# -- the policies


class _Reporter(Struct, frozen=True):
    """One flow from the view of one end."""

    asker: QueryEvaluator
    direction: Direction
    subject: Endpoint
    far: PartyEnd
    remote: int
    family: int
    protocol: str
    port: int
    written: Mapping[tuple[ObjectRef, str], TierRule]

    def tiers(self, subject: Endpoint, *, asked: bool) -> Iterator[TierReport]:
        """``asked`` False: the decision comes before all policies."""
        index = self.asker.index
        inactive = tuple(_inactive(index, subject, self.direction))
        decided = not asked
        policy = index.policies[subject.endpoint_class].of(self.direction)
        found = {tier.name: tier for tier in policy.tiers}
        said = deciding(policy, self._fits)
        decider = None if said is None else said[0]
        for name in TIER_ORDER:
            tier = found.get(name)
            policies = () if tier is None else tuple(self._policies(tier, decided))
            if name == NETWORK_POLICY_TIER:
                policies += inactive
            if policies:
                ordered = tier is not None and tier.ordered
                yield TierReport(name, ordered, not decided, policies)
            decided = decided or (tier is not None and tier is decider)

    def _policies(self, tier: CompiledTier, decided: bool) -> Iterator[PolicyShare]:
        if tier.ordered:
            yield from self._ordered(tier, decided)
            return
        for isolation in tier.isolated_by:
            rules = [rule for rule in tier.rules if rule.origin.policy == isolation.policy]
            yield PolicyShare(isolation, tuple(self._rules(rules, not decided)))

    def _rules(self, rules: Iterable[CompiledRule], reached: bool) -> Iterator[RuleReport]:
        written = self._written(rule.origin.policy for rule in rules)
        for rule in rules:
            report = self._rule(rule, "", "", reached)
            if not report.fits:
                namespace, path = rule.origin.policy.namespace, rule.origin.path
                source = written[rule.origin.policy, path]
                peers = report.peer_paths or tuple(self._held(namespace, source, path))
                cluster = self.asker.index.cluster
                asked = (wanted_by_policy(cluster, namespace, peer) for peer in source.peers)
                found = self._unnamed(source) if peers else self._empty_peers(asked)
                remark = "; ".join(dict.fromkeys(found))
                report = replace(report, peer_paths=peers, remark=remark)
            yield report

    def _written(
        self, refs: Iterable[ObjectRef]
    ) -> Mapping[tuple[ObjectRef, str], NetworkPolicyRule]:
        """The rules of some NetworkPolicies in this direction, by policy and field path."""
        wanted = set(refs)
        return {
            (policy.ref, f"spec.{self.direction.value}[{at}]"): rule
            for policy in self.asker.index.cluster.policies
            if policy.ref in wanted
            for at, rule in enumerate(policy.rules_of(self.direction.policy_type))
        }

    def _held(self, namespace: str, rule: NetworkPolicyRule, path: str) -> Iterator[str]:
        """The peers that match the remote end, as written: a rule whose ports match nothing
        compiles to nothing."""
        if not rule.peers:
            yield path
        matched, address = MatchedPods(self.asker.index), self.far.address(self.family)
        for at, peer in enumerate(rule.peers):
            if peer.ip_block is not None:
                held = address is not None and address in ip_block(peer.ip_block).addresses
            else:
                found = matched.peers(namespace, peer)
                held = any(endpoint.endpoint_class == self.remote for endpoint in found)
            if held:
                yield f"{path}.{self.direction.peer_field}[{at}]"

    def _empty_peers(self, peers: Iterable[PodSelectors]) -> Iterator[str]:
        """Why selectors do not match the remote end, or match nothing, although their labels
        might."""
        name, pods = self.far.name, self.asker.index.cluster.pods
        remote = [pod for pod in pods if f"{pod.namespace}/{pod.name}" == name]
        for peer in peers:
            if said := left_out(remote, peer) or self._nobody(peer):
                yield said

    def _unnamed(self, rule: NetworkPolicyRule | TierRule) -> Iterator[str]:
        """Why port names of the rule mean no port on the pod that is connected to."""
        names = named_ports(rule)
        egress = self.direction is Direction.EGRESS
        destination = self.far.endpoint if egress else self.subject
        if destination is not None:
            yield from undeclared(names, destination.pod)
        elif names:
            yield (
                f"{self.far.name} is not a pod with an address of its own, so it has no port names"
            )

    def _nobody(self, peer: PodSelectors) -> str:
        """Why a peer holds no pod at all; "" if it holds some."""
        index = self.asker.index
        if any(peer.fits(e.pod) and e.addresses for e in index.endpoints.values()):
            return ""
        return left_out(index.cluster.pods, peer) or peer.no_namespace

    def _ordered(self, tier: CompiledTier, decided: bool) -> Iterator[PolicyShare]:
        """Policies in the order of evaluation; the first rule that fits ends the tier."""
        written = self.written
        policies = {p.ref: p for p in self.asker.index.cluster.admin_policies}
        for ref, rules in groupby(tier.rules, key=lambda rule: rule.origin.policy):
            reports = []
            for rule in rules:
                source = written[ref, rule.origin.path]
                unknown = unknown_names(source, self.asker.index.names)
                remark = _remark(rule, unreadable(source), unknown)
                if not remark and not self._fits(rule):
                    cluster = self.asker.index.cluster
                    asked = (wanted_by_tier(cluster, peer) for peer in source.peers)
                    found = [*(() if rule.matches else self._unnamed(source))]
                    remark = "; ".join(dict.fromkeys([*found, *self._empty_peers(asked)]))
                reports.append(self._rule(rule, source.name, remark, not decided))
                decided = decided or reports[-1].fits
            policy = policies[ref]
            origin = Origin(ref, "", policy.source)
            yield PolicyShare(origin, tuple(reports), priority=priority_of(policy))

    def _rule(self, rule: CompiledRule, name: str, remark: str, reached: bool) -> RuleReport:
        ports = PortSet.union(match.ports for match in rule.matches)
        held = (m.path for m in rule.matches if m.peers.holds(self.remote, self.family))
        return RuleReport(
            rule.origin,
            self._fits(rule),
            tuple(dict.fromkeys(held)),
            (self.protocol, self.port) in ports,
            ports,
            rule.action,
            name,
            reached,
            remark,
        )

    def _fits(self, rule: CompiledRule) -> bool:
        return fits(rule, self.remote, self.family, self.protocol, self.port)


def _remark(rule: CompiledRule, unread: str, names: tuple[str, ...]) -> str:
    """CNP-25 and CNP-19 as far as the compiled rule no longer shows them."""
    if unread:
        effect = "matches nothing" if rule.action is Action.ACCEPT else "denies everything"
        return f"it cannot be read whole ({unread}), so it {effect}"
    if names:
        return f"no table says what {', '.join(names)} stands for"
    return ""


def _inactive(index: PolicyIndex, subject: Endpoint, direction: Direction) -> Iterator[PolicyShare]:
    """Policies that select the subject and wrote rules for a direction that they do not have."""
    for policy in index.cluster.policies:
        if subject.endpoint_class in index.selected[policy.ref] and _is_dead(policy, direction):
            origin = Origin(policy.ref, f"spec.{direction.value}", policy.source)
            yield PolicyShare(origin, (), active=False)


def _is_dead(policy: NetworkPolicy, direction: Direction) -> bool:
    if direction is Direction.INGRESS:
        return bool(policy.ingress) and PolicyType.INGRESS not in policy.policy_types
    return bool(policy.egress) and PolicyType.EGRESS not in policy.policy_types
