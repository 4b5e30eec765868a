"""Tables of connections, as the kernel and conntrack print them."""

from __future__ import annotations

import pytest

from podfence.flows.seen import SkipReason
from tests.flows.samples import one, read

LISTED = (
    "tcp      6 431999 ESTABLISHED src=10.244.1.7 dst=10.96.0.50 sport=51654 dport=3306 "
    "src=10.244.2.9 dst=10.244.1.7 sport=5432 dport=51654 [ASSURED] mark=0 use=1"
)
EXTENDED = f"ipv4     2 {LISTED.replace('mark=0', 'mark=0 zone=0')}"
EVENT = f"[1790508735.103391]\t    [NEW] {LISTED}"
V6 = (
    "ipv6     10 udp      17 25 src=fd00::7 dst=fd00::9 sport=40000 dport=53 [UNREPLIED] "
    "src=fd00::9 dst=fd00::7 sport=53 dport=40000 mark=0 zone=0 use=2"
)


@pytest.mark.parametrize("line", [LISTED, EXTENDED, EVENT], ids=["-L", "/proc", "-E"])
def test_the_answer_tells_the_pod_behind_a_service(line: str) -> None:
    flow = one(f"{line}\n".encode())

    assert (flow.source.address, flow.destination.address) == ("10.244.1.7", "10.244.2.9")
    assert (flow.protocol, flow.port) == ("TCP", 5432)


def test_events_have_times() -> None:
    assert one(EVENT.encode()).last == "2026-09-27T11:32:15Z"


def test_udp_needs_no_answer() -> None:
    flow = one(V6.encode())
    assert (str(flow.destination), flow.protocol, flow.port) == ("fd00::9", "UDP", 53)


def test_an_attempt_without_an_answer_is_no_connection() -> None:
    unanswered = LISTED.replace("src=10.244.2.9", "[UNREPLIED] src=10.244.2.9")
    assert dict(read(unanswered.encode()).left) == {SkipReason.UNANSWERED: 1}


def test_protocols_that_no_policy_knows() -> None:
    gre = LISTED.replace("tcp      6", "gre      47")
    assert dict(read(gre.encode()).left) == {SkipReason.PROTOCOL: 1}


def test_the_summary_is_no_connection() -> None:
    text = f"{LISTED}\nconntrack v1.4.8 (conntrack-tools): 1 flow entries have been shown.\n"
    assert read(text.encode()).records == 1


def test_a_line_that_is_cut_off_is_a_fault() -> None:
    seen = read(f"{LISTED}\n{LISTED[:60]}\n".encode())
    assert (seen.unread, seen.unread_at[0].line) == (1, 2)
