"""``podfence plan``: what a change opens and closes, and which edit does it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from podfence.cli.beside import known_entries
from podfence.cli.common import (
    has_errors,
    keep_going_option,
    lacks_files,
    read_names,
    require_stdin_once,
    resolve_option,
    usable,
    without_verdict,
)
from podfence.cli.flowinputs import FORMATS as FLOW_FORMATS
from podfence.cli.flowinputs import read_seen
from podfence.cli.inputs import Inputs, access_options, complete_files, shared_input_options
from podfence.cli.outputs import outputs_option, read_outputs, write_outputs
from podfence.cli.plan_answer import FORMATS, JudgedSides, PlanAnswer, answer_text
from podfence.cli.plan_sides import PlanSides
from podfence.cli.settings import read_settings, settings_options
from podfence.cli.terminal import echo
from podfence.cli.testinputs import read_tests
from podfence.collector import collector_paused
from podfence.errors import PodfenceError
from podfence.manifests.load import Loaded
from podfence.manifests.wholefiles import create_whole
from podfence.model.doubt import Doubt
from podfence.model.entries import Controllers
from podfence.questions.phrases.words import count, some
from podfence.questions.plan.gate import FailOn
from podfence.questions.plan.plan import Plan, plan
from podfence.render.plan_edits import Edits, SideTexts
from podfence.text import printable

if TYPE_CHECKING:
    from podfence.flows.seen import FlowRecords
    from podfence.manifests.testfiles import ReadTests
    from podfence.policy.domains import DomainTable

SHOWN_WORKLOADS = 5


@click.command("plan")
@click.argument("paths", metavar="OLD NEW | PATH...", nargs=-1)
@click.option(
    "--git",
    "revision",
    metavar="REV|A..B|A...",
    help="Compare a revision with the working tree, or two revisions; with A... the working tree "
    "with the point where it left A. PATH are files and directories of the repository. Without "
    "PATH: the current directory.",
)
@click.option(
    "--old",
    "olds",
    multiple=True,
    metavar="FILE|DIR|-",
    shell_complete=complete_files,
    help="A file or directory of OLD, if there are several. Repeatable.",
)
@click.option(
    "--new",
    "news",
    multiple=True,
    metavar="FILE|DIR|-",
    shell_complete=complete_files,
    help="The same of NEW.",
)
@click.option(
    "--reverse",
    is_flag=True,
    help="Compare the other way round: what would going back open and close, or with --context "
    "what does the cluster allow, and deny, beside the files.",
)
@access_options
@shared_input_options
@outputs_option(FORMATS, " wide names everything.")
@click.option(
    "--top",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    metavar="N",
    help="The most causes that are shown; 0 shows all.",
)
@click.option("--no-newcomers", is_flag=True, help="Leave out pods that do not exist yet.")
@click.option(
    "--order",
    is_flag=True,
    help="Also find an order in which the edits can be applied so that no state in between cuts or "
    "opens more; with a temporary policy where one is needed.",
)
@click.option(
    "--transition",
    metavar="DIR",
    help="With --order: write the temporary policies to this folder, one file each.",
)
@click.option(
    "--flows",
    "flows",
    multiple=True,
    metavar="FILE|-",
    shell_complete=complete_files,
    help="Traffic that was seen: show which of it the change would cut or let through. "
    f"{FLOW_FORMATS}",
)
@click.option(
    "--tests",
    "tests",
    multiple=True,
    metavar="FILE",
    shell_complete=complete_files,
    help="Test files, as for podfence test: show which of the tests change their result.",
)
@click.option(
    "--fail-on",
    type=click.Choice([each.value for each in FailOn]),
    help="The exit status is 1 only for these changes; outside: new ways in from outside, or out; "
    "used: connections close that passed in --flows. Without it: podfence.toml decides, otherwise "
    "any.",
)
@settings_options
@resolve_option
@keep_going_option
def command(
    paths: tuple[str, ...],
    revision: str | None,
    olds: tuple[str, ...],
    news: tuple[str, ...],
    reverse: bool,
    context: str | None,
    kubeconfig: str | None,
    common: Inputs,
    outputs: tuple[str, ...],
    top: int,
    no_newcomers: bool,
    order: bool,
    transition: str | None,
    flows: tuple[str, ...],
    tests: tuple[str, ...],
    fail_on: str | None,
    config: str | None,
    no_config: bool,
    resolve: str | None,
    keep_going: bool,
) -> int:
    """Show what a change opens and closes, and which edit does it.

    OLD and NEW are files or directories of manifests, - for standard input, or all that --old and
    --new name; with --git they are two versions of PATH; with --context OLD is a cluster as it is
    now, and NEW the same with the files of PATH applied to it: what no file names stays. Workloads
    are matched by name; what opens and closes is blamed on the edit that does it, which is proved
    by taking that edit back. Exit status 0: no verdict changes; 1: one does that
    --fail-on names; 2: part of the input cannot be judged, or with --fail-on used part of the
    flows.
    """
    every = read_settings(config, none=no_config)
    settings = every.plan
    flows = flows or settings.flows
    gate = FailOn(fail_on or settings.fail_on or FailOn.ANY)
    asked = None
    if context is not None or kubeconfig is not None:
        asked = replace(common, paths=(), context=context or "", kubeconfig=kubeconfig)
    both = PlanSides.named(paths, olds, news, revision, asked, common)
    require_stdin_once(*both.files, *flows, *tests)
    if gate is FailOn.USED and not flows:
        raise click.UsageError("--fail-on used needs traffic that was seen; name it with --flows")
    formats = read_outputs(outputs, FORMATS)
    names = read_names(resolve, *both.files, *flows, *tests)
    old, new, revisions = both.read()
    sides, title = (old, new), both.title
    if reverse:
        sides, revisions, title = (new, old), revisions[::-1], f"{title}, reversed"
    seen = read_seen(flows) if flows else None
    promises = read_tests(tests) if tests else None
    told: set[str] = set()
    before, after = (usable(side, told) for side in sides)
    order = order or transition is not None
    with collector_paused():
        answer = plan(
            before.cluster,
            after.cluster,
            names,
            newcomers=not no_newcomers,
            same=_alike(before, after),
            order=order,
            flows=None if seen is None else tuple(seen.flows()),
            tenants=every.tenants,
        )
    edits = Edits(*(SideTexts(each.raw, each.locate) for each in sides))
    judged = (
        _judged(promises, before, after, names, every.cluster.controllers) if promises else None
    )
    page = partial(_page, before, after, names, promises, title)
    shown = PlanAnswer(answer, edits, revisions, top, order, seen, judged, page)
    write_outputs(formats, lambda form: answer_text(shown, form))
    if transition is not None:
        _write_temporary(answer, transition)
    if answer.undecided:
        _say_undecided(answer, sides, keep_going=keep_going)
    if any(map(lacks_files, sides)):
        return 2
    missing = any(has_errors(each.problems) and not each.doubts for each in sides)
    unread = seen is not None and bool(seen.unread)
    groundless = gate is FailOn.USED and _says_too_little(answer, seen, keep_going)
    if (answer.undecided or missing or unread or groundless) and not keep_going:
        return 2
    return 1 if answer.fails(gate) else 0


def _page(
    before: Loaded,
    after: Loaded,
    names: DomainTable,
    read: ReadTests | None,
    source: str,
    parts: Mapping[str, object],
) -> str:
    """NEW as ``podfence report`` shows it, with the plan."""
    from podfence.cli.pageparts import PageParts, map_before
    from podfence.policy.compile import compile_cluster
    from podfence.questions.report import report
    from podfence.render.report_names import AsWritten

    index = compile_cluster(after.cluster, names)
    title = f"podfence plan: {source}"
    made = PageParts(
        after, index, report(index, frozenset()), title, source, AsWritten(), True, read
    )
    return made.page({**parts, "before": map_before(before, names)})


def _judged(
    read: ReadTests, before: Loaded, after: Loaded, names: DomainTable, known: Controllers
) -> JudgedSides:
    """The tests on both sides. Positions are those of their files and of NEW."""
    from podfence.questions.tests.turning import TestedSide, turning

    was, is_now = (
        TestedSide(each.cluster, partial(known_entries, each, known)) for each in (before, after)
    )
    found = turning(read.files, was, is_now, names)
    return JudgedSides(found, read.locating(after.locate))


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


def _write_temporary(answer: Plan, folder: str) -> None:
    """The policies that are needed in between. Raises PodfenceError where they cannot be written,
    and leaves files alone that are there."""
    from podfence.render.policies import policy_manifest
    from podfence.render.yamltext import yaml_lines

    if answer.order is None or not answer.order.temporary:
        echo("no temporary policy is needed, or none was found that helps", err=True)
        return
    texts = {
        os.path.join(folder, f"{each.ref.namespace}.{each.ref.name}.yaml"): yaml_lines(
            policy_manifest(each)
        )
        for each in answer.order.temporary
    }
    try:
        create_whole({path: "".join(lines).encode() for path, lines in texts.items()}, folder)
    except OSError as error:
        said = f"nothing was written: {error.strerror}: {printable(str(error.filename))}"
        raise PodfenceError(f"--transition: {said}") from error
    for path in texts:
        echo(f"wrote {printable(path)}", err=True)


def _says_too_little(answer: Plan, seen: FlowRecords | None, keep_going: bool) -> bool:
    """Whether the records leave open if something in use is cut; says why."""
    from podfence.render.plan_used import ungrounded

    why = "" if answer.used is None or seen is None else ungrounded(answer.used, seen)
    if why:
        level = "warning" if keep_going else "error"
        echo(f"{level}[PF011]: --fail-on used: the flows are not sufficient: {why}", err=True)
    return bool(why)


def _say_undecided(answer: Plan, sides: tuple[Loaded, Loaded], *, keep_going: bool) -> None:
    names = printable(some(answer.undecided, SHOWN_WORKLOADS))
    reasons = [without_verdict(each, each.doubts) for each in sides if each.doubts]
    for said in dict.fromkeys(reasons):  # once where both sides say the same
        number = count(len(answer.undecided), "workload")
        echo(
            f"{('warning' if keep_going else 'error')}[PF007]: the plan leaves out what is "
            f"not certain of {number} ({names}): {said}",
            err=True,
        )
