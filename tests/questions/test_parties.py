"""What a name or an address of a question stands for."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from podfence.errors import QuestionError, UnknownObject
from podfence.model.cluster import Cluster, ClusterObject
from podfence.model.meta import ObjectRef
from podfence.model.objects import Pod
from podfence.policy.compile import compile_cluster
from podfence.questions.can import Can, QueryEvaluator
from podfence.questions.parties import PartyLookup
from podfence.questions.tests.words import read_end
from podfence.questions.why import why
from podfence.testing.builders import namespace, node, peer, pod, policy, rule


@pytest.mark.parametrize("loopback", ["127.0.0.1", "127.255.0.3", "::1", "::ffff:127.0.0.1"])
def test_what_a_pod_sends_to_itself_is_no_question_of_policies(loopback: str) -> None:
    asker = QueryEvaluator(compile_cluster(Cluster.of([pod("shop/db"), policy("shop/deny")])))
    with pytest.raises(QuestionError, match="never leaves it, and no policy denies it"):
        asker.can(Can("shop/db", loopback, 80))
    with pytest.raises(ValueError, match="never leaves it, and no policy denies it"):
        read_end(loopback, "shop")


def owned(name: str, kind: str, owner: str, **more: object) -> Pod:
    space = name.partition("/")[0]
    plain = pod(name, **more)  # type: ignore[arg-type]
    return replace(plain, owner=ObjectRef(kind, space, owner))


def ends(name: str, *objects: ClusterObject, space: str = "default") -> list[tuple[str, list[str]]]:
    directory = PartyLookup(compile_cluster(Cluster.of(objects)))
    return [(end.name, list(map(str, end.addresses))) for end in directory.find(name, space).ends]


@pytest.mark.parametrize("mapped", ["::ffff:10.0.0.1", "::FFFF:a00:1", "0:0:0:0:0:ffff:10.0.0.1"])
def test_an_ipv4_address_written_as_ipv6_is_ipv4(mapped: str) -> None:
    """So logs have it of a socket of both families; its packets are IPv4 (NP-25)."""
    there = pod("a/web", addresses=["10.0.0.1"])
    assert ends(mapped, there) == [(mapped, ["10.0.0.1"])]
    asker = QueryEvaluator(compile_cluster(Cluster.of([there, policy("a/closed")])))
    assert asker.can(Can(mapped, "a/web", 80)).allowed  # a pod always reaches itself
    assert not asker.can(Can("::ffff:10.0.0.2", "a/web", 80)).allowed


# -- names


WORKLOADS = (
    owned("a/web-1", "Deployment", "web", addresses=["10.0.0.1"]),
    owned("a/db-0", "StatefulSet", "db", addresses=["10.0.0.2"]),
    owned("a/log-1", "DaemonSet", "log", addresses=["10.0.0.3"]),
    owned("a/rs-1", "ReplicaSet", "rs", addresses=["10.0.0.4"]),
    owned("a/run-1", "Job", "run", addresses=["10.0.0.5"]),
    owned("a/tick-1", "CronJob", "tick", addresses=["10.0.0.6"]),
    owned("a/old-1", "ReplicationController", "old", addresses=["10.0.0.7"]),
    pod("a/one", addresses=["10.0.0.8"]),
)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("deploy/web", "a/web-1"),
        ("deployment/web", "a/web-1"),
        ("deployments/web", "a/web-1"),
        ("deployment.apps/web", "a/web-1"),
        ("Deployment/web", "a/web-1"),
        ("sts/db", "a/db-0"),
        ("statefulset/db", "a/db-0"),
        ("ds/log", "a/log-1"),
        ("rs/rs", "a/rs-1"),
        ("job/run", "a/run-1"),
        ("jobs.batch/run", "a/run-1"),
        ("cj/tick", "a/tick-1"),
        ("rc/old", "a/old-1"),
        ("po/one", "a/one"),
        ("pod/one", "a/one"),
        ("pods/db-0", "a/db-0"),
    ],
)
def test_a_kind_goes_by_kubectl_s_words_in_the_namespace_of_the_question(
    name: str, found: str
) -> None:
    assert [end for end, _ in ends(name, *WORKLOADS, space="a")] == [found]
    assert [end for end, _ in ends(f"a/{name}", *WORKLOADS)] == [found]
    with pytest.raises(UnknownObject):
        ends(name, *WORKLOADS, space="b")


def test_a_namespace_may_be_called_like_a_kind() -> None:
    objects = (pod("job/run", addresses=["10.0.0.1"]), owned("default/run-1", "Job", "run"))
    assert ends("job/run", *objects) == [("job/run", ["10.0.0.1"])]
    assert ends("default/job/run", *objects) == [("default/run-1", [])]


def test_a_kind_of_another_api_is_called_as_it_is_written() -> None:
    canary = owned("a/x-1", "Rollout", "x", addresses=["10.0.0.1"])
    assert [end for end, _ in ends("a/rollout/x", canary)] == ["a/x-1"]


# -- nodes


def test_a_node_has_the_addresses_that_it_and_its_pods_say() -> None:
    n1 = node("n1", "192.0.2.1")
    agent = pod("a/agent", addresses=["10.0.0.1"], node="n1", host_addresses=["2001:db8::1"])
    other = pod("a/other", addresses=["10.0.0.2"], node="n2", host_addresses=["192.0.2.2"])
    for word in ("node", "nodes", "no"):
        assert ends(f"{word}/n1", n1, agent, other) == [("node/n1", ["192.0.2.1", "2001:db8::1"])]
    assert ends("node/n2", n1, agent, other) == [("node/n2", ["192.0.2.2"])]


def test_a_node_without_addresses_is_told_from_one_that_is_not_there() -> None:
    with pytest.raises(QuestionError, match="node n1 has no address"):
        ends("node/n1", node("n1"))
    with pytest.raises(UnknownObject, match="did you mean node/n12"):
        ends("node/n1", node("n12", "192.0.2.1"))


def test_the_name_of_a_node_alone_leads_to_how_it_is_asked_for() -> None:
    with pytest.raises(UnknownObject, match="for the node write node/n1"):
        ends("default/n1", node("n1", "192.0.2.1"))


def test_a_node_is_judged_by_its_address_and_is_own_node_to_its_pods_only() -> None:
    closed = policy("a/closed", types=["Ingress"])
    here = pod("a/here", addresses=["10.0.0.1"], node="n1")
    there = pod("a/there", addresses=["10.0.0.2"], node="n2")
    nodes = (node("n1", "192.0.2.1"), node("n2", "192.0.2.2"))
    asker = QueryEvaluator(compile_cluster(Cluster.of([*nodes, here, there, closed])))
    assert asker.can(Can("node/n1", "a/here", 80)).allowed
    assert not asker.can(Can("node/n1", "a/there", 80)).allowed


# -- pods on the host network


@pytest.mark.parametrize(
    ("told", "addresses"),
    [
        ({"addresses": ["192.0.2.1"]}, ["192.0.2.1"]),
        ({"addresses": ["192.0.2.1", "2001:db8::1"]}, ["192.0.2.1", "2001:db8::1"]),
        ({"host_addresses": ["192.0.2.1"]}, ["192.0.2.1"]),
        (
            {"addresses": ["192.0.2.1"], "host_addresses": ["192.0.2.9", "2001:db8::1"]},
            ["192.0.2.1", "2001:db8::1"],
        ),
        ({"node": "n1"}, ["192.0.2.7", "192.0.2.8"]),
        ({"node": "n1", "addresses": ["2001:db8::1"]}, ["2001:db8::1", "192.0.2.7", "192.0.2.8"]),
    ],
)
def test_a_pod_on_the_host_network_has_its_own_addresses_then_its_host_s_then_its_node_s(
    told: dict[str, list[str]], addresses: list[str]
) -> None:
    """NP-50: by family; the first that tells is believed."""
    agent = pod("a/agent", host_network=True, **told)  # type: ignore[arg-type]
    found = ends("a/agent", namespace("a"), node("n1", "192.0.2.7", "192.0.2.8"), agent)
    assert found == [("a/agent", addresses)]


def test_a_pod_on_the_host_network_of_which_nothing_is_known_has_no_end() -> None:
    with pytest.raises(QuestionError, match="node's address is not in the input"):
        ends("a/agent", pod("a/agent", host_network=True))


def test_an_ip_block_with_the_address_of_a_host_network_pod_is_about_it() -> None:
    """NP-51: the address alone counts, whichever pod there asks."""
    agents = [pod(f"a/x{n}", host_network=True, addresses=["192.0.2.1"]) for n in (1, 2)]
    web = pod("a/web", addresses=["10.0.0.1"])
    closed = policy("a/in", ingress=[rule(peer(cidr="192.0.2.1/32"))])
    asker = QueryEvaluator(compile_cluster(Cluster.of([*agents, web, closed])))
    assert asker.can(Can("a/x1", "a/web", 80)).allowed
    assert asker.can(Can("a/x2", "a/web", 80)).allowed
    assert not asker.can(Can("192.0.2.2", "a/web", 80)).allowed
    assert asker.can(Can("a/web", "a/x1", 80)).allowed


def test_a_host_network_pod_makes_its_address_one_of_its_node() -> None:
    """NP-52: with no Node object and no hostIP in the input."""
    agent = pod("a/agent", host_network=True, addresses=["192.0.2.1"], node="n1")
    here = pod("a/here", addresses=["10.0.0.1"], node="n1")
    there = pod("a/there", addresses=["10.0.0.2"], node="n2")
    closed = policy("a/closed", types=["Ingress"])
    asker = QueryEvaluator(compile_cluster(Cluster.of([agent, here, there, closed])))
    assert asker.can(Can("a/agent", "a/here", 80)).allowed
    assert not asker.can(Can("a/agent", "a/there", 80)).allowed
    assert asker.can(Can("192.0.2.1", "a/here", 80)).allowed


# -- two pods with one address (NP-60a)


OLD = pod("a/old", {"app": "old"}, addresses=["10.0.0.5"])
NEW = pod("a/new", {"app": "new"}, addresses=["10.0.0.5"])
DB = pod("a/db", {"app": "db"}, addresses=["10.0.0.6"])
FOR_OLD = policy("a/db", {"app": "db"}, ingress=[rule(peer(pods={"app": "old"}))])
OLD_CLOSED = policy("a/closed", {"app": "old"}, types=["Ingress"])


def asker(*objects: ClusterObject) -> QueryEvaluator:
    return QueryEvaluator(compile_cluster(Cluster.of(objects)))


@pytest.mark.parametrize("pods", [(OLD, NEW), (NEW, OLD)])
def test_a_pod_that_is_named_is_judged_whoever_else_has_its_address(pods: tuple[Pod, ...]) -> None:
    asks = asker(*pods, DB, FOR_OLD, OLD_CLOSED)
    assert asks.can(Can("a/old", "a/db", 80)).allowed
    assert not asks.can(Can("a/new", "a/db", 80)).allowed
    assert asks.can(Can("a/db", "a/new", 80)).allowed
    assert not asks.can(Can("a/db", "a/old", 80)).allowed
    assert not asks.can(Can("a/new", "a/old", 80)).allowed
    assert asks.can(Can("a/old", "a/old", 80)).allowed


def test_an_answer_about_such_a_pod_or_address_says_what_packets_meet() -> None:
    asks = asker(OLD, NEW, DB, FOR_OLD)
    note = asks.can(Can("a/old", "a/db", 80)).note
    assert note.startswith("this answer is about a/old; its address 10.0.0.5 is also that of a/new")
    by_address = asks.can(Can("10.0.0.5", "a/db", 80))
    assert not by_address.allowed
    assert by_address.note.startswith(
        "10.0.0.5 is the address of a/new and a/old: while several pods have it"
    )


def test_the_address_is_that_of_the_pod_that_is_not_being_deleted() -> None:
    asks = asker(OLD, replace(NEW, deleting=True), DB, FOR_OLD)
    assert asks.can(Can("10.0.0.5", "a/db", 80)).allowed
    assert asks.can(Can("10.0.0.5", "a/db", 80)).note == ""
    answer = asks.can(Can("a/new", "a/db", 80))
    assert not answer.allowed
    assert "a/old, which owns it, because it is not being deleted" in answer.note


def test_what_comes_to_the_address_is_explained_by_the_policies_that_deny_it() -> None:
    answer = why(asker(NEW, OLD, DB, OLD_CLOSED), Can("a/db", "10.0.0.5", 80))
    assert [str(p.isolation.policy) for p in answer.ingress.policies] == ["a/closed"]
    assert not answer.can.allowed


@pytest.mark.parametrize("name", ["a/zero", "a/deploy/zero", "a/Deployment/zero"])
def test_a_workload_that_runs_no_pod_is_told(name: str) -> None:
    idle = (ObjectRef("Deployment", "a", "zero"),)
    directory = PartyLookup(compile_cluster(replace(Cluster.of(WORKLOADS), idle=idle)))
    with pytest.raises(UnknownObject, match="Deployment a/zero runs no pod now"):
        directory.find(name, "a")


@pytest.mark.parametrize("name", ["a/job/zero", "b/zero", "a/b/deploy/zero"])
def test_a_name_of_something_else_is_none_that_runs_no_pod(name: str) -> None:
    idle = (ObjectRef("Deployment", "a", "zero"),)
    directory = PartyLookup(compile_cluster(replace(Cluster.of(WORKLOADS), idle=idle)))
    with pytest.raises(UnknownObject, match="no pod or workload is called"):
        directory.find(name, "b")
