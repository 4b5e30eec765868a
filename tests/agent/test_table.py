"""Our table in a real kernel, through a socket that fails."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from podfence.agent.table import KernelTable
from podfence.errors import NftError, NftUnanswered
from podfence.kernel.nftables.notices import Notices
from podfence.nft.difference import diff, load
from podfence.nft.lowering.lower import TABLE
from podfence.nft.transaction import DeleteChain, Transaction
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
