"""The page's reasons against the engine's, on as many random pairs as one likes.

    python -m tests.web.atlength --pairs 20000 [--seed 0]
    python -m tests.web.atlength --pairs 20000 -f MANIFESTS

Rule: what is compared is the verdict of both directions, its reason, and every position that
decided, on ports at both sides of boundaries. Without ``-f`` the pairs are those of many small
clusters, with tiers and without; with it, a sample of all pairs of that input. It ends at the first
that differs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

from podfence.manifests.load import load
from podfence.policy.compile import compile_cluster
from podfence.questions.report import report
from tests.support.random_clusters import TIERS, Size, random_cluster
from tests.web.chromium import Browser
from tests.web.pages import write, write_cluster
from tests.web.test_answers import all_pairs_of, compare

AT_ONCE = 500
"""Pairs of one question to the page."""
PORTS = 4


def of_random_clusters(browser: Browser, folder: Path, wanted: int, seed: int) -> tuple[int, int]:
    """Pairs and answers that were compared. Raises AssertionError for one that differs."""
    pairs = answers = 0
    while pairs < wanted:
        rng = Random(seed)
        cluster = random_cluster(rng, rng.choice((Size(pods=14, policies=8), TIERS)))
        page, found = write_cluster(folder, cluster)
        browser.open(page)
        asked = all_pairs_of(found)
        answers += compare(browser, found, asked, PORTS)
        pairs, seed = pairs + len(asked), seed + 1
    return pairs, answers


def of_manifests(
    browser: Browser, folder: Path, paths: Sequence[str], wanted: int, seed: int
) -> tuple[int, int]:
    """The same of an input."""
    found = report(compile_cluster(load(paths).cluster))
    browser.open(write(folder, *[word for path in paths for word in ("-f", path)]))
    rng = Random(seed)
    every = all_pairs_of(found)
    asked = rng.sample(every, min(len(every), wanted))
    answers = 0
    for start in range(0, len(asked), AT_ONCE):
        answers += compare(browser, found, asked[start : start + AT_ONCE], PORTS)
    return len(asked), answers


def main(given: Sequence[str] | None = None) -> int:
    """Compare, and print how much."""
    parser = argparse.ArgumentParser(prog="python -m tests.web.atlength")
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-f", dest="paths", action="append", default=[])
    options = parser.parse_args(given)
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="podfence-pairs-") as name, Browser() as browser:
        folder = Path(name)
        if options.paths:
            done = of_manifests(browser, folder, options.paths, options.pairs, options.seed)
        else:
            done = of_random_clusters(browser, folder, options.pairs, options.seed)
    pairs, answers = done
    print(f"{pairs:,} pairs, {answers:,} answers, none differs; {time.monotonic() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
