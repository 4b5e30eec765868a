"""Policies for what test files need: the needs are exact, and what no rule can say is told."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from msgspec.structs import replace

from podfence.manifests.load import load
from podfence.manifests.testfiles import read_test_files
from podfence.policy.compile import compile_cluster
from podfence.policy.domains import NO_NAMES
from podfence.questions.suggest.promised import Promised, promised
from podfence.questions.suggest.resolver import EndResolver
from podfence.questions.suggest.rules import Outside, SuggestOptions
from podfence.questions.suggest.suggest import suggest
from podfence.questions.tests.judge import ResultStatus
from podfence.questions.tests.run import Runs
from tests.questions.suggest.test_laws import SIZE
from tests.questions.suggest.worlds import cluster, flow, running
from tests.questions.tests.judged import file_of
from tests.support.laws import law
from tests.support.random_clusters import random_cluster
from tests.support.testlaws import random_test

ADDRESSES = SuggestOptions(outside=Outside.ADDRESSES)


def needs(*tests: dict[str, Any]) -> Promised:
    world = cluster()
    return promised([file_of(*tests)], world, NO_NAMES, EndResolver(compile_cluster(world)))


def shown(found: Promised) -> list[str]:
    return sorted(
        f"{each.source.name} -> {each.destination.name} {each.protocol}/{each.port}"
        for each in found.connections
    )


# -- what is needed


def test_a_connection_that_has_to_be_allowed_is_needed() -> None:
    found = needs({"from": "web", "to": "db:5432", "expect": "allow"})
    assert shown(found) == ["shop/web -> shop/db TCP/5432"]
    assert found.unsaid == ()


def test_entries_of_only_are_needed_unless_they_are_optional() -> None:
    only = [
        {"from": "web", "ports": [5432]},
        {"from": "monitoring/prometheus", "ports": ["9100-9102"]},
        {"from": "203.0.113.0/25", "ports": ["53/udp"], "optional": True},
    ]
    assert shown(needs({"to": "db", "only": only})) == [
        "monitoring/prometheus -> shop/db TCP/9100",
        "monitoring/prometheus -> shop/db TCP/9101",
        "monitoring/prometheus -> shop/db TCP/9102",
        "shop/web -> shop/db TCP/5432",
    ]


def test_a_block_of_addresses_is_one_end() -> None:
    found = needs({"from": "203.0.113.0/25", "to": "web:80", "expect": "allow"})
    assert shown(found) == ["203.0.113.0/25 -> shop/web TCP/80"]


def test_what_is_denied_skipped_or_expected_to_fail_needs_nothing() -> None:
    found = needs(
        {"from": "web", "to": "db", "expect": "deny"},
        {"from": "web", "to": "db:80", "expect": "allow", "skip": "later"},
        {"from": "web", "to": "db:80", "expect": "allow", "expectFailure": "later"},
        {"newcomers": {"namespace": "shop"}, "isolated": ["ingress"]},
    )
    assert (found.connections, found.unsaid) == ((), ())


def test_what_no_rule_can_say_is_told() -> None:
    found = needs(
        {"from": "web", "to": "db:80", "expect": "some"},
        {"from": "web", "to": "db", "expect": "allow"},
        {"to": "db", "only": [{"from": "web"}]},
        {"from": "web", "to": "bd:80", "expect": "allow"},
        {"from": {"namespace": "shop", "newcomer": {"a": "b"}}, "to": "db:80", "expect": "allow"},
        {"from": "web", "to": "db:80", "expect": "allow",
         "given": [{"remove": {"kind": "Pod", "namespace": "shop", "name": "db-0"}}]},
    )  # fmt: skip
    assert found.connections == ()
    assert [each.test.name for each in found.unsaid] == ["0", "1", "2", "3", "4", "5"]


def test_why_no_rule_says_it_is_told_by_what_it_is_about() -> None:
    found = needs(
        {"from": "web", "to": "db", "ports": ["icmp"], "expect": "allow"},
        {"from": "web", "to": "db", "ports": ["any"], "expect": "allow"},
    )
    assert found.connections == ()
    assert [each.because for each in found.unsaid] == [
        "only a rule without ports allows ICMP, and it allows all ports too",
        "it needs more ports than a rule can list; name those that are needed",
    ]


# -- policies of it


def test_ranges_of_ports_stay_ranges() -> None:
    file = file_of({"from": "web", "to": "db", "ports": ["9100-9110", 80, 81], "expect": "allow"})
    found = suggest(cluster(), [], ADDRESSES, tests=[file])
    ((ports,),) = {tuple(r.ports for r in p.policy.ingress) for p in found.policies} - {()}
    assert [(each.port, each.end_port) for each in ports] == [(80, None), (81, None), (9100, 9110)]


def test_flows_and_tests_add_up() -> None:
    file = file_of({"from": "monitoring/prometheus", "to": "db:9103", "expect": "allow"})
    seen = [flow("shop/web", "shop/db", count=1)]
    found = suggest(cluster(), seen, SuggestOptions(least=5), tests=[file])
    assert [each.port for each in found.needed] == [9103]
    assert [each.connection.port for each in found.rare] == [5432]
    both = suggest(cluster(), seen, tests=[file])
    assert sorted(each.port for each in both.needed) == [5432, 9103]


def test_pods_of_fixtures_are_pods() -> None:
    file = file_of(
        {"from": "web", "to": "old:80", "expect": "allow"},
        fixtures={"pods": [{"name": "shop/old", "labels": {"app": "old"}}]},
    )
    found = suggest(cluster(), [], tests=[file])
    assert "shop/old" in {each.destination.name for each in found.needed}
    assert found.replay.refused == ()


def test_a_workload_of_several_pods_reaches_itself() -> None:
    pods = [
        running(f"q-{n}", "q", {"app": "q"}, f"10.244.9.{n}", kind="StatefulSet") for n in (1, 2)
    ]
    file = file_of({"from": "q", "to": "q:80", "expect": "allow"})
    found = suggest(cluster(*pods), [], tests=[file])
    assert [each.source for each in found.needed] == [each.destination for each in found.needed]
    assert found.replay.allowed == 1


def test_the_policies_of_the_shop_come_out_of_its_tests() -> None:
    shop = load(["examples/shop"]).cluster
    files = read_test_files(["examples/tests/shop.podfence.yaml"]).files
    found = suggest(replace(shop, policies=()), [], ADDRESSES, tests=files)

    (judged,) = Runs(found.after.cluster).all(files)
    failed = [r.test.name for r in judged.results if r.status is not ResultStatus.PASSED]

    assert found.replay.refused == ()
    assert failed == ["both namespaces are closed for pods to come"]  # policies are of workloads


@law(st.integers(0, 2**32), lambda: range(24))
@settings(max_examples=20)
def test_what_tests_need_is_allowed(seed: int) -> None:
    rng = Random(seed)
    world = random_cluster(rng, SIZE)
    tests = [dict(random_test(rng, world, str(number))) for number in range(4)]
    found = suggest(replace(world, policies=()), [], ADDRESSES, tests=[file_of(*tests)])
    assert found.replay.refused == ()
