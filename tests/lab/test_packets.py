"""The bytes of probes: SYN segments, INIT chunks, echo requests, checksums."""

from __future__ import annotations

import struct
from socket import inet_aton

import pytest

from podfence.lab.run import run_lab
from podfence.lab.testbed.packets import (
    SynProber,
    echo_asked,
    echo_reply,
    echo_request,
    init,
    init_tag,
    syn_answer,
    syn_sequence,
)
from podfence.lab.testbed.report import LabReport
from podfence.testing.builders import peer, pod, policy, rule
from tests.lab.clusters import scheduled

BODY = bytes(range(8))
IP_HEADER = bytes([0x45]) + bytes(19)


def test_an_init_as_rfc_9260_and_its_crc32c_have_it() -> None:
    assert init(20000, 3868, 0x01000007).hex() == (
        "4e200f1c00000000" + crc_of(init(20000, 3868, 0x01000007)) + "01000014"
        "01000007000100000001000101000007"
    )


def crc_of(packet: bytes) -> str:
    """CRC32c bit by bit, in network order as the standard says: least significant byte first."""
    crc = 0xFFFFFFFF
    for byte in packet[:8] + bytes(4) + packet[12:]:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return (crc ^ 0xFFFFFFFF).to_bytes(4, "little").hex()


@pytest.mark.parametrize(
    ("family", "packet", "expected"),
    [
        pytest.param(4, IP_HEADER + init(1, 3868, 9), (3868, 9), id="v4"),
        pytest.param(6, init(1, 3868, 9), (3868, 9), id="v6"),
        pytest.param(6, init(1, 3868, 9)[:-1], None, id="cut"),
        pytest.param(6, init(1, 2, 3)[:12] + bytes([3]) + init(1, 2, 3)[13:], None, id="no-init"),
        pytest.param(4, b"", None, id="empty"),
    ],
)
def test_what_an_init_says(family: int, packet: bytes, expected: tuple[int, int] | None) -> None:
    assert init_tag(family, packet) == expected


def tcp(flags: int, acknowledgement: int) -> bytes:
    return struct.pack(">HHIIBBHHH", 80, 20001, 7, acknowledgement, 5 << 4, flags, 512, 0, 0)


@pytest.mark.parametrize("sequence", [0x01000000, 0x02FFFFFF, 0xFFFFFFFF])
@pytest.mark.parametrize("port", [1, 443, 65535])
def test_a_syn_over_ipv4_sums_to_nothing_with_its_pseudo_header(port: int, sequence: int) -> None:
    a, b = "10.244.0.9", "255.255.255.254"
    packet = SynProber(4, a, 20001, b).syn(port, sequence)
    pseudo = inet_aton(a) + inet_aton(b) + struct.pack(">HH", 6, 20)
    total = sum(struct.unpack(">16H", pseudo + packet))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    assert total == 0xFFFF


def test_a_syn_as_rfc_9293_has_it() -> None:
    packet = SynProber(6, "fd00::1", 20001, "fd00::2").syn(5432, 0x01000007)
    assert packet.hex() == "4e21153801000007000000005002ffff00000000"


@pytest.mark.parametrize(
    ("family", "packet", "expected"),
    [
        pytest.param(6, tcp(0x12, 8), (7, False), id="syn-ack"),
        pytest.param(4, IP_HEADER + tcp(0x12, 8), (7, False), id="syn-ack-v4"),
        pytest.param(6, tcp(0x14, 8), (7, True), id="refused"),
        pytest.param(6, tcp(0x12, 0), (0xFFFFFFFF, False), id="around-the-end"),
        pytest.param(6, tcp(0x02, 8), None, id="somebody-elses-syn"),
        pytest.param(6, tcp(0x04, 8), None, id="a-reset-that-answers-nothing"),
        pytest.param(6, tcp(0x10, 8), None, id="data"),
        pytest.param(6, tcp(0x12, 8)[:-1], None, id="cut"),
        pytest.param(4, b"", None, id="empty"),
    ],
)
def test_what_answers_a_syn(family: int, packet: bytes, expected: tuple[int, bool] | None) -> None:
    assert syn_answer(family, packet) == expected


@pytest.mark.parametrize(
    ("family", "packet", "expected"),
    [
        pytest.param(6, tcp(0x02, 0), 7, id="syn"),
        pytest.param(4, IP_HEADER + tcp(0x02, 0), 7, id="syn-v4"),
        pytest.param(6, tcp(0x12, 8), None, id="answer"),
        pytest.param(6, tcp(0x10, 8), None, id="data"),
        pytest.param(6, tcp(0x02, 0)[:-1], None, id="cut"),
        pytest.param(4, b"", None, id="empty"),
    ],
)
def test_the_sequence_number_of_a_lone_syn_is_read(
    family: int, packet: bytes, expected: int | None
) -> None:
    assert syn_sequence(family, packet) == expected


@pytest.mark.parametrize("family", [4, 6])
def test_what_an_echo_request_asks(family: int) -> None:
    header = IP_HEADER if family == 4 else b""
    assert echo_asked(family, header + echo_request(family, 77, BODY)) == BODY
    assert echo_reply(family, header + echo_request(family, 77, BODY)) is None
    assert echo_asked(family, b"") is None


def test_an_echo_request_sums_to_nothing() -> None:
    words = memoryview(echo_request(4, 77, BODY)).cast("H").tolist()
    total = sum(words)
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF


@pytest.mark.parametrize(
    ("family", "packet", "expected"),
    [
        pytest.param(4, IP_HEADER + bytes([0]) + bytes(7) + BODY, BODY, id="v4"),
        pytest.param(6, bytes([129]) + bytes(7) + BODY, BODY, id="v6"),
        pytest.param(4, IP_HEADER + echo_request(4, 1, BODY), None, id="a-request"),
        pytest.param(6, bytes([129]), None, id="cut"),
    ],
)
def test_what_a_reply_brings_back(family: int, packet: bytes, expected: bytes | None) -> None:
    assert echo_reply(family, packet) == expected


def open_by(report: LabReport, source: str, target: str) -> set[tuple[str, int]]:
    pair = next(p for p in report.pairs if (p.source.name, p.target.name) == (source, target))
    return {(port.protocol, port.port) for port in pair.ports if port.open}


@pytest.mark.kernel
@pytest.mark.parametrize(
    "family", [pytest.param("10.0.0.", id="v4"), pytest.param("fd00::", id="v6")]
)
def test_np39_np40_in_the_kernel(family: str) -> None:
    pods = [pod(f"a/{n}", {"app": n}, addresses=[f"{family}{at}"]) for at, n in enumerate("xyz", 1)]
    report = run_lab(
        scheduled(
            *pods,
            policy("a/x", {"app": "x"}, ingress=[rule(peer(pods={"app": "y"}), ports=["9/SCTP"])]),
            policy("a/z", {"app": "z"}, ingress=[rule(peer(pods={"app": "y"}))]),
        ),
        progress=lambda line: None,
    )
    assert report.clean, report.disagreements[:3]
    assert open_by(report, "a/y", "a/x") == {("SCTP", 9)}
    assert open_by(report, "a/x", "a/z") == set()
    assert {("SCTP", 9), ("OTHER", 0)} <= open_by(report, "a/y", "a/z")
