"""The set difference of two maps, against every pair asked alone."""

from __future__ import annotations

from ipaddress import ip_address
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podfence.model.cluster import Cluster
from podfence.policy.compile import compile_cluster
from podfence.questions.plan.ends import joint_ends
from podfence.sets import AddressSet
from podfence.testing.builders import namespace, peer, pod, policy, rule
from tests.support.planlaws import agree
from tests.support.random_changes import random_change


@given(st.randoms(use_true_random=False), st.integers(0, 4))
def test_equals_the_difference_of_every_pair(rng: Random, edits: int) -> None:
    agree(*random_change(rng, edits))


@pytest.mark.slow
def test_at_length() -> None:
    """Two hundred pairs of clusters in a run of the suite; ``bench.planlaw`` runs ten thousand."""
    changed = sum(agree(*random_change(Random(f"plan/{n}"), n % 5)) > 0 for n in range(200))
    assert changed > 60


def test_an_address_that_pods_hold_is_nobody_outside() -> None:
    """Blocks of the two sides overlap in one address, which a pod has."""
    pods = namespace("shop"), pod("shop/web", addresses=["10.0.0.1"])
    blocks = peer(cidr="10.0.0.0/31"), peer(cidr="10.0.0.0/30", except_=["10.0.0.0/32"])
    old, new = (Cluster.of([*pods, policy("shop/p", egress=[rule(block)])]) for block in blocks)
    a, b = compile_cluster(old), compile_cluster(new)
    outside = [end.outside for end in joint_ends(a, b, {}).joint if end.outside]
    alone = AddressSet.of([ip_address("10.0.0.1")])
    assert alone not in outside
    assert outside
