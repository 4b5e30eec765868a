"""Our table in a real kernel, through a socket that fails."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec.structs import replace

from podfence.agent.table import MANY, KernelTable
from podfence.errors import NftError, NftUnanswered
from podfence.kernel.nftables.nf_tables import NFNLGRP_NFTABLES
from podfence.kernel.nftables.nftsocket import NftSocket
from podfence.kernel.nftables.notices import Notice, Notices
from podfence.kernel.nftables.table import NetlinkNft
from podfence.nft.difference import diff, load
from podfence.nft.lowering.lower import TABLE
from podfence.nft.objects import MemberSet
from podfence.nft.transaction import AddElements, AddSet, DeleteChain, Transaction
from podfence.sets.members import Members
from tests.kernel.nft_namespace import NftNamespace, nft_namespace
from tests.nft.cases import CASES

pytestmark = pytest.mark.kernel
A, B = CASES[0].ruleset, CASES[1].ruleset


@pytest.fixture
def kernel() -> Iterator[NftNamespace]:
    with nft_namespace() as made:
        yield made


@pytest.fixture
def notices(kernel: NftNamespace) -> Iterator[Notices]:
    made = Notices(TABLE, kernel.fd)
    yield made
    made.close()


@pytest.fixture
def table(kernel: NftNamespace, notices: Notices) -> Iterator[KernelTable]:
    made = KernelTable(0xFFFF0000, notices, kernel.fd)
    made.run(load(A))
    yield made
    made.close()


def test_a_socket_that_fails_is_replaced_and_the_write_is_not_known_to_be_done(
    table: KernelTable, notices: Notices
) -> None:
    table.close()
    with pytest.raises(NftUnanswered):
        table.run(diff(A, B))
    assert table.list() == A
    table.run(diff(A, B))
    assert table.list() == B
    assert notices.wait(0.2) is None  # the new socket is ours, too


def test_no_new_socket_either_is_no_refusal(
    table: KernelTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who took it for one would believe that the table is as it was."""

    def none_left(_: int | None) -> NftSocket:
        raise NftError("no netlink socket for nftables: Too many open files")

    table.close()
    with monkeypatch.context() as patched:
        patched.setattr("podfence.agent.table.NftSocket", none_left)
        with pytest.raises(NftUnanswered, match="Too many open files"):
            table.run(diff(A, B))
    assert table.list() == A


def test_a_reading_is_done_again_by_a_new_socket(table: KernelTable) -> None:
    table.close()
    assert table.list() == A


def test_what_the_kernel_refuses_is_no_lost_answer(table: KernelTable) -> None:
    with pytest.raises(NftError) as refused:
        table.run(Transaction(A.table, (DeleteChain("nobody"),)))
    assert not isinstance(refused.value, NftUnanswered)
    assert table.list() == A


def test_what_we_never_write_cannot_be_read(table: KernelTable, kernel: NftNamespace) -> None:
    """Then all of it is replaced."""
    kernel.nft("add", "rule", "inet", TABLE, "forward", "meta", "priority", "set", "1:2")
    with pytest.raises(NftError):
        table.list()
    table.run(load(A))
    assert table.list() == A


def test_deleted_it_is_gone(table: KernelTable) -> None:
    assert table.delete()
    assert table.list() is None


BIG = MemberSet("p4_big", Members.of(4, range(1 << 24, (1 << 24) + 3 * MANY)))


def without_elements(large: MemberSet) -> MemberSet:
    return replace(large, elements=Members(large.elements.family))


def large_write(large: MemberSet = BIG) -> Transaction:
    """One that many elements come with."""
    return Transaction(A.table, (AddSet(without_elements(large)), AddElements(large)))


