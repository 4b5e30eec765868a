"""Two back ends, one answer: the engine and a packet walked through the kernel's rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import ip_address
from itertools import count
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from podfence.engine.evaluate import Evaluator, evaluate, fits
from podfence.model.cluster import Cluster
from podfence.model.networkpolicy import NetworkPolicy
from podfence.model.objects import Pod
from podfence.nft.lowering.lower import LocalNode, lower
from podfence.nft.ruleset import Ruleset
from podfence.nft.trace import first_packet, reply_packet, trace, trace_packet
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Action, Direction, Flow
from podfence.policy.index import (
    CompiledRule,
    CompiledTier,
    DirectionPolicy,
    EndpointPolicy,
    Match,
    PolicyIndex,
)
from podfence.policy.origin import Origin
from podfence.sets.addresses import IPAddress
from podfence.testing.builders import namespace, peer, pod, policy, rule
from tests.support.random_clusters import TIERS, FlowSource, clusters_with_flows, random_cluster
from tests.support.random_tiers import NAMES


class Kernels:
    """Every node of a cluster with its ruleset; pods of equal host addresses share a node."""

    def __init__(self, index: PolicyIndex) -> None:
        self.index = index
        pods: dict[tuple[str, frozenset[IPAddress]], set[str]] = {}
        for name, endpoint in index.endpoints.items():
            node = endpoint.pod.node
            known = {a for a, owner in index.by_node_address.items() if node and owner == node}
            own = frozenset(known.union(endpoint.pod.host_addresses))
            pods.setdefault((node, own), set()).add(name)
        self.nodes = [
            LocalNode(name, frozenset(local), addresses=own) for (name, own), local in pods.items()
        ]
        self.rulesets = [lower(index, node) for node in self.nodes]

    def allow(self, flow: Flow, reply: bool) -> bool:
        """Whether the nodes of both ends let a flow pass."""
        return all(
            trace(ruleset, flow, own_addresses=node.addresses, reply=reply).accepted
            for node, ruleset in self._concerned(flow)
        )

    def bring_back(self, flow: Flow) -> Iterator[bool]:
        """Whether a pod's node brings packets back that it sent to itself by a Service, first and
        answered."""
        for _, ruleset in self._concerned(flow):
            yield trace_packet(ruleset, first_packet(flow)).accepted
            yield trace_packet(ruleset, reply_packet(flow)).accepted

    def to_own_node(self, flow: Flow) -> bool:
        """A node's answers to its own pods meet no hook, so nothing is asked about them."""
        return any(flow.destination in node.addresses for node, _ in self._concerned(flow))

    def _concerned(self, flow: Flow) -> Iterator[tuple[LocalNode, Ruleset]]:
        ends = [e for a in (flow.source, flow.destination) for e in self.index.subjects_at(a)]
        for node, ruleset in zip(self.nodes, self.rulesets, strict=True):
            if any(map(node.runs, ends)):
                yield node, ruleset


def agree(index: PolicyIndex, flows: tuple[Flow, ...]) -> None:
    kernels = Kernels(index)
    for flow in flows:
        expected = evaluate(index, flow).allowed
        if expected and not {flow.source, flow.destination}.isdisjoint(_left_behind(index)):
            continue  # NP-60a: its old pod may deny it on its own node
        assert kernels.allow(flow, reply=False) is expected, flow
        if not kernels.to_own_node(flow):
            assert kernels.allow(flow, reply=True) is expected, flow
        if flow.source == flow.destination and index.subjects_at(flow.source):
            brought = set(kernels.bring_back(flow))
            expected = to_itself(index, flow)
            assert Evaluator(index).verdict(flow, through=True).allowed is expected, flow
            if len(index.subjects_at(flow.source)) == 1:
                assert brought == {expected}, flow
            else:  # NP-60a: one of several pods may deny what the node of another brings back
                assert (False not in brought) is expected, flow


def _left_behind(index: PolicyIndex) -> set[IPAddress]:
    """Addresses of pods that are being deleted, which are other pods' by now."""
    leaving = (end for end in index.endpoints.values() if end.pod.deleting)
    return {address for end in leaving for address in end.doubtful}


def to_itself(index: PolicyIndex, flow: Flow) -> bool:
    """What a pod may send to a Service that leads back to it (CNP-27)."""
    policies = [index.policies[e.endpoint_class] for e in index.subjects_at(flow.source)]
    ask = (index.class_of(flow.source), flow.source.version, flow.protocol, flow.port)
    return all(passes_to_itself(p.of(d), *ask) for p in policies for d in Direction)


def passes_to_itself(
    policy: DirectionPolicy, remote: int, family: int, protocol: str, port: int
) -> bool:
    """The tiers in their order, but isolation never blocks a pod from itself (NP-54)."""
    for tier in policy.tiers:
        fitting = (r.action for r in tier.rules if fits(r, remote, family, protocol, port))
        action = next(fitting, Action.ACCEPT if tier.default is Action.DENY else tier.default)
        if action is not Action.PASS:
            return action is Action.ACCEPT
    return True


