"""Domain names with real packets: what pods are told opens, and nothing else does."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from podfence.dns import cache
from podfence.dns.table import TABLE
from podfence.kernel.nftables.nftsocket import NftSocket
from podfence.kernel.nftables.table import NetlinkNft
from podfence.model.facts import Gone
from tests.support.dnsmessages import answer, udp
from tests.support.nameworld import RESOLVER, WEB, NameWorld, name_world

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(120)]

API, X, Y = "api.example.com", "192.0.2.1", "192.0.2.2"
CACHE = "169.254.20.10"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[NameWorld]:
    with name_world(tmp_path) as made:
        yield made


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses are live for as long as the answer says, however short that is."""
    monkeypatch.setattr(cache, "LEAST", 0)


def table(world: NameWorld) -> bool:
    """Whether there are rules that copy packets of DNS."""
    opened = NftSocket(world.node)
    try:
        return NetlinkNft(opened, TABLE).exists()
    finally:
        opened.close()


@pytest.mark.parametrize("tcp", [False, True], ids=["UDP", "TCP"])
@pytest.mark.parametrize(
    ("family", "kind", "address", "other"),
    [(4, "A", X, Y), (6, "AAAA", "2001:db8::1", "2001:db8::2")],
    ids=["IPv4", "IPv6"],
)
def test_an_answer_opens_what_it_tells_and_nothing_else(
    world: NameWorld, tcp: bool, family: int, kind: str, address: str, other: str
) -> None:
    world.server.records = {API: [(API, 60, kind, address)]}
    world.allow(API)
    assert not world.passes(address)
    world.ask(API, kind, family, tcp=tcp)
    world.becomes(True, address)
    assert not world.passes(other)


def test_wildcards_and_chains(world: NameWorld) -> None:
    world.server.records = {
        "a.b.example.com": [
            ("a.b.example.com", 60, "CNAME", "x.cdn.test."),
            ("x.cdn.test", 60, "A", X),
        ],
        "example.com": [("example.com", 60, "A", Y)],
        "evil.test": [("evil.test", 60, "CNAME", f"{API}."), (API, 60, "A", "192.0.2.3")],
    }
    world.allow("*.example.com")
    for name in ("example.com", "evil.test", "a.b.example.com"):
        world.ask(name)
    world.becomes(True, X)
    assert not world.passes(Y)
    assert not world.passes("192.0.2.3")


def test_what_one_pod_is_told_holds_for_all_that_may(world: NameWorld) -> None:
    world.server.records = {API: [(API, 60, "A", X)]}
    world.allow(API)
    world.ask(API)
    world.becomes(True, X)
    assert world.passes(X, by=world.other)


@pytest.mark.parametrize("tcp", [False, True], ids=["UDP", "TCP"])
def test_a_resolver_of_the_node_whose_packets_have_no_connection(
    world: NameWorld, tcp: bool
) -> None:
    """NodeLocal DNSCache has conntrack leave its packets alone."""
    world.caches(CACHE)
    world.server.records = {API: [(API, 60, "A", X)]}
    world.allow(API, resolvers=f"{CACHE}/32")
    world.ask(API, tcp=tcp)
    world.becomes(True, X)
    assert not world.passes(Y)


@pytest.mark.usefixtures("short")
def test_the_end_of_its_time_closes_for_new_connections_and_leaves_old_ones(
    world: NameWorld,
) -> None:
    world.server.records = {API: [(API, 2, "A", X)]}
    world.allow(API)
    world.ask(API)
    world.becomes(True, X)
    with (
        world.web.socket(socket.SOCK_DGRAM, WEB[0]) as one,
        world.outside.socket(socket.SOCK_DGRAM, X, 443) as other,
    ):
        one.connect((X, 443))
        one.send(b"there")
        _, sender = other.recvfrom(100)
        other.sendto(b"back", sender)
        assert one.recv(100) == b"back"
        epoch = world.agent.enforcer.status.epoch
        before = world.agent.names.counts().addresses
        other.close()
        world.becomes(False, X)
        assert world.agent.names.counts().addresses == before, "it is kept"
        turned = world.agent.enforcer.status.turned
        world.until(lambda: world.agent.enforcer.status.turned > turned, "another turn")
        assert world.agent.enforcer.status.epoch == epoch, "nobody is judged again"
        with world.outside.socket(socket.SOCK_DGRAM, X, 443) as again:
            world.allow(API, denied="198.51.0.0/16")
            world.until(lambda: world.agent.enforcer.status.epoch > epoch, "another epoch")
            one.send(b"still")
            assert again.recv(100) == b"still"
            again.sendto(b"back", sender)
            assert one.recv(100) == b"back"
    assert not world.passes(X)


