"""A watch against a server that forgets, hangs up, repeats itself and falls silent.

The law: once it is quiet, what the reader has is what the server has; and nothing was gone for the
reader that the server had not deleted.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from random import Random
from typing import Any
from unittest import mock

import pytest

from podfence.errors import ClusterError
from podfence.kube.access import Access, ServerAddress, StaticCredential
from podfence.kube.follow import Follow, Item, KindState, ObjectChange, SyncState
from podfence.kube.parts import KindParts
from podfence.kube.resource import Resource, own_node, pods_for
from podfence.kube.watch import Batch, Watch
from tests.kube.fakeapi import Answer, FakeApi, Request, refusal, serving
from tests.kube.fakecluster import TIER, FakeCluster, running
from tests.support.items import whole

PODS = Resource("", "v1", "Pod", "pods", namespaced=True)
SPACES = Resource("", "v1", "Namespace", "namespaces", namespaced=False)
TIERS = Resource(TIER[0], TIER[1], "ClusterNetworkPolicy", TIER[2], namespaced=False)
WAIT = 20.0


class Reader:
    """Applies what a watch brings, and remembers what was gone."""

    def __init__(self, watch: Watch[dict[str, Any]]) -> None:
        self.watch = watch
        self.store: dict[tuple[str, str, str], Any] = {}
        self.gone: Counter[tuple[str, str, str]] = Counter()
        self.states: dict[str, KindState] = {}
        self.parts: dict[str, KindState] = {}
        self.changes = 0

    def read(self, timeout: float = 0.05) -> None:
        """One batch, if one comes."""
        batch = self.watch.next(timeout)
        if batch is not None:
            self.take(batch)

    def take(self, batch: Batch[dict[str, Any]]) -> None:
        self.states[batch.state.kind] = self.parts[batch.state.only] = batch.state
        self.changes += len(batch.changes)
        for change in batch.changes:
            key = (change.kind, change.namespace, change.name)
            if change.data is None:
                if len(self.parts) == 1:  # parts may overlap
                    assert key in self.store
                self.store.pop(key, None)
                self.gone[key] += 1
            else:
                self.store[key] = change.data["metadata"].get("labels")

    def until(self, true: Callable[[], bool]) -> None:
        end = time.monotonic() + WAIT
        while not true():
            assert time.monotonic() < end, (self.states, len(self.store))
            self.read()

    def stands(self, standing: SyncState, kind: str = "Pod") -> bool:
        return kind in self.states and self.states[kind].standing is standing


Told = Callable[[Reader, Batch[Any]], object] | None


def state_of(cluster: FakeCluster) -> dict[tuple[str, str, str], Any]:
    kinds = {key[2]: kind for key, (kind, _) in cluster.served.items()}
    return {
        (kinds[plural], namespace, name): item["metadata"].get("labels")
        for (plural, namespace, name), item in cluster.objects.items()
    }


@contextmanager
def following(
    cluster: FakeCluster,
    *resources: Resource | Sequence[Resource],
    silence: float = 5.0,
    streamed: bool = False,
    tell: Told = None,
    later: Sequence[tuple[str, str]] = (),
) -> Iterator[tuple[Reader, FakeApi]]:
    """``tell``: batches are told to the reader by this; None: it asks for them."""
    with running(cluster) as api:
        access = Access(ServerAddress(api.url), StaticCredential())
        watch = Watch(
            access,
            [[each] if isinstance(each, Resource) else each for each in resources or (PODS,)],
            whole,
            environment={},
            later=later,
            streamed=streamed,
            silence=silence,
            chance=lambda: 0.0,
        )
        reader = Reader(watch)
        if tell is not None:
            watch.tell(partial(tell, reader))
        with watch:
            yield reader, api


def put(cluster: FakeCluster, name: str, **labels: str) -> None:
    cluster.apply({"kind": "Pod", "metadata": {"name": name, "namespace": "a", "labels": labels}})


@pytest.fixture(params=[False, True], ids=["pages", "streamed"])
def streamed(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


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
        time.sleep(WAIT)
        yield b""

    cluster.before = fall_silent
    with following(cluster, silence=0.4) as (reader, _):
        reader.until(lambda: bool(silent))
        put(cluster, "later")
        reader.until(lambda: reader.store == state_of(cluster))


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
        place(cluster, f"p{number}", f"n{number % 2 + 1}", f"10.0.0.{number}")

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
    with following(cluster, PODS, SPACES, silence=60.0, tell=tell) as (reader, _):
        reader.until(lambda: reader.stands(SyncState.LIVE))
        reader.until(lambda: reader.stands(SyncState.LIVE, "Namespace"))
        begun = time.monotonic()
    assert time.monotonic() - begun < 10


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


# -- a kind in parts


def place(cluster: FakeCluster, name: str, node: str, ip: str = "", **labels: str) -> None:
    """A pod on a node; without an address it was only scheduled."""
    metadata = {"name": name, "namespace": "a", "labels": labels}
    status = {"phase": "Running" if ip else "Pending", "podIP": ip}
    pod = {"kind": "Pod", "metadata": metadata, "spec": {"nodeName": node}, "status": status}
    cluster.apply(pod)


def on(cluster: FakeCluster, node: str) -> dict[tuple[str, str, str], Any]:
    """What that node has to know of the pods: its own, and those with an address."""
    return {
        ("Pod", namespace, name): item["metadata"].get("labels")
        for (plural, namespace, name), item in cluster.objects.items()
        if plural == "pods"
        and (
            item["spec"]["nodeName"] == node
            or (item["status"].get("podIP") and item["status"]["phase"] != "Succeeded")
        )
    }


def both_live(reader: Reader) -> bool:
    return len(reader.parts) == 2 and all(
        state.standing is SyncState.LIVE for state in reader.parts.values()
    )


@pytest.mark.parametrize(
    "without", [(), ("spec.hostNetwork",), ("status.podIP",)], ids=["all", "1.27", "hardly any"]
)
def test_pods_of_a_node_are_followed_in_two_parts(without: tuple[str, ...], streamed: bool) -> None:
    cluster = FakeCluster()
    cluster.selects -= set(without)
    place(cluster, "here", "n1")
    place(cluster, "there", "n2", "10.0.0.1")
    place(cluster, "waits", "n2")

    def seen() -> dict[tuple[str, str, str], Any]:
        return state_of(cluster) if "status.podIP" in without else on(cluster, "n1")

    with following(cluster, *pods_for("n1"), streamed=streamed) as (reader, _):
        reader.until(lambda: both_live(reader))
        assert reader.store == seen()
        place(cluster, "waits", "n2", "10.0.0.2")
        place(cluster, "here", "n1", "10.0.0.3", app="x")
        reader.until(lambda: reader.store == seen())
        cluster.delete("pods", "a", "there")
        place(cluster, "there", "n1")
        reader.until(lambda: reader.store == seen())
        cluster.delete("pods", "a", "here")
        place(cluster, "here", "n2", "10.0.0.4")
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
                place(cluster, name, rng.choice(("n1", "n2")), f"10.0.0.{number}", n=str(number))
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
