"""tier_findings(index): rules of the tiers beyond NetworkPolicy that do not do what they seem to.

Rule: a finding is certain from the present input. A rule that cannot match is covered for every pod
that its policy selects; a tie is a connection that two policies of one priority judge differently.
There are no findings while the input has no pods.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations, groupby

from msgspec import Struct, field

from podfence.model.clusternetworkpolicy import (
    ClusterNetworkPolicy,
    Peer,
    RuleAction,
    TierRule,
)
from podfence.model.meta import ObjectRef
from podfence.policy.flow import Action, Direction
from podfence.policy.index import AddressPeers, CompiledRule, CompiledTier, PolicyIndex
from podfence.policy.origin import Origin
from podfence.questions.lint.findings import LintFinding
from podfence.questions.lint.tiercover import (
    FAMILIES,
    CoveredRegion,
    PortParts,
    Present,
    Space,
    merge,
    present,
    shared,
    subtract,
)
from podfence.questions.phrases import words
from podfence.questions.phrases.matched import grouped
from podfence.questions.phrases.tierwords import (
    origin_name,
    policy_name,
    unreadable,
    written_rules,
)
from podfence.sets import PortSet

_SHOWN = 3
_CATCH_ALL = {4: "0.0.0.0/0", 6: "::/0"}
_DOES = {Action.ACCEPT: "accepts", Action.DENY: "denies", Action.PASS: "passes"}
RuleRef = tuple[ObjectRef, str]
"""A policy and a field path in it."""


def tier_findings(index: PolicyIndex) -> tuple[LintFinding, ...]:
    """All findings about a cluster, by policy and then by code."""
    if not index.cluster.admin_policies or not index.endpoints:
        return ()
    analysis = _analyse(index)
    found = (
        *(f for policy in index.cluster.admin_policies for f in _alone(index, policy)),
        *_covered(analysis),
        *_ties(analysis),
        *_catch_alls(index, analysis),
    )
    order = {policy.ref: at for at, policy in enumerate(index.cluster.admin_policies)}
    return tuple(sorted(found, key=lambda f: (order[f.object], f.code)))


# -- one policy without the others


def _alone(index: PolicyIndex, policy: ClusterNetworkPolicy) -> Iterator[LintFinding]:
    selected = index.selected[policy.ref]
    if not policy.subject.unknown and not any(index.members[n] for n in selected):
        yield LintFinding(
            "PF223",
            policy.ref,
            policy.source,
            "spec.subject",
            "no pod is selected now, so the policy does nothing yet; host-network pods and "
            "finished pods are never selected",
        )
    for at, rule in enumerate(policy.egress):
        for number, peer in enumerate(rule.peers):
            text = _service_addresses(index, peer)
            if text:
                path = f"spec.egress[{at}].to[{number}].networks"
                yield LintFinding("PF224", policy.ref, policy.source, path, text)


def _service_addresses(index: PolicyIndex, peer: Peer) -> str:
    """CNP-17; catch-alls are about everything else, so they are left out."""
    networks = [network for network in peer.networks if network.prefixlen]
    hit = [
        f"{service.ref} ({address})"
        for service in index.cluster.services
        for address in service.cluster_ips
        if any(address in network for network in networks)
    ]
    if not hit:
        return ""
    return (
        f"contains the address of Service {words.some(hit, _SHOWN)}; policies are evaluated after "
        "the Service address is replaced by a pod's, and never see it: select the pods behind "
        "the Service"
    )


# -- all policies of a tier together


class _Analysis(Struct):
    """The facts about the rules, over all subjects. ``alive``: rules that match something that no
    earlier rule matches. ``covered``: the other rules, with the earlier rules that match the same.
    ``ties``: by the two policies. ``cut``: classes of pods that a Deny rule reaches only by
    address."""

    origins: dict[RuleRef, Origin] = field(default_factory=dict)
    alive: set[RuleRef] = field(default_factory=set)
    covered: dict[RuleRef, dict[Origin, None]] = field(default_factory=dict)
    ties: dict[tuple[ObjectRef, ObjectRef], _Tie] = field(default_factory=dict)
    cut: dict[RuleRef, set[int]] = field(default_factory=dict)


class _Tie(Struct, frozen=True):
    """``first`` is evaluated first, by name; both match on ``ports``."""

    first: CompiledRule
    second: CompiledRule
    ports: PortSet


def _analyse(index: PolicyIndex) -> _Analysis:
    """Every distinct list of rules once; subjects without pods do not count."""
    analysis = _Analysis()
    remote = present(index)
    for tier in {tier.number: tier for tier in _tiers(index)}.values():
        _TierAnalysis(index, analysis, remote, tier).run()
    return analysis


def _tiers(index: PolicyIndex) -> Iterator[CompiledTier]:
    """Tiers in which order counts, of every class that has a pod."""
    for endpoint_class, policy in zip(index.classes, index.policies, strict=True):
        if index.members[endpoint_class.number]:
            for direction in Direction:
                yield from (tier for tier in policy.of(direction).tiers if tier.ordered)


class _FirstDecisions(Struct, frozen=True):
    """What one policy decides if it is evaluated before the others of its priority: each rule with
    what it matches first, and the same by action."""

    policy: ObjectRef
    rules: tuple[tuple[CompiledRule, CoveredRegion], ...]
    by_action: Mapping[Action, CoveredRegion]


class _TierAnalysis:
    """One list of rules, in the order of evaluation."""

    def __init__(
        self, index: PolicyIndex, analysis: _Analysis, remote: Present, tier: CompiledTier
    ) -> None:
        self._index = index
        self._analysis = analysis
        self._tier = tier
        self._parts = PortParts(tier.rules)
        self._whole = Space(remote, self._parts)

    def run(self) -> None:
        priorities = {p.ref: p.priority for p in self._index.cluster.admin_policies}
        left = self._whole.copy()
        earlier: list[CompiledRule] = []
        for _, group in groupby(self._tier.rules, key=lambda r: priorities[r.origin.policy]):
            equals = list(group)
            self._find_ties(list(self._say(equals, earlier, left)))
            for rule in equals:
                if rule.action is Action.DENY:
                    self._note_cut(rule, left)
                left.take(rule)
            earlier += equals

    def _say(
        self, equals: list[CompiledRule], earlier: list[CompiledRule], left: Space
    ) -> Iterator[_FirstDecisions]:
        """Policies of the same priority are not ``earlier``, because their order is undefined
        (CNP-9)."""
        for ref, group in groupby(equals, key=lambda rule: rule.origin.policy):
            own, rules = left.copy(), list(group)
            taken = [own.take(rule) for rule in rules]
            for at, rule in enumerate(rules):
                self._note(rule, taken[at], [*earlier, *rules[:at]])
            by_action: dict[Action, CoveredRegion] = {}
            for rule, region in zip(rules, taken, strict=True):
                merge(by_action.setdefault(rule.action, {}), region)
            yield _FirstDecisions(ref, tuple(zip(rules, taken, strict=True)), by_action)

    def _note(self, rule: CompiledRule, taken: CoveredRegion, earlier: list[CompiledRule]) -> None:
        analysis, rule_ref = self._analysis, (rule.origin.policy, rule.origin.path)
        analysis.origins[rule_ref] = rule.origin
        if taken:
            analysis.alive.add(rule_ref)
        elif rule_ref not in analysis.alive:
            rest = self._whole.copy().take(rule)
            if rest:  # else it matches nobody now, and that is no rule's doing
                found = analysis.covered.setdefault(rule_ref, {})
                for before in earlier:
                    if subtract(rest, self._whole.copy().take(before)):
                        found[before.origin] = None

    def _note_cut(self, rule: CompiledRule, left: Space) -> None:
        """Pods that a Deny rule reaches by an address and by no selector."""
        by_address = [m for m in rule.matches if isinstance(m.peers, AddressPeers)]
        if not by_address:
            return
        left = left.copy()
        for match in rule.matches:
            if not isinstance(match.peers, AddressPeers):
                left.take_match(match)
        rule_ref = (rule.origin.policy, rule.origin.path)
        reached = self._analysis.cut.setdefault(rule_ref, set())
        for match in by_address:
            for classes in left.take_match(match).values():
                reached.update(n for n in classes if self._index.classes[n].outside is None)

    def _find_ties(self, said: list[_FirstDecisions]) -> None:
        """CNP-9 for the policies of one priority."""
        for first, second in combinations(said, 2):
            refs = (first.policy, second.policy)
            if refs not in self._analysis.ties and _differ(first, second):
                self._analysis.ties[refs] = self._tie(first, second)

    def _tie(self, first: _FirstDecisions, second: _FirstDecisions) -> _Tie:
        return next(
            _Tie(rule, other, self._parts.ports(parts))
            for rule, region in first.rules
            for other, theirs in second.rules
            if rule.action is not other.action and (parts := shared(region, theirs))
        )


def _differ(first: _FirstDecisions, second: _FirstDecisions) -> bool:
    return any(
        action is not other and shared(region, theirs)
        for action, region in first.by_action.items()
        for other, theirs in second.by_action.items()
    )


# -- findings


def _covered(analysis: _Analysis) -> Iterator[LintFinding]:
    for rule_ref, coverers in analysis.covered.items():
        if rule_ref in analysis.alive:
            continue
        origin = analysis.origins[rule_ref]
        names = words.some([origin_name(other, origin.policy) for other in coverers], _SHOWN)
        text = (
            f"never matches: everything that it could match now is already matched by {names}; "
            "move it up, or delete it"
        )
        yield LintFinding("PF221", origin.policy, origin.source, origin.path, text)


def _ties(analysis: _Analysis) -> Iterator[LintFinding]:
    for tie in analysis.ties.values():
        first, second = tie.first.origin, tie.second.origin
        text = (
            f"the same tier and priority as {policy_name(first.policy)}, where {first.path} "
            f"{_DOES[tie.first.action]} what {second.path} here {_DOES[tie.second.action]} "
            f"({tie.ports}); the API does not define which of the two is evaluated first "
            "(podfence orders them by name): give them different priorities"
        )
        about = policy_name(first.policy)
        yield LintFinding("PF222", second.policy, second.source, "spec.priority", text, about=about)


def _catch_alls(index: PolicyIndex, analysis: _Analysis) -> Iterator[LintFinding]:
    """CNP-17: a catch-all is not the outside, and not both families."""
    rules = written_rules(index)
    for (ref, path), cut in analysis.cut.items():
        families = _catch_all_families(rules[ref, path])
        if unreadable(rules[ref, path]) or not families:
            continue
        denied = words.listed([_CATCH_ALL[family] for family in sorted(families)])
        cuts, leaves = _cuts(index, ref, cut, denied), _leaves(index, ref, families)
        if text := "; ".join(filter(None, (cuts, leaves))):
            origin = analysis.origins[ref, path]
            yield LintFinding("PF225", ref, origin.source, path, text)


def _catch_all_families(rule: TierRule) -> frozenset[int]:
    networks = (network for peer in rule.peers for network in peer.networks)
    return frozenset(n.version for n in networks if not n.prefixlen)


def _cuts(index: PolicyIndex, ref: ObjectRef, cut: set[int], denied: str) -> str:
    """A pod that is the only subject is not cut off from itself (CNP-27)."""
    subjects = [endpoint for number in index.selected[ref] for endpoint in index.members[number]]
    reached = [endpoint for number in sorted(cut) for endpoint in index.members[number]]
    if not reached or subjects == reached[:1] == reached:
        return ""
    pods = [str(group) for group in grouped(reached)]
    return (
        f"{denied} also denies connections to pods ({words.some(pods, _SHOWN)} now); to keep pods "
        "reachable, accept or pass them in an earlier rule"
    )


def _leaves(index: PolicyIndex, ref: ObjectRef, families: frozenset[int]) -> str:
    """The family that subjects have and that no Deny rule for all of them covers."""
    selected = index.selected[ref]
    denied = (
        rule
        for policy in index.cluster.admin_policies
        for rule in policy.egress
        if rule.action is RuleAction.DENY and selected <= index.selected[policy.ref]
    )
    closed = families.union(*map(_catch_all_families, denied))
    own = {
        address.version
        for number in selected
        for endpoint in index.members[number]
        for address in endpoint.addresses
    }
    open_families = [family for family in FAMILIES if family in own - closed]
    if not open_families:
        return ""
    [other] = open_families
    return f"IPv{other} stays open, add {_CATCH_ALL[other]}"
