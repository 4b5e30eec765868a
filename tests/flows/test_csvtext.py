"""Comma-separated values with a header."""

from __future__ import annotations

import pytest

from podfence.flows.seen import RecordedEnd, RecordedVerdict
from tests.flows.samples import flows, one, read

HEADER = "source,destination,protocol,port"


def test_names_and_addresses() -> None:
    flow = one(f"{HEADER}\nshop/web,203.0.113.9,tcp,443\n".encode())
    assert (flow.source, flow.destination) == (
        RecordedEnd(word="shop/web"),
        RecordedEnd(address="203.0.113.9"),
    )
    assert (flow.protocol, flow.port, flow.count) == ("TCP", 443, 1)


def test_columns_stand_in_any_order_and_may_be_more() -> None:
    text = "Port,Proto,remark,dst,src,count,timestamp,action\n53,17,x,a/b,c/d,7,1790508735,drop\n"
    flow = one(text.encode())
    assert (str(flow.source), str(flow.destination)) == ("c/d", "a/b")
    assert (flow.protocol, flow.port, flow.count) == ("UDP", 53, 7)
    assert (flow.last, flow.verdict) == ("2026-09-27T11:32:15Z", RecordedVerdict.DENIED)


def test_equal_rows_are_one_flow() -> None:
    row = "a/b,c/d,TCP,80\r\n"
    assert [flow.count for flow in flows(f"{HEADER}\r\n{row}{row}".encode())] == [2]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("a/b,c/d,TCP,", "'' is not a port; write a number from 1 to 65535"),
        ("a/b,c/d,TCP,70000", "'70000' is not a port; write a number from 1 to 65535"),
        ("a/b,c/d,TCP,http", "'http' is not a port; write a number from 1 to 65535"),
        ("a/b,c/d,IGMP,1", "'IGMP' is not a protocol; write TCP, UDP, SCTP or ICMP"),
        ("a/b,,TCP,80", "no destination"),
        ("a/b", "no destination"),
    ],
)
def test_a_row_that_is_wrong_says_so(row: str, fault: str) -> None:
    seen = read(f"{HEADER}\na/b,c/d,TCP,80\n{row}\n".encode())
    assert [(p.line, p.message) for p in seen.unread_at] == [(3, fault)]
    assert len(seen.tallies) == 1
