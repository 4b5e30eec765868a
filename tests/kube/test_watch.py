"""A watch against a server that forgets, hangs up, repeats itself and falls silent.

The law: once it is quiet, what the reader has is what the server has; and nothing was gone for the
reader that the server had not deleted.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from podfence.errors import ClusterError
from podfence.kube.access import Access, ServerAddress, StaticCredential
from podfence.kube.follow import Item, SyncState
from podfence.kube.resource import Resource, pods_for
from podfence.kube.watch import Batch, Watch
from tests.kube.fakeapi import Answer, Request, refusal, serving
from tests.kube.fakecluster import TIER, FakeCluster
from tests.kube.watchreader import (
    PODS,
    WAIT,
    Reader,
    Told,
    both_live,
    following,
    on,
    put_pod,
    state_of,
)

SPACES = Resource("", "v1", "Namespace", "namespaces", namespaced=False)
TIERS = Resource(TIER[0], TIER[1], "ClusterNetworkPolicy", TIER[2], namespaced=False)


def put(cluster: FakeCluster, name: str, **labels: str) -> None:
    cluster.apply({"kind": "Pod", "metadata": {"name": name, "namespace": "a", "labels": labels}})


def test_it_lists_and_then_follows(streamed: bool) -> None:
    cluster = FakeCluster()
    for number in range(1200):
        put(cluster, f"p{number}")
    with following(cluster, streamed=streamed) as (reader, api):
        reader.until(lambda: reader.stands(SyncState.LIVE))
        assert len(reader.store) == 1200
        put(cluster, "new")
        cluster.delete("pods", "a", "p7")
        put(cluster, "p8", app="changed")
        reader.until(lambda: reader.store == state_of(cluster))
        lists = [each for each in api.requests if each.query.get("watch") != "true"]
        assert len(lists) == (0 if streamed else 3)


def test_a_server_without_streamed_lists_is_asked_for_pages() -> None:
    cluster = FakeCluster(watch_list=False)
    put(cluster, "p")
    with following(cluster, streamed=True) as (reader, _):
        reader.until(lambda: reader.stands(SyncState.LIVE))
        assert reader.store == state_of(cluster)


def test_a_cut_watch_is_resumed_without_a_list(streamed: bool) -> None:
    cluster = FakeCluster()
    put(cluster, "p")
    with following(cluster, streamed=streamed) as (reader, api):
        reader.until(lambda: reader.stands(SyncState.LIVE))
        before = len([each for each in api.requests if "resourceVersion" not in each.query])
        for number in range(3):
            cluster.cut()
            put(cluster, f"after-{number}")
            reader.until(lambda: reader.store == state_of(cluster))
        after = len([each for each in api.requests if "resourceVersion" not in each.query])
        assert after == before


def test_a_compacted_past_is_listed_again_and_what_went_is_gone_once(streamed: bool) -> None:
    cluster = FakeCluster()
    for name in ("stays", "goes"):
        put(cluster, name)
    with following(cluster, streamed=streamed) as (reader, _):
        reader.until(lambda: reader.stands(SyncState.LIVE))
        with cluster.changed:  # nobody may see the deletion as an event
            cluster.cuts += 1
            cluster.delete("pods", "a", "goes")
            cluster.compact()
        reader.until(lambda: reader.store == state_of(cluster))
        assert reader.gone == Counter({("Pod", "a", "goes"): 1})


def test_410_as_a_status_is_the_same_as_in_the_stream() -> None:
    cluster = FakeCluster()
    put(cluster, "p")
    with following(cluster) as (reader, _):
        reader.until(lambda: reader.stands(SyncState.LIVE))
        left = [refusal(410, "too old resource version")]
        cluster.before = lambda r: left.pop() if left and "watch" in r.query else None

        def refused() -> bool:
            if left:
                cluster.cut()  # again, where the stream had not begun at the first time
            return not left

        reader.until(refused)
        put(cluster, "later")
        reader.until(lambda: reader.store == state_of(cluster))
        assert not reader.gone


def test_pages_that_expire_take_nothing_away() -> None:
    cluster = FakeCluster()
    for number in range(1100):
        put(cluster, f"p{number:04}")
    expired: list[int] = []

    def expire(request: Request) -> Answer | None:
        if request.query.get("continue") and len(expired) < 2:
            cluster.delete("pods", "a", f"p000{len(expired)}")  # it was in the first page
            expired.append(1)
            cluster.compact()
        return None

    cluster.before = expire
    with following(cluster) as (reader, _):
        reader.until(lambda: reader.stands(SyncState.LIVE))
        assert reader.store == state_of(cluster)
        assert reader.gone == Counter({("Pod", "a", "p0000"): 1, ("Pod", "a", "p0001"): 1})


def test_a_silent_connection_is_a_dead_one() -> None:
    cluster = FakeCluster()
    put(cluster, "p")
    silent: list[int] = []

    def fall_silent(request: Request) -> Answer | None:
        if request.query.get("watch") == "true" and not silent:
            silent.append(1)
            return Answer(stream=nothing())
        return None

    def nothing() -> Iterator[bytes]:
        over.wait(2 * WAIT)
        yield b""

    cluster.before, over = fall_silent, threading.Event()
    with following(cluster, silence=0.4) as (reader, _):
        reader.until(lambda: bool(silent))
        put(cluster, "later")
        reader.until(lambda: reader.store == state_of(cluster))
        over.set()


def test_a_server_that_asks_for_time_gets_it() -> None:
    cluster = FakeCluster()
    put(cluster, "p")
    asked: list[float] = []

    def slow_down(request: Request) -> Answer | None:
        asked.append(time.monotonic())
        return refusal(429, "slow down", Retry_After="1") if len(asked) == 1 else None

    cluster.before = slow_down
    with following(cluster) as (reader, _):
        reader.until(lambda: reader.stands(SyncState.LIVE))
        assert asked[1] - asked[0] >= 1.0


def test_an_event_that_is_no_json_costs_a_reconnection_and_nothing_else() -> None:
    cluster = FakeCluster()
    put(cluster, "p")
    bad: list[int] = []

    def babble(request: Request) -> Answer | None:
        if request.query.get("watch") == "true" and not bad:
            bad.append(1)
            return Answer(stream=iter([b"<html>\n"]))
        return None

    cluster.before = babble
    with following(cluster) as (reader, _):
        reader.until(lambda: bool(bad))
        put(cluster, "later")
        reader.until(lambda: reader.store == state_of(cluster))


def test_a_long_event_in_many_pieces_is_one() -> None:
    cluster = FakeCluster()
    with following(cluster) as (reader, _):
        reader.until(lambda: reader.stands(SyncState.LIVE))
        put(cluster, "big", **{f"l{n}": "x" * 60 for n in range(5000)})
        reader.until(lambda: reader.store == state_of(cluster))


def test_a_forbidden_kind_says_which_rule_is_missing_and_is_no_trouble_for_the_others() -> None:
    cluster = FakeCluster(forbidden={"pods"})
    cluster.apply({"kind": "Namespace", "metadata": {"name": "a"}})
    with following(cluster, PODS, SPACES) as (reader, _):
        reader.until(lambda: reader.stands(SyncState.FORBIDDEN))
        reader.until(lambda: reader.stands(SyncState.LIVE, "Namespace"))
        message = reader.states["Pod"].message
        assert 'cannot list resource "pods"' in message
        assert '{apiGroups: [""], resources: ["pods"]' in message
        assert reader.store == {("Namespace", "", "a"): None}


def test_an_absent_kind_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("podfence.kube.follow.ABSENT_PAUSE", 0.2)
    cluster = FakeCluster()
    with following(cluster, TIERS) as (reader, _):
        reader.until(lambda: reader.stands(SyncState.ABSENT, "ClusterNetworkPolicy"))
        cluster.served[TIER] = ("ClusterNetworkPolicy", False)
        cluster.apply({"kind": "ClusterNetworkPolicy", "metadata": {"name": "deny"}})
        reader.until(lambda: reader.store == state_of(cluster))
        assert reader.stands(SyncState.LIVE, "ClusterNetworkPolicy")


def test_a_page_that_cannot_be_read_does_not_wait_for_the_next_one() -> None:
    """That one is being read by then, on the connection that is to be closed."""
    begun, held = threading.Event(), threading.Event()

    def slowly() -> Iterator[bytes]:
        yield b'{"metadata":{},'
        begun.set()
        held.wait(4 * WAIT)
        yield b'"items":[]}'

    def respond(request: Request) -> Answer:
        if "continue" in request.query:
            return Answer(stream=slowly())
        return Answer(body={"metadata": {"continue": "next"}, "items": [{}]})

    def nameless(*_: object) -> Item[Any]:
        assert begun.wait(WAIT)
        time.sleep(0.05)  # the maker waits for the rest of the body
        raise ClusterError("a Pod without a name")

    with serving(respond) as api:
        access = Access(ServerAddress(api.url), StaticCredential())
        with Watch(access, [[PODS]], nameless, environment={}, chance=lambda: 0.0) as watch:
            try:
                batch = watch.next(WAIT)
            finally:
                held.set()
    assert batch is not None
    assert batch.state.message == "a Pod without a name"


def test_what_ends_a_thread_reaches_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("podfence.kube.follow.Follow.next", broken)
    with following(FakeCluster()) as (reader, _), pytest.raises(ZeroDivisionError):
        reader.read(WAIT)


@pytest.mark.parametrize(
    ("error", "reaches"),
    [(ZeroDivisionError(), ZeroDivisionError), (ClusterError("as of a server"), RuntimeError)],
)
def test_what_whoever_is_told_raises_reaches_who_waits(
    error: Exception, reaches: type[Exception]
) -> None:
    def broken(*_: object) -> None:
        raise error

    with following(FakeCluster(), tell=broken) as (reader, _), pytest.raises(reaches):
        reader.read(WAIT)


def test_batches_are_told_one_at_a_time() -> None:
    cluster, at_once = FakeCluster(), [0]
    for number in range(4):
        put_pod(cluster, f"p{number}", f"n{number % 2 + 1}", f"10.0.0.{number}")

    def slowly(reader: Reader, batch: Batch[Any]) -> None:
        at_once.append(at_once[-1] + 1)
        time.sleep(0.02)
        reader.take(batch)
        at_once.append(at_once[-1] - 1)

    with following(cluster, *pods_for("n1"), tell=slowly) as (reader, _):
        reader.until(lambda: both_live(reader))
        assert reader.store == on(cluster, "n1")
    assert max(at_once) == 1


def test_a_part_is_begun_once_though_others_are_still_to_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster, begun = FakeCluster(), threading.Event()
    put(cluster, "p")
    start = threading.Thread.start

    def slowly(thread: threading.Thread) -> None:
        start(thread)
        if thread.name == "watch Pod":
            assert begun.wait(WAIT)

    def begin(reader: Reader, batch: Batch[Any]) -> None:
        reader.take(batch)
        if batch.changes:
            reader.watch.begin("Namespace", "")
            begun.set()

    monkeypatch.setattr(threading.Thread, "start", slowly)
    with following(cluster, PODS, SPACES, tell=begin, later=[("Namespace", "")]) as (reader, _):
        reader.until(lambda: reader.stands(SyncState.LIVE, "Namespace"))


@pytest.mark.parametrize("tell", [None, Reader.take], ids=["asks", "is told"])
def test_leaving_ends_every_thread_at_once(tell: Told) -> None:
    cluster = FakeCluster()
    with following(cluster, PODS, SPACES, silence=4 * WAIT, tell=tell) as (reader, _):
        reader.until(lambda: reader.stands(SyncState.LIVE))
        reader.until(lambda: reader.stands(SyncState.LIVE, "Namespace"))
        begun = time.monotonic()
    assert time.monotonic() - begun < WAIT  # the server would be waited for longer


class Trouble:
    """Answers that go wrong now and then; never a kind that is away twice: that is believed."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.last = 0

    def __call__(self, request: Request) -> Answer | None:
        before, self.last = self.last, self.rng.randrange(60)
        answers = [
            refusal(410, "expired"),
            refusal(500, "etcdserver: leader changed"),
            refusal(429, "slow down", Retry_After="0"),
            Answer(body=b"{}", hang_up=1),
            Answer(stream=iter([])),
            refusal(404, "not found"),
        ]
        if self.last >= len(answers) or before == self.last:
            return None
        return answers[self.last]


