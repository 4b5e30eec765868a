"""On random clusters: describe says what was compiled, and nothing makes it or the notes fail."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given

from podfence.model.cluster import Cluster
from podfence.model.networkpolicy import NetworkPolicy
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Direction
from podfence.policy.index import CompiledRule, Everyone, PolicyIndex
from podfence.questions.describe import DirectionDescription, describe
from podfence.questions.lint.findings import LINT_CODES
from podfence.questions.lint.notes import notes_for
from podfence.questions.phrases.matched import PodGroup
from podfence.render.describe import render_description
from tests.support.random_clusters import clusters


@given(clusters())
def test_np_5_subjects_and_directions_are_those_of_the_index(cluster: Cluster) -> None:
    index = compile_cluster(cluster)
    for policy in cluster.policies:
        found = describe(index, policy)
        assert _pods(found.pods) == _members(index, index.selected[policy.ref])
        for part in (found.ingress, found.egress):
            assert part.isolates == (part.direction.policy_type in policy.policy_types)


@given(clusters())
def test_np_14_peers_are_those_of_the_compiled_rules(cluster: Cluster) -> None:
    index = compile_cluster(cluster)
    for policy in cluster.policies:
        found = describe(index, policy)
        for part in (found.ingress, found.egress):
            for rule in _compiled(index, policy, part.direction):
                _compare(index, rule, part)


@given(clusters())
def test_description_and_notes_always_come_out(cluster: Cluster) -> None:
    index = compile_cluster(cluster)
    for policy in cluster.policies:
        notes = notes_for(index, policy)
        text = render_description(describe(index, policy), lambda _, path: path, notes)

        assert {note.code for note in notes} <= set(LINT_CODES)
        assert all(line == line.rstrip() for line in text.splitlines())


def _compare(index: PolicyIndex, rule: CompiledRule, part: DirectionDescription) -> None:
    """Every match of a compiled rule against the peer of the same path."""
    [described] = [r for r in part.rules if r.path == rule.origin.path]
    peers = {peer.path: peer for peer in described.peers}
    for match in rule.matches:
        if not isinstance(match.peers, Everyone) and not _narrowed(match.path, rule):
            assert _pods(peers[match.path].pods) >= _members(index, match.peers.classes)
    for peer in described.peers:
        compiled = [m for m in rule.matches if m.path == peer.path]
        if compiled and all(isinstance(m.peers, Everyone) for m in compiled):
            assert _pods(peer.pods) == _everybody(index)


def _narrowed(path: str, rule: CompiledRule) -> bool:
    """A port name without peers is compiled to the pods that declare it: there is no peer item."""
    return path == rule.origin.path


def _compiled(
    index: PolicyIndex, policy: NetworkPolicy, direction: Direction
) -> list[CompiledRule]:
    return [
        rule
        for number in index.selected[policy.ref]
        for tier in index.policies[number].of(direction).tiers
        for rule in tier.rules
        if rule.origin.policy == policy.ref
    ]


def _pods(groups: tuple[PodGroup, ...]) -> set[str]:
    return {f"{g.name.split('/')[0]}/{name}" for g in groups for name in g.pods}


def _members(index: PolicyIndex, classes: Iterable[int]) -> set[str]:
    return {f"{e.pod.namespace}/{e.pod.name}" for number in classes for e in index.members[number]}


def _everybody(index: PolicyIndex) -> set[str]:
    return {name for name, endpoint in index.endpoints.items() if endpoint.pod.addresses}
