"""``podfence lab drops``: the packets that a lab denied, and the policies that denied them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
from msgspec.structs import replace

from podfence.agent.fleet import NodeReply
from podfence.agent.localsocket import ask_drops
from podfence.cli import drops_command
from podfence.cli.common import output_option
from podfence.drops.record import Drops
from podfence.lab import client, messages
from podfence.lab.client import DEFAULT_NAME

F = TypeVar("F", bound=Callable[..., Any])


def name_option(function: F) -> F:
    """``--name NAME``."""
    return click.option(
        "--name",
        default=DEFAULT_NAME,
        metavar="NAME",
        help=("The name of the lab, when there are several."),
    )(function)


@click.command("drops")
@drops_command.wanted_options
@name_option
@output_option
def command(
    follow: bool, namespace: str | None, pod: str | None, audit: bool, name: str, output: str
) -> int:
    """Show what a lab that is up has denied: which packets, whose, and by which policy.

    As `podfence drops` shows it of a cluster, and named by the same code. Packets of `podfence lab
    test` are among them: most of its probes are denied.
    """
    ask = _denials(name)
    return drops_command.run(ask, follow, drops_command.DropFilter(namespace, pod, audit), output)


def _denials(name: str) -> drops_command.Ask:
    """Where the drops of a lab come from. Raises LabError."""
    stated = client.ask(name, messages.Status())
    if stated.api is None:

        def of_lab(since: Mapping[str, int]) -> list[NodeReply[Drops]]:
            return [
                NodeReply(each.node, each) for each in client.ask(name, messages.TellDenied(since))
            ]

        return of_lab
    folder = Path(stated.api.kubeconfig).parent
    numbers = [_namespace(name, state.node.name) for state in stated.nodes]

    def of_agents(since: Mapping[str, int]) -> list[NodeReply[Drops]]:
        found = [ask_drops(folder, number) for number in numbers]
        return [NodeReply(each.node, _after(each, since.get(each.node, 0))) for each in found]

    return of_agents


def _namespace(name: str, node: str) -> int:
    """The inode of a node's network namespace."""
    where = client.ask(name, messages.Exec(node, node))
    return os.stat(f"/proc/{where.pid}/fd/{where.number}").st_ino


def _after(found: Drops, serial: int) -> Drops:
    return replace(found, drops=tuple(each for each in found.drops if each.serial > serial))
