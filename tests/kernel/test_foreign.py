"""Flowtables of others, as the kernel lists them."""

from __future__ import annotations

import pytest

from podfence.kernel.netlink import attribute
from podfence.kernel.nftables.foreign import Flowtable, flowtable, flowtables
from podfence.kernel.nftables.nftsocket import NftSocket

TABLE, NAME, HOOK, USE = 1, 2, 3, 4
"""Of ``linux/netfilter/nf_tables.h``."""


def test_a_flowtable_is_named_with_its_table() -> None:
    body = b"".join(
        (
            attribute(TABLE, b"kindnet-fastpath\0"),
            attribute(NAME, b"kindnet-flowtables\0"),
            attribute(HOOK, attribute(1, b"\0\0\0\0")),
            attribute(USE, b"\0\0\0\1"),
        )
    )
    found = flowtable("inet", body)
    assert found == Flowtable("inet", "kindnet-fastpath", "kindnet-flowtables")
    assert str(found) == "inet kindnet-fastpath kindnet-flowtables"


def test_what_is_not_said_is_empty() -> None:
    assert flowtable("ip", b"") == Flowtable("ip", "", "")


@pytest.mark.kernel
def test_a_kernel_without_any() -> None:
    """The kernel knows the question, also where it can make no flowtable."""
    with NftSocket() as opened:
        assert flowtables(opened) == ()
