"""What a check needs: where a policy lacks it, the check has nothing to say."""

from __future__ import annotations

from random import Random

import pytest

from podfence.policy.compile import compile_cluster
from podfence.questions.lint.note import LintedPolicy, WrittenObjects
from podfence.questions.lint.notes import CHECKS, traits
from podfence.questions.phrases.matched import MatchedPods
from tests.support.random_clusters import TIERS, Size, random_cluster


@pytest.mark.parametrize("seed", range(40))
def test_a_check_that_is_not_asked_would_say_nothing(seed: int) -> None:
    index = compile_cluster(random_cluster(Random(seed), TIERS if seed % 2 else Size()))
    matched, written = MatchedPods(index), WrittenObjects(index, lambda _: None)
    for policy in index.cluster.policies:
        case = LintedPolicy.of(index, policy, None, matched, written)
        has = traits(case)
        for check, needs in CHECKS:
            if needs & ~has:
                assert not list(check(case)), (check.__name__, policy)
