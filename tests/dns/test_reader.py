"""Which answers count: those of a trusted resolver, to a question that a pod has open."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podfence.dns.cache import Cache
from podfence.dns.questions import MOST, SILENCE, Interfaces
from podfence.dns.reader import CopiedPacket, DnsReader, is_usable
from podfence.dns.streams import MOST_BYTES, MOST_STREAMS
from podfence.policy.domains import At
from tests.support.dnsmessages import (
    BACK,
    POD,
    POD6,
    RESOLVER,
    RESOLVER6,
    THERE,
    Address,
    answer,
    at,
    question,
    tcp,
    udp,
)

NAME = "api.example.com"
ONE = [(NAME, 60, "A", "192.0.2.1")]
PORT = 40000


class World:
    """A reader, and a clock that only moves when it is told to."""

    def __init__(self, *patterns: str) -> None:
        self.cache = Cache()
        self.cache.want(frozenset(patterns or (NAME,)))
        self.reader = DnsReader(self.cache, {at(str(RESOLVER)), at(str(RESOLVER6))}.__contains__)
        self.now = 100.0

    def pass_(self, data: bytes, way: Interfaces, family: int = 4) -> None:
        self.reader.take(CopiedPacket(family, data, way), self.now)

    def ask(
        self, data: bytes, way: Interfaces = THERE, pod: Address = POD, port: int = PORT
    ) -> None:
        self.pass_(udp(pod, port, RESOLVER, 53, data), way)

    def tell(
        self, data: bytes, way: Interfaces = BACK, by: Address = RESOLVER, pod: Address = POD
    ) -> None:
        self.pass_(udp(by, 53, pod, PORT, data), way)

    def live(self, name: str = NAME) -> frozenset[At]:
        self.cache._changed.add(name)
        return self.cache.take(self.now)[name].live


def test_an_answer_to_a_question_counts() -> None:
    world = World()
    world.ask(question(NAME))
    world.tell(answer(NAME, ONE))
    assert world.live() == {at("192.0.2.1")}
    assert world.reader.counts == {"question": 1, "learnt": 1}


def test_of_ip_version_6_too() -> None:
    world = World()
    world.pass_(udp(POD6, PORT, RESOLVER6, 53, question(NAME, "AAAA")), THERE, 6)
    told = answer(NAME, [(NAME, 60, "AAAA", "2001:db8::1")], "AAAA")
    world.pass_(udp(RESOLVER6, 53, POD6, PORT, told), BACK, 6)
    assert world.live() == {at("2001:db8::1")}


def test_letters_of_either_case_are_the_same_name() -> None:
    world = World()
    world.ask(question("aPi.eXample.COM"))
    world.tell(answer("aPi.eXample.COM", ONE))
    assert world.live() == {at("192.0.2.1")}


@pytest.mark.parametrize(
    ("pattern", "name", "means"),
    [
        ("*.example.com", "api.example.com", True),
        ("*.example.com", "a.b.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "badexample.com", False),
        ("example.com", "api.example.com", False),
        ("api.example.com", "api.example.com", True),
    ],
)
def test_a_wildcard_stands_for_whole_labels(pattern: str, name: str, means: bool) -> None:
    world = World(pattern)
    world.ask(question(name))
    world.tell(answer(name, [(name, 60, "A", "192.0.2.1")]))
    assert bool(world.live(name)) is means


def test_the_name_asked_for_counts_not_those_that_it_leads_to() -> None:
    chain = [("evil.test", 60, "CNAME", NAME + "."), (NAME, 60, "A", "192.0.2.66")]
    world = World()
    world.ask(question("evil.test"))
    world.tell(answer("evil.test", chain))
    assert world.live() == frozenset()


FORGED: list[tuple[str, dict[str, Any]]] = [
    ("by somebody else", {"by": POD}),
    ("to somebody else", {"pod": RESOLVER}),
    ("from the interface of the pod itself", {"way": Interfaces(comes=3, goes=3)}),
    ("from another pod's interface", {"way": Interfaces(comes=4, goes=3)}),
    ("to another interface", {"way": Interfaces(comes=7, goes=4)}),
]


@pytest.mark.parametrize("how", [how for _, how in FORGED], ids=[name for name, _ in FORGED])
def test_a_forged_answer_tells_nothing_and_the_right_one_still_does(how: dict[str, Any]) -> None:
    world = World()
    world.ask(question(NAME))
    world.tell(answer(NAME, [(NAME, 60, "A", "192.0.2.66")]), **how)
    assert world.live() == frozenset()
    world.tell(answer(NAME, ONE))
    assert world.live() == {at("192.0.2.1")}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(answer(NAME, ONE, number=2), id="another number"),
        pytest.param(answer("b.example.com", [("b.example.com", 9, "A", "1.2.3.4")]), id="name"),
        pytest.param(answer(NAME, [(NAME, 9, "AAAA", "2001:db8::1")], "AAAA"), id="type"),
    ],
)
def test_an_answer_to_another_question_tells_nothing(data: bytes) -> None:
    world = World("*.example.com")
    world.ask(question(NAME))
    world.tell(data)
    assert world.reader.counts["unasked"] == 1
    assert len(world.cache) == 0


def test_an_answer_that_nobody_asked_for_tells_nothing() -> None:
    world = World()
    world.tell(answer(NAME, ONE))
    assert world.live() == frozenset()


def test_a_question_is_answered_once() -> None:
    world = World()
    world.ask(question(NAME))
    world.tell(answer(NAME, ONE))
    world.tell(answer(NAME, [(NAME, 60, "A", "192.0.2.66")]))
    assert world.live() == {at("192.0.2.1")}


def test_a_question_waits_so_long_and_no_longer() -> None:
    world = World()
    world.ask(question(NAME))
    world.now += SILENCE + 1
    world.tell(answer(NAME, ONE))
    assert world.live() == frozenset()


def test_a_bridge_tells_its_ports_apart() -> None:
    bridge = Interfaces(comes=2, goes=2, port_in=11, port_out=12)
    world = World()
    world.ask(question(NAME), bridge)
    world.tell(answer(NAME, ONE), Interfaces(comes=2, goes=2, port_in=11, port_out=11))
    assert world.live() == frozenset()
    world.tell(answer(NAME, ONE), Interfaces(comes=2, goes=2, port_in=12, port_out=11))
    assert world.live() == {at("192.0.2.1")}


def test_a_resolver_on_the_node_itself() -> None:
    world = World()
    world.ask(question(NAME), Interfaces(comes=3))
    world.tell(answer(NAME, ONE), Interfaces(goes=3))
    assert world.live() == {at("192.0.2.1")}


def test_a_pod_that_asks_without_end_pushes_out_its_own_questions() -> None:
    world = World()
    world.ask(question(NAME))
    for number in range(MOST + 5):
        world.ask(question(f"n{number}.test"), Interfaces(comes=5, goes=7))
    world.tell(answer(NAME, ONE))
    assert world.live() == {at("192.0.2.1")}
    assert len(world.reader._questions) == MOST


@pytest.mark.parametrize(
    ("address", "usable"),
    [
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("0.1.2.3", False),
        ("169.254.169.254", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("10.0.0.1", True),
        ("203.0.113.1", True),
        ("::1", False),
        ("::", False),
        ("fe80::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:192.0.2.1", False),
        ("64:ff9b::169.254.169.254", False),
        ("64:ff9b::192.0.2.1", True),
        ("64:ff9b:1::169.254.169.254", False),
        ("2002:7f00:1::1", False),
        ("2002:c000:201::1", True),
        ("fd00:ec2::254", False),
        ("168.63.129.16", False),
        ("64:ff9b::100.100.100.200", False),
        ("fd00::1", True),
        ("2001:db8::1", True),
    ],
)
def test_a_name_stands_for_no_address_of_the_pod_itself_or_of_a_link(
    address: str, usable: bool
) -> None:
    assert is_usable(at(address)) is usable


# -- TCP


def framed(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data


class Connection:
    """One connection of TCP, told segment by segment."""

    def __init__(self, world: World, port: int = PORT) -> None:
        self.world, self.port = world, port
        world.pass_(tcp(POD, port, RESOLVER, 53, b"", 999, 2), THERE)
        world.pass_(tcp(RESOLVER, 53, POD, port, b"", 0xFFFFFFFA, 0x12), BACK)
        self.there, self.back = 1000, 0xFFFFFFFB

    def ask(self, data: bytes) -> None:
        self.world.pass_(tcp(POD, self.port, RESOLVER, 53, data, self.there), THERE)
        self.there += len(data)

    def tell(self, data: bytes) -> None:
        self.world.pass_(tcp(RESOLVER, 53, POD, self.port, data, self.back), BACK)
        self.back = (self.back + len(data)) & 0xFFFFFFFF


@pytest.mark.parametrize("size", [1, 7, 5000])
def test_messages_in_segments_of_any_size(size: int) -> None:
    """The numbers of the segments pass 2**32 on the way."""
    world = World()
    connection = Connection(world)
    asked, told = framed(question(NAME)), framed(answer(NAME, ONE))
    for data, send in ((asked, connection.ask), (told, connection.tell)):
        for start in range(0, len(data), size):
            send(data[start : start + size])
    assert world.live() == {at("192.0.2.1")}


def test_several_questions_in_one_connection() -> None:
    world = World()
    connection = Connection(world)
    connection.ask(framed(question(NAME)) + framed(question(NAME, number=2)))
    connection.tell(framed(answer(NAME, ONE)))
    connection.tell(framed(answer(NAME, [(NAME, 60, "A", "192.0.2.2")], number=2)))
    assert world.live() == {at("192.0.2.1"), at("192.0.2.2")}


def test_a_segment_that_is_sent_again_is_read_once() -> None:
    world = World()
    connection = Connection(world)
    connection.ask(framed(question(NAME)))
    told = framed(answer(NAME, ONE))
    connection.tell(told[:10])
    connection.back -= 5
    connection.tell(told[5:])
    assert world.live() == {at("192.0.2.1")}


def test_after_a_gap_nothing_is_read() -> None:
    world = World()
    connection = Connection(world)
    connection.ask(framed(question(NAME)))
    connection.back += 1
    connection.tell(framed(answer(NAME, ONE)))
    connection.tell(framed(answer(NAME, ONE)))
    assert world.live() == frozenset()


def test_without_its_beginning_a_connection_is_not_read() -> None:
    world = World()
    world.pass_(tcp(POD, PORT, RESOLVER, 53, framed(question(NAME)), 5), THERE)
    assert world.reader.counts == {}


def test_streams_are_bounded_in_bytes_and_number() -> None:
    world = World()
    connection = Connection(world)
    connection.tell(b"\xff\xff" + bytes(MOST_BYTES))
    connection.tell(bytes(100))
    assert len(world.reader._streams) == 1
    for port in range(MOST_STREAMS + 10):
        Connection(world, 1000 + port)
    assert len(world.reader._streams) == MOST_STREAMS


# -- hostile packets


@pytest.mark.parametrize("family", [4, 6])
@given(data=st.binary(max_size=200), way=st.sampled_from([THERE, BACK]))
def test_any_packet_ends_and_raises_nothing(family: int, data: bytes, way: Interfaces) -> None:
    world = World()
    world.pass_(data, way, family)
    world.pass_(bytes([family << 4]) + data, way, family)
    source, destination = (POD, RESOLVER) if family == 4 else (POD6, RESOLVER6)
    for make in (udp, tcp):
        world.pass_(make(source, PORT, destination, 53, data), way, family)
        world.pass_(make(destination, 53, source, PORT, data), way, family)
    assert len(world.cache) == 0


@given(st.integers(0, 100), st.integers(0, 255))
def test_no_edit_of_an_answer_opens_another_name(index: int, value: int) -> None:
    world = World()
    data = bytearray(answer(NAME, ONE))
    data[index % len(data)] = value
    world.ask(question(NAME))
    world.tell(bytes(data))
    assert {each.name for each in world.cache.known()} <= {NAME}


def test_a_packet_that_was_not_copied_whole_tells_nothing() -> None:
    world = World()
    world.ask(question(NAME))
    whole = udp(RESOLVER, 53, POD, PORT, answer(NAME, ONE))
    for end in range(len(whole)):
        world.pass_(whole[:end], BACK)
    assert len(world.cache) == 0


def test_a_fragment_tells_nothing() -> None:
    world = World()
    world.ask(question(NAME))
    whole = bytearray(udp(RESOLVER, 53, POD, PORT, answer(NAME, ONE)))
    whole[6] = 0x20
    world.pass_(bytes(whole), BACK)
    assert len(world.cache) == 0
