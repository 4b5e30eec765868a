"""Which rules a connection uses: those that the engine names, at the ends that are here."""

from __future__ import annotations

from random import Random

import pytest

from podfence.engine.evaluate import EvaluatedEnd, Evaluator
from podfence.live.node import LiveIndex
from podfence.model.facts import PodFacts, PolicyFacts, Put
from podfence.model.meta import ObjectRef
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Action, Direction, Flow, Reason
from podfence.policy.index import Endpoint, PolicyIndex
from podfence.sets.addresses import IPAddress
from podfence.usage.credit import ConnectionKind, Credit, RuleRef
from tests.support.drop_worlds import SIZES, flows
from tests.support.live_worlds import World

SEEDS = range(24)


def kind(flow: Flow) -> ConnectionKind:
    family = flow.source.version
    ends = (family, int(flow.source)), (family, int(flow.destination))
    return ConnectionKind(*ends, flow.protocol, flow.port)


def by_the_engine(index: PolicyIndex, judge: Evaluator, flow: Flow, node: str) -> set[RuleRef]:
    """Of each end here that allows it, the rules for which it does."""
    found: set[RuleRef] = set()
    source, destination = judge.side(flow.source), judge.side(flow.destination)
    ask = (flow.source.version, flow.protocol, flow.port)
    for near, address, far, direction in (
        (source, flow.source, destination, Direction.EGRESS),
        (destination, flow.destination, source, Direction.INGRESS),
    ):
        for subject in judging(index, near, address, node):
            decision = judge.end(subject, direction, far.endpoint_class, *ask)
            if decision.allowed and decision.reason is Reason.RULE:
                found.update((origin.policy, origin.path) for origin in decision.origins)
    return found


def judging(
    index: PolicyIndex, near: EvaluatedEnd, address: IPAddress, node: str
) -> list[Endpoint]:
    """The pods here whose policies apply to an end: where others have its address, those that are
    being deleted here, of which the engine does not speak (NP-60a)."""
    if here := [subject for subject in near.subjects if subject.pod.node == node]:
        return here
    pods = (end for end in index.endpoints.values() if end.pod.node == node and end.pod.deleting)
    return [end for end in pods if address in end.pod.addresses]


def passing(index: PolicyIndex) -> set[RuleRef]:
    """Rules that pass on: the engine does not name them, though they were needed."""
    tiers = (tier for policy in index.direction_policies.values() for tier in policy.tiers)
    rules = (rule for tier in tiers for rule in tier.rules if rule.action is Action.PASS)
    return {(rule.origin.policy, rule.origin.path) for rule in rules}


@pytest.mark.parametrize("seed", SEEDS)
def test_the_rules_are_those_that_the_engine_names(seed: int) -> None:
    rng = Random(seed)
    world = World(rng, SIZES[seed % len(SIZES)])
    live = LiveIndex(world.node)
    live.apply(world.start())
    for _ in range(rng.randrange(12)):
        live.apply(world.step())
    index = compile_cluster(world.cluster())
    judge, credit = Evaluator(index), Credit(live)
    written = credit.written()
    for flow in flows(rng, index, 200):
        verdict = judge.verdict(flow)
        if verdict.ingress.reason in (Reason.OWN_NODE, Reason.SELF):
            continue  # never judged on its way
        found = set(credit.rules(kind(flow)))
        expected = by_the_engine(index, judge, flow, world.node)
        assert expected <= found <= expected | passing(index), flow
        assert all(path in written[policy] for policy, path in found)


def test_enough_is_compared() -> None:
    """The law above is about something: many clusters have rules that connections use."""
    used = 0
    for seed in SEEDS:
        rng = Random(seed)
        world = World(rng, SIZES[seed % len(SIZES)])
        live = LiveIndex(world.node)
        live.apply(world.start())
        index = compile_cluster(world.cluster())
        credit = Credit(live)
        used += any(credit.rules(kind(flow)) for flow in flows(rng, index, 100))
    assert used > len(SEEDS) // 2


POLICY = b"""{
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "p", "namespace": "shop"},
    "spec": {"podSelector": {}, "ingress": [{"ports": [{"port": 80}]}]}
}"""


@pytest.mark.parametrize("claimed", [False, True], ids=["its own", "claimed elsewhere"])
def test_a_pod_that_is_being_deleted_uses_rules_as_long_as_they_apply_to_it(claimed: bool) -> None:
    """Its policies are in force on its node whoever claims its address (NP-60a)."""
    live = LiveIndex("n1")
    pod = PodFacts("shop", "web", v4=1, node="n1", deleting=True)
    live.apply([Put(PolicyFacts("NetworkPolicy", "shop", "p", POLICY)), Put(pod)])
    if claimed:
        live.apply([Put(PodFacts("shop", "next", v4=1, node="n2"))])
    used = Credit(live).rules(ConnectionKind((4, 9), (4, 1), "TCP", 80))
    assert used == ((ObjectRef("NetworkPolicy", "shop", "p"), "spec.ingress[0]"),)


def test_whoever_was_told_something_may_answer_something_else() -> None:
    world = World(Random(1), SIZES[0])
    live = LiveIndex(world.node)
    states = [Credit(live).state]
    for events in (world.start(), world.step(), ()):
        live.apply(events)
        states.append(Credit(live).state)
    assert states[0] < states[1] < states[2] == states[3]
