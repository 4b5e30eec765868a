"""``podfence agent``: the commands of one node of a real cluster, each imported when called."""

from __future__ import annotations

import click

from podfence.cli.main import LazyGroup

COMMANDS = {
    "render": "Print the nftables rules that a node would get.",
}
"""Command name -> one line of help, in the order of the help page."""


@click.group("agent", cls=LazyGroup, lazy=COMMANDS, module="podfence.cli.agent_{}")
def command() -> None:
    """Enforce the policies of a cluster on one of its nodes."""
