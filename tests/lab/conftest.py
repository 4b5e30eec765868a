"""A network of its own for tests that touch one in this process."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from podfence.kernel import netns


@pytest.fixture
def private_network() -> Iterator[None]:
    """Puts this thread into a new network namespace, and back afterwards; needs root."""
    if os.geteuid() != 0:
        pytest.skip("only root can come back from a network namespace")
    home = netns.current()
    netns.join(netns.create())
    try:
        yield
    finally:
        netns.join(home)
        os.close(home)
