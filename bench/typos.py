"""How many slips of the pen ``check`` calls errors.

What changes no row of the map is not counted. Run: python -m bench.typos [N].
"""

from __future__ import annotations

import sys
from collections import Counter

from podfence.errors import Severity
from tests.support.slips import slips


def main(rounds: int) -> None:
    """Print the rate, and what was not called an error."""
    changed = caught = warned = 0
    missed: Counter[str] = Counter()
    for slip in slips(rounds):
        if not slip.changes_the_map:
            continue
        changed += 1
        caught += slip.said is Severity.ERROR
        warned += slip.said is Severity.WARNING
        if slip.said is not Severity.ERROR:
            missed[f"{slip.kind}: {slip.words}"] += 1
    print(
        f"{rounds} slips, {changed} change the map; {caught} are errors "
        f"({100 * caught / changed:.0f} %), {warned} more are warnings"
    )
    for words, number in missed.most_common():
        print(f"  {number} {words}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
