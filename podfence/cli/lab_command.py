"""``podfence lab``: the policies in this machine's kernel, tested with real packets."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from podfence.cli import lab_drops
from podfence.cli.common import (
    load_cluster,
    output_option,
    read_names,
    resolve_option,
    without_verdict,
)
from podfence.cli.inputs import Inputs, complete_files, input_options, namespace_option
from podfence.cli.lab_drops import name_option
from podfence.cli.targets import qualified, question
from podfence.cli.testenvironments import lab_progress, packets_refuse, tried_in_lab
from podfence.cli.testinputs import read_tests
from podfence.errors import HostError, LabError, LabGone, Locate, PodfenceError
from podfence.kernel import mounts, netns
from podfence.kernel.bindnotice import announce_binds
from podfence.lab import client, messages
from podfence.lab.client import known_names, socket_path
from podfence.lab.probing.process import LabProcess
from podfence.lab.run import run_lab
from podfence.lab.server import start
from podfence.lab.session import LabWorld, Session, world
from podfence.lab.testbed.report import LabReport
from podfence.lab.testbed.scheduling import MAX_NODES, NODES_OF_INPUT
from podfence.lab.trial import LabOptions
from podfence.manifests.load import Loaded
from podfence.model.meta import DEFAULT_NAMESPACE
from podfence.policy.compile import compile_cluster
from podfence.policy.domains import DomainTable
from podfence.render import lab as texts
from podfence.render import lab_json as data
from podfence.render.jsontext import json_text
from podfence.render.lab_report import report_text
from podfence.render.tests_told import LAB

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
@output_option
def run(inputs: Inputs, nodes: int | None, resolve: str | None, output: str) -> int:
    """Build the pods, load the policies, probe every pair, compare with the engine.

    Exit status 0 when the kernel did what the engine says in every probe, 1 when it did not.
    """
    names = read_names(resolve, *inputs.paths)
    loaded = _load(inputs)
    index = compile_cluster(loaded.cluster, names)
    report = run_lab(index, LabOptions(nodes=nodes or 0), progress=lab_progress)
    return _report(report, loaded.locate, output)


def _report(report: LabReport, locate: Locate, output: str) -> int:
    if output == "json":
        click.echo(json_text(data.report_data(report, locate)))
    else:
        click.echo(report_text(report, locate), nl=False)
    return 0 if report.clean else 1


def _load(inputs: Inputs) -> Loaded:
    loaded = load_cluster(inputs)
    packets_refuse(loaded, (LAB,))
    return loaded


@command.command("up")
@input_options
@nodes_option
@resolve_option
@name_option
@output_option
@click.option(
    "--api",
    is_flag=True,
    help="Take no files: the lab gets an API server of its own, and you create the objects with "
    "kubectl. `podfence agent` enforces on each node (1 without --nodes).",
)
@click.option(
    "--api-programs",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The folder with etcd and kube-apiserver. Without it: $PODFENCE_APISERVER_ASSETS, "
    "$KUBEBUILDER_ASSETS, /usr/local/kubebuilder/bin, or the PATH.",
)
def up(
    inputs: Inputs,
    nodes: int | None,
    resolve: str | None,
    name: str,
    output: str,
    api: bool,
    api_programs: Path | None,
) -> int:
    """Build a lab that stays, with the policies enforced.

    It runs in the background until `podfence lab down`. Every pod answers on every port that some
    policy or container names.
    """
    if api_programs is not None and not api:
        raise click.UsageError("--api-programs goes with --api")
    path = socket_path(name)
    if client.is_up(name):
        raise LabError(
            f"a lab named {name} is up already; change it with podfence lab apply, or end it with "
            "podfence lab down"
        )
    if api:
        _refuse_input(inputs, resolve)
        return _up_with_api(path, name, nodes or 1, api_programs, output)
    names = read_names(resolve, *inputs.paths)
    loaded = _load(inputs)
    options = LabOptions(nodes=nodes or 0)
    first = world(messages.LabInput.of(loaded.cluster, loaded.positions, names), options)
    begin = partial(_session, name=name, first=first, options=options)
    stated = start(path, LabProcess(first.plan), begin)
    _say(output, data.stated_data(stated), texts.stated_text(stated, parties=False))
    return 0


def _refuse_input(inputs: Inputs, resolve: str | None) -> None:
    """Raises UsageError for input of a lab with an API server, which reads none."""
    if inputs.paths:
        raise click.UsageError("--api takes no files: drop -f, and use kubectl apply -f")
    if inputs.context or inputs.kubeconfig:
        raise click.UsageError("--api makes an API server of its own: drop --context, --kubeconfig")
    if resolve is not None:
        raise click.UsageError(
            "--api enforces with agents, which take no table of names: drop --resolve"
        )


def _up_with_api(path: Path, name: str, nodes: int, folder: Path | None, output: str) -> int:
    from podfence.lab.api.folder import link_of
    from podfence.lab.api.programs import find_programs
    from podfence.lab.api.up import bring_up, empty_world, nodes_of

    programs = find_programs(folder)
    options = LabOptions(nodes=nodes)
    first = empty_world(nodes_of(nodes), options)
    lab_progress("starting etcd, kube-apiserver and an agent for each node")
    begin = partial(
        bring_up,
        name=name,
        nodes=nodes_of(nodes),
        first=first,
        options=options,
        programs=programs,
        link=link_of(path),
    )
    stated = start(path, LabProcess(first.plan), begin)
    _say(output, data.stated_data(stated), texts.stated_text(stated, parties=False))
    return 0


def _session(lab: LabProcess, *, name: str, first: LabWorld, options: LabOptions) -> Session:
    return Session(name, lab, first, options)


def _say(output: str, value: object, text: str) -> None:
    if output == "json":
        click.echo(json_text(value))
    else:
        click.echo(text, nl=False)


@command.command("apply")
@input_options
@resolve_option
@name_option
@output_option
@click.option(
    "--watch",
    is_flag=True,
    help=("Keep connections open during the change, and report what happens to them."),
)
def apply(inputs: Inputs, resolve: str | None, name: str, output: str, watch: bool) -> int:
    """Make a lab that is up enforce these files, and show which verdicts that changed.

    The files are the whole input: pods and policies that they do not hold go. It is one transaction
    a node, and nothing at all while something that could not be read might change a verdict. Live
    connections that are allowed no longer stop at their next packet; the others lose nothing.
    """
    names = read_names(resolve, *inputs.paths)
    loaded = load_cluster(inputs)
    if loaded.doubts:
        said = without_verdict(loaded, loaded.doubts)
        raise PodfenceError(f"the lab is unchanged: {said}", code="PF007")
    read = messages.LabInput.of(loaded.cluster, loaded.positions, names)
    applied = client.ask(name, messages.Apply(read, traffic=watch))
    _say(output, data.applied_data(applied), texts.applied_text(applied))
    return 0


@command.command("why")
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST:PORT[/PROTO]")
@namespace_option
@name_option
@output_option
def why(source: str, target: str, namespace: str | None, name: str, output: str) -> int:
    """Explain whether SRC can reach DST on PORT, and send a real packet to see.

    Exit status 0 when it can, 1 when it cannot.
    """
    asked = question(source, target, namespace)
    explained = client.ask(name, messages.Why(asked))
    _say(output, data.explained_data(explained), texts.explained_text(explained))
    return 0 if explained.answer.can.allowed else 1


@command.command("test")
@click.argument("files", metavar="[FILE...]", nargs=-1, shell_complete=complete_files)
@input_options
@nodes_option
@resolve_option
@name_option
@output_option
def test(
    files: tuple[str, ...],
    inputs: Inputs,
    nodes: int | None,
    resolve: str | None,
    name: str,
    output: str,
) -> int:
    """Probe every pair of a lab that is up, or try test files with packets.

    Without FILE: a lab that is up, compared with the engine. With FILE, of kind PolicyTests as for
    `podfence test`, and -f: a lab of its own is built, with pods to come, and packets decide what
    comes of each test. Exit status 0 when all is as it should be, 1 when it is not.
    """
    if files:
        if not inputs.paths:
            raise click.UsageError("name the manifests with -f: a lab of its own is built for them")
        return _try_files(files, inputs, read_names(resolve, *files, *inputs.paths), nodes, output)
    if inputs.paths:
        raise click.UsageError("-f goes with test files; a lab that is up has its own input")
    tested = client.ask(name, messages.TryAll())
    return _report(tested.report, tested.positions.locate, output)


def _try_files(
    files: Sequence[str], inputs: Inputs, names: DomainTable, nodes: int | None, output: str
) -> int:
    from podfence.render.lab_tests import proved_data, proved_text

    tests = read_tests(files)
    loaded = _load(inputs)
    options = LabOptions(nodes=nodes or 0)
    packets = tried_in_lab(loaded, names, tests.files, lambda _: True, options)
    found = [each for _, proved in packets for each in proved]
    locate = tests.locating(loaded.locate)
    _say(output, proved_data(found, locate), proved_text(found, locate))
    if all(result.status == "skipped" for result in found):
        click.echo("error[PF001]: no test was run", err=True)
        return 2
    return int(any(result.status not in ("passed", "skipped") for result in found))


@command.command("exec", context_settings={"ignore_unknown_options": True})
@click.argument("pod", metavar="POD")
@click.argument("arguments", metavar="-- COMMAND", nargs=-1, required=True, type=click.UNPROCESSED)
@namespace_option
@name_option
def exec_(pod: str, arguments: tuple[str, ...], namespace: str | None, name: str) -> int:
    """Run COMMAND in the network of a pod, with this terminal's input and output.

    POD is namespace/pod, a workload (its first pod), a node, or KIND/NAME of one of these. Files
    and programs are those of this machine; names of pods and Services resolve as in the cluster. A
    server may take any port: the lab steps aside while it runs. The exit status is the command's.
    """
    where = messages.Exec(pod, qualified(pod, namespace), namespace or DEFAULT_NAMESPACE)
    found = client.ask(name, where)
    path = socket_path(name)
    netns.enter(found.pid, found.number, rootless=found.rootless)
    try:
        mounts.cover(found.files)
    except HostError as error:
        click.echo(f"note: names of pods and Services do not resolve: {error.message}", err=True)
    _announce_binds(name, found.party, path)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvp(arguments[0], arguments)  # noqa: S606 - the whole purpose; no shell is involved
    except OSError as error:
        click.echo(f"{arguments[0]}: {error.strerror}", err=True)
        return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE


def _announce_binds(name: str, party: str, path: Path) -> None:
    """Tell the lab when the command wants a port on which the lab listens."""
    notices = announce_binds()
    if notices is None:
        text = "this kernel cannot tell the lab when a server wants one of its ports"
        click.echo(f"note: {text}", err=True)
        return
    try:
        client.ask(name, messages.StepAside(party), notices, path)
    finally:
        os.close(notices)


command.add_command(lab_drops.command)


@command.command("status")
@name_option
@output_option
def status(name: str, output: str) -> int:
    """Say what a lab is made of."""
    stated = client.ask(name, messages.Status())
    _say(output, data.stated_data(stated), texts.stated_text(stated, parties=True))
    return 0


@command.command("list")
@output_option
def list_(output: str) -> int:
    """List the labs that are up."""
    labs = []
    for name in client.labs_that_are_up():
        with suppress(LabGone):  # it ended meanwhile
            labs.append(client.ask(name, messages.Status()))
    if not labs and output == "text":
        click.echo("no lab is up; start one: podfence lab up -f DIR", err=True)
    _say(output, data.list_data(labs), texts.list_text(labs))
    return 0


@command.command("down")
@name_option
@output_option
@click.option(
    "--all", "everything", is_flag=True, help=("All labs, and what crashed ones left behind.")
)
def down(name: str, output: str, everything: bool) -> int:
    """End a lab. Its pods, rules and connections are gone with it."""
    ended: list[str] = []
    crashed: list[str] = []
    for each in known_names() if everything else [name]:
        (ended if client.take_down(each) else crashed).append(each)
    if crashed and not everything:
        raise client.no_such_lab(name)
    _say(output, data.down_data(ended, crashed), texts.down_text(ended, crashed))
    return 0
