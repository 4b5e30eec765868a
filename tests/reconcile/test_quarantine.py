"""What is left of a ruleset when groups of pods are set aside."""

from __future__ import annotations

from random import Random

import pytest
from msgspec.structs import replace

from podfence.nft.lowering.deny import CLOSED, is_audit
from podfence.nft.lowering.dispatch import AUDIT_MAPS
from podfence.nft.lowering.lower import LocalNode, lower
from podfence.nft.objects import MemberSet, goto
from podfence.nft.trace import first_packet, trace_packet
from podfence.policy.compile import compile_cluster
from podfence.reconcile.quarantine import addresses, halves, units, without
from podfence.sets.members import Members
from tests.support.audits import audited_cluster, flows_of
from tests.support.random_clusters import TIERS, FlowSource, random_cluster
from tests.support.random_tiers import NAMES


@pytest.mark.parametrize("seed", range(60))
def test_closed_groups_pass_nothing_and_others_what_they_did(seed: int) -> None:
    """On flows whose ends are of no closed group the answer is the same; others are dropped."""
    rng = Random(seed)
    cluster = random_cluster(rng, TIERS)
    ruleset = lower(compile_cluster(cluster, NAMES), LocalNode("n"))
    found = sorted(units(ruleset))
    closed = set(rng.sample(found, rng.randint(0, len(found))))
    left = without(ruleset, closed, 77)
    shut = {at for unit in closed for at in addresses(ruleset, unit)}
    source = FlowSource(cluster)
    for _ in range(60):
        flow = source.draw(rng)
        before, after = (trace_packet(r, first_packet(flow)) for r in (ruleset, left))
        if any((end.version, int(end)) in shut for end in (flow.source, flow.destination)):
            assert before.accepted or not after.accepted
        else:
            assert after.accepted is before.accepted
    assert not set(units(left)) & closed
    assert set(units(left)) == set(found) - closed


def test_what_only_a_closed_group_needs_is_gone() -> None:
    cluster = random_cluster(Random(3), TIERS)
    ruleset = lower(compile_cluster(cluster, NAMES), LocalNode("n"))
    found = units(ruleset)
    left = without(ruleset, found, 77)
    assert not any(name.startswith(("in_", "eg_")) for name in left.chains)
    assert not any(name.startswith(("p4_", "p6_", "b4_", "q_")) for name in left.sets)
    verdicts = {
        v for name in ("in4", "eg4", "in6", "eg6") for v in left.maps[name].elements.values()
    }
    assert goto(CLOSED) in verdicts


def test_without_nothing_all_is_the_same() -> None:
    ruleset = lower(compile_cluster(random_cluster(Random(3), TIERS), NAMES), LocalNode("n"))
    assert without(ruleset, (), 77) is ruleset


def test_members_are_no_part_of_what_a_unit_says() -> None:
    """A pod that comes is no reason to try refused rules again."""
    ruleset = lower(compile_cluster(random_cluster(Random(3), TIERS), NAMES), LocalNode("n"))
    emptied = {
        name: replace(item, elements=Members(item.elements.family))
        if isinstance(item, MemberSet)
        else item
        for name, item in ruleset.sets.items()
    }
    assert units(replace(ruleset, sets=emptied)) == units(ruleset)


@pytest.mark.parametrize("count", range(7))
def test_bisection_splits_the_names_into_two_disjoint_halves(count: int) -> None:
    names = {f"u{n}" for n in range(count)}
    parts = halves(names)
    assert set().union(*parts) == names
    assert sum(map(len, parts)) == count
    assert len(parts) == min(count, 2)
    assert all(len(part) in (count // 2, (count + 1) // 2) for part in parts)


@pytest.mark.parametrize("seed", range(12))
def test_what_only_audits_closes_nobody(seed: int) -> None:
    rng = Random(seed)
    cluster = audited_cluster(rng, TIERS)
    ruleset = lower(compile_cluster(cluster, NAMES), LocalNode("n1"))
    audits = [unit for unit in units(ruleset) if is_audit(unit)]
    left = without(ruleset, audits, 77)
    for name, enforced in ruleset.maps.items():
        assert name.startswith("audit_") or left.maps[name] == enforced
    for flow in flows_of(rng, cluster, 40):
        packet = first_packet(flow)
        assert trace_packet(left, packet).accepted is trace_packet(ruleset, packet).accepted
    assert not any(left.maps[name].elements for name in AUDIT_MAPS if name in left.maps)
    assert not any(addresses(ruleset, unit) for unit in audits)
