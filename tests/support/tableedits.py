"""What other hands may do to our table, as arguments of nft."""

from __future__ import annotations

from podfence.nft.lowering.lower import TABLE

EDITS = (
    ("add", "rule", "inet", TABLE, "input", "counter"),
    ("insert", "rule", "inet", TABLE, "forward", "accept"),
    ("flush", "chain", "inet", TABLE, "ingress"),
    ("flush", "table", "inet", TABLE),
    ("flush", "map", "inet", TABLE, "in4"),
)
