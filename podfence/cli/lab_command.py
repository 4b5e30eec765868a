"""``podfence lab``: the policies in this machine's kernel, tested with real packets."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from podfence.cli.common import files_option, load_cluster
from podfence.errors import LabError
from podfence.lab.placement import MAX_NODES, NODES_OF_INPUT
from podfence.lab.run import LabOptions, run_lab
from podfence.lab.text import report_text
from podfence.policy.compile import compile_cluster

F = TypeVar("F", bound=Callable[..., Any])


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
    """


@command.command("run")
@files_option
@nodes_option
def run(paths: tuple[str, ...], nodes: int | None) -> int:
    """Build the pods, load the policies, probe every pair, compare with the engine.

    Exit status 0 when the kernel did what the engine says in every probe, 1 when it did not.
    """
    loaded = load_cluster(paths, keep_going=False)
    if loaded.unreadable_policies:
        raise LabError("a policy could not be read, so there is nothing to compare with; mend it")
    index = compile_cluster(loaded.cluster)
    report = run_lab(index, LabOptions(nodes=nodes or 0), progress=_progress)
    workloads = {f"{p.namespace}/{p.name}": str(p.owner or p.ref) for p in loaded.cluster.pods}
    click.echo(report_text(report, workloads, loaded.locate), nl=False)
    return 0 if report.clean else 1


def _progress(line: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"lab: {line}", err=True)
