"""Small parts of the agent: log lines, conditions, latencies, the pods of the node, the lock."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from msgspec import Raw

from podfence.agent.conditions import ConditionKind, Conditions
from podfence.agent.latency import BOUNDS, Latencies
from podfence.agent.localpods import LocalPods
from podfence.agent.log import EventLog, now_text
from podfence.agent.process import only_agent
from podfence.agent.sources import KINDS, UNREACHABLE, KindConditions, heard, read
from podfence.agent.status import HUNG, NodeStatus
from podfence.errors import ClusterError, HostError
from podfence.kube.follow import KindState, ObjectChange, SyncState
from podfence.kube.resource import resources_of
from podfence.live.wire import ReadObject
from podfence.model.facts import Gone, PodFacts, Put

POD = resources_of("Pod")[0]


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def logged() -> tuple[EventLog, io.StringIO]:
    stream = io.StringIO()
    return EventLog(stream, lambda: "now"), stream


@pytest.mark.parametrize(
    "name", ["a\nb", "\x1b[2J", "right\u202eleft", "back\\slash", '"quoted"', "\ud800"]
)
def test_a_line_is_one_line_that_acts_on_nothing(name: str) -> None:
    log, stream = logged()
    log.info("pod", name=name, number=1)
    (line,) = lines(stream)
    assert (line["level"], line["event"], line["number"]) == ("info", "pod", 1)
    assert str(line["name"]).isprintable()
    assert stream.getvalue().count("\n") == 1


def test_the_time_of_a_line_is_of_rfc_3339() -> None:
    assert now_text()[10:].startswith("T")
    assert now_text().endswith("Z")


def test_a_condition_is_told_when_it_begins_changes_and_ends() -> None:
    log, stream = logged()
    conditions = Conditions(log)
    conditions.hold(ConditionKind.DRIFT, "", "one", 1.0)
    conditions.hold(ConditionKind.DRIFT, "", "one", 2.0)
    conditions.hold(ConditionKind.DRIFT, "", "other", 3.0)
    (found,) = conditions.now()
    assert (found.message, found.since) == ("other", 1.0)
    conditions.end(ConditionKind.DRIFT, "")
    conditions.end(ConditionKind.DRIFT, "")
    assert conditions.now() == ()
    assert [line["event"] for line in lines(stream)] == [
        "condition",
        "condition",
        "condition ended",
    ]


def test_of_a_kind_only_some_conditions_go_on() -> None:
    log, _ = logged()
    conditions = Conditions(log)
    for kind, subject in (
        (ConditionKind.REFUSED, "a"),
        (ConditionKind.REFUSED, "b"),
        (ConditionKind.DRIFT, "c"),
    ):
        conditions.hold(kind, subject, "", 1.0)
    conditions.only(ConditionKind.REFUSED, frozenset({"b"}))
    assert [c.subject for c in conditions.now()] == ["b", "c"]


@pytest.mark.parametrize(
    ("seconds", "step"), [(0.0, 0), (BOUNDS[0], 0), (0.0006, 1), (30.0, -2), (31.0, -1)]
)
def test_a_latency_counts_in_the_first_step_that_holds_it(seconds: float, step: int) -> None:
    latencies = Latencies()
    latencies.add("Pod", seconds)
    found = latencies.now()["Pod"]
    assert (found.counts[step], found.count, found.seconds) == (1, 1, seconds)
    assert len(found.counts) == len(found.bounds) + 1


def test_pods_of_the_node_wait_for_an_address() -> None:
    pods = LocalPods("n1")
    for facts in (
        PodFacts("a", "new", node="n1"),
        PodFacts("a", "far", node="n2"),
        PodFacts("a", "unseen", node="n1", seen=False),
        PodFacts("a", "there", node="n1", v4=7, v6=8),
    ):
        pods.take(Put(facts), 1.0)
    assert (len(pods), [pod.text for pod in pods.pending()]) == (2, ["a/new"])
    assert pods.at(frozenset({(6, 8), (4, 9)})) == ("a/there",)
    pods.take(Put(PodFacts("a", "new", node="n1", v4=9)), 2.0)
    assert [*pods.pending()] == []
    pods.take(Put(PodFacts("a", "new", node="n2", v4=9)), 3.0)
    pods.take(Gone("Pod", "a", "there"), 3.0)
    assert len(pods) == 0


def test_a_lock_is_held_once_a_namespace(tmp_path: Path) -> None:
    with only_agent(tmp_path / "run", 1):
        with only_agent(tmp_path / "run", 2):
            pass
        with pytest.raises(HostError, match="runs on this node already"):
            only_agent(tmp_path / "run", 1).__enter__()
    with only_agent(tmp_path / "run", 1):
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HostError, match="--run-dir"):
        only_agent(tmp_path / "file", 1).__enter__()


@pytest.mark.parametrize(
    ("standing", "held"),
    [
        (SyncState.LIVE, []),
        (SyncState.ABSENT, []),
        (SyncState.LATE, [ConditionKind.API_UNREACHABLE]),
        (SyncState.SYNCING, [ConditionKind.API_UNREACHABLE]),
        (SyncState.FORBIDDEN, [ConditionKind.FORBIDDEN]),
    ],
)
def test_what_the_server_does_not_say_is_a_condition_after_a_while(
    standing: SyncState, held: list[ConditionKind]
) -> None:
    conditions = Conditions(logged()[0])
    standings = KindConditions(conditions)
    words = "" if standing is SyncState.LIVE else "words"
    standings.take([KindState("Pod", standing, words)], 0.0)
    standings.look(1.0)
    assert [c.kind for c in conditions.now()] == [k for k in held if k is ConditionKind.FORBIDDEN]
    standings.look(UNREACHABLE + 1)
    assert [c.kind for c in conditions.now()] == held
    standings.take([KindState("Pod", SyncState.LIVE)], UNREACHABLE + 2)
    standings.look(UNREACHABLE + 2)
    assert conditions.now() == ()


def test_what_cannot_be_read_is_known_by_its_name() -> None:
    text = b'{"metadata": {"namespace": "a", "name": "b", "resourceVersion": "7"}, "spec": 1}'
    item = read(POD, Raw(text))
    assert (item.key, item.version) == (("a", "b"), "7")
    there = ObjectChange[ReadObject]("Pod", *item.key, item.data)
    found = [*heard([there, ObjectChange[ReadObject]("Pod", "a", "c", None)])]
    assert [event for event, _ in found] == [Put(PodFacts("a", "b")), Gone("Pod", "a", "c")]
    assert "spec" in found[0][1]
    assert found[1][1] == ""


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_of_a_list_is_known_by_its_names(kind: str) -> None:
    """Objects of a list tell neither their kind nor its version."""
    (resource, *_) = resources_of(kind)
    metadata = {"name": "b", "resourceVersion": "7"}
    if resource.namespaced:
        metadata["namespace"] = "a"
    item = read(resource, Raw(json.dumps({"metadata": metadata, "spec": {}}).encode()))
    assert (item.key, item.version) == (("a" if resource.namespaced else "", "b"), "7")
    assert item.data.fault == ""


@pytest.mark.parametrize("text", [b"{}", b'{"metadata": {"name": 1}}', b"[]", b"[" * 9999])
@pytest.mark.parametrize("kind", ["Pod", *KINDS])
def test_an_object_without_a_name_is_an_answer_that_nobody_can_use(kind: str, text: bytes) -> None:
    with pytest.raises(ClusterError, match=f"sent a {kind} without a name"):
        read(resources_of(kind)[0], Raw(text))


def test_who_does_not_come_round_is_stuck() -> None:
    status = NodeStatus("n1", started=0.0, turned=100.0)
    assert status.is_alive(100.0 + HUNG - 1)
    assert not status.is_alive(100.0 + HUNG)


def test_a_mirror_that_is_away_is_a_condition_until_it_is_back() -> None:
    log, _ = logged()
    conditions = Conditions(log)
    standings = KindConditions(conditions)
    only = "spec.nodeName!=n1"
    for standing, message, holds in (
        (SyncState.LIVE, "", False),
        (SyncState.LATE, "the mirror cannot be asked", False),
        (SyncState.LIVE, "the mirror cannot be asked", True),
        (SyncState.LATE, "the API server cannot be asked", True),
        (SyncState.LIVE, "", False),
    ):
        standings.take([KindState("Pod", standing, message, only)], 0.0)
        standings.look(1.0)
        assert conditions.holds(ConditionKind.MIRROR_AWAY, "Pod (other)") is holds