class Shaker:
    """Changes a cluster at random, and remembers what it deleted."""

    def __init__(self, cluster: FakeCluster, rng: Random) -> None:
        self.cluster = cluster
        self.rng = rng
        self.deleted: Counter[tuple[str, str, str]] = Counter()

    def shake(self) -> None:
        names = sorted(key[2] for key in self.cluster.objects)
        match self.rng.randrange(24):
            case 0 | 1 | 2:
                self.cluster.cut()
            case 3:
                self.cluster.compact()
            case number if number < 11 and names:
                name = self.rng.choice(names)
                self.deleted["Pod", "a", name] += 1
                self.cluster.delete("pods", "a", name)
            case _:
                put(self.cluster, f"p{self.rng.randrange(40)}", v=str(self.rng.random()))


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_the_reader_ends_with_what_the_server_has(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("podfence.kube.follow._FIRST_PAUSE", 0.002)
    monkeypatch.setattr("podfence.kube.follow.CONFIRM_PAUSE", 0.02)
    monkeypatch.setattr("podfence.kube.follow.ABSENT_PAUSE", 0.02)
    rng = Random(seed)
    cluster = FakeCluster(watch_list=rng.random() < 0.7, stutter=seed % 2 * 30)
    shaker = Shaker(cluster, rng)
    for _ in range(rng.randrange(30)):
        shaker.shake()
    cluster.before = Trouble(rng)
    with following(cluster, streamed=rng.random() < 0.5) as (reader, _):
        for _ in range(150):
            shaker.shake()
            reader.read(0.01)
        cluster.before = lambda _: None
        reader.until(lambda: reader.store == state_of(cluster))
        assert all(number <= shaker.deleted[key] for key, number in reader.gone.items())
