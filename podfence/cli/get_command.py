"""``podfence get``: the objects of a cluster that verdicts depend on."""

from __future__ import annotations

import sys

import click

from podfence.cli.inputs import Inputs, cluster_options
from podfence.cli.live import snapshot
from podfence.cli.terminal import echo
from podfence.kube.source import documents_of, reading_of
from podfence.render.problems import problem_line
from podfence.text import printable


@click.command("get")
@cluster_options
@click.option(
    "-n",
    "--namespace",
    metavar="NAME",
    help="Read only this namespace, where the whole cluster may not be read. Without it: the "
    "namespace of the context.",
)
@click.option(
    "-A",
    "--all-namespaces",
    is_flag=True,
    expose_value=False,
    help="Accepted as in kubectl, without effect: all namespaces are always read.",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(("yaml", "json")),
    default="yaml",
    show_default=True,
    help="Every command reads either with -f.",
)
def command(inputs: Inputs, namespace: str | None, output: str) -> int:
    """Write what podfence reads of a cluster to standard output, for -f or for somebody else.

    It is all that verdicts depend on, of all namespaces, and nothing besides: no environment
    variables, arguments, images, Secrets or ConfigMaps, and of annotations only podfence.io/mode
    and podfence.io/ignore. Answers about it are those about the cluster. What could not be listed
    is written down too, and makes the exit status 2.
    """
    found = snapshot(inputs, [namespace] if namespace else [])
    whole = {"apiVersion": "v1", "kind": "List", "items": list(documents_of(found))}
    if output == "json":
        from podfence.render.jsontext import json_bytes

        sys.stdout.buffer.write(json_bytes(whole) + b"\n")
    else:
        from podfence.render.yamltext import yaml_lines

        sys.stdout.buffer.writelines(line.encode() for line in yaml_lines(whole))
    sys.stdout.buffer.flush()
    for problem in reading_of(found).problems:
        echo(problem_line(problem, None), err=True)
    if found.absent:
        echo(f"not in this cluster: {printable(', '.join(found.absent))}", err=True)
    return 2 if found.gaps else 0
