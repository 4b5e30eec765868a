"""Selectors of policies and of their peers that match nothing now."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from podfence.policy.flow import Direction
from podfence.policy.index import PolicyIndex
from podfence.policy.origin import Origin
from podfence.questions.phrases import words
from podfence.questions.phrases.matched import MatchedPods
from podfence.questions.whyempty import wanted_by_tier


class UnusedSelector(Struct, frozen=True):
    """A selector that matches no pod. ``words``: its conditions, "" for that of a tier's policy."""

    origin: Origin
    words: str = ""


def unused_selectors(index: PolicyIndex) -> Iterator[UnusedSelector]:
    """All unused selectors, policy by policy."""
    matched = MatchedPods(index)
    yield from _of_policies(matched)
    yield from _of_tiers(matched)


def _of_policies(matched: MatchedPods) -> Iterator[UnusedSelector]:
    for policy in matched.index.cluster.policies:
        space = policy.ref.namespace
        if not matched.subjects(policy):
            said = f"{words.pods(policy.pod_selector)} of namespace {space}"
            yield UnusedSelector(Origin(policy.ref, "spec.podSelector", policy.source), said)
        for direction in Direction:
            for at, rule in enumerate(policy.rules_of(direction.policy_type)):
                for number, peer in enumerate(rule.peers):
                    if peer.ip_block is None and not matched.peers(space, peer):
                        path = f"spec.{direction.value}[{at}].{direction.peer_field}[{number}]"
                        origin = Origin(policy.ref, path, policy.source)
                        yield UnusedSelector(origin, words.peer(peer, space))


def _of_tiers(matched: MatchedPods) -> Iterator[UnusedSelector]:
    cluster = matched.index.cluster
    pods = [end.pod for end in matched.index.endpoints.values() if end.addresses]
    for policy in cluster.admin_policies:
        if not matched.subjects(policy):
            yield UnusedSelector(Origin(policy.ref, "spec.subject", policy.source))
        for direction in Direction:
            for at, rule in enumerate(policy.rules_of(direction.policy_type)):
                for number, peer in enumerate(rule.peers):
                    if peer.pods is None and peer.namespaces is None:
                        continue
                    wanted = wanted_by_tier(cluster, peer)
                    if not any(map(wanted.fits, pods)):
                        path = f"spec.{direction.value}[{at}].{direction.peer_field}[{number}]"
                        yield UnusedSelector(Origin(policy.ref, path, policy.source))
