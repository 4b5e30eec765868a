"""``podfence simplify``: the same verdicts by fewer rules."""

from __future__ import annotations

import click

from podfence.cli.common import (
    has_errors,
    known_namespaces,
    load_cluster,
    output_option,
    renders,
    without_verdict,
)
from podfence.cli.editedfiles import require_as_read, show_diff, write_edits
from podfence.cli.inputs import Inputs, input_options
from podfence.cli.simplifying import PROBES, simplified
from podfence.cli.terminal import echo
from podfence.collector import collector_paused
from podfence.errors import PodfenceError
from podfence.render.jsontext import json_text
from podfence.render.simplify import SimplifyReport, simpler_data, simpler_text


@click.command("simplify")
@input_options
@click.option(
    "-n",
    "--namespace",
    "namespaces",
    multiple=True,
    metavar="NAME",
    help="Only policies of this namespace. Repeatable.",
)
@click.option(
    "--join",
    is_flag=True,
    help="Also join two rules with the same peers, or the same ports.",
)
@click.option(
    "--today",
    is_flag=True,
    help="Also remove rules that only existing pods, and new pods without labels, do not need.",
)
@click.option("--write", is_flag=True, help="Edit the files. Without it: nothing is changed.")
@click.option("--check", is_flag=True, help="Exit with status 1 if something can go.")
@output_option
def command(
    inputs: Inputs,
    namespaces: tuple[str, ...],
    join: bool,
    today: bool,
    write: bool,
    check: bool,
    output: str,
) -> int:
    """Say which rules of NetworkPolicies can go while every verdict stays.

    Rules, peers and ports go where others that stay allow all of it, whatever pods, labels and
    namespaces there are. Comments stay with what stays. The engine is asked for every verdict
    before and after, for existing pods, pods to come, and imaginary pods with labels drawn from
    the selectors. Exit status 0, or 1 with --check where something can go; 2: the input cannot be
    judged.
    """
    if inputs.are_live or "-" in inputs.paths:
        raise click.UsageError("simplify edits files; name them with -f (podfence get writes one)")
    if write and renders(inputs):
        raise click.UsageError("--write edits files, not rendered manifests")
    loaded = load_cluster(inputs)
    known_namespaces(loaded, namespaces)
    if loaded.doubts:
        said = without_verdict(loaded, loaded.doubts)
        raise PodfenceError(f"nothing was simplified: {said}", code="PF007")
    with collector_paused():
        found = simplified(loaded, namespaces, join=join, today=today)
    require_as_read(found.texts)
    if write:
        write_edits(found.texts, "--write")
    answer = SimplifyReport(found.made, found.left, found.rules, PROBES, write and bool(found.made))
    if output == "json":
        click.echo(json_text(simpler_data(answer, loaded.locate)))
    else:
        if not write:
            show_diff(found.texts)
        echo(simpler_text(answer, loaded.locate), nl=False)
    if has_errors(loaded.problems):
        return 2
    return 1 if check and found.made else 0
