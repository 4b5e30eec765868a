"""Counters, read from a real table beside others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from podfence.kernel.nftables.counters import ChainCount, counted
from tests.kernel.nft_namespace import NftNamespace, nft_namespace

pytestmark = pytest.mark.kernel

TABLE = """
table inet mine {
    set s { type ipv4_addr; counter; elements = { 10.0.0.1 counter packets 9 bytes 9 } }
    chain a { counter packets 5 bytes 300 drop; }
    chain b { ip saddr 10.0.0.1 counter packets 1 bytes 10; counter packets 2 bytes 20; }
    chain c { ip saddr @s accept comment "counter"; }
    chain d { limit rate 1/second log prefix "counter" group 7; }
}
table inet other {
    chain a { counter packets 7 bytes 7; }
}
"""


@pytest.fixture
def namespace() -> Iterator[NftNamespace]:
    with nft_namespace() as made:
        yield made


def test_counters_of_our_table_by_chain(namespace: NftNamespace) -> None:
    namespace.nft("-f", "-", text=TABLE)
    assert counted(namespace.socket, "mine") == {"a": ChainCount(5, 300), "b": ChainCount(3, 30)}


def test_of_no_table_there_is_nothing(namespace: NftNamespace) -> None:
    assert counted(namespace.socket, "mine") == {}