class Meanwhile:
    """Something that is done while the kernel writes; and who listened then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, kernel: NftNamespace) -> None:
        self.do: Callable[[], object] = bool
        self.listened: list[bool] = []
        self._kernel = kernel
        run = NetlinkNft.run

        def slow(table: NetlinkNft, transaction: Transaction) -> None:
            self.listened.append(self._is_heard())
            run(table, transaction)
            self.do()

        monkeypatch.setattr(NetlinkNft, "run", slow)

    def _is_heard(self) -> bool:
        """Whether any netlink socket of the namespace is in the group of nftables."""
        enter = ["nsenter", f"--net=/proc/self/fd/{self._kernel.fd}", "cat", "/proc/net/netlink"]
        told = subprocess.run(
            enter, capture_output=True, text=True, check=True, pass_fds=[self._kernel.fd]
        )
        groups = [int(line.split()[3], 16) for line in told.stdout.splitlines()[1:]]
        return any(group >> (NFNLGRP_NFTABLES - 1) & 1 for group in groups)


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch, kernel: NftNamespace) -> Meanwhile:
    return Meanwhile(monkeypatch, kernel)


def test_nobody_listens_to_a_large_write(
    table: KernelTable, notices: Notices, kernel: NftNamespace, meanwhile: Meanwhile
) -> None:
    table.run(large_write())
    table.run(large_write(MemberSet("p4_small", Members.of(4, range(9)))))
    assert meanwhile.listened == [False, True]
    assert notices.wait(0.1) is None
    kernel.nft("add", "chain", "inet", TABLE, "theirs")
    assert (notices.wait(30) or Notice("", 0)).process == "nft"


def test_what_others_do_during_a_large_write_is_known_to_have_been_done(
    table: KernelTable, notices: Notices, kernel: NftNamespace, meanwhile: Meanwhile
) -> None:
    meanwhile.do = lambda: kernel.nft("add", "chain", "inet", TABLE, "theirs")
    table.run(large_write())
    assert notices.wait(0.1) == Notice("", 0)
    assert notices.wait(0.1) is None


def test_a_refused_large_write_is_no_change_by_others(
    table: KernelTable, notices: Notices, kernel: NftNamespace, meanwhile: Meanwhile
) -> None:
    refused = Transaction(A.table, (*large_write(), DeleteChain("none")))
    with pytest.raises(NftError, match="no such object"):
        table.run(refused)
    assert meanwhile.listened == [False]
    assert notices.wait(0.1) is None
    kernel.nft("add", "chain", "inet", TABLE, "theirs")
    assert (notices.wait(30) or Notice("", 0)).process == "nft"


def test_what_others_have_begun_before_a_large_write_is_known_to_have_been_done(
    table: KernelTable, notices: Notices, kernel: NftNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel counts their transaction first, and tells of it only when it is through."""
    many = Members.of(4, range(1 << 28, (1 << 28) + 100_000))
    read = NetlinkNft.generation
    with NftSocket(kernel.fd) as socket, ThreadPoolExecutor(1) as other:
        others = NetlinkNft(socket)
        before = read(others)

        def as_soon_as_it_is_counted(table: NetlinkNft) -> int:
            while (now := read(table)) == before:
                pass
            return now

        monkeypatch.setattr(NetlinkNft, "generation", as_soon_as_it_is_counted)
        theirs = other.submit(
            others.run, large_write(replace(BIG, name="p4_theirs", elements=many))
        )
        table.run(large_write())
        theirs.result()
    assert notices.wait(30) is not None


def test_a_large_write_in_several_transactions_is_no_change_by_others(
    table: KernelTable, notices: Notices, kernel: NftNamespace, meanwhile: Meanwhile
) -> None:
    table._socket.limit = 1 << 17  # as of a user other than root
    much = Members.of(4, range(1 << 24, (1 << 24) + 40_000))
    table.run(large_write(replace(BIG, elements=much)))
    assert meanwhile.listened == [False]
    assert notices.wait(0.1) is None
    meanwhile.do = lambda: kernel.nft("add", "chain", "inet", TABLE, "theirs")
    table.run(large_write(replace(BIG, name="p4_other", elements=much)))
    assert notices.wait(0.1) == Notice("", 0)


def test_a_socket_that_fails_in_a_large_write_leaves_open_what_others_did(
    table: KernelTable, notices: Notices, kernel: NftNamespace, meanwhile: Meanwhile
) -> None:
    meanwhile.do = table.close
    table.run(large_write())
    assert notices.wait(0.1) == Notice("", 0)
    assert table.exists()
    kernel.nft("add", "chain", "inet", TABLE, "theirs")
    assert (notices.wait(30) or Notice("", 0)).process == "nft"
