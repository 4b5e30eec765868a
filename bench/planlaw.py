"""The long run of the laws of ``plan``: random pairs of clusters, each pair of ends asked alone.

    python -m bench.planlaw --samples 10000 --seed 1

Rule: sample ``k`` of seed ``n`` depends on nothing but the two; ``--seed n --only k`` runs it.
Exit 0: what plan says is the set difference of two maps in every sample, and where one object was
edited all is blamed on it; 1: some sample differs, the first of them is named.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from random import Random

from tests.support.planlaws import Compared, agree
from tests.support.random_changes import random_change

MOST_EDITS = 4


def sample(seed: int, number: int) -> int:
    """Check one pair of clusters; how many pairs of ends differ. Raises AssertionError."""
    edits = number % (MOST_EDITS + 1)
    old, new = random_change(Random(f"plan/{seed}/{number}"), edits)
    changed = agree(old, new)
    if edits == 1:
        seen = Compared(old, new)
        if len(seen.edits) == 1:
            assert {part.blame.edits for part in seen.blamed} <= {(0,)}, "blamed on nothing"
            assert all(part.blame.proved for part in seen.blamed), "not proved"
    return changed


def main(given: Sequence[str] | None = None) -> int:
    """Run the samples; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m bench.planlaw", description="Laws of plan.")
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, default=None, metavar="K", help="sample K alone")
    options = parser.parse_args(given)
    numbers = range(options.samples) if options.only is None else [options.only]
    changed = pairs = failed = 0
    for number in numbers:
        try:
            found = sample(options.seed, number)
        except AssertionError as error:
            failed += 1
            if failed == 1:
                print(f"sample {number}: {error}")
            continue
        changed += found > 0
        pairs += found
    print(
        f"{len(numbers):,} pairs of clusters, {changed:,} of them with changes, {pairs:,} pairs of "
        f"classes that differ; {failed} differences"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
