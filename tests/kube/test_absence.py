"""What a 404 takes away: nothing, unless an API server said it, of a kind that may be absent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from podfence.kube.follow import SyncState
from podfence.kube.resource import Resource
from tests.kube.fakeapi import Answer, FakeApi, Request, refusal
from tests.kube.fakecluster import TIER, FakeCluster
from tests.kube.watchreader import PODS, Reader, following, state_of

TIERS = Resource(TIER[0], TIER[1], "ClusterNetworkPolicy", TIER[2], namespaced=False)
KINDS = ("Pod", "ClusterNetworkPolicy")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for pause in ("CONFIRM_PAUSE", "ABSENT_PAUSE", "LONGEST_PAUSE"):
        monkeypatch.setattr(f"podfence.kube.follow.{pause}", 0.05)


def cluster_with_both() -> FakeCluster:
    cluster = FakeCluster()
    cluster.served[TIER] = ("ClusterNetworkPolicy", False)
    cluster.apply({"kind": "ClusterNetworkPolicy", "metadata": {"name": "deny"}})
    cluster.apply({"kind": "Pod", "metadata": {"name": "p", "namespace": "a"}})
    return cluster


def nothing(_: Request) -> Answer:
    return refusal(404, "page not found")


def forbidden(request: Request) -> Answer | None:
    return refusal(403, "forbidden") if request.path == "/api/v1/namespaces" else None


def away(request: Request) -> Answer | None:
    return refusal(503, "starting") if request.path == "/api/v1/namespaces" else None


@contextmanager
def known(cluster: FakeCluster) -> Iterator[tuple[Reader, FakeApi]]:
    with following(cluster, PODS, TIERS) as (reader, api):
        reader.until(lambda: all(reader.stands(SyncState.LIVE, kind) for kind in KINDS))
        yield reader, api


def confirmed(reader: Reader, api: FakeApi, stays: Callable[[], bool]) -> None:
    """It stays so, though the server is asked for the kind that may be absent again and again."""

    def asked() -> int:
        return sum(TIER[2] in each.path for each in api.requests)

    begun = asked()
    while asked() < begun + 8:
        reader.read()
        assert stays()


def test_who_knows_nothing_takes_nothing_away() -> None:
    cluster = cluster_with_both()
    with known(cluster) as (reader, api):
        cluster.before = nothing
        cluster.cut()
        reader.until(lambda: all(reader.stands(SyncState.LATE, kind) for kind in KINDS))
        confirmed(reader, api, lambda: all(reader.stands(SyncState.LATE, kind) for kind in KINDS))
        assert reader.store == state_of(cluster)
        cluster.before = lambda _: None
        reader.until(lambda: all(reader.stands(SyncState.LIVE, kind) for kind in KINDS))
        assert not reader.gone


def test_a_server_that_knows_no_kind_yet_is_not_an_empty_cluster() -> None:
    cluster = cluster_with_both()
    cluster.before = nothing
    with following(cluster, PODS, TIERS) as (reader, api):
        reader.until(lambda: all(reader.stands(SyncState.SYNCING, kind) for kind in KINDS))
        confirmed(
            reader, api, lambda: all(reader.stands(SyncState.SYNCING, kind) for kind in KINDS)
        )
        assert all("page not found" in reader.states[kind].message for kind in KINDS)
        cluster.before = lambda _: None
        reader.until(lambda: reader.store == state_of(cluster))


def test_a_watch_that_has_not_begun_to_send_is_cut_too() -> None:
    """Else what a test takes away is watched for ever, if its server is slow."""
    cluster = cluster_with_both()
    asked = {"watch": "true", "resourceVersion": str(cluster.version)}
    answer = cluster.respond(Request(f"/apis/{TIER[0]}/{TIER[1]}/{TIER[2]}", asked, {}, "GET", b""))
    assert answer.stream is not None
    cluster.cut()
    with pytest.raises(ConnectionAbortedError):
        next(iter(answer.stream))


def test_a_kind_that_was_removed_is_given_up() -> None:
    cluster = cluster_with_both()
    with known(cluster) as (reader, _):
        del cluster.served[TIER]
        cluster.objects.pop((TIER[2], "", "deny"))
        cluster.cut()
        reader.until(lambda: reader.stands(SyncState.ABSENT, "ClusterNetworkPolicy"))
        assert reader.gone == {("ClusterNetworkPolicy", "", "deny"): 1}


def test_who_may_not_list_namespaces_hears_of_an_absence_all_the_same() -> None:
    cluster = FakeCluster()
    cluster.before = forbidden
    with following(cluster, TIERS) as (reader, _):
        reader.until(lambda: reader.stands(SyncState.ABSENT, "ClusterNetworkPolicy"))


def test_a_server_that_is_about_to_start_knows_of_no_absence() -> None:
    cluster = FakeCluster()
    cluster.before = away
    with following(cluster, TIERS) as (reader, api):
        reader.until(lambda: reader.stands(SyncState.SYNCING, "ClusterNetworkPolicy"))
        confirmed(reader, api, lambda: reader.stands(SyncState.SYNCING, "ClusterNetworkPolicy"))
