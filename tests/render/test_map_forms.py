"""Every form of a map says exactly the pairs of ``-o json``, and those are what the engine says.

``PODFENCE_HYPOTHESIS=long`` judges 2,000 clusters of the seeded run instead of 50.
"""

from __future__ import annotations

import os
from ipaddress import ip_network
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from podfence.engine.connections import connections
from podfence.model.cluster import Cluster, ClusterObject
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import NetworkPolicy
from podfence.model.objects import Pod
from podfence.policy.compile import compile_cluster
from podfence.policy.index import PolicyIndex
from podfence.questions.connectivity import Connectivity, connectivity
from podfence.render.map_data import map_csv, map_json
from podfence.render.map_graphs import MOST_OUTSIDE, Graph, advice
from podfence.render.map_table import render_matrix, render_table
from podfence.sets import AddressSet
from podfence.testing.builders import namespace, peer, pod, policy, rule
from tests.support.mapreading import (
    MapData,
    folded,
    read_csv,
    read_dot,
    read_matrix,
    read_mermaid,
    read_table,
    table_lines,
    words_of,
)
from tests.support.random_clusters import TIERS, Size, random_cluster
from tests.support.random_policies import NAMESPACES
from tests.support.random_tiers import NAMES

SEEDED = 2000 if os.environ.get("PODFENCE_HYPOTHESIS") == "long" else 50
BATCHES = 10
SIZES = (Size(), Size(pods=14, policies=4), TIERS)
HOSTILE = (
    "all pods",
    "everyone",
    "a, y/p1",
    'q"uote',
    "back\\slash",
    "line\nbreak",
    "\u202eturned",
    "and 7 more",
    "x[p1,+2]",
    "w (2)",
    "#35;",
)


def drawn(rng: Random) -> Cluster:
    """A cluster in which some pods share a workload, and some names are hostile."""
    cluster = random_cluster(rng, rng.choice(SIZES))
    hostile = rng.random() < 0.3
    templates: dict[ObjectRef, Pod] = {}
    pods = []
    for thing in cluster.pods:
        thing = _owned(rng, thing, hostile)
        if thing.owner is not None and rng.random() < 0.8:
            template = templates.setdefault(thing.owner, thing)
            thing = replace(thing, labels=template.labels, ports=template.ports)
        pods.append(thing)
    return replace(cluster, pods=tuple(pods))


def _owned(rng: Random, thing: Pod, hostile: bool) -> Pod:
    if hostile and rng.random() < 0.5:
        thing = replace(thing, name=f"{rng.choice(HOSTILE)}{thing.name[1:]}")
    if rng.random() < 0.6:
        kind = rng.choice(("Deployment", "StatefulSet", "Deployment"))
        owner = rng.choice((*HOSTILE, "web") if hostile else ("web", "web", "db"))
        thing = replace(thing, owner=ObjectRef(kind, thing.namespace, owner))
    return thing


def options(rng: Random) -> tuple[frozenset[str], frozenset[str]]:
    """Namespaces left out, namespaces asked about."""
    without = frozenset(rng.sample(NAMESPACES, 1)) if rng.random() < 0.1 else frozenset[str]()
    only = frozenset(rng.sample(NAMESPACES, rng.randint(1, 2)))
    return without, only if rng.random() < 0.4 else frozenset[str]()


def agree(index: PolicyIndex, answer: Connectivity) -> None:
    data = MapData.of(b"".join(map_json(answer)).decode())
    expected = sorted(data.pairs)
    wide = render_table(answer, wide=True)
    matrix, blank = read_matrix(data, render_matrix(answer))
    read = {
        "wide": read_table(data, wide),
        "matrix": matrix,
        "csv": read_csv(data, "".join(map_csv(answer))),
    }
    for form, pairs in read.items():
        assert sorted(pairs) == expected, form
    in_graphs = sorted(folded(data, data.pairs, MOST_OUTSIDE))
    assert sorted(read_dot(data, "".join(Graph(answer).dot()))) == in_graphs
    assert sorted(read_mermaid(data, "".join(Graph(answer).mermaid()))) == in_graphs
    assert blank == not_asked(data, answer.only)
    cut_as_it_says(data, render_table(answer), wide)
    judged(index, answer, data)


