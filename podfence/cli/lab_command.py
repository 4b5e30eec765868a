"""``podfence lab``: the policies in this machine's kernel, tested with real packets."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import click

from podfence.cli.common import (
    Inputs,
    input_options,
    load_cluster,
    namespace_option,
    read_names,
    resolve_option,
    without_verdict,
)
from podfence.cli.targets import qualified, question
from podfence.errors import LabError, PodfenceError
from podfence.kernel import netns
from podfence.lab import client, messages
from podfence.lab.probing.process import LabProcess
from podfence.lab.run import LabOptions, run_lab
from podfence.lab.server import start
from podfence.lab.session import Session, world
from podfence.lab.testbed.placement import MAX_NODES, NODES_OF_INPUT
from podfence.lab.whereabouts import DEFAULT_NAME, known_names, socket_path
from podfence.manifests.load import Loaded
from podfence.model.meta import DEFAULT_NAMESPACE
from podfence.policy.compile import compile_cluster
from podfence.render.lab import report_text
from podfence.text import printable

F = TypeVar("F", bound=Callable[..., Any])
NOT_EXECUTABLE, NOT_FOUND = 126, 127
"""Exit statuses of ``exec`` for a command that cannot be started, as shells have them."""


def nodes_option(function: F) -> F:
    """``--nodes N``."""
    return click.option(
        "--nodes",
        type=click.IntRange(1, MAX_NODES),
        metavar="N",
        help=f"Spread the pods over N nodes (1 to {MAX_NODES}), each enforcing its own rules. "
        f"Without it: the Node objects of the input, at most {NODES_OF_INPUT}, or else one node.",
    )(function)


def name_option(function: F) -> F:
    """``--name NAME``."""
    return click.option(
        "--name", default=DEFAULT_NAME, metavar="NAME", help="Which lab, when there are several."
    )(function)


@click.group("lab")
def command() -> None:
    """Enforce policies in this machine's kernel and test them with real packets.

    Pods become network namespaces, nothing on the host's network is touched, and everything is gone
    afterwards. Needs Linux with nftables; root, or user namespaces.

    `run` builds, probes every pair and is done. For a session of work: `up` once, then edit the
    files and `apply`, look with `why`, `test` and `exec`, and end with `down`.
    """


@command.command("run")
@input_options
@nodes_option
@resolve_option
def run(inputs: Inputs, nodes: int | None, resolve: str | None) -> int:
    """Build the pods, load the policies, probe every pair, compare with the engine.

    Exit status 0 when the kernel did what the engine says in every probe, 1 when it did not.
    """
    names = read_names(resolve, *inputs.paths)
    loaded = _load(inputs)
    index = compile_cluster(loaded.cluster, names)
    report = run_lab(index, LabOptions(nodes=nodes or 0), progress=_progress)
    workloads = {f"{p.namespace}/{p.name}": str(p.owner or p.ref) for p in loaded.cluster.pods}
    click.echo(report_text(report, workloads, loaded.locate), nl=False)
    return 0 if report.clean else 1


def _load(inputs: Inputs) -> Loaded:
    loaded = load_cluster(inputs)
    if loaded.doubts:
        raise PodfenceError(f"no lab: {without_verdict(loaded, loaded.doubts)}", code="PF007")
    return loaded


def _progress(line: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"lab: {printable(line)}", err=True)


@command.command("up")
@input_options
@nodes_option
@resolve_option
@name_option
def up(inputs: Inputs, nodes: int | None, resolve: str | None, name: str) -> int:
    """Build a lab that stays, with the policies enforced.

    It runs in the background until `podfence lab down`. Every pod answers on every port that some
    policy or container names.
    """
    path = socket_path(name)
    if client.is_up(name):
        raise LabError(
            f"a lab named {name} is up already; change it with podfence lab apply, or end it with "
            "podfence lab down"
        )
    names = read_names(resolve, *inputs.paths)
    loaded = _load(inputs)
    options = LabOptions(nodes=nodes or 0)
    first = world(messages.Input.of(loaded.cluster, loaded.positions, names), options)
    begin = partial(_session, name=name, first=first, options=options)
    return _say(start(path, LabProcess(first.plan), begin))


def _session(lab: LabProcess, *, name: str, first: Any, options: LabOptions) -> Session:
    return Session(name, lab, first, options)


def _say(reply: messages.Reply) -> int:
    click.echo(reply.text, nl=False)
    return reply.status


@command.command("apply")
@input_options
@resolve_option
@name_option
@click.option(
    "--watch", is_flag=True, help="Keep connections alive meanwhile, and account for them."
)
def apply(inputs: Inputs, resolve: str | None, name: str, watch: bool) -> int:
    """Make a lab that is up enforce these files, and show which verdicts that changed.

    The files are the whole input: pods and policies that they do not hold go. It is one transaction
    a node, and nothing at all when any file has an error. Live connections that are allowed no
    longer stop at their next packet; the others lose nothing.
    """
    names = read_names(resolve, *inputs.paths)
    loaded = load_cluster(inputs)
    if loaded.doubts:
        said = without_verdict(loaded, loaded.doubts)
        raise PodfenceError(f"the lab stays as it is: {said}", code="PF007")
    read = messages.Input.of(loaded.cluster, loaded.positions, names)
    return _say(client.ask(name, messages.Apply(read, watch)))


@command.command("why")
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST:PORT[/PROTO]")
@namespace_option
@name_option
def why(source: str, target: str, namespace: str | None, name: str) -> int:
    """Explain whether SRC can reach DST on PORT, and send a real packet to see.

    Exit status 0 when it can, 1 when it cannot.
    """
    asked = question(source, target, namespace)
    return _say(client.ask(name, messages.Why(asked)))


@command.command("test")
@name_option
def test(name: str) -> int:
    """Probe every pair of a lab that is up, and compare with the engine.

    Exit status 0 when the kernel did what the engine says in every probe, 1 when it did not.
    """
    return _say(client.ask(name, messages.TryAll()))


@command.command("exec", context_settings={"ignore_unknown_options": True})
@click.argument("pod", metavar="POD")
@click.argument("arguments", metavar="-- COMMAND", nargs=-1, required=True, type=click.UNPROCESSED)
@namespace_option
@name_option
def exec_(pod: str, arguments: tuple[str, ...], namespace: str | None, name: str) -> int:
    """Run COMMAND in the network of a pod, with this terminal's input and output.

    POD is namespace/pod, a workload (its first pod), a node, or KIND/NAME of one of these. Files
    and programs are those of this machine. The exit status is the command's.
    """
    where = messages.Exec(pod, qualified(pod, namespace), namespace or DEFAULT_NAMESPACE)
    found = client.namespace(name, where)
    netns.enter(found.pid, found.number, rootless=found.rootless)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvp(arguments[0], arguments)  # noqa: S606 - the whole purpose; no shell is involved
    except OSError as error:
        click.echo(f"{arguments[0]}: {error.strerror}", err=True)
        return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE


@command.command("status")
@name_option
def status(name: str) -> int:
    """Say what a lab is made of."""
    return _say(client.ask(name, messages.Status()))


@command.command("down")
@name_option
@click.option("--all", "everything", is_flag=True, help="Every lab, and what crashed ones left.")
def down(name: str, everything: bool) -> int:
    """End a lab. Its pods, rules and connections are gone with it."""
    if not everything:
        if not client.take_down(name):
            raise LabError(f"no lab named {name} is up")
        click.echo(f"lab {name} is down")
        return 0
    for each in known_names():
        ended = client.take_down(each)
        click.echo(f"lab {each} {'is down' if ended else 'had crashed; its socket is removed'}")
    return 0
