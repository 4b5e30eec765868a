"""``podfence drops``: what a node denied, and by what."""

from __future__ import annotations

import time
from pathlib import Path

import click
from msgspec.structs import replace

from podfence.agent.localsocket import ask_drops
from podfence.cli.common import output_option
from podfence.cli.terminal import echo
from podfence.drops.record import Drop, Drops, End
from podfence.kernel import netns
from podfence.render.drops import drop_data, drop_text, drops_data, lost_text
from podfence.render.jsontext import json_bytes, json_text

_PAUSE = 0.5


@click.command("drops")
@click.option("--follow", is_flag=True, help="Go on, until you end it.")
@click.option(
    "-n", "--namespace", metavar="NAMESPACE", help="Only of pods in this namespace, at either end."
)
@click.option("--pod", metavar="POD", help="Only of this pod (namespace/name, or a name).")
@output_option
@click.option(
    "--run-dir",
    type=click.Path(path_type=Path),
    default=Path("/run/podfence"),
    show_default=True,
    metavar="DIR",
    help="Where the agent's socket lies.",
)
@click.option(
    "--netns",
    "namespace_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The network namespace that the agent enforces in, where it is not this one.",
)
def command(
    follow: bool,
    namespace: str | None,
    pod: str | None,
    output: str,
    run_dir: Path,
    namespace_file: Path | None,
) -> int:
    """Show what this node denied: which packets, whose, and by which policy.

    Run it on the node, as root; the agent answers. Packets that are alike are one line, with how
    many were seen; a flood is seen in part. Near misses say what the policy would have allowed.
    """
    number = netns.identity() if namespace_file is None else namespace_file.stat().st_ino
    found = ask_drops(run_dir, number)
    wanted = [drop for drop in found.drops if _is_about(drop, namespace, pod)]
    if not follow and output == "json":
        click.echo(json_text(drops_data([_with(found, wanted)])))
        return 0
    _print(wanted, output)
    _tell_lost(found, None)
    while follow:
        time.sleep(_PAUSE)
        before, found = found, ask_drops(run_dir, number, found.serial)
        if found.serial < before.serial:  # another agent, which counts anew
            found = ask_drops(run_dir, number)
        _print([drop for drop in found.drops if _is_about(drop, namespace, pod)], output)
        _tell_lost(found, before)
    return 0


def _with(found: Drops, wanted: list[Drop]) -> Drops:
    return replace(found, drops=tuple(wanted))


def _print(drops: list[Drop], output: str) -> None:
    for drop in drops:
        if output == "json":
            click.echo(json_bytes(drop_data(drop)))
        else:
            click.echo(drop_text(drop), nl=False)


def _tell_lost(found: Drops, before: Drops | None) -> None:
    is_news = before is None or (found.lost, found.forgotten) != (before.lost, before.forgotten)
    if is_news and (text := lost_text(found)):
        echo(f"note: {text}", err=True)


def _is_about(drop: Drop, namespace: str | None, pod: str | None) -> bool:
    return any(_is_of(end, namespace, pod) for end in (drop.source, drop.destination))


def _is_of(end: End, namespace: str | None, pod: str | None) -> bool:
    """Whether an end is asked for; ``pod`` with a namespace of its own needs no other."""
    if namespace is None and pod is None:
        return True
    for each in end.pods:
        where, _, name = each.partition("/")
        if (namespace is None or where == namespace) and (pod is None or pod in (each, name)):
            return True
    return False
