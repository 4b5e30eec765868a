"""A share of what ``tests.web.atlength`` compares at length."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.session import ROOT
from tests.web.atlength import of_manifests, of_random_clusters
from tests.web.chromium import Browser

# A busy machine starts a browser late.
pytestmark = [pytest.mark.web, pytest.mark.slow, pytest.mark.timeout(900)]


def test_random_pairs_of_random_clusters(browser: Browser, tmp_path: Path) -> None:
    pairs, answers = of_random_clusters(browser, tmp_path, 2000, 100)
    assert answers > pairs >= 2000


def test_random_pairs_of_an_input(browser: Browser, tmp_path: Path) -> None:
    pairs, answers = of_manifests(browser, tmp_path, [str(ROOT / "examples/shop")], 20, 0)
    assert answers > pairs == 20
