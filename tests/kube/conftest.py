"""Lists in both of the ways in which a server gives them."""

from __future__ import annotations

import pytest


@pytest.fixture(params=[False, True], ids=["pages", "streamed"])
def streamed(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)
