"""Policies for what test files need: the needs are exact, and what no rule can say is told."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from msgspec.structs import replace

from podfence.manifests.load import load
from podfence.manifests.testfiles import read_test_files
from podfence.policy.compile import compile_cluster
from podfence.policy.domains import NO_NAMES
from podfence.questions.suggest.promised import NeededTests, PromisedConnections, promised
from podfence.questions.suggest.resolver import EndResolver
from podfence.questions.suggest.rules import OutsidePeers, SuggestOptions
from podfence.questions.suggest.suggest import suggest
from podfence.questions.tests.form import PolicyTests
from podfence.questions.tests.judge import ResultStatus
from podfence.questions.tests.run import FileRunner
from tests.questions.entryworld import (
    CONTROLLER,
    WEB,
    ingress,
    pod,
    policy,
    service,
    side_of,
)
from tests.questions.suggest.test_laws import SIZE
from tests.questions.suggest.worlds import cluster, flow, running
from tests.questions.tests.judged import file_of
from tests.support.laws import law
from tests.support.random_clusters import random_cluster
from tests.support.testlaws import random_test

ADDRESSES = SuggestOptions(outside=OutsidePeers.ADDRESSES)


def needs(*tests: dict[str, Any]) -> PromisedConnections:
    world = cluster()
    known = EndResolver(compile_cluster(world))
    return promised(needed(file_of(*tests)), world, NO_NAMES, known)


def needed(*files: PolicyTests, world: str = "") -> NeededTests:
    return NeededTests(files, side_of(world).entries)


def shown(found: PromisedConnections) -> list[str]:
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


# -- what has to come in through entries

FRONT = {"from": "entry/ingress/shop/front", "to": "web:http", "expect": "allow"}
NGINX = "ingressClassName: nginx, "
BALANCER = ", type: LoadBalancer"


def through(world: str, **test: Any) -> PromisedConnections:
    side = side_of(world)
    file = file_of({**FRONT, **test})
    known = EndResolver(compile_cluster(side.cluster))
    return promised(NeededTests((file,), side.entries), side.cluster, NO_NAMES, known)


CLOSED = policy("policyTypes: [Ingress]")
LEFT_OPEN = policy(
    "ingress: [{from: [{namespaceSelector: {matchLabels: {a: b}}}]}]"
)  # lets in who may be the controller


@pytest.mark.parametrize(
    ("world", "entry", "expected"),
    [
        pytest.param(
            WEB + CONTROLLER + ingress(NGINX) + CLOSED,
            "ingress/shop/front",
            ["ingress-nginx/nginx-1 -> shop/web TCP/8080"],
            id="its controller, and the port of the pods",
        ),
        pytest.param(
            WEB + CONTROLLER + ingress(NGINX),
            "ingress/shop/front",
            ["ingress-nginx/nginx-1 -> shop/web TCP/8080"],
            id="what is open already stays needed",
        ),
        pytest.param(
            pod("web") + service(spec=f"{BALANCER}, externalTrafficPolicy: Local") + CLOSED,
            "loadbalancer/shop/web",
            ["0.0.0.0/0 -> shop/web TCP/8080", "::/0 -> shop/web TCP/8080"],
            id="every client",
        ),
        pytest.param(
            pod("web")
            + service(spec=f"{BALANCER}, loadBalancerSourceRanges: [203.0.113.0/24, 2001:db8::/32]")
            + CLOSED,
            "loadbalancer/shop/web",
            ["2001:db8::/32 -> shop/web TCP/8080", "203.0.113.0/24 -> shop/web TCP/8080"],
            id="the clients that it accepts",
        ),
    ],
)
def test_what_comes_through_an_entry_is_needed(world: str, entry: str, expected: list[str]) -> None:
    found = through(world, **{"from": f"entry/{entry}", "to": "web:8080"})
    assert (shown(found), found.unsaid) == (expected, ())


@pytest.mark.parametrize(
    ("world", "said"),
    [
        pytest.param(
            WEB + ingress(NGINX) + LEFT_OPEN,
            "it is unknown who comes through ingress/shop/front a.example/: ",
            id="no controller",
        ),
        pytest.param(
            WEB + pod("api") + ingress(NGINX, name="api") + service("api") + CONTROLLER,
            "entry/ingress/shop/front does not lead to shop/web on http; it leads to shop/api",
            id="it leads elsewhere",
        ),
        pytest.param(WEB, "no entry is called entry/ingress/shop/front", id="no such entry"),
    ],
)
def test_who_comes_through_an_entry_may_be_unknown(world: str, said: str) -> None:
    found = through(world)
    assert found.connections == ()
    assert found.unsaid[0].because.startswith(said)


def test_policies_of_what_comes_through_an_entry_let_it_in() -> None:
    side = side_of(WEB + pod("job") + CONTROLLER + ingress(NGINX) + CLOSED)
    file = file_of(FRONT, {**FRONT, "from": "job", "expect": "deny"})
    tests = NeededTests((file,), side.entries)
    found = suggest(side.cluster, [], tests=tests)
    (judged,) = FileRunner(found.after.cluster, entries=side.entries).all([file])
    assert [each.status for each in judged.results] == [ResultStatus.PASSED] * 2


# -- policies of it


def test_the_internet_is_everything_less_private_ranges() -> None:
    file = file_of({"from": "web", "to": "internet", "ports": [443], "expect": "allow"})
    found = suggest(cluster(), [], ADDRESSES, tests=needed(file))
    (out,) = (rule for each in found.policies for rule in each.policy.egress)
    blocks = [peer.ip_block for peer in out.peers if peer.ip_block is not None]
    assert [(str(each.cidr), len(each.except_)) for each in blocks] == [
        ("0.0.0.0/0", 6),
    ]
    (judged,) = FileRunner(found.after.cluster).all([file])
    assert judged.results[0].status is ResultStatus.PASSED
    assert found.left_open == ()
    assert [each for made in found.policies for each in made.wider] == []


@pytest.mark.parametrize(
    "end",
    [
        {"ends": ["10.0.0.0/8"], "except": ["10.1.0.0/16", "10.2.0.0/16"]},
        {"ends": ["203.0.113.0/24"], "except": ["203.0.113.7"]},
        {"ends": ["outside"], "except": ["internet"]},
    ],
)
def test_ends_less_other_ends_are_allowed_exactly(end: Any) -> None:
    file = file_of(
        {"from": end, "to": "web:80", "expect": "allow"},
        *({"from": each, "to": "web:80", "expect": "deny"} for each in end["except"]),
    )
    found = suggest(cluster(), [], ADDRESSES, tests=needed(file))
    (judged,) = FileRunner(found.after.cluster).all([file])
    assert {each.status for each in judged.results} == {ResultStatus.PASSED}


def test_ranges_of_ports_stay_ranges() -> None:
    file = file_of({"from": "web", "to": "db", "ports": ["9100-9110", 80, 81], "expect": "allow"})
    found = suggest(cluster(), [], ADDRESSES, tests=needed(file))
    ((ports,),) = {tuple(r.ports for r in p.policy.ingress) for p in found.policies} - {()}
    assert [(each.port, each.end_port) for each in ports] == [(80, None), (81, None), (9100, 9110)]


def test_flows_and_tests_add_up() -> None:
    file = file_of({"from": "monitoring/prometheus", "to": "db:9103", "expect": "allow"})
    seen = [flow("shop/web", "shop/db", count=1)]
    found = suggest(cluster(), seen, SuggestOptions(least=5), tests=needed(file))
    assert [each.port for each in found.needed] == [9103]
    assert [each.connection.port for each in found.rare] == [5432]
    both = suggest(cluster(), seen, tests=needed(file))
    assert sorted(each.port for each in both.needed) == [5432, 9103]


def test_pods_of_fixtures_are_pods() -> None:
    file = file_of(
        {"from": "web", "to": "old:80", "expect": "allow"},
        fixtures={"pods": [{"name": "shop/old", "labels": {"app": "old"}}]},
    )
    found = suggest(cluster(), [], tests=needed(file))
    assert "shop/old" in {each.destination.name for each in found.needed}
    assert found.replay.refused == ()


def test_a_workload_of_several_pods_reaches_itself() -> None:
    pods = [
        running(f"q-{n}", "q", {"app": "q"}, f"10.244.9.{n}", kind="StatefulSet") for n in (1, 2)
    ]
    file = file_of({"from": "q", "to": "q:80", "expect": "allow"})
    found = suggest(cluster(*pods), [], tests=needed(file))
    assert [each.source for each in found.needed] == [each.destination for each in found.needed]
    assert found.replay.allowed == 1


def test_the_policies_of_the_shop_come_out_of_its_tests() -> None:
    shop = load(["examples/shop"]).cluster
    files = read_test_files(["examples/tests/shop.podfence.yaml"]).files
    found = suggest(replace(shop, policies=()), [], ADDRESSES, tests=needed(*files))

    (judged,) = FileRunner(found.after.cluster).all(files)
    failed = [r.test.name for r in judged.results if r.status is not ResultStatus.PASSED]

    assert found.replay.refused == ()
    assert failed == ["both namespaces are closed for pods to come"]  # policies are of workloads


@law(st.integers(0, 2**32), lambda: range(24))
@settings(max_examples=20)
def test_what_tests_need_is_allowed(seed: int) -> None:
    rng = Random(seed)
    world = random_cluster(rng, SIZE)
    tests = [dict(random_test(rng, world, str(number))) for number in range(4)]
    found = suggest(replace(world, policies=()), [], ADDRESSES, tests=needed(file_of(*tests)))
    assert found.replay.refused == ()
