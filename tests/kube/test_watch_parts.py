"""A kind that is followed in parts: pods of a node and all others, or one object alone."""

from __future__ import annotations

from random import Random
from typing import Any
from unittest import mock

import pytest

from podfence.kube.follow import Follow, ObjectChange, SyncState
from podfence.kube.parts import KindParts
from podfence.kube.resource import own_node, pods_for
from tests.kube.fakecluster import FakeCluster
from tests.kube.watchreader import Reader, Told, both_live, following, on, put_pod, state_of


@pytest.mark.parametrize(
    "without", [(), ("spec.hostNetwork",), ("status.podIP",)], ids=["all", "1.27", "hardly any"]
)
def test_pods_of_a_node_are_followed_in_two_parts(without: tuple[str, ...], streamed: bool) -> None:
    cluster = FakeCluster()
    cluster.selects -= set(without)
    put_pod(cluster, "here", "n1")
    put_pod(cluster, "there", "n2", "10.0.0.1")
    put_pod(cluster, "waits", "n2")

    def seen() -> dict[tuple[str, str, str], Any]:
        return state_of(cluster) if "status.podIP" in without else on(cluster, "n1")

    with following(cluster, *pods_for("n1"), streamed=streamed) as (reader, _):
        reader.until(lambda: both_live(reader))
        assert reader.store == seen()
        put_pod(cluster, "waits", "n2", "10.0.0.2")
        put_pod(cluster, "here", "n1", "10.0.0.3", app="x")
        reader.until(lambda: reader.store == seen())
        cluster.delete("pods", "a", "there")
        put_pod(cluster, "there", "n1")
        reader.until(lambda: reader.store == seen())
        cluster.delete("pods", "a", "here")
        put_pod(cluster, "here", "n2", "10.0.0.4")
        reader.until(lambda: reader.store == seen())
        cluster.delete("pods", "a", "here")
        reader.until(lambda: reader.store == seen())
        cluster.forbidden.add("pods")
        cluster.cut()
        reader.until(lambda: all(s.standing is SyncState.FORBIDDEN for s in reader.parts.values()))
        assert reader.store == seen()


@pytest.mark.parametrize("tell", [None, Reader.take], ids=["asks", "is told"])
@pytest.mark.parametrize("seed", range(3))
def test_names_that_move_between_parts_end_as_the_server_has_them(seed: int, tell: Told) -> None:
    """Two streams tell of one name, each in its own time."""
    rng = Random(seed)
    cluster = FakeCluster()
    with following(cluster, *pods_for("n1"), tell=tell) as (reader, _):
        reader.until(lambda: both_live(reader))
        for number in range(120):
            name = f"p{rng.randrange(4)}"
            if ("pods", "a", name) in cluster.objects:
                cluster.delete("pods", "a", name)
            if rng.random() < 0.8:
                put_pod(cluster, name, rng.choice(("n1", "n2")), f"10.0.0.{number}", n=str(number))
            if rng.random() < 0.1:
                cluster.cut()
            if rng.random() < 0.05:
                cluster.compact()
            reader.read(0)
        reader.until(lambda: reader.store == on(cluster, "n1"))


def test_one_object_alone_may_be_followed() -> None:
    cluster = FakeCluster()
    for name in ("n1", "n2"):
        cluster.apply({"kind": "Node", "metadata": {"name": name}})
    with following(cluster, own_node("n1")) as (reader, _):
        reader.until(lambda: reader.stands(SyncState.LIVE, "Node"))
        assert set(reader.store) == {("Node", "", "n1")}


def test_a_value_in_a_selector_is_escaped() -> None:
    (resource,) = own_node("a,b=c\\d")
    assert resource.only == "metadata.name=a\\,b\\=c\\\\d"


@pytest.mark.parametrize(
    ("version", "held", "counts"),
    [
        ("5", None, True),
        ("5", "4", True),
        # Both parts have seen it, and neither has been told of yet: it is said twice, not never.
        ("5", "5", True),
        ("5", "6", False),
        ("opaque", "other", True),
        ("", None, True),
        ("", "4", False),
    ],
)
def test_of_parts_that_overlap_the_newest_is_told(
    version: str, held: str | None, counts: bool
) -> None:
    """No version: the object is gone from the part."""
    other = mock.create_autospec(Follow, instance=True)
    other.held.return_value = held
    data: Any = {"metadata": {}} if version else None
    change = ObjectChange("Pod", "a", "web", data, version)
    part = mock.create_autospec(Follow, instance=True)
    assert bool(KindParts([part, other]).counting(part, [change])) is counts
