"""Calico's flow logs in its three shapes."""

from __future__ import annotations

import json

import pytest

from podfence.flows.seen import EndKind, RecordedEnd, RecordedVerdict, SkipReason
from tests.flows.samples import CALICO, GOLDMANE, WHISKER, lines, one, read


def test_a_line_of_the_log() -> None:
    flow = one(lines(CALICO))

    assert flow.source == RecordedEnd("shop", "web-755cdc7957-wsvmz")
    assert flow.destination == RecordedEnd("shop", "db-*")
    assert (flow.protocol, flow.port, flow.count) == ("TCP", 5432, 3)
    assert (flow.first, flow.last) == ("2022-08-04T13:59:02Z", "2022-08-04T14:04:02Z")


def test_both_reporters_tell_of_one_flow() -> None:
    assert one(lines(CALICO, CALICO | {"reporter": "dst", "num_flows": 2})).count == 3


@pytest.mark.parametrize(
    "data",
    [
        lines(WHISKER),
        json.dumps({"total": {"totalPages": 1}, "items": [WHISKER]}).encode(),
        json.dumps({"items": [WHISKER]}, indent=2).encode(),
    ],
    ids=["a line each", "one line", "a document"],
)
def test_what_whisker_shows(data: bytes) -> None:
    flow = one(data)
    assert (flow.source, flow.verdict) == (
        RecordedEnd("shop", "web-655c844475-*"),
        RecordedVerdict.DENIED,
    )
    assert flow.last == "2026-09-27T11:32:30Z"


def test_what_goldmane_gives() -> None:
    flow = one(lines(GOLDMANE))
    assert (flow.source, flow.port, flow.count) == (
        RecordedEnd("shop", "web-655c844475-*"),
        5432,
        4,
    )


@pytest.mark.parametrize(
    ("changes", "end"),
    [
        ({"source_type": "net", "source_name_aggr": "pub", "source_ip": "203.0.113.9"},
         RecordedEnd(address="203.0.113.9", sort=EndKind.OUTSIDE)),
        ({"source_type": "net", "source_name_aggr": "pub", "source_ip": None},
         RecordedEnd(sort=EndKind.OUTSIDE)),
        ({"source_type": "net", "source_name_aggr": "pvt", "source_ip": "10.1.2.3"},
         RecordedEnd(address="10.1.2.3")),
        ({"source_type": "hep", "source_ip": "172.18.0.2"},
         RecordedEnd(address="172.18.0.2", sort=EndKind.NODE)),
    ],
)  # fmt: skip
def test_ends_that_are_no_pods(changes: dict[str, object], end: RecordedEnd) -> None:
    nameless = CALICO | {"source_name": "-", "source_namespace": "-"} | changes
    assert one(lines(nameless)).source == end


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({"action": "pass"}, SkipReason.VERDICT),
        ({"proto": "vrrp"}, SkipReason.PROTOCOL),
        ({"dest_port": None}, SkipReason.PROTOCOL),
        ({"source_name": "-", "source_name_aggr": "-", "source_ip": None}, SkipReason.EMPTY),
    ],
)
def test_left_out(changes: dict[str, object], left: SkipReason) -> None:
    assert dict(read(lines(CALICO | changes)).left) == {left: 1}
