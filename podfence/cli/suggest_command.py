"""``podfence suggest``: policies for traffic that was seen."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import click

from podfence.cli.beside import known_entries
from podfence.cli.common import (
    asking,
    keep_going_option,
    lacks_input,
    load_cluster,
    read_names,
    require_stdin_once,
    resolve_option,
    without_verdict,
)
from podfence.cli.flowinputs import FORMATS, read_seen
from podfence.cli.inputs import Inputs, complete_files, input_options
from podfence.cli.suggest_options import SuggestWords, require_label, suggest_options
from podfence.cli.suggest_tests import run_given, run_written, tests_for
from podfence.cli.targets import qualified
from podfence.cli.terminal import echo
from podfence.cli.testinputs import read_tests
from podfence.errors import PodfenceError
from podfence.flows.seen import FlowRecords
from podfence.manifests.load import Loaded
from podfence.manifests.wholefiles import create_whole
from podfence.model.meta import DEFAULT_NAMESPACE, ObjectRef
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Direction
from podfence.questions.parties import PartyLookup
from podfence.questions.suggest.promised import NeededTests
from podfence.questions.suggest.rules import SuggestOptions
from podfence.questions.suggest.suggest import Suggestion, suggest
from podfence.render.jsontext import json_text
from podfence.render.suggest_report import SuggestReport
from podfence.text import printable

if TYPE_CHECKING:
    from podfence.policy.domains import DomainTable
    from podfence.questions.suggest.promises import Promises
    from podfence.render.suggest_tests import WrittenTests

_DIRECTIONS: Final = {
    "both": frozenset(Direction),
    "ingress": frozenset({Direction.INGRESS}),
    "egress": frozenset({Direction.EGRESS}),
}


@click.command("suggest")
@click.argument("workloads", metavar="[WORKLOAD]...", nargs=-1)
@click.option(
    "--flows",
    "files",
    multiple=True,
    metavar="FILE|-",
    shell_complete=complete_files,
    help=FORMATS,
)
@click.option(
    "--from-tests",
    "needs",
    multiple=True,
    metavar="FILE|DIR",
    shell_complete=complete_files,
    help="Test files (podfence test): also allow what they need, and run them with the policies. "
    "Repeatable.",
)
@click.option(
    "-n",
    "--namespace",
    "namespaces",
    multiple=True,
    metavar="NAME",
    help="Only for workloads of this namespace. Repeatable.",
)
@click.option(
    "--direction",
    type=click.Choice(tuple(_DIRECTIONS)),
    default="both",
    show_default=True,
    help="Whether policies cover connections to workloads, from workloads, or both.",
)
@suggest_options
@click.option("--with-denied", is_flag=True, help="Also allow what was denied when it was seen.")
@click.option(
    "--out",
    "folder",
    metavar="DIR",
    help="Write each policy to a file in this folder, and no policy to standard output.",
)
@click.option(
    "--write-tests",
    "tests",
    metavar="FILE",
    help="Write a test file (podfence test) that says what the flows need, and run it with the "
    "policies and without them.",
)
@input_options
@click.option(
    "-o",
    "--output",
    type=click.Choice(("yaml", "text", "json")),
    default="yaml",
    show_default=True,
    help="Policies for kubectl apply, with the report on standard error; the report alone; or "
    "JSON for programs (schemas: podfence schema).",
)
@resolve_option
@keep_going_option
def command(
    workloads: tuple[str, ...],
    files: tuple[str, ...],
    needs: tuple[str, ...],
    namespaces: tuple[str, ...],
    direction: str,
    words: SuggestWords,
    with_denied: bool,
    folder: str | None,
    tests: str | None,
    inputs: Inputs,
    output: str,
    resolve: str | None,
    keep_going: bool,
) -> int:
    """Suggest the least NetworkPolicies that allow the traffic that was seen, or that tests need.

    Policies are about WORKLOADs by labels that last, never about pods or their addresses. What was
    seen is judged by the engine under the policies that exist and those that are suggested: a
    direction for which no policy could allow all of it stays as it is. Records are evidence of
    their time alone; what runs once a month is not in a week. Exit status 0: all of it is allowed;
    1: some of it is not; 2: records or part of the input cannot be read.
    """
    if not files and not needs:
        raise click.UsageError("name flow records with --flows, or test files with --from-tests")
    require_stdin_once(*files, *needs, *inputs.paths, resolve or "")
    names = read_names(resolve, *inputs.paths)
    given = read_tests(needs, "nothing was suggested") if needs else None
    loaded = load_cluster(inputs)
    seen = read_seen(files)
    asked = None
    if given is not None:
        asked = NeededTests(given.files, partial(known_entries, loaded))
    with asking(loaded, inputs):
        wish = SuggestOptions(
            _DIRECTIONS[direction],
            words.where(is_written=bool(needs)),
            _wanted(loaded, names, workloads, namespaces, inputs),
            words.group,
            words.least,
            words.widths,
            words.against,
        )
        require_label(loaded, words.group)
        found = suggest(
            loaded.cluster, seen.flows(), wish, names, with_denied=with_denied, tests=asked
        )
    made = tests_for(found, wish, names) if tests is not None else None
    _write(found, folder, tests, made)
    kept = run_written(tests, made, found, names) if tests is not None and made else None
    locate = loaded.locate if given is None else given.locating(loaded.locate)
    tried = run_given(asked, found, names) if asked is not None else None
    report = SuggestReport(found, seen, locate, words.unresolved, tried)
    _show(report, output, folder is not None, kept)
    proofs = [each.is_proved for each in (kept, tried) if each is not None]
    return _status(loaded, seen, found, all(proofs), keep_going=keep_going)


def _wanted(
    loaded: Loaded,
    names: DomainTable,
    workloads: Sequence[str],
    namespaces: Sequence[str],
    inputs: Inputs,
) -> frozenset[ObjectRef] | None:
    """The workloads that policies are suggested for, None for all. Raises UnknownObject."""
    from podfence.cli.common import known_namespaces

    if not workloads and not namespaces:
        return None
    known_namespaces(loaded, namespaces)
    pods = loaded.cluster.pods
    found = {pod.owner or pod.ref for pod in pods if pod.namespace in namespaces}
    if workloads:
        directory = PartyLookup(compile_cluster(loaded.cluster, names))
        space = namespaces[0] if namespaces else inputs.namespace or DEFAULT_NAMESPACE
        named = {
            end.endpoint.pod.owner or end.endpoint.pod.ref
            for word in workloads
            for end in directory.find(qualified(word, space), space).ends
            if end.endpoint is not None
        }
        return frozenset(named)
    return frozenset(found)


def _show(report: SuggestReport, output: str, is_written: bool, kept: WrittenTests | None) -> None:
    from podfence.render.suggest import policies_yaml
    from podfence.render.suggest_tests import kept_data, kept_lines

    if output == "json":
        extra = {} if kept is None else {"tests": kept_data(kept)}
        click.echo(json_text(report.data() | extra))
        return
    is_report = output == "text" or is_written
    if not is_report:
        click.echo(policies_yaml(report.found), nl=False)
    echo(report.text(), nl=False, err=not is_report)
    for line in kept_lines(kept) if kept is not None else ():
        echo(line, err=not is_report)


def _write(found: Suggestion, folder: str | None, tests: str | None, made: Promises | None) -> None:
    """Write a file for each policy, and the tests: all or none, and no existing file is replaced.
    Raises PodfenceError."""
    from podfence.render.suggest import policy_yaml
    from podfence.render.suggest_tests import tests_yaml

    policies: dict[str, bytes] = {}
    if folder is not None:
        for each in found.policies:
            name = f"{each.policy.ref.namespace}.{each.policy.ref.name}.yaml"
            policies[os.path.join(folder, name)] = policy_yaml(each).encode()
    files = dict(policies)
    if tests is not None and made is not None:
        files[tests] = tests_yaml(made).encode()
    try:
        create_whole(files, folder)
    except OSError as error:
        option = "--write-tests" if error.filename == tests else "--out"
        said = f"{option}: nothing was written: {error.strerror}: {printable(str(error.filename))}"
        raise PodfenceError(said) from error
    for path in policies:
        echo(f"wrote {printable(path)}", err=True)


def _status(
    loaded: Loaded,
    seen: FlowRecords,
    found: Suggestion,
    are_proved: bool,
    *,
    keep_going: bool,
) -> int:
    if loaded.doubts:
        level = "warning" if keep_going else "error"
        said = without_verdict(loaded, loaded.doubts)
        echo(f"{level}[PF007]: the replay is not certain: {said}", err=True)
    if lacks_input(loaded, keep_going=keep_going) or (seen.unread and not keep_going):
        return 2
    return int(bool(found.replay.refused) or not are_proved)
