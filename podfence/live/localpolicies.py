"""Policies -> what applies to each profile that has pods on this node.

Rule: what a rule means is known to the compilers of the full compile. This module decides which
policies have to be compiled, and which compiled ones still hold. A policy is compiled again when
its peers, port names or doubtful addresses mean something else.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from podfence.live.peerwords import PeersQuestion, WordPorts, WordSelector
from podfence.live.policystore import OF_CLUSTER, PolicyStore
from podfence.live.profiles import Profile
from podfence.model.cluster import Policy
from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy, RuleAction
from podfence.model.meta import ObjectRef
from podfence.model.objects import Node
from podfence.policy.admin import AdminReader
from podfence.policy.compile import TIERS, Tiers, read_policy
from podfence.policy.domains import DomainTable
from podfence.policy.flow import Action, Direction
from podfence.policy.index import CompiledTier, DirectionPolicy, EndpointPolicy
from podfence.policy.rulecompiler import (
    Numbers,
    Parts,
    PolicyCompiler,
    PolicyRules,
    RuleCompiler,
    TierCompiler,
)

_SPARE = 64
"""Compiled tiers that may wait to be had again."""


class _Applying:
    """One tier in one direction: the policies that apply to each profile, by its number."""

    def __init__(self, name: str, default: Action) -> None:
        self.name = name
        self.by_profile: dict[int, list[PolicyCompiler]] = {}
        self.tiers: dict[Parts, CompiledTier] = {}
        self.compiler = TierCompiler(name, default, self.by_profile, self.tiers)

    def sweep(self, in_use: set[int], limit: int) -> None:
        """Forget tiers that nobody has, once these are many."""
        if len(self.tiers) > limit:
            for parts in [p for p, tier in self.tiers.items() if tier.number not in in_use]:
                del self.tiers[parts]


class LocalPolicies:
    """The policies of the profiles that have pods here."""

    def __init__(
        self,
        store: PolicyStore,
        nodes: Mapping[str, Node],
        names: DomainTable,
        select: WordSelector,
        ports: WordPorts,
    ) -> None:
        self._store = store
        self._reader = AdminReader(nodes, names)
        self._ports = ports
        self._rules = RuleCompiler(select, ports, Numbers())
        self._applying = {
            direction: [_Applying(name, default) for name, default in TIERS]
            for direction in Direction
        }
        self._tiers = Tiers(
            {d: tuple(a.compiler for a in applying) for d, applying in self._applying.items()}, {}
        )
        self._auditing = {
            direction: [_Applying(name, default) for name, default in TIERS]
            for direction in Direction
        }
        self._audits = Tiers(
            {d: tuple(a.compiler for a in applying) for d, applying in self._auditing.items()},
            {},
            audited=True,
        )
        self._compilers: dict[ObjectRef, tuple[Policy, list[PolicyCompiler]]] = {}
        self._asking: dict[PeersQuestion, set[ObjectRef]] = defaultdict(set)
        self._asked: dict[ObjectRef, set[PeersQuestion]] = defaultdict(set)
        self._users: Counter[int] = Counter()
        self._selected_by: dict[Profile, tuple[ObjectRef, ...]] = {}
        self._selects: Counter[ObjectRef] = Counter()
        self._idle: set[ObjectRef] = set()
        """Policies that have stopped to select pods here."""
        self.of: dict[Profile, EndpointPolicy] = {}
        self._of_namespace: dict[str, set[Profile]] = defaultdict(set)
        self.new: dict[int, DirectionPolicy] = {}
        """Those that somebody here has since that was last asked, by number."""
        self.gone: dict[int, DirectionPolicy] = {}
        """Those that nobody here has any more since."""

    def __len__(self) -> int:
        """How many policies are compiled."""
        return len(self._compilers)

    def selected(self, policy: ObjectRef) -> list[Profile]:
        """The profiles with pods here that a policy selects."""
        return [profile for profile, refs in self._selected_by.items() if policy in refs]

    # -- what is not as before

    def forget(self, ref: ObjectRef) -> None:
        """A policy has changed, or something that it was compiled with."""
        self._compilers.pop(ref, None)
        for asked in self._asked.pop(ref, ()):
            self._asking[asked].discard(ref)
            if not self._asking[asked]:
                del self._asking[asked]
                self._ports.forget(asked)

    def asking(self, asked: Iterable[PeersQuestion]) -> set[ObjectRef]:
        """The policies that got these answers, as far as they are others now."""
        changed = self._ports.refresh(each for each in asked if each in self._asking)
        return {ref for each in changed for ref in self._asking[each]}

    def of_namespace(self, namespace: str) -> Iterable[Profile]:
        """The profiles with pods here of a namespace."""
        return self._of_namespace.get(namespace, ())

    def of_cluster(self, *, denying: bool = False, of_nodes: bool = False) -> set[ObjectRef]:
        """Those compiled policies of the cluster that deny, or that name nodes."""
        found = set()
        for ref, (policy, _) in self._compilers.items():
            if isinstance(policy, ClusterNetworkPolicy):
                rules = (*policy.ingress, *policy.egress)
                if (denying and any(r.action is RuleAction.DENY for r in rules)) or (
                    of_nodes and any(peer.nodes is not None for r in rules for peer in r.peers)
                ):
                    found.add(ref)
        return found

    def sweep(self) -> None:
        """Forget policies that select nobody here any more; and tiers that nobody has, now and
        then."""
        for ref in self._idle:
            if ref not in self._selects:
                self.forget(ref)
                if ref.namespace != OF_CLUSTER:
                    self._store.put_away(ref)
        self._idle.clear()
        limit = 2 * len(self.of) + _SPARE
        both = (*self._applying.values(), *self._auditing.values())
        every = [applying for tiers in both for applying in tiers]
        if any(len(applying.tiers) > limit for applying in every):
            shared = (*self._tiers.shared.values(), *self._audits.shared.values())
            in_use = {tier.number for policy in shared for tier in policy.tiers}
            for applying in every:
                applying.sweep(in_use, limit)

    # -- what applies now

    def update(self, profile: Profile) -> bool:
        """Work out what applies to a profile with pods here. Whether it is another thing than
        before."""
        said = self._said(profile)
        _apply(self._applying, profile, [each for each in said if not each.policy.audited])
        policy = self._tiers.policy(profile.subject, self._rules)
        audited = {each.policy.direction for each in said if each.policy.audited}
        if audited:
            _apply(self._auditing, profile, said)
            subject = profile.subject
            asked = {d: self._audits.direction(d, subject, self._rules) for d in audited}
            policy = EndpointPolicy(
                policy.ingress,
                policy.egress,
                asked.get(Direction.INGRESS),
                asked.get(Direction.EGRESS),
            )
        else:
            _stop(self._auditing, profile)
        return self._set(profile, policy)

    def drop(self, profile: Profile) -> None:
        """A profile has no pod here any more."""
        self._select(profile, ())
        self._set(profile, None)
        _stop(self._applying, profile)
        _stop(self._auditing, profile)

    def _said(self, profile: Profile) -> list[PolicyCompiler]:
        """The compilers of the policies that select a profile, in their order."""
        found: dict[ObjectRef, list[PolicyCompiler]] = {}
        for policy in self._store.selecting(profile.namespace, dict(profile.labels)):
            found[policy.ref] = self._compiled(policy)
        for policy in self._store.of_cluster():
            selected, said = read_policy(policy, self._rules.select, self._reader)
            if profile.number in selected:
                found[policy.ref] = self._compiled(policy, said)
        self._select(profile, found)
        every = (compiler for compilers in found.values() for compiler in compilers)
        return sorted(every, key=lambda compiler: compiler.policy.order)

    def _select(self, profile: Profile, refs: Iterable[ObjectRef]) -> None:
        """These policies, and no others, select a profile with pods here."""
        before = self._selected_by.pop(profile, ())
        if new := tuple(refs):
            self._selected_by[profile] = new
        self._selects.update(new)
        for ref in before:
            self._selects[ref] -= 1
            if not self._selects[ref]:
                del self._selects[ref]
                self._idle.add(ref)

    def _compiled(
        self, policy: Policy, said: Iterable[PolicyRules] | None = None
    ) -> list[PolicyCompiler]:
        known = self._compilers.get(policy.ref)
        if known is None:
            if said is None:
                _, said = read_policy(policy, self._rules.select, self._reader)
            compilers = [PolicyCompiler(rules, self._rules.numbers) for rules in said]
            known = self._compilers[policy.ref] = policy, compilers
            for compiler in compilers:
                self._watch(compiler)
        return known[1]

    def _watch(self, compiler: PolicyCompiler) -> None:
        """Remember what it asks about port names of peers."""
        if compiler.policy.direction is Direction.EGRESS:
            for rule in compiler.read(self._rules):
                for peers, _ in rule.peers:
                    for name in rule.names:
                        asked = (peers.key, name, rule.action is Action.DENY)
                        self._asking[asked].add(compiler.policy.ref)
                        self._asked[compiler.policy.ref].add(asked)

    def _set(self, profile: Profile, policy: EndpointPolicy | None) -> bool:
        before = self.of.pop(profile, None)
        if policy is not None:
            self.of[profile] = policy
            self._of_namespace[profile.namespace].add(profile)
        elif before is not None:
            self._of_namespace[profile.namespace].remove(profile)
            if not self._of_namespace[profile.namespace]:
                del self._of_namespace[profile.namespace]
        for each in _directions(policy):
            self._users[each.number] += 1
            if self._users[each.number] == 1:
                self.new[each.number] = each
        for each in _directions(before):
            self._users[each.number] -= 1
            if not self._users[each.number]:
                del self._users[each.number]
                tiers = self._audits if each.audited else self._tiers
                del tiers.shared[each.direction, tuple(t.number for t in each.tiers)]
                if self.new.pop(each.number, None) is None:
                    self.gone[each.number] = each
        return before != policy


def _directions(policy: EndpointPolicy | None) -> tuple[DirectionPolicy, ...]:
    return () if policy is None else policy.all


_Tiers = Mapping[Direction, Iterable[_Applying]]


def _apply(to: _Tiers, profile: Profile, said: Iterable[PolicyCompiler]) -> None:
    """These policies apply to a profile, in their order."""
    by_tier: dict[tuple[Direction, str], list[PolicyCompiler]] = defaultdict(list)
    for compiler in said:
        by_tier[compiler.policy.direction, compiler.policy.tier].append(compiler)
    for direction, tiers in to.items():
        for applying in tiers:
            applying.by_profile[profile.number] = by_tier[direction, applying.name]


def _stop(to: _Tiers, profile: Profile) -> None:
    for tiers in to.values():
        for applying in tiers:
            applying.by_profile.pop(profile.number, None)