def not_asked(data: MapData, only: frozenset[str]) -> set[tuple[str, str]]:
    """Pairs that a map has nothing to say about."""
    return {
        (source, destination)
        for destination in data.endpoints
        for source in data.endpoints
        if source not in data.sources(destination)
        or (only and not only & {data.namespace(source), data.namespace(destination)})
    }


def cut_as_it_says(data: MapData, narrow: str, wide: str) -> None:
    for (*short, cut), (*long, cell) in zip(table_lines(narrow), table_lines(wide), strict=True):
        words = words_of(data, cell)
        if len(words) > 9:
            cell = f"{', '.join(words[:8])} and {len(words) - 8} more (-o wide names them)"
        assert (short, cut) == (long, cell)


def judged(index: PolicyIndex, answer: Connectivity, data: MapData) -> None:
    """Every member of a group gets what the engine says about its class."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for source, destination, ports, family in data.pairs:
        pair = found.setdefault((source, destination), {})
        for word in (family,) if family else ("IPv4", "IPv6"):
            assert word not in pair
            pair[word] = ports
    classes = {
        g.name: _classes(index, g.name, data) for g in answer.groups if g.name in data.endpoints
    }
    for destination in data.endpoints:
        asked = data.sources(destination)
        if answer.only and data.namespace(destination) not in answer.only:
            asked = frozenset(n for n in asked if data.namespace(n) in answer.only)
        for source in asked:
            said = found.get((source, destination), {})
            for near, version in classes[source]:
                for far, other in classes[destination]:
                    if version == other:
                        ports = str(connections(index, near, far, version))
                        assert said.get(f"IPv{version}", "none") == ports


def _classes(index: PolicyIndex, name: str, data: MapData) -> set[tuple[int, int]]:
    """(class, family) of everything in a group."""
    if not data.is_outside(name):
        space = data.endpoints[name]["namespace"]
        pods = [index.endpoints[f"{space}/{pod}"] for pod in data.endpoints[name]["pods"]]
        return {(p.endpoint_class, a.version) for p in pods for a in p.addresses}
    given = data.endpoints[name]["addresses"]
    return {
        (c.number, family)
        for c in index.classes
        for family in (4, 6)
        if c.outside is not None and c.outside.family(family) and _within(c.outside, given)
    }


def _within(addresses: AddressSet, given: list[str]) -> bool:
    return addresses <= AddressSet.of(map(ip_network, given))


def check(rng: Random) -> None:
    cluster = drawn(rng)
    index = compile_cluster(cluster, NAMES)
    agree(index, connectivity(index, *options(rng)))


@pytest.mark.parametrize("batch", range(BATCHES))
def test_every_form_means_the_same_pairs(batch: int) -> None:
    for seed in range(batch, SEEDED, BATCHES):
        check(Random(seed))


@given(st.randoms(use_true_random=False))
def test_every_form_means_the_same_pairs_on_small_clusters_first(rng: Random) -> None:
    check(rng)


# -- words and cells, one by one

SINGLES: tuple[ClusterObject, ...] = (
    namespace("d"),
    pod("d/api", {"app": "api"}, addresses=["10.0.1.1", "fd00::1:1"]),
    *(
        replace(
            pod(f"d/pg-{n}", {"app": "pg"}, addresses=[f"10.0.0.{n}", f"fd00::{n}"]),
            owner=ObjectRef("StatefulSet", "d", "pg"),
        )
        for n in range(3)
    ),
    policy("d/pg", {"app": "pg"}, ingress=[rule(peer(pods={"app": "api"}), ports=[5432])]),
)
BY_ALL = policy("d/pg", {"app": "pg"}, ingress=[rule(peer(pods={}), ports=[5432])])


def table_of(*objects: ClusterObject, only: tuple[str, ...] = ()) -> list[tuple[str, str, str]]:
    index = compile_cluster(Cluster.of(objects))
    return list(table_lines(render_table(connectivity(index, only=frozenset(only)), wide=True)))


def matrix_of(*objects: ClusterObject) -> list[str]:
    text = render_matrix(connectivity(compile_cluster(Cluster.of(objects))))
    return text.split("\n\n")[0].splitlines()


def test_all_pods_is_not_said_of_a_workload_whose_pods_are_closed_to_each_other() -> None:
    assert ("d/pg", "TCP/5432", "d/api") in table_of(*SINGLES)


def test_all_pods_counts_the_workloads_own_pods_where_they_reach_each_other() -> None:
    assert ("d/pg", "TCP/5432", "all pods") in table_of(*SINGLES, BY_ALL)


def test_a_cell_of_a_workload_and_itself_is_blank_for_a_single_pod_alone() -> None:
    assert matrix_of(*SINGLES) == [
        "FROM \\ TO                  1  2  3",
        "1 d/api                       a  *",
        "2 d/pg                     *  .  *",
        "3 outside 0.0.0.0/0, ::/0  *  .",
    ]


def test_outside_addresses_are_reached_by_all_pods_and_not_by_everyone() -> None:
    four = pod("d/a", addresses=["10.0.0.1"]), pod("d/b", {"b": ""}, addresses=["10.0.0.2"])

    assert table_of(*four)[-1] == ("outside 0.0.0.0/0", "all", "all pods")


def test_a_namespace_is_never_taken_for_a_list() -> None:
    """Names like these come from other tools: no server takes them."""
    names = ("a, all pods/x", "a, all pods/y", "y/y", "z/z")
    pods = [pod(name, {"k": str(n)}, addresses=[f"10.0.0.{n}"]) for n, name in enumerate(names)]
    closed = policy("y/p", types=["Egress"])

    assert ("z/z", "all", 'all of "a, all pods", all outside addresses') in table_of(*pods, closed)


# -- outside addresses


def blocks(*cidrs: str, ports: tuple[int, ...] = ()) -> NetworkPolicy:
    to = rule(*(peer(cidr=cidr) for cidr in cidrs), ports=ports)
    name = f"d/p{len(cidrs)}{''.join(map(str, ports))}"
    return policy(name, {"app": "a"}, types=["Egress"], egress=[to])


A_AND_B: tuple[ClusterObject, ...] = (
    pod("d/a", {"app": "a"}, addresses=["10.9.0.1", "fd00::1"]),
    pod("d/b", {"app": "b"}, addresses=["10.9.0.2", "fd00::2"]),
)


def outside_of(*objects: ClusterObject) -> list[tuple[str, str, str]]:
    return [line for line in table_of(*objects) if line[0].startswith("outside ")]


def test_blocks_of_one_verdict_are_one_line_whatever_their_family() -> None:
    assert outside_of(*A_AND_B, blocks("192.0.2.0/24", "198.51.100.0/24", "2001::/16")) == [
        (
            "outside 0.0.0.0/0 except 192.0.2.0/24, 198.51.100.0/24, plus ::/0 except 2001::/16",
            "all",
            "d/b",
        ),
        ("outside 192.0.2.0/24, 198.51.100.0/24, 2001::/16", "all", "all pods"),
    ]


def test_the_union_of_blocks_has_the_simplest_name() -> None:
    nested = blocks("192.0.2.0/25", "192.0.2.128/26", "192.0.2.192/26", "192.0.2.0/28")

    assert (
        outside_of(
            *A_AND_B,
            nested,
        )[-1][0]
        == "outside 192.0.2.0/24"
    )


def test_blocks_that_differ_in_one_port_keep_their_lines() -> None:
    both = (
        blocks("192.0.2.0/24", ports=(80,)),
        blocks("192.0.2.0/25", "192.0.3.0/24", ports=(80, 81)),
    )

    assert len(outside_of(*A_AND_B, *both)) == 5


def test_a_thousand_blocks_are_two_lines_of_text_and_all_of_them_in_the_data() -> None:
    many = [f"100.{n // 128}.{n % 128 * 2}.0/24" for n in range(1000)]
    index = compile_cluster(Cluster.of([*A_AND_B, blocks(*many)]))
    answer = connectivity(index)
    data = MapData.of(b"".join(map_json(answer)).decode())

    assert [n for n in data.endpoints if data.is_outside(n)] == [
        "outside 0.0.0.0/0 except 100.0.0.0/24, 100.0.2.0/24, 100.0.4.0/24 and 997 more, plus ::/0",
        "outside 100.0.0.0/24, 100.0.2.0/24, 100.0.4.0/24 and 997 more",
    ]
    assert [*data.endpoints.values()][-1]["addresses"] == many


def apart(number: int) -> list[NetworkPolicy]:
    """So many blocks that no two of them are reached alike."""
    return [
        policy(
            f"d/p{n}",
            {"app": "a"},
            types=["Egress"],
            egress=[rule(peer(cidr=f"192.0.2.{n * 4}/30"), ports=[80 + n])],
        )
        for n in range(number)
    ]


@pytest.mark.parametrize(("blocks_apart", "nodes"), [(3, 4), (20, 1)])
def test_many_outside_groups_are_one_node_of_a_graph(blocks_apart: int, nodes: int) -> None:
    answer = connectivity(compile_cluster(Cluster.of([*A_AND_B, *apart(blocks_apart)])))
    graph = Graph(answer)
    text = "".join(graph.dot())
    data = MapData.of(b"".join(map_json(answer)).decode())

    assert text.count("style=dashed") == nodes
    assert sorted(read_dot(data, text)) == sorted(folded(data, data.pairs, MOST_OUTSIDE))
    assert graph.edges == text.count(" -> ")


def test_a_graph_that_cannot_be_read_comes_with_advice() -> None:
    assert advice(150, mermaid=True) == ""
    assert "151 connections" in advice(151, mermaid=False)
    assert "Mermaid draws 500" in advice(501, mermaid=True)
    assert "Mermaid" not in advice(501, mermaid=False)


def test_what_a_map_of_some_namespaces_is_not_about_divides_no_addresses() -> None:
    other = (
        pod("e/a", addresses=["10.9.1.1"]),
        policy("e/p", egress=[rule(peer(cidr="192.0.2.0/24"))]),
    )
    rows = table_of(*A_AND_B, *other, only=("d",))

    assert [to for to, _, _ in rows if to.startswith("outside")] == ["outside 0.0.0.0/0, ::/0"]


def test_families_stay_apart_where_a_pod_has_only_one_of_them() -> None:
    """The IPv6 pod reaches nothing outside, so it is by its ingress alone that they differ."""
    both = pod("d/both", {"n": "1"}, addresses=["10.0.0.1", "fd00::1"])
    six = pod("d/six", {"n": "2"}, addresses=["fd00::2"])
    closed = policy("d/closed", {"n": "2"}, types=["Egress"])

    assert table_of(both, six, closed) == [
        ("d/both", "all", "all outside addresses"),
        ("d/six", "all", "d/both, outside ::/0"),
        ("outside 0.0.0.0/0", "all", "d/both"),
        ("outside ::/0", "all", "d/both"),
    ]


@pytest.mark.parametrize("seed", range(20))
def test_no_two_lines_of_outside_addresses_say_the_same(seed: int) -> None:
    index = compile_cluster(drawn(Random(seed)), NAMES)
    data = MapData.of(b"".join(map_json(connectivity(index))).decode())
    said = {
        name: frozenset(
            ("from", *pair[1:]) if pair[0] == name else ("to", pair[0], *pair[2:])
            for pair in data.pairs
            if name in pair[:2]
        )
        for name in filter(data.is_outside, data.endpoints)
    }

    assert len(set(said.values())) == len(said)
