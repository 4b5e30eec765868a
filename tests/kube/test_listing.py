"""Lists: whole or not at all, in pages; and work that is done ahead of its reader."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from podfence.errors import ClusterError
from podfence.kube.access import Access, ServerAddress, StaticCredential
from podfence.kube.client import Client
from podfence.kube.follow import Item
from podfence.kube.listing import Prefetch, list_parts, list_raw, read_items
from podfence.kube.resource import Resource
from tests.kube.fakeapi import Answer, FakeApi, Request, refusal, serving
from tests.kube.fakecluster import FakeCluster, running
from tests.support.items import whole

PODS = Resource("", "v1", "Pod", "pods", namespaced=True)


def page(*names: str, token: str = "") -> Answer:
    items = [{"metadata": {"name": name}} for name in names]
    return Answer(body={"metadata": {"continue": token}, "items": items})


def client(api: FakeApi) -> Client:
    return Client(Access(ServerAddress(api.url), StaticCredential()), {}, lambda _: None)


def names(asked: Client, namespace: str = "") -> list[str]:
    """What a reader has at the end who does as ``Part`` says."""
    found: list[str] = []
    for part in list_parts(asked, PODS, namespace):
        if part.first:
            found.clear()
        found += [item.metadata.name for item in part.items]
    return found


def test_pages_are_joined_in_order() -> None:
    pages = {"": page("a", "b", token="t1"), "t1": page("c", token="t2"), "t2": page("d")}
    with serving(lambda r: pages[r.query.get("continue", "")]) as api, client(api) as asked:
        assert names(asked) == ["a", "b", "c", "d"]
    assert {each.query["limit"] for each in api.requests} == {"500"}
    assert not any("resourceVersion" in each.query for each in api.requests)


def test_a_list_whose_pages_expired_is_read_from_its_start() -> None:
    state = {"expired": False}

    def respond(request: Request) -> Answer:
        if "continue" not in request.query:
            return page("a", token="old" if not state["expired"] else "new")
        if request.query["continue"] == "old":
            state["expired"] = True
            return refusal(410, "the provided continue parameter is too old")
        return page("b")

    with serving(respond) as api, client(api) as asked:
        assert names(asked) == ["a", "b"]
        assert len(api.requests) == 4


def test_a_list_that_always_expires_is_given_up() -> None:
    def respond(request: Request) -> Answer:
        return refusal(410, "too old") if "continue" in request.query else page("a", token="t")

    with (
        serving(respond) as api,
        client(api) as asked,
        pytest.raises(ClusterError, match="expired 3 times"),
    ):
        names(asked)


def test_null_items_are_an_empty_list() -> None:
    with serving(lambda _: Answer(body={"items": None})) as api, client(api) as asked:
        assert names(asked) == []


@pytest.mark.parametrize("body", [b"<html>", [1], {"items": 5}, {"items": [5]}, b"\xff"])
def test_an_answer_that_is_no_list_is_an_error(body: Any) -> None:
    with (
        serving(lambda _: Answer(body=body)) as api,
        client(api) as asked,
        pytest.raises(ClusterError, match="is not a list"),
    ):
        names(asked)


def test_one_namespace_is_asked_by_its_path() -> None:
    with serving(lambda _: page()) as api, client(api) as asked:
        names(asked, "shop")
    assert api.requests[0].path == "/api/v1/namespaces/shop/pods"


def test_a_list_is_of_one_moment_though_the_cluster_changes_meanwhile() -> None:
    cluster = FakeCluster()
    for number in range(1200):
        cluster.apply({"kind": "Pod", "metadata": {"name": f"p{number:04}", "namespace": "a"}})

    def respond(request: Request) -> Answer | None:
        if request.query.get("continue"):
            cluster.delete("pods", "a", sorted(key[2] for key in cluster.objects)[-1])
        return None

    cluster.before = respond
    with running(cluster) as api, client(api) as asked:
        assert names(asked) == [f"p{number:04}" for number in range(1200)]


# --- ahead -------------------------------------------------------------------------------------


def test_items_come_in_order() -> None:
    with Prefetch(range(100)) as items:
        assert list(items) == list(range(100))


def test_the_maker_works_before_it_is_asked_and_not_without_end() -> None:
    made: list[int] = []
    ready = threading.Event()

    def numbers() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            if len(made) == Prefetch.AHEAD + 1:
                ready.set()
            yield number

    with Prefetch(numbers()) as items:
        assert next(items) == 0
        assert ready.wait(60)
        assert len(made) <= Prefetch.AHEAD + 3


def test_the_next_page_is_asked_for_before_this_one_is_read() -> None:
    asked_twice = threading.Event()

    def respond(request: Request) -> Answer:
        if "continue" not in request.query:
            return page("a", token="next")
        asked_twice.set()
        return page("b")

    with serving(respond) as api, client(api) as asked, Prefetch(list_raw(asked, PODS), 1) as parts:
        first = next(parts)
        assert asked_twice.wait(60)
        every = [first, *parts]
        assert [read_items(PODS, part.items, whole)[0].name for part in every] == ["a", "b"]
        assert [part.last for part in every] == [False, True]


def test_what_is_no_object_is_said_of_its_list() -> None:
    def read(_: Resource, text: msgspec.Raw) -> Item[object]:
        raise msgspec.DecodeError(text)

    with serving(lambda _: Answer(body={"items": [7]})) as api, client(api) as asked:
        (part,) = list_raw(asked, PODS)
        with pytest.raises(ClusterError, match="list of pods has an item that is not an object"):
            read_items(PODS, part.items, read)


def test_an_error_of_the_maker_comes_in_its_place() -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise ClusterError("lost")

    with Prefetch(failing()) as items:
        assert next(items) == 1
        with pytest.raises(ClusterError, match="lost"):
            next(items)


def test_a_handled_error_keeps_no_memory() -> None:
    """Kinds that a server lacks are asked for again and again: no answer waits for a collector."""
    errors: list[weakref.ref[ClusterError]] = []

    def failing() -> Iterator[int]:
        yield 1
        error = ClusterError("lost")
        errors.append(weakref.ref(error))
        try:
            raise error
        finally:
            del error

    gc.disable()
    try:
        with pytest.raises(ClusterError), Prefetch(failing()) as items:
            list(items)
        until = time.monotonic() + 60
        while errors[0]() is not None and time.monotonic() < until:
            time.sleep(0.01)  # the maker's thread may be in its last step
        assert errors[0]() is None
    finally:
        gc.enable()


def test_a_reader_that_leaves_early_ends_the_maker() -> None:
    ended = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            ended.set()

    with Prefetch(endless()) as items:
        next(items)
    assert ended.wait(60)
