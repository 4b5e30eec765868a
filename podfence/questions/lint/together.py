"""Findings about what rules do together: rules that the other end undoes, and rules that others
make idle.

Rule: a rule is found idle or undone only if it is so for every pod that its policy selects. One
pod for which it matters ends the search, so that most rules cost one look.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from msgspec import Struct
from pyroaring import BitMap, FrozenBitMap

from podfence.engine.porttable import NOTHING_ID
from podfence.errors import Severity
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import NetworkPolicy, NetworkPolicyRule
from podfence.policy.flow import Direction
from podfence.policy.index import (
    NETWORK_POLICY_TIER,
    CompiledRule,
    CompiledTier,
    DirectionPolicy,
    PodPeers,
)
from podfence.policy.networkpolicies import rule_ports
from podfence.policy.origin import Origin
from podfence.questions.lint.findings import LintFinding
from podfence.questions.lint.note import rule_path
from podfence.questions.lint.note_neighbours import implies, wider
from podfence.questions.lint.reach import OTHER_SIDE, LintIndex
from podfence.questions.phrases import words

_SHOWN = 3
_SAID_BETTER = frozenset({"PF310", "PF316", "PF319", "PF329"})
"""Codes that already say that rules of the policy have no effect."""


class _Use(Struct, frozen=True):
    """Where a written rule has an effect: for the pods of one direction policy, beside the other
    rules of the tier."""

    policy: DirectionPolicy
    tier: CompiledTier
    rule: CompiledRule
    subjects: FrozenBitMap


Uses = Mapping[Origin, list[_Use]]


def together(reach: LintIndex, said: Collection[LintFinding]) -> Iterator[LintFinding]:
    """PF330, PF331 and PF332. ``said``: the findings about single policies."""
    skipped = {finding.object for finding in said if finding.code in _SAID_BETTER}
    uses = _uses(reach)
    yield from _one_sided(reach, uses, [f for f in said if f.weight is Severity.ERROR])
    yield from _Idle(reach, {o: each for o, each in uses.items() if o.policy not in skipped}).all()


def _uses(reach: LintIndex) -> dict[Origin, list[_Use]]:
    """Every written rule of a NetworkPolicy that has an effect on a pod."""
    found: dict[Origin, list[_Use]] = {}
    for holders in reach.holders.values():
        for policy, subjects in holders.values():
            for tier in policy.tiers:
                if tier.name == NETWORK_POLICY_TIER:
                    for rule in tier.rules:
                        use = _Use(policy, tier, rule, subjects)
                        found.setdefault(rule.origin, []).append(use)
    return found


# -- PF330


def _one_sided(
    reach: LintIndex, uses: Uses, errors: Collection[LintFinding]
) -> Iterator[LintFinding]:
    own: dict[ObjectRef, list[str]] = {}
    for error in errors:
        own.setdefault(error.object, []).append(error.path)
    faulty = BitMap.union(BitMap(), *(reach.index.selected[ref] for ref in own))
    for origin, each in uses.items():
        if any(_passes(reach, use) for use in each) or not (peers := _pods_alone(each)):
            continue
        # An error in the rule, or in a policy of the other end: repaired, the rule may be right.
        if not peers & faulty and not any(
            path.startswith(origin.path) for path in own.get(origin.policy, ())
        ):
            yield _undone(reach, origin, each, peers)


def _pods_alone(uses: list[_Use]) -> BitMap | None:
    """The pods that a rule matches; None if it matches addresses, too."""
    peers = BitMap()
    for use in uses:
        for match in use.rule.matches:
            if not isinstance(match.peers, PodPeers):
                return None
            peers |= match.peers.classes
    return peers


def _passes(reach: LintIndex, use: _Use) -> bool:
    """Whether the other end permits anything that the rule allows."""
    other = OTHER_SIDE[use.policy.direction]
    for family, partitions in reach.partitions.items():
        subjects = use.subjects & partitions.pods
        if not subjects:
            continue
        for ports, who in partitions.matches(use.rule):
            remotes = BitMap(who & partitions.pods)
            if remotes.intersect(reach.open[other]):
                return True
            # Nothing keeps a pod from itself.
            if remotes.intersect(subjects & reach.single):
                return True
            while remotes:
                far = reach.index.policies[remotes[0]].of(other)
                if reach.permits(far, family, ports, subjects):
                    return True
                remotes -= reach.holders[other][far.number][1]
    return False


def _undone(reach: LintIndex, origin: Origin, uses: list[_Use], peers: BitMap) -> LintFinding:
    direction = uses[0].policy.direction
    subjects = BitMap.union(*(use.subjects for use in uses))
    other = OTHER_SIDE[direction]
    far, near = reach.names(peers), reach.names(subjects)
    isolating = {
        str(o.policy)
        for remote in peers
        for tier in reach.index.policies[remote].of(other).tiers
        for o in tier.isolated_by
    }
    policies = words.some(sorted(isolating), _SHOWN) or "other tiers"
    verb = "accept" if other is Direction.INGRESS else "open"
    side = "from" if other is Direction.INGRESS else "to"
    text = (
        f"The other end denies everything that this rule allows: {far} may {verb} no such "
        f"connection {side} {near} ({policies}). Both ends must allow a connection: add a rule "
        f"for {far}, {other.value} {side} {near}."
    )
    return LintFinding("PF330", origin.policy, origin.source, origin.path, text)


# -- PF331 and PF332


class _Idle:
    """Rules that allow nothing that other rules do not allow."""

    def __init__(self, reach: LintIndex, uses: Uses) -> None:
        self._reach = reach
        self._uses = uses
        self._written = {policy.ref: policy for policy in reach.index.cluster.policies}

    def all(self) -> Iterator[LintFinding]:
        idle = {
            origin: each
            for origin, each in self._uses.items()
            if self._means_somebody(each)
            and all(self._is_covered(use, without_policy=False) for use in each)
        }
        without = set(self._without_effect(idle))
        for ref in sorted(without):
            policy = self._written[ref]
            text = (
                "Without this policy every verdict stays the same, for the pods that are there "
                "now: other policies isolate the same pods and allow the same."
            )
            yield LintFinding("PF332", ref, policy.source, "metadata.name", text)
        for origin in idle:
            if origin.policy not in without:
                yield from self._idle(origin)

    def _means_somebody(self, uses: list[_Use]) -> bool:
        return any(
            who
            for partitions in self._reach.partitions.values()
            for use in uses
            for _, who in partitions.matches(use.rule)
        )

    def _is_covered(self, use: _Use, *, without_policy: bool) -> bool:
        """Whether the other rules of the tier allow everything that one allows; ``without_policy``:
        only rules of other policies. The engine cannot say it: it judges whole tiers, and this is
        about a tier without one of its rules."""
        own = use.rule.origin
        others = [
            rule
            for rule in use.tier.rules
            if rule is not use.rule and not (without_policy and rule.origin.policy == own.policy)
        ]
        return all(
            self._holds(
                partitions.matches(use.rule),
                [match for rule in others for match in partitions.matches(rule)],
            )
            for partitions in self._reach.partitions.values()
            if use.subjects.intersect(partitions.pods)
        )

    def _holds(
        self, matches: list[tuple[int, FrozenBitMap]], around: list[tuple[int, FrozenBitMap]]
    ) -> bool:
        table = self._reach.table
        for ports, who in matches:
            if not who:
                continue
            first = who[0]
            left = ports
            for other, classes in around:  # most rules are the only ones for some class
                if first in classes:
                    left = table.difference(left, other)
            if left != NOTHING_ID or not self._all_covered(ports, who, around):
                return False
        return True

    def _all_covered(
        self, ports: int, who: FrozenBitMap, around: list[tuple[int, FrozenBitMap]]
    ) -> bool:
        table = self._reach.table
        parts: dict[int, BitMap] = {ports: BitMap(who)}
        for other, classes in around:
            left: dict[int, BitMap] = {}
            for open_ports, members in parts.items():
                inside = members & classes
                if inside and (rest := table.difference(open_ports, other)) != NOTHING_ID:
                    left[rest] = left.get(rest, BitMap()) | inside
                if outside := members - classes:
                    left[open_ports] = left.get(open_ports, BitMap()) | outside
            parts = left
            if not parts:
                return True
        return not parts

    def _without_effect(self, idle: Collection[Origin]) -> Iterator[ObjectRef]:
        """Policies that are never the only ones to isolate a pod, and whose rules have no effect,
        not even on a pod without labels."""
        by_policy: dict[ObjectRef, list[Origin]] = {}
        alive: set[ObjectRef] = set()
        for origin in self._uses:
            if origin in idle:
                by_policy.setdefault(origin.policy, []).append(origin)
            else:
                alive.add(origin.policy)
        alone = self._alone()
        for ref, origins in by_policy.items():
            policy = self._written[ref]
            if ref in alive or ref in alone or policy.pod_selector.matches({}):
                continue
            uses = (use for origin in origins for use in self._uses[origin])
            if all(self._is_covered(use, without_policy=True) for use in uses):
                yield ref

    def _alone(self) -> set[ObjectRef]:
        """Policies that are the only ones to isolate some pod in some direction."""
        return {
            tier.isolated_by[0].policy
            for holders in self._reach.holders.values()
            for policy, _ in holders.values()
            for tier in policy.tiers
            if len(tier.isolated_by) == 1
        }

    def _idle(self, origin: Origin) -> Iterator[LintFinding]:
        policy = self._written[origin.policy]
        direction = self._uses[origin][0].policy.direction
        covering = self._covers_always(policy, direction, origin.path)
        if covering is not None:
            text = (
                f"{covering} allows all of this, whatever pods there are: this rule can be deleted."
            )
            yield LintFinding(
                "PF331", origin.policy, origin.source, origin.path, text, Severity.WARNING
            )
            return
        rest = {
            str(rule.origin.policy)
            for use in self._uses[origin]
            for rule in use.tier.rules
            if rule.origin.policy != origin.policy
        }
        if not rest:
            return
        names = words.some(sorted(rest), _SHOWN)
        text = f"For the pods that are there now, rules of {names} allow all of this, too."
        yield LintFinding("PF331", origin.policy, origin.source, origin.path, text)

    def _covers_always(self, policy: NetworkPolicy, direction: Direction, path: str) -> str | None:
        """A rule of another policy that allows everything that a rule does, in every cluster."""
        rules = policy.rules_of(direction.policy_type)
        number = next(n for n in range(len(rules)) if rule_path(direction, n) == path)
        for other in self._reach.matched.policies_of(policy.ref.namespace):
            if other.ref == policy.ref or direction.policy_type not in other.policy_types:
                continue
            if not implies(policy.pod_selector, other.pod_selector):
                continue
            for at, wide in enumerate(other.rules_of(direction.policy_type)):
                if not _allows_all_of(wide, rules[number]):
                    continue
                equal = _allows_all_of(rules[number], wide) and implies(
                    other.pod_selector, policy.pod_selector
                )
                if not equal or other.ref < policy.ref:  # of two equal ones one is enough
                    return f"{rule_path(direction, at)} of {other.ref}"
        return None


def _allows_all_of(wide: NetworkPolicyRule, rule: NetworkPolicyRule) -> bool:
    if wide.peers and (
        not rule.peers
        or not all(any(p == w or wider(w, p) for w in wide.peers) for p in rule.peers)
    ):
        return False
    (numbers, names), (more, others) = rule_ports(rule.ports), rule_ports(wide.ports)
    return not wide.ports or (bool(rule.ports) and numbers <= more and set(names) <= set(others))
