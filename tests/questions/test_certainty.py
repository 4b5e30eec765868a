"""A verdict that is called certain is the verdict; one that a doubt could turn is left open."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from itertools import product
from random import Random

import pytest
from msgspec.structs import replace

from podfence.errors import QuestionError, Source, UnknownObject
from podfence.model.cluster import Cluster, ClusterObject, assign_addresses
from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy
from podfence.model.doubt import Doubt
from podfence.model.meta import METADATA_NAME_LABEL, ObjectRef
from podfence.model.networkpolicy import NetworkPolicy, Protocol
from podfence.model.objects import Namespace, Pod, Service, ServicePort
from podfence.policy.compile import compile_cluster
from podfence.questions.can import Can, QueryEvaluator
from podfence.questions.certainty import Certainty
from podfence.testing.builders import (
    cluster_peer,
    cluster_policy,
    cluster_rule,
    namespace,
    node,
    peer,
    pod,
    policy,
    rule,
    selector,
)
from tests.support.random_clusters import Size, random_cluster

SIZE = Size(namespaces=2, pods=5, policies=4, admin_policies=2)


def hidden(cluster: Cluster, thing: ClusterObject) -> Cluster:
    """The cluster as it is known when one of its objects cannot be read."""
    match thing:
        case NetworkPolicy():
            doubt = Doubt(
                "NetworkPolicy",
                thing.ref.namespace,
                thing.ref.name,
                selector=thing.pod_selector,
                types=thing.policy_types,
            )
            left = tuple(p for p in cluster.policies if p is not thing)
            return replace(cluster, policies=left, doubts=(doubt,))
        case ClusterNetworkPolicy():
            left_tiers = tuple(p for p in cluster.admin_policies if p is not thing)
            known = Doubt(thing.ref.kind, "", thing.ref.name)
            return replace(cluster, admin_policies=left_tiers, doubts=(known,))
        case Namespace():
            keys = frozenset(key for key, _ in thing.labels) - {METADATA_NAME_LABEL}
            bare = Namespace(thing.name, ((METADATA_NAME_LABEL, thing.name),))
            return replace(
                cluster,
                namespaces={**cluster.namespaces, thing.name: bare},
                doubts=(Doubt("Namespace", "", thing.name, keys=keys),),
            )
    raise AssertionError(thing)


def objects(cluster: Cluster) -> Iterator[ClusterObject]:
    yield from cluster.policies
    yield from cluster.admin_policies
    yield from cluster.namespaces.values()


@pytest.mark.parametrize("seed", range(60))
def test_a_certain_verdict_is_the_verdict(seed: int) -> None:
    cluster = random_cluster(Random(f"certainty {seed}"), SIZE)
    whole = QueryEvaluator(compile_cluster(cluster))
    names = [
        f"{p.namespace}/{p.name}"
        for p in cluster.pods
        if p.addresses and not p.finished and not p.host_network
    ]
    for thing in objects(cluster):
        known = QueryEvaluator(compile_cluster(hidden(cluster, thing)))
        for source, destination, port in product(names, names, (80, 8080)):
            asked = Can(source, destination, port)
            try:
                right = whole.can(asked)
            except QuestionError:  # two pods without a common IP family
                continue
            answer = known.can(asked)
            if not answer.doubts:
                assert answer.allowed is right.allowed, (thing, asked)


def test_most_verdicts_are_certain_when_one_object_is_hidden() -> None:
    """The property above would hold if nothing were ever certain."""
    certain = total = 0
    for seed in range(20):
        cluster = random_cluster(Random(f"certainty {seed}"), SIZE)
        for thing in cluster.policies:
            index = compile_cluster(hidden(cluster, thing))
            certain += len(index.endpoints) - len(Certainty(index).open_pods())
            total += len(index.endpoints)
    assert certain > total / 3


# --- one by one ------------------------------------------------------------------------------

DB, WEB, AWAY = pod("shop/db", labels={"app": "db"}), pod("shop/web"), pod("away/x")


def asked(cluster: Cluster, *doubts: Doubt, to: str = "shop/db", by: str = "shop/web") -> str:
    """``yes``, ``no`` or ``open``."""
    index = compile_cluster(replace(cluster, doubts=doubts))
    answer = QueryEvaluator(index).can(Can(by, to, 80, namespace="shop"))
    return "open" if answer.doubts else "yes" if answer.allowed else "no"


def of(*things: ClusterObject) -> Cluster:
    pods = [thing for thing in things if isinstance(thing, Pod)]
    others = [thing for thing in things if not isinstance(thing, Pod)]
    return Cluster.of([*others, *assign_addresses([*pods, DB, WEB, AWAY])])


POLICY = Doubt("NetworkPolicy", "shop", "torn")
CLOSED = policy("shop/closed", types=["Ingress"])
OPEN = policy("shop/open", ingress=[rule()])


def test_a_policy_of_another_namespace_takes_nothing() -> None:
    assert asked(of(), Doubt("NetworkPolicy", "away", "torn")) == "yes"
    assert asked(of(), Doubt("NetworkPolicy", "away", "torn"), by="away/x") == "open"


def test_a_policy_of_an_unknown_namespace_takes_all() -> None:
    assert asked(of(), Doubt("NetworkPolicy")) == "open"


def test_a_policy_may_isolate_and_it_may_allow() -> None:
    assert asked(of(), POLICY) == "open"
    assert asked(of(CLOSED), POLICY) == "open"


def test_what_another_policy_allows_stays_allowed() -> None:
    ingress = replace(POLICY, types=CLOSED.policy_types)
    assert asked(of(OPEN), ingress) == "yes"


def test_what_is_denied_in_the_other_direction_stays_denied() -> None:
    egress_closed = policy("away/closed", types=["Egress"])
    assert asked(of(egress_closed), POLICY, by="away/x") == "no"


def test_a_policy_about_other_pods_takes_nothing() -> None:
    other = replace(POLICY, selector=selector({"app": "cache"}))
    assert asked(of(), other) == "yes"
    assert asked(of(), replace(POLICY, selector=selector({"app": "db"}))) == "open"


def test_a_text_of_unknown_kind_takes_all() -> None:
    assert asked(of(OPEN), Doubt("")) == "open"


def test_a_tier_policy_takes_all_and_a_baseline_only_what_nothing_decided() -> None:
    assert asked(of(CLOSED), Doubt("ClusterNetworkPolicy")) == "open"
    assert asked(of(CLOSED), Doubt("BaselineAdminNetworkPolicy")) == "no"
    assert asked(of(), Doubt("BaselineAdminNetworkPolicy")) == "open"


ENV = policy("shop/env", ingress=[rule(peer(namespaces={"env": "prod"}))])
NAME = policy("shop/name", ingress=[rule(peer(namespaces={METADATA_NAME_LABEL: "away"}))])


def test_labels_of_a_namespace_matter_to_those_who_ask_for_them() -> None:
    unread = Doubt("Namespace", "", "away", keys=frozenset({"env"}))
    assert asked(of(ENV), unread, by="away/x") == "open"
    assert asked(of(ENV), unread) == "no", "the labels of its own namespace were read"
    assert asked(of(NAME), unread, by="away/x") == "yes", "the name is known"
    assert asked(of(ENV), replace(unread, keys=frozenset({"team"})), by="away/x") == "no"
    assert asked(of(ENV, OPEN), unread, by="away/x") == "yes", "another rule allows it anyhow"


def test_a_namespace_without_a_name_may_be_any_that_is_not_declared() -> None:
    declared = replace(namespace("away"), source=Source("in.yaml"))
    assert asked(of(ENV), Doubt("Namespace"), by="away/x") == "open"
    assert asked(of(ENV, declared), Doubt("Namespace"), by="away/x") == "no"


def test_an_address_of_a_pod_that_could_not_be_read_is_open() -> None:
    torn = Doubt("Pod", "shop", "torn", addresses=(ip_address("10.9.9.9"),))
    assert asked(of(), torn) == "yes"
    assert asked(of(), torn, to="10.9.9.9") == "open"


def test_a_pod_that_could_not_be_read_is_named() -> None:
    with pytest.raises(UnknownObject, match="Pod shop/torn is in the input, but it could not be"):
        asked(of(), Doubt("Pod", "shop", "torn"), to="shop/torn")
    with pytest.raises(UnknownObject, match="Deployment shop/torn is in the input"):
        asked(of(), Doubt("Deployment", "shop", "torn"), to="shop/deploy/torn")


def test_a_policy_of_the_asked_name_is_no_pod() -> None:
    with pytest.raises(UnknownObject, match="no pod or workload is called"):
        asked(of(), POLICY, to="shop/torn")


def test_a_pod_reaches_itself_whatever_could_not_be_read() -> None:
    assert asked(of(), Doubt(""), POLICY, by="shop/db") == "yes"


# --- pods that could not be read ---------------------------------------------------------------

WORKLOAD = ObjectRef("Deployment", "shop", "web")
UNREAD = Doubt(
    "Pod",
    "shop",
    "web-2",
    addresses=(ip_address("10.0.0.9"),),
    node_addresses=(ip_address("192.0.2.1"), ip_address("192.0.2.2")),
    owner=WORKLOAD,
)


@pytest.mark.parametrize(
    ("source", "open_"),
    [
        pytest.param("shop/web", True, id="its workload"),
        pytest.param("deploy/web", True, id="its workload, as kubectl names it"),
        pytest.param("shop/web-1", False, id="another pod of its workload"),
        pytest.param("10.0.0.9", True, id="its address"),
        pytest.param("10.0.0.1", False, id="the address of another pod"),
        pytest.param("192.0.2.1", True, id="its node"),
        pytest.param("192.0.2.2", False, id="its node, which others tell of as well"),
        pytest.param("198.51.100.1", False, id="an address that it does not name"),
    ],
)
def test_a_pod_that_could_not_be_read(source: str, open_: bool) -> None:
    told = pod("shop/other", addresses=["10.0.0.3"], node="n", host_addresses=["192.0.2.2"])
    web = replace(pod("shop/web-1", addresses=["10.0.0.1"]), owner=WORKLOAD)
    cluster = Cluster.of([told, web, pod("shop/db", addresses=["10.0.0.2"]), policy("shop/deny")])
    asker = QueryEvaluator(compile_cluster(replace(cluster, doubts=(UNREAD,))))
    answer = asker.can(Can(source, "shop/db", 80, namespace="shop"))
    assert bool(answer.doubts) is open_


@pytest.mark.parametrize(("source", "open_"), [("198.51.100.1", True), ("shop/web", False)])
def test_a_file_that_could_not_be_read_may_hold_a_pod_of_any_address(
    source: str, open_: bool
) -> None:
    cluster = Cluster.of(
        [pod("shop/web", addresses=["10.0.0.1"]), pod("shop/db", addresses=["10.0.0.2"])]
    )
    doubt = Doubt("Pod", addresses=None)
    asker = QueryEvaluator(compile_cluster(replace(cluster, doubts=(doubt,))))
    assert bool(asker.can(Can(source, "shop/db", 80)).doubts) is open_


def test_the_pod_of_a_workload_is_named_where_nothing_else_is_called_so() -> None:
    cluster = replace(Cluster.of([pod("shop/db", addresses=["10.0.0.2"])]), doubts=(UNREAD,))
    with pytest.raises(UnknownObject, match=r"Pod shop/web-2 is in the input, but"):
        QueryEvaluator(compile_cluster(cluster)).can(Can("shop/web", "shop/db", 80))


PORT_80 = ServicePort("", 80, 80, Protocol.TCP)
SERVICE = Service(ObjectRef("Service", "shop", "front"), (("app", "db"),), (), (PORT_80,))


@pytest.mark.parametrize(
    ("doubt", "answer"),
    [
        (Doubt("Pod", "shop", "torn"), "open"),
        (Doubt("Deployment", "shop", "torn"), "open"),
        (Doubt("Pod", "away", "torn"), "yes"),
        (Doubt("EndpointSlice", "shop", "torn"), "yes"),
        (Doubt("NetworkPolicy", "away", "torn"), "yes"),
    ],
)
def test_a_pod_that_could_not_be_read_may_be_behind_a_service(doubt: Doubt, answer: str) -> None:
    assert asked(of(SERVICE), doubt, to="svc/front") == answer


# --- kinds of a cluster that could not be listed -----------------------------------------------


def unlisted(cluster: Cluster, kind: str, listed: frozenset[str]) -> Cluster:
    """The cluster as it is known when a kind can be listed in some namespaces alone."""
    doubt = Doubt(kind, addresses=None, listed_in=listed)
    known = replace(cluster, doubts=(doubt,))
    if kind == "NetworkPolicy":
        seen = tuple(p for p in cluster.policies if p.ref.namespace in listed)
        return replace(known, policies=seen)
    if kind == "Namespace":
        spaces = {
            name: replace(space, source=Source(""))
            if name in listed
            else Namespace(name, ((METADATA_NAME_LABEL, name),))
            for name, space in cluster.namespaces.items()
        }
        return replace(known, namespaces=spaces)
    tiers = tuple(p for p in cluster.admin_policies if p.ref.kind != kind)
    return replace(known, admin_policies=tiers)


@pytest.mark.parametrize("seed", range(30))
def test_a_verdict_that_an_unlisted_kind_leaves_certain_is_the_verdict(seed: int) -> None:
    rng = Random(f"unlisted {seed}")
    cluster = random_cluster(rng, SIZE)
    whole = QueryEvaluator(compile_cluster(cluster))
    names = [
        f"{p.namespace}/{p.name}"
        for p in cluster.pods
        if p.addresses and not p.finished and not p.host_network
    ]
    listed = frozenset(rng.sample(sorted(cluster.namespaces), rng.randrange(2)))
    for kind in ("NetworkPolicy", "Namespace", "ClusterNetworkPolicy", "AdminNetworkPolicy"):
        known = QueryEvaluator(compile_cluster(unlisted(cluster, kind, listed)))
        for source, destination, port in product(names, names, (80, 8080)):
            question = Can(source, destination, port)
            try:
                right = whole.can(question)
            except QuestionError:  # two pods without a common IP family
                continue
            answer = known.can(question)
            if not answer.doubts:
                assert answer.allowed is right.allowed, (kind, listed, question)


def test_policies_that_could_be_listed_take_nothing() -> None:
    away = Doubt("NetworkPolicy", listed_in=frozenset({"shop"}))
    assert asked(of(), away) == "yes"
    assert asked(of(CLOSED), away) == "no"
    assert asked(of(), away, by="away/x") == "open"
    assert str(away) == "any NetworkPolicy outside shop"


NO_NODES = Doubt("Node", addresses=None, listed_in=frozenset())
ON_N1 = replace(pod("shop/here"), node="n1", host_addresses=(ip_address("172.20.0.1"),))


def test_a_node_that_could_not_be_listed_may_be_the_own_node_of_a_pod() -> None:
    scheduled = replace(DB, node="n1")
    cluster = Cluster.of([CLOSED, *assign_addresses([scheduled, WEB])])
    assert asked(cluster, NO_NODES, by="172.20.0.9") == "open"
    listed = Cluster.of([CLOSED, node("n1", "172.20.0.1"), *assign_addresses([scheduled, WEB])])
    assert asked(listed, NO_NODES, by="172.20.0.1") == "yes"


def test_the_labels_of_an_unlisted_node_matter_to_rules_about_nodes() -> None:
    """Pods tell the address of their node, but not its labels."""
    by_label = cluster_policy(
        "nodes", egress=[cluster_rule("Deny", cluster_peer(nodes={"zone": "a"}))]
    )
    known = {"to": "172.20.0.1", "by": "shop/web"}
    assert asked(of(ON_N1, by_label), NO_NODES, **known) == "open"
    assert asked(of(ON_N1), NO_NODES, **known) == "yes"
    read = node("n1", "172.20.0.1", labels={"zone": "b"})
    assert asked(of(ON_N1, by_label, read), NO_NODES, **known) == "yes"
    other = replace(NO_NODES, name="n2", addresses=(), listed_in=None)
    assert asked(of(ON_N1, by_label), other, **known) == "yes"


def test_a_name_that_is_not_known_may_be_of_an_unlisted_pod() -> None:
    with pytest.raises(UnknownObject, match="any Pod outside shop may be called so, and cannot"):
        asked(of(), Doubt("Pod", addresses=None, listed_in=frozenset({"shop"})), to="far/db")
    with pytest.raises(UnknownObject) as caught:
        asked(of(), Doubt("Pod", addresses=None, listed_in=frozenset({"shop"})), to="shop/dbx")
    assert "cannot be listed" not in caught.value.message
