"""selecting(index, party) -> the policies that select the pods of one name, by direction.

Rule: policies of all tiers are listed in the order of evaluation (CNP-1, CNP-6). A policy is listed
in a direction if it isolates there or has rules there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct
from msgspec.structs import replace

from podfence.errors import QuestionError, Source
from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy, Tier
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import NetworkPolicy
from podfence.policy.compile import audit_of
from podfence.policy.flow import AS_WRITTEN, Direction
from podfence.policy.index import NETWORK_POLICY_TIER, Endpoint, PolicyIndex
from podfence.questions.parties import Party, PartyEnd
from podfence.questions.phrases.tierwords import in_order, policy_name, priority_of
from podfence.questions.phrases.words import some


class SelectingPolicy(Struct, frozen=True):
    """A policy that selects some of the pods, in one direction."""

    policy: ObjectRef
    source: Source | None
    tier: str
    """``Admin``, ``NetworkPolicy`` or ``Baseline``."""
    priority: int | None
    """Lower is evaluated earlier; None where the kind has none."""
    rules: int
    """How many rules it has in this direction; a NetworkPolicy without one allows nothing."""
    pods: tuple[str, ...]
    """The selected pods, ``namespace/name``; never empty."""
    audited: bool = False
    """Whether it enforces nothing (AUD-2)."""


class SelectingPolicies(Struct, frozen=True):
    """The policies that select the pods of ``name``."""

    name: str
    pods: tuple[str, ...]
    """``namespace/name`` of the pods that policies can select."""
    exempt: tuple[str, ...]
    """Pods on the network of their node, which no policy selects (NP-50)."""
    ingress: tuple[SelectingPolicy, ...]
    egress: tuple[SelectingPolicy, ...]


def selecting(index: PolicyIndex, party: Party) -> SelectingPolicies:
    """Raises QuestionError when no pod has the name: policies select nothing else."""
    for end in party.ends:
        if end.endpoint is None and end.addresses and not _is_host_pod(index, end):
            raise QuestionError(
                f"{party.name!r} is not a pod or workload; policies select only pods"
            )
    pods = {
        f"{end.endpoint.pod.namespace}/{end.endpoint.pod.name}": end.endpoint.endpoint_class
        for end in party.ends
        if end.endpoint is not None
    }
    ingress, egress = (
        (*_policies(index, pods, direction), *_audited(index, pods, direction))
        for direction in AS_WRITTEN
    )
    return SelectingPolicies(
        name=party.name,
        pods=tuple(pods),
        exempt=tuple(end.name for end in party.ends if end.endpoint is None),
        ingress=ingress,
        egress=egress,
    )


def _audited(
    index: PolicyIndex, pods: Iterable[str], direction: Direction
) -> Iterator[SelectingPolicy]:
    audit = audit_of(index)
    if audit is not None:
        refs = audited_of(index)
        classes = {name: audit.endpoints[name].endpoint_class for name in pods}
        for found in _policies(audit, classes, direction):
            if found.policy in refs:
                yield replace(found, audited=True)


def _is_host_pod(index: PolicyIndex, end: PartyEnd) -> bool:
    return any(p.host_network and f"{p.namespace}/{p.name}" == end.name for p in index.cluster.pods)


def _policies(
    index: PolicyIndex, pods: dict[str, int], direction: Direction
) -> Iterator[SelectingPolicy]:
    for policy in _asked(index):
        if not _has(policy, direction):
            continue
        classes = index.selected.get(policy.ref, ())
        selected = tuple(name for name, number in pods.items() if number in classes)
        if not selected:
            continue
        tier, priority = NETWORK_POLICY_TIER, None
        if isinstance(policy, ClusterNetworkPolicy):
            tier, priority = policy.tier.value, priority_of(policy)
        rules = len(policy.rules_of(direction.policy_type))
        yield SelectingPolicy(policy.ref, policy.source, tier, priority, rules, selected)


def _has(policy: NetworkPolicy | ClusterNetworkPolicy, direction: Direction) -> bool:
    """Whether a policy says anything in a direction (NP-8, CNP-4)."""
    if isinstance(policy, NetworkPolicy):
        return direction.policy_type in policy.policy_types
    return bool(policy.rules_of(direction.policy_type))


def _asked(index: PolicyIndex) -> Iterator[NetworkPolicy | ClusterNetworkPolicy]:
    tiers = index.cluster.admin_policies
    yield from in_order(p for p in tiers if p.tier is Tier.ADMIN)
    yield from sorted(index.cluster.policies, key=lambda p: (p.ref.namespace, p.ref.name))
    yield from in_order(p for p in tiers if p.tier is Tier.BASELINE)


# -- What audited policies would do: questions about a cluster in which they are enforced (AUD-3)
# Rule: present verdicts come from an index without audited policies, hypothetical ones from a
# second index with them. No other part of a question knows about audited policies.


_SHOWN = 5


def audited_of(index: PolicyIndex) -> frozenset[ObjectRef]:
    """The audited policies of a cluster."""
    return frozenset(policy.ref for policy in index.cluster.audited)


def audited_at(
    audit: PolicyIndex, audited: frozenset[ObjectRef], pod: Endpoint, direction: Direction
) -> tuple[ObjectRef, ...]:
    """The audited policies that apply to a pod in a direction. ``audit``: the index in which they
    are enforced; ``pod``: an endpoint of it."""
    policies = audit.policies[pod.endpoint_class].of(direction).policies
    return tuple(ref for ref in policies if ref in audited)


def audit_notes(index: PolicyIndex) -> Iterator[str]:
    """A sentence, if policies of the cluster are audited, because a map leaves them out."""
    names = sorted(policy_name(ref) for ref in audited_of(index))
    if names:
        be = "is audited and enforces" if len(names) == 1 else "are audited and enforce"
        yield f"{some(names, _SHOWN)} {be} nothing; if enforced, the map may be different"
