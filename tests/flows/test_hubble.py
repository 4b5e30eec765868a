"""Hubble's flows: what is evidence, and what is a reply, a drop, or of unknown direction."""

from __future__ import annotations

import json

import pytest

from podfence.flows.seen import EndKind, RecordedEnd, RecordedVerdict, SkipReason
from podfence.sets.ports import OTHER
from tests.flows.samples import APISERVER, HOST, WEB, WORLD, flows, hubble, jsonpb, lines, one, read


@pytest.mark.parametrize("data", [jsonpb(hubble()), lines(hubble())], ids=["jsonpb", "bare"])
def test_a_flow_has_pods_and_the_port_of_the_destination(data: bytes) -> None:
    flow = one(data)

    assert flow.source == RecordedEnd("shop", "web-9b649846d-bxqfc", "web")
    assert flow.destination == RecordedEnd("shop", "db-0", "db")
    assert (flow.protocol, flow.port, flow.verdict) == ("TCP", 5432, RecordedVerdict.ALLOWED)
    assert flow.first == flow.last == "2026-07-31T10:41:02.202450754Z"


def test_packets_that_say_the_same_are_one_flow() -> None:
    early = hubble(time="2026-07-31T10:00:00Z")
    late = hubble(time="2026-07-31T11:00:00Z")
    flow = one(jsonpb(hubble(), late, early))

    assert (flow.count, flow.first, flow.last) == (3, early["time"], late["time"])


def test_what_both_ends_tell_counts_once() -> None:
    received = hubble(traffic_direction="INGRESS")
    assert one(jsonpb(hubble(), hubble(), received, received, received)).count == 3


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({"is_reply": True}, SkipReason.REPLY),
        ({"is_reply": None, "reply": True}, SkipReason.REPLY),
        ({"is_reply": None, "l4": {"UDP": {"destination_port": 53}}}, SkipReason.DIRECTION),
        ({"verdict": "TRANSLATED"}, SkipReason.VERDICT),
        ({"verdict": "ERROR"}, SkipReason.VERDICT),
        ({"l4": None}, SkipReason.PROTOCOL),
        ({"l4": {"VRRP": {}}}, SkipReason.PROTOCOL),
        ({"l4": {"TCP": {"destination_port": 0}}}, SkipReason.PROTOCOL),
    ],
)
def test_left_out(changes: dict[str, object], left: SkipReason) -> None:
    seen = read(jsonpb(hubble(**changes)))
    assert (list(seen.flows()), dict(seen.left), seen.records) == ([], {left: 1}, 1)


def test_the_first_packet_of_a_connection_needs_no_word_about_its_direction() -> None:
    assert one(jsonpb(hubble(is_reply=None))).port == 5432


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"verdict": "DROPPED", "is_reply": None, "drop_reason_desc": "POLICY_DENIED"}, "denied"),
        ({"verdict": "REDIRECTED"}, "allowed"),
        ({"verdict": "AUDIT"}, "allowed"),
    ],
)
def test_verdicts(changes: dict[str, object], verdict: str) -> None:
    assert one(jsonpb(hubble(**changes))).verdict.value == verdict


@pytest.mark.parametrize(
    ("source", "direction", "end"),
    [
        (WORLD, "INGRESS", RecordedEnd(address="10.0.1.235", sort=EndKind.OUTSIDE)),
        (
            {"identity": 16777220},
            "INGRESS",
            RecordedEnd(address="10.0.1.235", sort=EndKind.OUTSIDE),
        ),
        (HOST, "INGRESS", RecordedEnd(sort=EndKind.OWN_NODE)),
        (APISERVER, "INGRESS", RecordedEnd(address="10.0.1.235", sort=EndKind.API_SERVER)),
        ({"identity": 6}, "INGRESS", RecordedEnd(address="10.0.1.235", sort=EndKind.NODE)),
        ({}, "INGRESS", RecordedEnd(address="10.0.1.235")),
    ],
)
def test_ends_that_are_no_pods(source: dict[str, object], direction: str, end: RecordedEnd) -> None:
    assert one(jsonpb(hubble(source=source, traffic_direction=direction))).source == end


def test_icmp_has_no_port() -> None:
    flow = one(jsonpb(hubble(l4={"ICMPv4": {"type": 8}})))
    assert (flow.protocol, flow.port) == (OTHER, 0)


def test_a_line_that_is_no_record_does_not_take_the_others_with_it() -> None:
    data = jsonpb(hubble()) + b'{"flow": {"verdict": 7}}\n\n{"flow":\n' + jsonpb(hubble(source=WEB))
    seen = read(data)

    assert [flow.count for flow in seen.flows()] == [2]
    assert (seen.records, seen.unread) == (4, 2)
    assert [position.line for position in seen.unread_at] == [2, 4]
    assert "verdict" in seen.unread_at[0].message


def test_events_that_are_no_flows_are_left_out() -> None:
    lost = {"lost_events": {"source": "HUBBLE_RING_BUFFER", "num_events_lost": "3"}}
    assert len(flows(lines(lost) + jsonpb(hubble()))) == 1


def test_lines_of_one_shape_are_counted_as_if_each_were_decoded() -> None:
    """Times, identifiers and ports of clients differ; all else is part of the shape."""

    def compact(number: int, **changes: object) -> bytes:
        ports = {"source_port": 40000 + number, "destination_port": 5432}
        flow = hubble(
            time=f"2026-07-31T10:41:{number:02d}Z",
            uuid=f"cd75b2ac-8dd3-486b-beca-{number:012d}",
            l4={"TCP": ports},
            **changes,
        )
        outer = {"flow": flow, "node_name": "prod/worker-1", "time": flow["time"]}
        return json.dumps(outer, separators=(",", ":")).encode() + b"\n"

    data = [
        *(compact(n) for n in range(9)),
        *(compact(n, traffic_direction="INGRESS") for n in range(5)),
        *(compact(n, is_reply=True) for n in range(3)),
        *(compact(n, verdict="DROPPED", is_reply=None) for n in range(2)),
        *(compact(n, source=WORLD) for n in range(4)),
        compact(10)[:-9] + b"\n",
        compact(11).replace(b'"source_port":40011', b'"source_port":x'),
    ]
    seen = read(b"".join(data))
    spaced = read(b"".join(line.replace(b'":', b'": ') for line in data))

    assert seen.records == spaced.records == 25
    assert seen.unread == spaced.unread == 2
    assert [(f.count, f.first[-3:], f.last[-3:], f.verdict) for f in seen.flows()] == [
        (9, "00Z", "08Z", RecordedVerdict.ALLOWED),
        (2, "00Z", "01Z", RecordedVerdict.DENIED),
        (4, "00Z", "03Z", RecordedVerdict.ALLOWED),
    ]
    assert seen.left == spaced.left == {SkipReason.REPLY: 3}
