"""``podfence drops``: the packets that nodes denied, and the policies that denied them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from msgspec import Struct
from msgspec.structs import replace

from podfence.agent.fleet import NodeReply
from podfence.agent.localsocket import ask_drops, socket_name
from podfence.cli.agent_options import local_options
from podfence.cli.agents import AgentAccess, Agents, agents_options
from podfence.cli.common import output_option
from podfence.cli.terminal import echo
from podfence.drops.record import Drop, Drops, FlowEnd
from podfence.kernel import netns
from podfence.kube.agents import DROPS_PATH
from podfence.render.drops import drop_data, drop_text, drops_data, lost_text
from podfence.render.jsontext import json_bytes, json_text
from podfence.text import printable

_PAUSE: Final = 1.0


Ask = Callable[[Mapping[str, int]], list[NodeReply[Drops]]]
"""What each node tells now of what has changed after a serial, by node; else all."""


class DropFilter(Struct, frozen=True):
    """Which drops are wanted. ``pod`` with a namespace of its own needs no other."""

    namespace: str | None = None
    pod: str | None = None
    audit: bool = False

    def holds(self, drop: Drop) -> bool:
        """Whether a drop is wanted, by either end."""
        if self.audit and not drop.audit:
            return False
        return any(map(self._is_of, (drop.source, drop.destination)))

    def _is_of(self, end: FlowEnd) -> bool:
        if self.namespace is None and self.pod is None:
            return True
        for each in end.pods:
            where, _, name = each.partition("/")
            if self.namespace in (None, where) and self.pod in (None, each, name):
                return True
        return False


F = TypeVar("F", bound=Callable[..., Any])


def wanted_options(function: F) -> F:
    """``--follow``, ``-n``, ``--pod`` and ``--audit``."""
    for option in (
        click.option(
            "--audit",
            is_flag=True,
            help=("Only what audited policies would drop if they were enforced."),
        ),
        click.option("--pod", metavar="POD", help="Only of this pod (namespace/name, or a name)."),
        click.option(
            "-n",
            "--namespace",
            metavar="NAMESPACE",
            help="Only of pods in this namespace, at either end.",
        ),
        click.option("--follow", is_flag=True, help="Keep printing, until Ctrl+C."),
    ):
        function = option(function)
    return function


@click.command("drops")
@wanted_options
@output_option
@local_options
@agents_options
def command(
    follow: bool,
    namespace: str | None,
    pod: str | None,
    audit: bool,
    output: str,
    local: bool,
    run_dir: Path,
    namespace_file: Path | None,
    where: AgentAccess,
) -> int:
    """Show what was denied: which packets, whose, and by which policy.

    The agents of all nodes are asked, through the API server. On a node, as root, its own agent is
    asked at its socket, unless --context, --kubeconfig or --agent say which cluster. Packets that
    are alike are one line, with how many were seen; a flood is seen in part. Near misses say what
    the policy would have allowed. "would drop" is said of packets that passed, and that audited
    policies would have denied. Exit status 1: a node did not answer.
    """
    wanted = DropFilter(namespace, pod, audit)
    number = netns.identity() if namespace_file is None else namespace_file.stat().st_ino
    is_named = bool(where.context or where.kubeconfig or where.direct)
    if local or namespace_file or (not is_named and (run_dir / socket_name(number)).exists()):
        return run(lambda since: _here(run_dir, number, since), follow, wanted, output)
    with Agents(where) as agents:
        query = {"namespace": namespace} if namespace else {}
        return run(
            lambda since: agents.ask(DROPS_PATH, query, Drops, since=since), follow, wanted, output
        )


def _here(run_dir: Path, number: int, since: Mapping[str, int]) -> list[NodeReply[Drops]]:
    found = ask_drops(run_dir, number, max(since.values(), default=0))
    return [NodeReply(found.node, found)]


def run(ask: Ask, follow: bool, wanted: DropFilter, output: str) -> int:
    """Show the wanted drops of all nodes; returns the exit status."""
    told = ask({})
    if not follow and output == "json":
        click.echo(json_text(drops_data([_chosen(each, wanted) for each in told])))
        return _status(told)
    shown = ShownDrops(len(told) > 1)
    shown.show([_chosen(each, wanted) for each in told], output)
    while follow:
        time.sleep(_PAUSE)
        shown.show([_chosen(each, wanted) for each in ask(shown.serials)], output)
    return _status(told)


def _status(told: Sequence[NodeReply[Drops]]) -> int:
    return 0 if told and all(each.answer is not None for each in told) else 1


class ShownDrops:
    """What was shown of each node already. ``several``: each line names the node."""

    def __init__(self, several: bool) -> None:
        self._several = several
        self.serials: dict[str, int] = {}
        """By node, the serial of what was told last; 0 where another agent counts again."""
        self._notes: dict[str, str] = {}

    def show(self, told: Sequence[NodeReply[Drops]], output: str) -> None:
        """Show new drops, the oldest first."""
        new = [drop for each in told for drop in self._new(each)]
        for drop in sorted(new, key=lambda drop: drop.last):
            if output == "json":
                click.echo(json_bytes(drop_data(drop)))
            else:
                click.echo(drop_text(drop, with_node=self._several), nl=False)

    def _new(self, told: NodeReply[Drops]) -> list[Drop]:
        found = told.answer
        if found is None:
            self._note(told.node, f"node {printable(told.node)}: {printable(told.fault)}")
            return []
        self._note(told.node, lost_text(found))
        before = self.serials.get(told.node, 0)
        self.serials[told.node] = found.serial
        if found.serial < before:  # another agent, which counts again
            before = 0
            if not found.drops:  # it was asked for what came after a serial of the other
                self.serials[told.node] = 0
        return [drop for drop in found.drops if drop.serial > before]

    def _note(self, node: str, text: str) -> None:
        """Show a message once, until it changes."""
        if text and self._notes.get(node) != text:
            echo(f"note: {text}", err=True)
        self._notes[node] = text


def _chosen(told: NodeReply[Drops], wanted: DropFilter) -> NodeReply[Drops]:
    if told.answer is None:
        return told
    drops = tuple(filter(wanted.holds, told.answer.drops))
    return NodeReply(told.node, replace(told.answer, drops=drops))