@given(clusters_with_flows())
def test_engine_and_trace_agree(case: tuple[Cluster, tuple[Flow, ...]]) -> None:
    cluster, flows = case
    agree(compile_cluster(cluster), flows)


@given(clusters_with_flows(TIERS))
def test_engine_and_trace_agree_on_tiers(case: tuple[Cluster, tuple[Flow, ...]]) -> None:
    cluster, flows = case
    agree(compile_cluster(cluster, NAMES), flows)


def tiered(index: PolicyIndex, rng: Random) -> PolicyIndex:
    """The index with tiers of every shape in place of its policies: all actions, all defaults."""
    matches = [
        match
        for policy in index.direction_policies.values()
        for tier in policy.tiers
        for rule in tier.rules
        for match in rule.matches
    ]
    said = index.direction_policies.values()
    origins = [r.origin for d in said for found in d.tiers for r in found.rules]
    if not matches:
        return index
    numbers = count()

    def direction_policy(number: int, old: DirectionPolicy) -> DirectionPolicy:
        tiers = tuple(_tier(rng, matches, origins, numbers) for _ in range(rng.randint(0, 3)))
        return replace(old, number=number, key=f"{old.key} {number}", tiers=tiers)

    policies = [
        EndpointPolicy(direction_policy(2 * n, p.ingress), direction_policy(2 * n + 1, p.egress))
        for n, p in enumerate(index.policies)
    ]
    return replace(index, policies=tuple(policies))


def _tier(
    rng: Random, matches: list[Match], origins: list[Origin], numbers: Iterator[int]
) -> CompiledTier:
    """Isolation, whose rules accept, or rules of all actions in order."""
    default = rng.choice((Action.DENY, Action.PASS, Action.PASS, Action.ACCEPT))
    actions = (Action.ACCEPT,) if default is Action.DENY else tuple(Action)
    rules = tuple(
        CompiledRule(
            next(numbers),
            rng.choice(actions),
            tuple(rng.choice(matches) for _ in range(rng.randint(0, 2))),
            rng.choice(origins),
        )
        for _ in range(rng.randint(0, 4))
    )
    return CompiledTier(next(numbers), "any", "any", rules, default)


@given(st.randoms(use_true_random=False))
def test_engine_and_trace_agree_on_ordered_tiers(rng: Random) -> None:
    cluster = random_cluster(rng)
    source = FlowSource(cluster)
    index = tiered(compile_cluster(cluster), rng)
    agree(index, tuple(source.draw(rng) for _ in range(8)))


# -- two pods with one address

SHARED = "10.0.0.5"
OLD = pod("n/old", {"app": "old"}, addresses=[SHARED])
NEW = pod("n/new", {"app": "new"}, addresses=[SHARED, "fd00::5"])
OTHER = pod("n/other", {"app": "other"}, addresses=["10.0.0.6", "fd00::6"])


@pytest.mark.parametrize("holders", [(OLD, NEW), (NEW, OLD)], ids=["old-first", "new-first"])
@pytest.mark.parametrize("app", ["old", "new"])
@pytest.mark.parametrize(
    "policies",
    [
        pytest.param(lambda app: [], id="no-policy"),
        pytest.param(
            lambda app: [policy("n/p", {"app": "other"}, ingress=[rule(peer(pods={"app": app}))])],
            id="as-a-peer-of-ingress",
        ),
        pytest.param(
            lambda app: [policy("n/p", {"app": "other"}, egress=[rule(peer(pods={"app": app}))])],
            id="as-a-peer-of-egress",
        ),
        pytest.param(
            lambda app: [
                policy("n/p", {"app": app}, ingress=[rule(peer(pods={"app": "other"}), ports=[80])])
            ],
            id="as-a-subject",
        ),
        pytest.param(
            lambda app: [
                policy("n/p", {"app": app}, types=["Egress", "Ingress"]),
                policy("n/q", {"app": "other"}, egress=[rule(peer(cidr=f"{SHARED}/32"))]),
            ],
            id="as-a-subject-and-in-a-block",
        ),
    ],
)
def test_an_address_of_two_pods_is_the_same_to_both_back_ends(
    holders: tuple[Pod, Pod], app: str, policies: Callable[[str], list[NetworkPolicy]]
) -> None:
    index = compile_cluster(Cluster.of([namespace("n"), *holders, OTHER, *policies(app)]))
    ends = [ip_address(text) for text in (SHARED, "10.0.0.6", "10.0.0.7")]
    flows = [Flow(a, b, "TCP", port) for a in ends for b in ends for port in (80, 81)]
    agree(index, tuple(flows))
