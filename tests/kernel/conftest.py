"""What tests of the kernel share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kernel.nft_namespace import NftNamespace, nft_namespace


@pytest.fixture
def space() -> Iterator[NftNamespace]:
    """A network namespace of its own, with our table."""
    with nft_namespace() as found:
        yield found
