"""``podfence report``: one HTML file that shows who reaches whom, and why."""

from __future__ import annotations

import os
import sys

import click
from msgspec.structs import replace

from podfence.cli.common import (
    asking,
    keep_going_option,
    known_namespaces,
    lacks_input,
    read_inputs,
    read_names,
    require_stdin_once,
    resolve_option,
    usable,
    without_verdict,
)
from podfence.cli.inputs import (
    Inputs,
    all_namespaces_option,
    input_options,
    pair_namespaces_option,
)
from podfence.cli.pageparts import PageParts, map_before
from podfence.cli.terminal import echo
from podfence.cli.testinputs import read_tests, tests_option
from podfence.collector import collector_paused
from podfence.errors import PodfenceError
from podfence.manifests.load import Loaded
from podfence.manifests.wholefiles import replace_whole
from podfence.policy.compile import compile_cluster
from podfence.policy.domains import DomainTable
from podfence.questions.phrases.words import some
from podfence.questions.report import report
from podfence.render.report_names import AnonymousNames, AsWritten
from podfence.text import printable

SHOWN_PATHS = 3


@click.command("report")
@input_options
@click.option(
    "-o",
    "--output",
    "target",
    required=True,
    metavar="FILE.html|-",
    help="Where to write the page; - for standard output.",
)
@pair_namespaces_option
@all_namespaces_option
@click.option(
    "--plan",
    "before",
    multiple=True,
    metavar="FILE|DIR",
    help="The state before a change, workloads included: the page also shows what the change "
    "opens and closes. Repeatable; --exclude applies to it too.",
)
@click.option(
    "--order",
    is_flag=True,
    help="With --plan: also find an order in which the edits can be applied so that no state in "
    "between cuts or opens more.",
)
@tests_option
@click.option("--title", default="", metavar="TEXT", help="The page's title.")
@click.option("--no-text", is_flag=True, help="Leave the text of the manifests out.")
@click.option(
    "--anonymise",
    is_flag=True,
    help="Replace every name by a numbered word, and leave out texts, addresses and findings: for "
    "a page that you show to others.",
)
@click.option(
    "--no-newcomers",
    is_flag=True,
    help="Leave out what a new pod of each namespace could reach, and who could reach it.",
)
@resolve_option
@keep_going_option
def command(
    inputs: Inputs,
    target: str,
    namespaces: tuple[str, ...],
    all_namespaces: bool,
    before: tuple[str, ...],
    order: bool,
    tests: tuple[str, ...],
    title: str,
    no_text: bool,
    anonymise: bool,
    no_newcomers: bool,
    resolve: str | None,
    keep_going: bool,
) -> int:
    """Write one HTML file that shows who can reach whom, and why.

    The page needs no network, no server and no installation: it opens from disk, as an attachment
    or as a build artefact. It holds the whole map, the rules behind every verdict with their lines,
    what `podfence check` finds, and with --tests which promises are kept. Exit status 0 when it is
    written, whatever is found; 2 when part of the input cannot be judged: what such a part could
    change, the page shows as unknown.
    """
    if before and anonymise:
        raise click.UsageError("a plan shows names as they are; drop --plan or --anonymise")
    if order and not before:
        raise click.UsageError("--order is for the edits of a plan; add --plan")
    if before and inputs.are_live:
        raise click.UsageError("--plan compares files; use -f")
    if tests and anonymise:
        raise click.UsageError("tests show names as they are; drop --tests or --anonymise")
    require_stdin_once(*tests, *inputs.paths)
    names = read_names(resolve, *inputs.paths, *before, *tests)
    promises = read_tests(tests, "no report was written") if tests else None
    scope = inputs.scope(namespaces, everything=all_namespaces)
    loaded = usable(read_inputs(inputs, scope, other_side=before))
    with asking(loaded, inputs):
        known_namespaces(loaded, scope)
    with collector_paused():
        index = compile_cluster(loaded.cluster, names)
        found = report(index, frozenset(scope))
        shown = AnonymousNames() if anonymise else AsWritten()
        source = called(inputs, loaded)
        title = title or ("podfence" if anonymise else f"podfence: {source}")
        made = PageParts(loaded, index, found, title, source, shown, not no_text, promises)
        changes = _plan(before, inputs, loaded, names, scope, order=order) if before else {}
        # Findings quote names; names of pods to come would tell those of namespaces.
        left_out = {"findings", "newcomers"} if anonymise else set[str]()
        if no_newcomers:
            left_out.add("newcomers")
        page = made.page(changes, left_out)
    _write(target, page.encode("utf-8", "replace"))
    if loaded.doubts:
        pods = sum(len(g.pods) for g in found.map.groups if g.number in found.open_groups)
        what = (
            f"the page shows {pods} pods as unknown"
            if pods
            else "no pod on the page is unknown, but some may be missing"
        )
        said = f"[PF007]: {what}: {without_verdict(loaded, loaded.doubts)}"
        echo(f"{'warning' if keep_going else 'error'}{said}", err=True)
    return 2 if lacks_input(loaded, keep_going=keep_going) else 0


def called(inputs: Inputs, loaded: Loaded) -> str:
    """What the page names as its source."""
    paths = ["standard input" if path == "-" else os.fspath(path) for path in inputs.paths]
    return loaded.live or some(paths, SHOWN_PATHS)


def _plan(
    before: tuple[str, ...],
    inputs: Inputs,
    after: Loaded,
    names: DomainTable,
    scope: tuple[str, ...],
    *,
    order: bool,
) -> dict[str, object]:
    """The change from ``before`` to what is shown, as ``plan -o json`` says it, and the map before
    it."""
    from podfence.questions.plan.plan import plan
    from podfence.render.plan_edits import Edits, SideTexts
    from podfence.render.plan_json import plan_data

    old = usable(read_inputs(replace(inputs, paths=before), other_side=inputs.paths))
    answer = plan(old.cluster, after.cluster, names, order=order)
    sides = (SideTexts(each.raw, each.locate) for each in (old, after))
    return {"plan": plan_data(answer, Edits(*sides)), "before": map_before(old, names, scope)}


def _write(target: str, page: bytes) -> None:
    """Write through a temporary file, so that a reader of the old page gets it whole."""
    if target == "-":
        sys.stdout.buffer.write(page)
        sys.stdout.buffer.flush()
        return
    try:
        replace_whole({target: page})
    except OSError as error:
        raise _unwritable(target, error) from error


def _unwritable(target: str, error: OSError) -> PodfenceError:
    reason = error.strerror or type(error).__name__
    return PodfenceError(f"{printable(target)} cannot be written: {reason}")
