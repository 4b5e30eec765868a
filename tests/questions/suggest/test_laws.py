"""For every cluster and all traffic that its policies allow: the suggestion allows all of it, and
each peer and port of it is needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from msgspec.structs import replace

from podfence.engine.evaluate import Evaluator
from podfence.flows.seen import RecordedEnd, RecordedFlow, RecordedVerdict
from podfence.model.cluster import Cluster
from podfence.model.networkpolicy import NetworkPolicy, NetworkPolicyRule
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Flow as Attempt
from podfence.questions.suggest.judging import ConnectionJudge
from podfence.questions.suggest.resolver import EndResolver
from podfence.questions.suggest.rules import OutsidePeers, SuggestOptions
from podfence.questions.suggest.suggest import Suggestion, replayed, suggest, with_policies
from podfence.sets.ports import OTHER
from tests.support.laws import law
from tests.support.random_clusters import FlowSource, Size, random_cluster

SIZE = Size(namespaces=3, policies=2, pods=7, rules=2, items=2)
FLOWS = 10


def traffic(cluster: Cluster, rng: Random) -> list[RecordedFlow]:
    """Flows that the policies of a cluster allow, as addresses: of any sort, or many between few
    pods. DNS is left out: it gets more than was seen."""
    judge = Evaluator(compile_cluster(cluster))
    drawn = _dense(cluster, rng) if rng.random() < 0.5 else _mixed(cluster, rng)
    return [
        RecordedFlow(
            RecordedEnd(address=str(each.source)),
            RecordedEnd(address=str(each.destination)),
            each.protocol,
            each.port,
            RecordedVerdict.ALLOWED,
            1,
            "",
            "",
        )
        for each in drawn
        if judge.verdict(each).allowed and (each.protocol, each.port) != ("UDP", 53)
    ]


def _mixed(cluster: Cluster, rng: Random) -> list[Attempt]:
    source = FlowSource(cluster)
    drawn = (source.draw(rng) for _ in range(FLOWS))
    return [each for each in drawn if each.port or each.protocol == OTHER]


def _dense(cluster: Cluster, rng: Random) -> list[Attempt]:
    addresses = [address for each in cluster.pods for address in each.addresses[:1]]
    drawn = (rng.sample(addresses, 2) for _ in range(FLOWS * 2) if len(addresses) > 1)
    return [
        Attempt(near, far, "TCP", rng.choice((80, 81)))
        for near, far in drawn
        if near.version == far.version
    ]


def _numbers() -> Iterable[int]:
    return range(24)


WISHES = (
    *(SuggestOptions(outside=outside) for outside in OutsidePeers),
    SuggestOptions(outside=OutsidePeers.ADDRESSES, group="app"),
    SuggestOptions(group="tier"),
    SuggestOptions(outside=OutsidePeers.ADDRESSES, widths={4: 24, 6: 64}),
    SuggestOptions(outside=OutsidePeers.ADDRESSES, widths={4: 8, 6: 33}, group="app", least=2),
)


def _suggestion(seed: int, wish: SuggestOptions) -> tuple[Cluster, Suggestion]:
    rng = Random(seed)
    cluster = random_cluster(rng, SIZE)
    return cluster, suggest(cluster, traffic(cluster, rng), wish)


@law(st.integers(0, 2**32), _numbers)
@settings(max_examples=20)
def test_everything_that_was_seen_stays_allowed(seed: int) -> None:
    _, found = _suggestion(seed, WISHES[seed % len(WISHES)])
    assert found.replay.refused == ()


@law(st.integers(0, 2**32), _numbers)
@settings(max_examples=20)
def test_each_peer_and_port_is_needed(seed: int) -> None:
    exact = [wish for wish in WISHES if wish.outside is OutsidePeers.ADDRESSES]
    cluster, found = _suggestion(seed, exact[seed % len(exact)])
    members = EndResolver(found.after).members
    policies = [each.policy for each in found.policies]
    for at, policy in enumerate(policies):
        for less in _less(policy):
            others = [*policies[:at], less, *policies[at + 1 :]]
            index = compile_cluster(with_policies(cluster, others))
            replay = replayed(found.needed, ConnectionJudge(index, members))
            assert replay.refused, f"{policy} allows more than {less}, and nobody needs it"


def _less(policy: NetworkPolicy) -> Iterator[NetworkPolicy]:
    """The policy with one peer or one port less."""
    for at, rule in enumerate(policy.ingress):
        for rules in _fewer(rule):
            yield replace(policy, ingress=(*policy.ingress[:at], *rules, *policy.ingress[at + 1 :]))
    for at, rule in enumerate(policy.egress):
        for rules in _fewer(rule):
            yield replace(policy, egress=(*policy.egress[:at], *rules, *policy.egress[at + 1 :]))


def _fewer(rule: NetworkPolicyRule) -> Iterator[tuple[NetworkPolicyRule, ...]]:
    for at in range(len(rule.peers)):
        left = rule.peers[:at] + rule.peers[at + 1 :]
        yield (replace(rule, peers=left),) if left else ()
    for at in range(len(rule.ports)):
        ports = rule.ports[:at] + rule.ports[at + 1 :]
        yield (replace(rule, ports=ports),) if ports else ()
