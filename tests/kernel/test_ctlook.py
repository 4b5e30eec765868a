"""Connections that the kernel tracks are told once each, as policies judge them."""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address

import pytest

from podfence.kernel.ctlook import ConnectionTable, TrackedConnection
from podfence.kernel.ctsweep import CTA_MARK
from podfence.kernel.netlink import NLM_F_ACK, NLM_F_REQUEST, decode_answers, message
from tests.kernel.nft_namespace import NftNamespace
from tests.kernel.test_ctsweep import MASK, OTHERS, connect, number, one_way, opened

pytestmark = pytest.mark.kernel

V4, V6 = ("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")


def add(space: NftNamespace, port: int, mark: int, ends: tuple[str, str] = V4) -> None:
    with opened(space) as connection:
        connect(connection, port, mark, *ends)


def change(connection: socket.socket, port: int, mark: int) -> None:
    """Another mark for a connection that is there."""
    body = (
        struct.pack(">BBH", 2, 0, 0) + one_way(V4[0], V4[1], (port, 80), 1) + number(CTA_MARK, mark)
    )
    connection.send(message(1 << 8, NLM_F_REQUEST | NLM_F_ACK, 1, body))
    (answer,) = decode_answers(connection.recv(1 << 16))
    assert answer.error == 0


def tracked(ends: tuple[str, str]) -> TrackedConnection:
    client, server = map(ip_address, ends)
    return TrackedConnection(client.version, int(client), int(server), 17, 80)


@pytest.mark.parametrize("ends", [V4, V6])
def test_a_connection_is_told_once(space: NftNamespace, ends: tuple[str, str]) -> None:
    table = ConnectionTable(MASK, space.fd)
    add(space, 1000, 5 << 16 | OTHERS, ends)
    assert dict(table.look().kinds) == {tracked(ends): 1}
    assert not table.look().kinds
    add(space, 1001, 6 << 16, ends)
    look = table.look()
    assert (dict(look.kinds), look.entries, look.cut) == ({tracked(ends): 1}, 2, False)


def test_kinds_that_are_still_there_are_told_when_asked_for(space: NftNamespace) -> None:
    table = ConnectionTable(MASK, space.fd)
    add(space, 1000, 1 << 16)
    add(space, 1001, 1 << 16)
    table.look()
    assert dict(table.look(still=True).kinds) == {tracked(V4): 0}
    add(space, 1002, 1 << 16)
    add(space, 1000, OTHERS, V6)
    assert dict(table.look(still=True).kinds) == {tracked(V4): 1}
    assert not table.look().kinds


def test_what_our_rules_did_not_let_pass_is_not_told(space: NftNamespace) -> None:
    add(space, 1000, OTHERS)
    assert not ConnectionTable(MASK, space.fd).look().kinds


def test_a_connection_that_gets_our_mark_later_is_told_in_the_end(space: NftNamespace) -> None:
    table = ConnectionTable(MASK, space.fd)
    add(space, 1000, OTHERS)
    table.look()
    with opened(space) as connection:
        change(connection, 1000, 1 << 16)
    found = [each for _ in range(6) for each in table.look().kinds]
    assert found == [tracked(V4)]


@pytest.mark.parametrize("ends", [V4, V6])
def test_connections_that_differ_in_the_clients_port_are_one_kind(
    space: NftNamespace, ends: tuple[str, str]
) -> None:
    for port in range(1000, 1100):
        add(space, port, 1 << 16, ends)
    assert dict(ConnectionTable(MASK, space.fd).look().kinds) == {tracked(ends): 100}


def test_a_look_is_cut(space: NftNamespace) -> None:
    """After a datagram, which holds some hundred connections."""
    for port in range(1000, 1400):
        add(space, port, 1 << 16)
    look = ConnectionTable(MASK, space.fd, most=4).look()
    assert (sum(look.kinds.values()), look.cut) == (look.entries, True)
    assert 4 <= look.entries < 400
