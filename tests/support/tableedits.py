"""What other hands may do to our table, as arguments of nft."""

from __future__ import annotations

from podfence.nft.lowering.lower import TABLE

EDITS = (
    ("add", "rule", "inet", TABLE, "input", "counter"),
    ("insert", "rule", "inet", TABLE, "forward", "accept"),
    ("insert", "rule", "inet", TABLE, "forward", "ct", "mark", "7", "accept"),
    # marks of the first epochs, for whoever comes by
    ("insert", "rule", "inet", TABLE, "forward", "ct", "mark", "set", "0x00010000"),
    ("add", "rule", "inet", TABLE, "stamp", "accept"),
    ("flush", "chain", "inet", TABLE, "forward"),
    ("flush", "chain", "inet", TABLE, "stamp"),
    ("flush", "chain", "inet", TABLE, "ingress"),
    ("flush", "table", "inet", TABLE),
    ("flush", "map", "inet", TABLE, "in4"),
)
