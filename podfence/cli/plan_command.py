"""``podfence plan``: what a change opens and closes, and which edit does it."""

from __future__ import annotations

from collections.abc import Iterator

import click
from msgspec.structs import replace

from podfence.cli.common import (
    has_errors,
    keep_going_option,
    load_cluster,
    read_names,
    resolve_option,
    without_verdict,
)
from podfence.cli.inputs import Inputs, shared_input_options
from podfence.cli.terminal import echo
from podfence.manifests.load import Loaded
from podfence.model.doubt import Doubt
from podfence.questions.phrases.words import count, some
from podfence.questions.plan.plan import Plan, plan
from podfence.render.jsontext import json_text
from podfence.render.plan_edits import Edits, Texts
from podfence.text import printable

FORMATS = ("text", "wide", "json")
SHOWN_WORKLOADS = 5


@click.command("plan")
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@shared_input_options
@click.option(
    "-o",
    "--output",
    type=click.Choice(FORMATS),
    default="text",
    show_default=True,
    help="Text (wide names everything), or JSON for programs (schemas are under docs/schemas).",
)
@click.option(
    "--top",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    metavar="N",
    help="Causes shown at most; 0 shows all.",
)
@click.option("--no-newcomers", is_flag=True, help="Leave out pods that do not exist yet.")
@resolve_option
@keep_going_option
def command(
    old: str,
    new: str,
    common: Inputs,
    output: str,
    top: int,
    no_newcomers: bool,
    resolve: str | None,
    keep_going: bool,
) -> int:
    """Show what a change opens and closes, and which edit does it.

    OLD and NEW are files or directories of manifests, - for standard input. Workloads are matched
    by name; what opens and closes is blamed on the edit that does it, which is proved by taking
    that edit back. Exit status 0: no verdict changes; 1: some verdict changes; 2: part of the
    input cannot be judged.
    """
    if [old, new, *common.paths].count("-") > 1:
        raise click.UsageError("standard input can be read once only")
    names = read_names(resolve, old, new, *common.paths)
    before, after = _read(old, common), _read(new, common)
    answer = plan(
        before.cluster,
        after.cluster,
        names,
        newcomers=not no_newcomers,
        same=_alike(before, after),
    )
    sides = before, after
    _show(answer, Edits(*(Texts(each.raw, each.locate) for each in sides)), output, top)
    if answer.undecided:
        _say_undecided(answer, sides, keep_going=keep_going)
    missing = any(has_errors(each.problems) and not each.doubts for each in sides)
    if (answer.undecided or missing) and not keep_going:
        return 2
    return 1 if answer.changes_something else 0


def _read(path: str, common: Inputs) -> Loaded:
    return load_cluster(Inputs((path, *common.paths), common.namespace, common.exclude))


def _alike(before: Loaded, after: Loaded) -> Iterator[Doubt]:
    """The objects that could not be read on either side, and say the same there."""
    sides = [{_words(each, doubt): doubt for doubt in each.doubts} for each in (before, after)]
    for words in sides[0].keys() & sides[1].keys():
        yield sides[0][words]
        yield sides[1][words]


def _words(loaded: Loaded, doubt: Doubt) -> tuple[Doubt, str]:
    """What tells a doubt from every other, wherever it was read."""
    text = loaded.positions.text_of(doubt.source) if doubt.source else ""
    return replace(doubt, source=None), text


def _show(answer: Plan, edits: Edits, output: str, top: int) -> None:
    if output == "json":
        from podfence.render.plan_json import plan_data

        click.echo(json_text(plan_data(answer, edits.spots)))
        return
    from podfence.render.plan_text import render_plan

    wide = output == "wide"
    echo(render_plan(answer, edits.spots, top=0 if wide else top, wide=wide), nl=False)


def _say_undecided(answer: Plan, sides: tuple[Loaded, Loaded], *, keep_going: bool) -> None:
    names = printable(some(answer.undecided, SHOWN_WORKLOADS))
    for loaded in sides:
        if loaded.doubts:
            said = without_verdict(loaded, loaded.doubts)
            number = count(len(answer.undecided), "workload")
            echo(
                f"{'warning' if keep_going else 'error'}[PF007]: the plan leaves out what is not "
                f"certain of {number} ({names}): {said}",
                err=True,
            )
