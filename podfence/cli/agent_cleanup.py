"""``podfence agent cleanup``: removes everything of podfence from a node."""

from __future__ import annotations

from pathlib import Path

import click

from podfence.agent import main
from podfence.cli.agent_options import (
    mark_option,
    netns_option,
    node_option,
    opened,
    run_dir_option,
    state_dir_option,
)


@click.command("cleanup")
@node_option(
    "The Node object of this node; without it $NODE_NAME. Without both, the counts of all nodes "
    "in --state-dir are deleted."
)
@run_dir_option("Where the agent kept state that survives a reboot.")
@state_dir_option("Where the agent kept state that survives a restart, but not a reboot.")
@mark_option
@netns_option
def command(
    node: str | None, run_dir: Path, state_dir: Path, mark_mask: int, netns: Path | None
) -> None:
    """Remove what the agent enforces on this node: afterwards everything passes.

    The tables are deleted, connections lose podfence's marks, and what was known of domain names
    and of uses of rules is forgotten. Stop the agent first: a running one writes its table again.
    """
    found = main.cleanup(mark_mask, run_dir, state_dir, opened(netns), node or "")
    click.echo("removed the table podfence" if found else "there was no table podfence")