def test_a_name_that_no_rule_has_any_more_ends_for_old_ones_too(world: NameWorld) -> None:
    world.server.records = {API: [(API, 60, "A", X)]}
    world.allow(API)
    world.ask(API)
    world.becomes(True, X)
    with (
        world.web.socket(socket.SOCK_DGRAM, WEB[0]) as one,
        world.outside.socket(socket.SOCK_DGRAM, X, 443) as other,
    ):
        one.connect((X, 443))
        one.send(b"there")
        other.sendto(b"back", other.recvfrom(100)[1])
        assert one.recv(100) == b"back"
        world.allow("other.example.com")
        other.close()
        world.becomes(False, X)
        with world.outside.socket(socket.SOCK_DGRAM, X, 443) as again:
            one.send(b"still")
            again.settimeout(0.3)
            with pytest.raises(TimeoutError):
                again.recv(100)


def test_a_restart_keeps_what_was_open_and_writes_nothing(world: NameWorld) -> None:
    world.server.records = {API: [(API, 60, "A", X)]}
    world.allow(API)
    world.ask(API)
    world.becomes(True, X)
    epoch = world.agent.enforcer.status.epoch
    world.restart()
    assert world.passes(X)
    assert world.agent.enforcer.status.epoch == epoch
    world.until(lambda: world.agent.enforcer.status.in_sync, "in sync")
    assert world.agent.enforcer.status.writes.operations == 0


def test_without_the_file_a_restart_closes_until_the_next_answer(world: NameWorld) -> None:
    world.server.records = {API: [(API, 60, "A", X)]}
    world.allow(API)
    world.ask(API)
    world.becomes(True, X)
    file = world.folder / "names-0.json"
    things = world.agent.things
    world.agent.stop()
    file.write_text("{}")
    world.agent = type(world.agent)(world)
    world.agent.start(things)
    world.becomes(False, X)
    world.ask(API)
    world.becomes(True, X)


def test_nothing_is_copied_while_no_policy_has_names(world: NameWorld) -> None:
    world.allow(API)
    assert table(world)
    world.allow()
    world.until(lambda: not table(world), "the table is deleted")
    world.allow(API)
    world.until(lambda: table(world), "the table is there again")


def test_a_fault_of_reading_ends_with_the_last_policy_that_has_names(world: NameWorld) -> None:
    world.allow(API)
    heard = time.monotonic()
    world.agent.resolvers.tell([(Gone("Pod", "kube-system", "dns"), "")], heard)
    world.until(lambda: bool(world.agent.names.conditions), "no resolver is known")
    world.agent.inbox.tell([(Gone("ClusterNetworkPolicy", "", "names0"), "")], heard)
    world.until(lambda: not table(world), "the table is deleted")
    world.until(lambda: not world.agent.names.conditions, "nothing is amiss")


def test_a_table_that_somebody_deletes_comes_again(
    world: NameWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("podfence.agent.names.LOOK", 0.1)
    world.allow(API)
    opened = NftSocket(world.node)
    NetlinkNft(opened, TABLE).delete()
    opened.close()
    world.until(lambda: table(world), "the table is there again")
    world.server.records = {API: [(API, 60, "A", X)]}
    world.ask(API)
    world.becomes(True, X)


# -- what a hostile pod can do


def test_a_server_of_the_pods_own_opens_nothing(world: NameWorld) -> None:
    world.allow(API)
    with (
        world.web.socket(socket.SOCK_DGRAM, WEB[0]) as asking,
        world.other.socket(socket.SOCK_DGRAM, world.other.address(4), 53) as server,
    ):
        asking.sendto(question(), (world.other.address(4), 53))
        _, sender = server.recvfrom(1000)
        server.sendto(answer(API, [(API, 60, "A", X)], number=1), sender)
        asking.recv(1000)
    assert not world.passes(X)
    assert world.agent.names.counts().messages == {}


def test_an_answer_in_the_name_of_the_resolver_opens_nothing(world: NameWorld) -> None:
    """A pod knows the number and the ports of its own question; the resolver is slow."""
    world.server.answer = lambda data: data  # type: ignore[method-assign]
    world.allow(API)
    with world.web.socket(socket.SOCK_DGRAM, WEB[0]) as asking:
        asking.sendto(question(), (RESOLVER[0], 53))
        asking.recv(1000)  # what came back was no answer; the question is still open
        port = asking.getsockname()[1]
        forged = udp(
            world.resolver.addresses[0],
            53,
            world.web.addresses[0],
            port,
            answer(API, [(API, 60, "A", X)], number=1),
        )
        for spot in (world.web, world.other):
            spot.inject(forged)
        asking.settimeout(2)
        assert asking.recv(1000), "the forged answer reaches the pod"
    world.until(lambda: world.agent.names.counts().messages.get("unasked", 0) >= 3, "refused")
    assert not world.passes(X)


def question() -> bytes:
    name = b"".join(struct.pack("B", len(each)) + each.encode() for each in API.split("."))
    return struct.pack(">HHHHHH", 1, 0x100, 1, 0, 0, 0) + name + b"\0" + struct.pack(">HH", 1, 1)
