"""Listings of connections that were cut, or lie about their lengths, are read as far as they go."""

from __future__ import annotations

import pytest

from tests.support.readers import READERS, Reader

READER: Reader = next(reader for reader in READERS if reader.name == "connections")
SEEDS = [*READER.seeds()]


@pytest.mark.parametrize("data", SEEDS, ids=["v4", "v6"])
def test_a_listing_may_end_anywhere(data: bytes) -> None:
    for size in range(len(data)):
        READER.read(data[:size])


@pytest.mark.parametrize("length", [0, 4, 16, 19, 20, 21, 500, 0xFFFFFFFF])
@pytest.mark.parametrize("data", SEEDS, ids=["v4", "v6"])
def test_the_length_of_a_message_is_not_believed(data: bytes, length: int) -> None:
    READER.read(length.to_bytes(4, "little") + data[4:])
