"""The purpose of a policy: the connections that would close and open if it were deleted.

Rule: it is the plan of the policy's removal, so it covers existing pods and pods to come. An
audited policy selects the pods that it would select if it were enforced (AUD-3); it denies nothing,
so its removal changes nothing.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from podfence.live.clusterevents import gone
from podfence.model.cluster import Policy
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import NetworkPolicy
from podfence.policy.compile import audit_of
from podfence.policy.flow import Direction
from podfence.policy.index import PolicyIndex
from podfence.questions.phrases.matched import PodGroup, grouped
from podfence.questions.plan.followed import FollowedState
from podfence.questions.plan.outcomes import Outcome
from podfence.questions.plan.plan import Plan, plan
from podfence.questions.selecting import SelectingPolicies


class PolicyPurpose(Struct, frozen=True):
    """``selects``: the existing pods, by workload; ``directions``: in which it isolates or has
    rules. ``without``: what changes if the policy is deleted. ``audited``: it enforces nothing, so
    everything but ``without`` is hypothetical."""

    policy: Policy
    selects: tuple[PodGroup, ...]
    directions: tuple[Direction, ...]
    without: tuple[Outcome, ...]
    audited: bool = False


def purpose(
    index: PolicyIndex, policy: Policy, state: FollowedState | None = None
) -> PolicyPurpose:
    """The purpose of one policy of a cluster. ``index``: without pods to come. ``state``: the same
    cluster with them; with it, each of many questions costs only what it touches."""
    directions = tuple(d for d in Direction if _has(policy, d))
    if policy.audited:
        return PolicyPurpose(
            policy, _selected(audit_of(index) or index, policy), directions, (), True
        )
    found = state.plan((gone(policy.ref),)) if state else _planned(index, policy)
    without = (*found.outcomes, *found.newcomers)
    return PolicyPurpose(policy, _selected(index, policy), directions, without)


def _selected(index: PolicyIndex, policy: Policy) -> tuple[PodGroup, ...]:
    members = index.selected.get(policy.ref, ())
    return grouped(end for end in index.endpoints.values() if end.endpoint_class in members)


def _planned(index: PolicyIndex, policy: Policy) -> Plan:
    cluster = index.cluster
    less = replace(
        cluster,
        policies=tuple(p for p in cluster.policies if p.ref != policy.ref),
        admin_policies=tuple(p for p in cluster.admin_policies if p.ref != policy.ref),
    )
    return plan(cluster, less, index.names)


def selecting_policies(index: PolicyIndex, selection: SelectingPolicies) -> list[Policy]:
    """The policies that select some pods, audited ones last."""
    refs = {each.policy for each in (*selection.ingress, *selection.egress)}
    cluster = index.cluster
    every: list[Policy] = [*cluster.admin_policies, *cluster.policies, *cluster.audited]
    return [policy for policy in every if policy.ref in refs]


def owners_of(index: PolicyIndex, selection: SelectingPolicies) -> frozenset[ObjectRef]:
    """The workloads of these pods; a pod without one is its own."""
    pods = (index.endpoints[pod].pod for pod in selection.pods)
    return frozenset(pod.owner or pod.ref for pod in pods)


def about(outcomes: tuple[Outcome, ...], owners: frozenset[ObjectRef]) -> tuple[Outcome, ...]:
    """Those in which one of some workloads is an end."""
    return tuple(
        each for each in outcomes if any(line.workload in owners for line in each.subjects)
    )


def _has(policy: Policy, direction: Direction) -> bool:
    if isinstance(policy, NetworkPolicy):
        return direction.policy_type in policy.policy_types
    return bool(policy.rules_of(direction.policy_type))
