"""Flow records on the command line: reads them, and reports records that cannot be read."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from podfence.cli.terminal import echo
from podfence.flows.seen import FlowRecords
from podfence.manifests.flowfiles import read_flows
from podfence.text import printable

FORMATS = (
    "Flow records: hubble observe -o jsonpb, flow logs of Calico, conntrack -L, podfence drops -o "
    "json, or CSV with source,destination,protocol,port; also compressed with gzip. Repeatable."
)


def read_seen(files: Sequence[str]) -> FlowRecords:
    """The records of all files together; the first damaged records are named on standard error.
    Raises PodfenceError (PF011) for a file that cannot be read."""
    seen = read_flows(files, sys.stdin.buffer if "-" in files else None)
    for position in seen.unread_at:
        where = f"{printable(position.file)}:{position.line}"
        echo(f"{where}: error[PF011]: {printable(position.message)}", err=True)
    more = seen.unread - len(seen.unread_at)
    if more > 0:
        echo(f"error[PF011]: {more:,} more records cannot be read", err=True)
    return seen
