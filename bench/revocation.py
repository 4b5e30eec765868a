"""Live connections while policies change: what is revoked stops, what is kept loses nothing.

    python -m bench.revocation [--changes 300] [--clients 12] [--nodes 2]

Rule: real packets in the real kernel (``tests/support/revocation.py`` says which). Exit 0: nothing
leaked, nothing was lost; 1: else.
"""

from __future__ import annotations

import argparse
import sys

from podfence.render.tables import table
from tests.support.revocation import measure


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=300)
    parser.add_argument("--clients", type=int, default=12)
    parser.add_argument("--nodes", type=int, default=2)
    asked = parser.parse_args()
    seen, seconds = measure(asked.changes, asked.clients, asked.nodes)
    rows = [
        ("changes", str(asked.changes)),
        ("a change, median", f"{sorted(seconds)[len(seconds) // 2] * 1000:.0f} ms"),
        ("connections revoked by turns", str(seen.revoked_flows)),
        ("messages sent while revoked", str(seen.refused)),
        ("of these leaked", str(seen.leaked)),
        ("connections always kept", str(seen.kept_flows)),
        ("messages on these", str(seen.kept)),
        ("of these lost or sent again", str(seen.lost)),
    ]
    sys.stdout.write(table(("REVOCATION", "COUNT"), rows))
    return 1 if seen.leaked or seen.lost or not seen.refused else 0


if __name__ == "__main__":
    sys.exit(main())
