"""The test file of a suggestion holds what was seen, for every cluster and all traffic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from msgspec.structs import replace

from podfence.errors import Source
from podfence.flows.seen import RecordedEnd, RecordedFlow
from podfence.model.cluster import Cluster
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import PolicyType
from podfence.policy.flow import Direction
from podfence.questions.suggest.promises import Promises, promises
from podfence.questions.suggest.rules import EVERYTHING_SEEN, OutsidePeers, SuggestOptions
from podfence.questions.suggest.suggest import suggest, with_policies
from podfence.questions.tests.decode import decode
from podfence.questions.tests.judge import Result, ResultStatus
from podfence.questions.tests.run import FileRunner
from tests.questions.suggest.test_laws import SIZE, traffic
from tests.questions.suggest.worlds import closed, cluster, flow
from tests.support.laws import law
from tests.support.random_clusters import random_cluster


def kept(
    world: Cluster, flows: Iterable[RecordedFlow], wish: SuggestOptions = EVERYTHING_SEEN
) -> Promises:
    return promises(suggest(world, flows, wish), wish)


def results(document: Mapping[str, Any], world: Cluster) -> list[Result]:
    file, problems = decode(document, Source("from-flows.yaml"))
    assert file is not None, [problem.message for problem in problems]
    (found,) = FileRunner(world).all([file])
    return list(found.results)


def by_name(found: Promises) -> dict[str, Mapping[str, Any]]:
    return {test["name"]: test for test in found.tests}


# -- what is in it


def test_who_was_seen_is_required_and_nobody_else_is_let_in() -> None:
    found = kept(cluster(), [flow("shop/web", "shop/db")])
    assert by_name(found)["who reaches shop/db"] == {
        "name": "who reaches shop/db",
        "to": "shop/db",
        "only": [{"from": "shop/web", "ports": [5432]}],
    }


def test_what_other_policies_let_through_may_be() -> None:
    other = suggest(cluster(), [flow("monitoring/prometheus", "shop/db", 9100)])
    found = kept(other.after.cluster, [flow("shop/web", "shop/db")])
    assert by_name(found)["who reaches shop/db"]["only"] == [
        {"from": "shop/web", "ports": [5432]},
        {"from": "monitoring/prometheus", "ports": [9100], "optional": True},
    ]


def test_a_way_that_no_policy_closes_is_held_by_a_test_of_its_own() -> None:
    found = kept(cluster(), [flow("198.51.100.7", "shop/web", 8080)])
    assert list(found.tests) == [
        {
            "name": "198.51.100.7 reaches shop/web",
            "from": "198.51.100.7",
            "to": "shop/web",
            "ports": [8080],
            "expect": "allow",
        }
    ]


def test_the_test_of_an_open_way_fails_where_a_policy_closes_it_later() -> None:
    found = kept(cluster(), [flow("198.51.100.7", "shop/web", 8080)])
    (result,) = results(found.document, cluster(closed()))
    assert result.status is ResultStatus.FAILED


def test_dns_that_the_input_lacks_comes_with_the_file() -> None:
    coredns = RecordedEnd("kube-system", workload="coredns")
    dns = replace(flow("shop/web", "x/y", 53, "UDP"), destination=coredns)
    found = suggest(cluster(), [dns])
    document = promises(found, EVERYTHING_SEEN).document
    policies = [each.policy for each in found.policies]
    assert document["fixtures"]["pods"] == [
        {"name": "kube-system/coredns", "labels": {"k8s-app": "kube-dns"}}
    ]
    (result,) = results(document, with_policies(cluster(), policies))
    assert result.status is ResultStatus.PASSED


def test_what_is_denied_all_the_same_is_held_by_no_test_and_told() -> None:
    """Prometheus stays closed, as policies for one direction alone were wished for."""
    ingress = SuggestOptions(frozenset({Direction.INGRESS}))
    silent = replace(closed("monitoring"), policy_types=frozenset({PolicyType.EGRESS}))
    found = kept(cluster(silent), [flow("monitoring/prometheus", "shop/db", 9100)], ingress)
    assert [(each.source.name, each.port) for each in found.unheld] == [
        ("monitoring/prometheus", 9100)
    ]


def test_a_wish_for_one_workload_asks_of_no_other() -> None:
    seen = [flow("shop/web", "shop/db"), flow("monitoring/prometheus", "shop/web", 9100)]
    wish = SuggestOptions(workloads=frozenset({ObjectRef("StatefulSet", "shop", "db")}))
    assert list(by_name(kept(cluster(), seen, wish))) == ["who reaches shop/db"]


# -- laws


def _numbers() -> Iterable[int]:
    return range(30)


def is_open_to_all(test: Mapping[str, Any]) -> bool:
    """Whether other policies let everybody to a workload, or it to everybody, so that a test can
    hold the need alone."""
    return any(
        each.get("optional")
        and each["ports"] == ["any"]
        and "+/*" in each.get("from", each.get("to"))
        for each in test["only"]
    )


@law(st.integers(0, 2**32), _numbers)
@settings(max_examples=20)
def test_the_file_passes_with_the_policies_and_fails_without_any(seed: int) -> None:
    rng = Random(seed)
    world = random_cluster(rng, SIZE)
    wish = SuggestOptions(outside=list(OutsidePeers)[seed % 3])
    found = suggest(world, traffic(world, rng), wish)
    made = promises(found, wish)
    if not made.tests:
        return
    after = found.after.cluster
    assert {each.status for each in results(made.document, after)} == {ResultStatus.PASSED}
    bare = replace(after, policies=(), admin_policies=())
    closing = {test["name"] for test in made.tests if "only" in test and not is_open_to_all(test)}
    for each in results(made.document, bare):
        assert each.test.name not in closing or each.status is ResultStatus.FAILED


@law(st.integers(0, 2**32), _numbers)
@settings(max_examples=20)
def test_each_connection_is_held_by_a_test_or_told(seed: int) -> None:
    """With the policies in place, and the rule that lets one of them in gone, a test fails."""
    rng = Random(seed)
    world = random_cluster(rng, SIZE)
    found = suggest(world, traffic(world, rng))
    made = promises(found, EVERYTHING_SEEN)
    if not made.tests:
        return
    for policy in (each.policy for each in found.policies):
        shut = replace(policy, ingress=(), egress=())
        after = found.after.cluster
        policies = tuple(shut if p.ref == policy.ref else p for p in after.policies)
        told = {each.status for each in results(made.document, replace(after, policies=policies))}
        assert ResultStatus.FAILED in told
