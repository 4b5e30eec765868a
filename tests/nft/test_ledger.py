"""The ledger judges a change by what it touches as tightening does by both rulesets."""

from __future__ import annotations

from random import Random

import pytest
from msgspec.structs import replace

from podfence.nft.difference import diff, load
from podfence.nft.lowering.ledger import Ledger
from podfence.nft.lowering.lower import LocalNode, lower
from podfence.nft.lowering.tightening import Tightening, tightening
from podfence.nft.objects import MemberSet
from podfence.nft.ruleset import Ruleset
from podfence.nft.transaction import DeleteTable
from podfence.policy.compile import compile_cluster
from podfence.sets.members import Members, MutableMembers
from tests.nft.cases import CASES, DB_ALLOW, NODE, index_of
from tests.support.losses import changed, released
from tests.support.random_clusters import TIERS, Size, random_cluster
from tests.support.random_tiers import NAMES


@pytest.mark.parametrize("seed", range(60))
def test_a_ledger_says_what_the_comparison_says(seed: int) -> None:
    """Over many changes; local pods are some of the cluster's, whatever becomes of them."""
    rng = Random(seed)
    size = rng.choice((TIERS, Size()))
    cluster, other = random_cluster(rng, size), random_cluster(rng, size)
    local = frozenset(f"{p.namespace}/{p.name}" for p in cluster.pods if rng.random() < 0.7)
    node = LocalNode("n", rng.choice((None, local)))
    index = compile_cluster(cluster, NAMES)
    rules = lower(index, node)
    ledger = Ledger(rules)
    for _ in range(12):
        cluster = changed(rng, cluster, other)
        following = compile_cluster(cluster, NAMES)
        wanted, gone = lower(following, node), released(index, following)
        change = diff(rules, wanted)
        said = ledger.take(change, gone)
        if any(isinstance(step, DeleteTable) for step in change):
            assert said is Tightening.NOW
        else:
            assert said is tightening(rules, wanted, gone)
        index, rules = following, wanted


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_ledger_can_start_with_a_table_that_was_replaced(case: object) -> None:
    ruleset: Ruleset = case.ruleset  # type: ignore[attr-defined]
    ledger = Ledger(lower(index_of(), NODE))
    assert ledger.take(load(ruleset), {}) is Tightening.NOW
    for name, item in ruleset.sets.items():
        if isinstance(item, MemberSet) and item.elements:
            less = replace(item, elements=Members(item.elements.family))
            fewer = replace(ruleset, sets={**ruleset.sets, name: less})
            assert ledger.take(diff(ruleset, fewer), {}) is tightening(ruleset, fewer)
            assert ledger.take(diff(fewer, ruleset), {}) is tightening(fewer, ruleset)


def test_a_pod_that_comes_and_goes_copies_no_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a change costs follows what it touches: no bitmap is copied to judge an element."""
    rules = lower(index_of(DB_ALLOW), NODE)
    (name,) = (n for n, s in rules.sets.items() if n.startswith("p4_") and s.elements)
    item = rules.sets[name]
    assert isinstance(item, MemberSet)
    more = replace(item, elements=item.elements | Members.of(4, [5]))
    grown = replace(rules, sets={**rules.sets, name: more})
    ledger = Ledger(rules)

    def never(_: MutableMembers) -> Members:
        raise AssertionError("a set was copied")

    monkeypatch.setattr(MutableMembers, "frozen", never)
    assert ledger.take(diff(rules, grown), {}) is Tightening.NO
    assert ledger.take(diff(grown, rules), {}) is Tightening.NOW
    assert ledger.take(diff(rules, grown), {}) is Tightening.NO
    assert ledger.take(diff(grown, rules), {4: Members.of(4, [5])}) is Tightening.OWED
