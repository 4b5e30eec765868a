"""A picture shows every pair of its map once, and nothing in it lies over anything else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from random import Random
from xml.etree import ElementTree

import pytest

from podfence.model.cluster import Cluster, ClusterObject
from podfence.policy.compile import compile_cluster
from podfence.questions.connectivity import Connectivity, connectivity
from podfence.render.map_svg import folding, pictured, svg
from podfence.render.map_table import ports_text, shown
from podfence.render.picture import (
    MOST_NAMESPACES,
    Picture,
    of_namespaces,
    of_workloads,
)
from podfence.render.picture_layout import HEAD, Layout, Rect, begins, layout
from podfence.testing.builders import namespace, peer, pod, policy, rule
from tests.cli.session import ROOT, podfence
from tests.support.random_clusters import TIERS, Size, random_cluster

SVG = "{http://www.w3.org/2000/svg}"
Pair = tuple[str, str, str]


def drawn(seed: int) -> Connectivity:
    rng = Random(seed)
    size = rng.choice((Size(), Size(pods=14, policies=4), TIERS))
    cluster = random_cluster(rng, size)
    names = sorted({each.namespace for each in cluster.pods})
    only = frozenset(rng.sample(names, 1)) if rng.random() < 0.3 else frozenset[str]()
    return connectivity(compile_cluster(cluster), only=only)


def pairs_of(answer: Connectivity) -> list[Pair]:
    return sorted(
        (source.name, row.destination.name, ports_text(row))
        for row in answer.rows()
        for source in row.sources
    )


def pairs_in(picture: Picture) -> list[Pair]:
    return sorted(
        (picture.ends[source].name, picture.ends[slot.end].name, slot.words)
        for line in picture.lines
        for source in line.members
        for slot in (picture.slots[number] for number in line.slots)
    )


def pairs_in_text(picture: Picture, text: str) -> list[Pair]:
    """From what the file says: who enters each slot."""
    root = ElementTree.fromstring(text)
    found = []
    for group in root.iter(f"{SVG}g"):
        marks = group.attrib["class"].split()
        if "slot" not in marks:
            continue
        words = "".join(group.find(f"{SVG}text").itertext())  # type: ignore[union-attr]
        ends = {
            kind: [int(m[1:]) for m in marks if m[0] == kind and m[1:].isdigit()] for kind in "sd"
        }
        assert len(ends["d"]) == 1
        to = picture.ends[ends["d"][0]].name
        found += [(picture.ends[source].name, to, words) for source in ends["s"]]
    return sorted(found)


@pytest.mark.parametrize("seed", range(40))
def test_every_pair_of_the_map_is_drawn_once(seed: int) -> None:
    answer = drawn(seed)
    picture = of_workloads(answer)
    assert picture is not None
    assert pairs_in(picture) == pairs_of(answer)
    assert {end.name for end in picture.ends} == {group.name for group in shown(answer)}


@pytest.mark.parametrize("seed", range(10))
def test_the_file_says_the_same(seed: int) -> None:
    answer = drawn(seed)
    picture = pictured(answer)
    clipped = Counter((a, b) for a, b, _ in pairs_of(answer))
    assert Counter((a, b) for a, b, _ in pairs_in_text(picture, "".join(svg(picture)))) == clipped


def boxes_of(drawing: Layout) -> Iterator[Rect]:
    yield from drawing.boxes.values()


def within(inner: Rect, outer: Rect) -> bool:
    return (
        outer.left <= inner.left
        and inner.right <= outer.right
        and outer.top <= inner.top
        and inner.top + inner.height <= outer.top + outer.height
    )


def apart(one: Rect, other: Rect) -> bool:
    return (
        one.right <= other.left
        or other.right <= one.left
        or one.top + one.height <= other.top
        or other.top + other.height <= one.top
    )


@pytest.mark.parametrize("seed", range(40))
def test_nothing_lies_over_anything_else(seed: int) -> None:
    answer = drawn(seed)
    for picture in (of_workloads(answer), of_namespaces(answer)):
        assert picture is not None
        drawing = layout(picture)
        whole = Rect(0, 0, drawing.width, drawing.height)
        assert all(within(box, whole) for box in drawing.boxes.values())
        assert all(apart(*two) for two in combinations(drawing.boxes.values(), 2))
        for (side, number), box in drawing.boxes.items():
            ends = [
                drawing.ends[side, e]
                for e in picture.boxes[number].ends
                if (side, e) in drawing.ends
            ]
            assert all(within(end, box) for end in ends)
            assert all(apart(*two) for two in combinations(ends, 2))
        assert len(set(drawing.slots)) == len(drawing.slots), "two lines of words on one height"
        for slot, height in zip(picture.slots, drawing.slots, strict=True):
            end = drawing.ends[1, slot.end]
            assert end.top < height < end.top + end.height
        left = max((box.right for (side, _), box in drawing.boxes.items() if not side), default=0)
        assert left <= drawing.ends_at < drawing.hub < drawing.join < drawing.arrow, (
            "lines keep to their room"
        )


def test_a_line_begins_at_the_head_of_a_box_that_it_stands_for() -> None:
    picture = of_workloads(
        answer_of(*many(1, 3), policy("n0/p", {"app": "a0"}, ingress=[rule(peer(pods={}))]))
    )
    assert picture is not None
    drawing = layout(picture)
    whole = [line for line in picture.lines if line.whole]
    assert whole
    for line in whole:
        assert (
            begins(line, drawing.boxes, drawing.ends)
            == drawing.boxes[0, line.source].top + HEAD // 2
        )


def answer_of(*things: ClusterObject) -> Connectivity:
    return connectivity(compile_cluster(Cluster.of(things)))


def many(namespaces: int, pods: int) -> list[ClusterObject]:
    found: list[ClusterObject] = []
    for n in range(namespaces):
        found.append(namespace(f"n{n}"))
        found += [
            pod(f"n{n}/p{p}", {"app": f"a{p}"}, addresses=[f"10.{n}.{p // 200}.{p % 200 + 1}"])
            for p in range(pods)
        ]
    return found


def test_a_namespace_that_may_send_as_a_whole_is_one_line() -> None:
    closed = policy("n1/p", ingress=[rule(peer(namespaces={"kubernetes.io/metadata.name": "n0"}))])
    picture = of_workloads(answer_of(*many(2, 6), closed))
    assert picture is not None
    assert len(picture.lines) < len(pairs_in(picture)) / 4


def test_workloads_that_are_entered_by_the_same_share_their_lines() -> None:
    """Six senders that may reach six pods: twelve lines and not 36."""
    things = many(1, 20)
    some = rule(*(peer(pods={"app": f"a{n}"}) for n in range(10, 16)))
    closed = [policy(f"n0/p{n}", {"app": f"a{n}"}, ingress=[some]) for n in range(6)]
    picture = of_workloads(answer_of(*things, *closed))
    assert picture is not None
    shared = [line for line in picture.lines if len(line.slots) == 6]
    assert sorted(line.members for line in shared) == sorted({line.members for line in shared})
    assert len(shared) == 6


def test_what_is_too_much_is_folded_into_namespaces() -> None:
    answer = answer_of(*many(4, 20))
    assert of_workloads(answer) is None
    picture = pictured(answer)
    assert "namespaces" in folding(picture)
    assert [end.label for end in picture.ends] == ["n0", "n1", "n2", "n3", "all outside addresses"]
    words = {picture.ends[slot.end].label: slot.words for slot in picture.slots}
    assert words["n0"] == f"{80 * 20 - 20 + 20} pairs"


def test_of_many_namespaces_the_least_connected_are_one_end() -> None:
    closed = [policy(f"n{n}/p", ingress=[], types=["Ingress"]) for n in range(30, 60)]
    closed += [policy(f"n{n}/q", egress=[], types=["Egress"]) for n in range(30, 60)]
    answer = answer_of(*many(60, 2), *closed)
    picture = pictured(answer)
    labels = [end.label for end in picture.ends]
    assert len(labels) == MOST_NAMESPACES + 1
    assert {f"n{n}" for n in range(30)} < set(labels)
    assert "21 more namespaces" in labels


def test_what_no_policy_isolates_is_said() -> None:
    one_way = policy("n0/p", {"app": "a0"}, ingress=[], types=["Ingress"])
    picture = of_workloads(answer_of(*many(1, 2), one_way))
    assert picture is not None
    assert {end.label: set(end.open) for end in picture.ends if end.detail} == {
        "p0": {"egress"},
        "p1": {"ingress", "egress"},
    }


@pytest.mark.parametrize("title", ["outside the cluster", ""])
def test_a_namespace_that_is_called_like_a_box_is_another_box(title: str) -> None:
    things = [pod(f"{title or 'x'}/p", addresses=["10.0.0.1"]), pod("y/p", addresses=["10.0.0.2"])]
    picture = of_workloads(answer_of(*things))
    assert picture is not None
    assert len(picture.boxes) == 3
    assert [box.outside for box in picture.boxes] == [False, False, True]


def test_the_picture_in_the_documentation_is_what_the_command_prints() -> None:
    printed = podfence(["map", "-f", "examples/shop", "-o", "svg"]).out
    assert (ROOT / "docs" / "images" / "map-shop.svg").read_text("utf-8") == printed
