"""``podfence agent cleanup``: nothing of podfence is left on a node."""

from __future__ import annotations

from pathlib import Path

import click

from podfence.agent import main
from podfence.cli.agent_options import mark_option, netns_option, opened


@click.command("cleanup")
@mark_option
@netns_option
def command(mark_mask: int, netns: Path | None) -> None:
    """Remove what the agent enforces on this node: afterwards everything passes.

    The table is deleted and connections lose podfence's marks. Stop the agent first: a running one
    makes its table anew.
    """
    found = main.cleanup(mark_mask, opened(netns))
    click.echo("removed the table podfence" if found else "there was no table podfence")
