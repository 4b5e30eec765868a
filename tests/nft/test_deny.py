"""A log message of a denied packet leads back to the policies that deny."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podfence.nft.lowering.deny import STATELESS, UNKNOWN, LogPrefix, deny_rules, logged
from podfence.nft.lowering.lower import deniers, lower
from podfence.nft.objects import Log
from podfence.nft.ruleset import Ruleset
from podfence.policy.compile import compile_cluster
from podfence.policy.index import DirectionPolicy
from podfence.testing.builders import cluster_peer, cluster_policy, cluster_rule
from tests.nft.cases import DB_ALLOW, NODE, index_of
from tests.support.random_clusters import TIERS, random_cluster
from tests.support.random_tiers import NAMES


def prefixes(ruleset: Ruleset) -> Iterator[str]:
    for chain in ruleset.chains.values():
        for rule in chain.rules:
            yield from (part.prefix for part in rule.parts if isinstance(part, Log))


@pytest.mark.parametrize("denier", ["in_0123456789ab", "eg_admin_0123456789ab_a", UNKNOWN])
@pytest.mark.parametrize("is_reply", [False, True])
def test_what_is_written_is_read(denier: str, is_reply: bool) -> None:
    rules = deny_rules(7, denier, is_reply=is_reply)
    (log,) = (part for rule in rules for part in rule.parts if isinstance(part, Log))
    assert len(log.prefix) <= 63
    assert logged(log.prefix) == LogPrefix(denier, is_reply and denier != UNKNOWN)


@pytest.mark.parametrize(
    "prefix",
    ["", "IN= OUT=eth0", "podfence", "podfence:", "podfence:deny:", "podfence:x", "calico:deny:x"],
)
def test_messages_of_others(prefix: str) -> None:
    assert logged(prefix) is None


def test_a_group_and_a_tier_lead_to_their_policies() -> None:
    guard = cluster_policy(
        "guard",
        pods={"app": "web"},
        ingress=[cluster_rule("Deny", cluster_peer(pods={"app": "job"}))],
    )
    index = index_of(DB_ALLOW, guard)
    found = deniers(index, NODE)
    groups = [item for item in found.values() if isinstance(item, DirectionPolicy)]
    tiers = [item for item in found.values() if not isinstance(item, DirectionPolicy)]
    assert [o.policy.name for g in groups for t in g.tiers for o in t.isolated_by] == [
        DB_ALLOW.ref.name
    ]
    assert [rule.origin.policy.name for tier in tiers for rule in tier.rules] == ["guard"]


@given(st.randoms(use_true_random=False))
def test_every_prefix_is_known(rng: Random) -> None:
    index = compile_cluster(random_cluster(rng, TIERS), NAMES)
    known = {*deniers(index, NODE), UNKNOWN, STATELESS}
    found = [logged(prefix) for prefix in prefixes(lower(index, NODE))]
    assert {each.denier for each in found if each is not None} <= known
    assert None not in found
