"""What the kernel says of changes that others make of our table."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from podfence.kernel.nftables.nftsocket import NftSocket
from podfence.kernel.nftables.notices import Notice, Notices
from podfence.kernel.nftables.table import NetlinkNft
from podfence.nft.difference import diff, load
from podfence.nft.lowering.lower import TABLE
from tests.kernel.nft_namespace import NftNamespace, nft_namespace
from tests.nft.cases import CASES

pytestmark = pytest.mark.kernel
A, B = CASES[0].ruleset, CASES[1].ruleset


@pytest.fixture
def kernel() -> Iterator[NftNamespace]:
    with nft_namespace() as made:
        made.table.replace(A)
        yield made


@pytest.fixture
def notices(kernel: NftNamespace) -> Iterator[Notices]:
    made = Notices(TABLE, kernel.fd)
    made.ignore(kernel.socket.port)
    yield made
    made.close()


def test_our_own_writes_are_not_told(kernel: NftNamespace, notices: Notices) -> None:
    kernel.table.run(diff(A, B))
    kernel.table.replace(A)
    assert notices.wait(0.2) is None


@pytest.mark.parametrize(
    "command",
    [
        "add rule inet podfence forward accept",
        "add element inet podfence podcidr4 { 192.0.2.0/24 }",
        "add chain inet podfence another",
        "delete table inet podfence",
        "flush ruleset",
        "flush chain inet podfence forward",
    ],
)
def test_others_are_told_by_name(kernel: NftNamespace, notices: Notices, command: str) -> None:
    kernel.nft(*command.split())
    found = notices.wait(30)
    assert found is not None
    assert (found.process, found.number > 1) == ("nft", True)
    assert notices.wait(0.1) is None


@pytest.mark.parametrize(
    "commands",
    [
        ["add table inet other", "add chain inet other podfence", "delete table inet other"],
        ["add table ip podfence", "add chain ip podfence forward", "delete table ip podfence"],
        ["list ruleset"],
    ],
)
def test_what_is_not_our_table_is_not_told(
    kernel: NftNamespace, notices: Notices, commands: list[str]
) -> None:
    for command in commands:
        kernel.nft(*command.split())
    assert notices.wait(0.2) is None


def test_another_socket_of_this_process_is_another(kernel: NftNamespace, notices: Notices) -> None:
    with NftSocket(kernel.fd) as socket:
        NetlinkNft(socket).run(diff(A, B))
        found = notices.wait(30)
        assert found is not None
        assert found.number > 0
        notices.ignore(socket.port)
        NetlinkNft(socket).run(diff(B, A))
        assert notices.wait(0.2) is None


def test_lost_notices_count_as_one_change_by_an_unknown_process(
    kernel: NftNamespace, notices: Notices
) -> None:
    """More than the buffer takes: each element is a message."""
    with NftSocket(kernel.fd) as socket:
        table = NetlinkNft(socket)
        for _ in range(60):
            table.run(load(B))
            table.run(load(A))
            kernel.nft("add", "set", "inet", TABLE, "many", "{ type inet_service; }")
            ports = ", ".join(map(str, range(1, 20_000)))
            kernel.nft("-f", "-", text=f"add element inet {TABLE} many {{ {ports} }}")
            found = notices.wait(30)
            assert found is not None
            if found == Notice("", 0):
                return
    pytest.fail("nothing was lost")


def test_deleting_says_whether_there_was_a_table(kernel: NftNamespace) -> None:
    assert kernel.table.delete()
    assert kernel.table.list() is None
    assert not kernel.table.delete()
    assert kernel.table.list() is None


def test_the_namespace_is_not_left(kernel: NftNamespace) -> None:
    before = os.stat("/proc/self/ns/net").st_ino
    Notices(TABLE, kernel.fd).close()
    assert os.stat("/proc/self/ns/net").st_ino == before
