"""``podfence check``: what the API server would refuse, and policies that hardly do what was
meant."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
from msgspec.structs import replace

from podfence.cli.allcontexts import each_context
from podfence.cli.baseline import NO_BASELINE, read_baseline
from podfence.cli.baseline import write_baseline as write
from podfence.cli.check_answer import (
    CheckReport,
    CheckResult,
    answer_text,
    channel_warnings,
    explain,
    judge,
)
from podfence.cli.check_options import FORMATS, NAMING, CheckOptions
from podfence.cli.common import known_namespaces, read_inputs, watched_paths
from podfence.cli.inputs import Inputs, all_namespaces_option, input_options, namespace_option
from podfence.cli.outputs import (
    Output,
    outputs_option,
    require_writable,
    write_outputs,
)
from podfence.cli.settings import Settings, read_settings, settings_options
from podfence.cli.terminal import echo
from podfence.errors import PodfenceError, Problem, Severity, Source
from podfence.likeness import similar
from podfence.manifests.load import Loaded
from podfence.questions.lint.findings import LINT_RULES, LINT_SLUGS, LintFinding, code_of
from podfence.questions.phrases.words import count
from podfence.questions.repair.textedits import Offer
from podfence.render.check_forms import CONTROLS
from podfence.text import printable

UNREAD = frozenset({"PF106", "PF112"})
"""Codes of files that nobody could read, and of input without an object: what is missing is no
finding."""


@click.command("check")
@each_context
@input_options
@namespace_option
@all_namespaces_option
@outputs_option(FORMATS)
@click.option(
    "--server-only",
    is_flag=True,
    help=("Show only what the API server would refuse or warn about."),
)
@click.option(
    "--select",
    multiple=True,
    metavar="CODES",
    help="Show only these findings about what policies do: PF304, or PF31,PF22, or in words: "
    "near-miss-label. Repeatable.",
)
@click.option(
    "--ignore", multiple=True, metavar="CODES", help=("Show all findings but these. Repeatable.")
)
@click.option(
    "--fail-on",
    type=click.Choice([*(each.value for each in Severity), "never"]),
    help="The exit status is 1 from this severity up. Without it: podfence.toml decides, otherwise "
    "error.",
)
@click.option("--strict", is_flag=True, help="Report pods that no policy isolates as a warning.")
@click.option(
    "--baseline",
    metavar="FILE",
    help="Show only findings that are not in this file.",
)
@click.option(
    "--write-baseline", metavar="FILE", help=("Write all findings to this file, as known ones.")
)
@click.option(
    "--fix",
    is_flag=True,
    help="Edit the files where the fix is clear and allows nothing that the policy does not allow; "
    "then show the remaining findings.",
)
@click.option("--fix-diff", is_flag=True, help="Show what --fix would do, and edit nothing.")
@click.option(
    "--unsafe",
    is_flag=True,
    help="With --fix or --fix-diff: also make fixes that open or close connections that no text "
    "names, such as a default deny. Each is shown with what it does.",
)
@click.option(
    "--with-fixes",
    is_flag=True,
    help="With -o json or sarif: add to each finding the edits that fix it, for an editor to "
    "apply. The engine proves each of them, which takes longer.",
)
@click.option(
    "--map-to",
    "frameworks",
    multiple=True,
    type=click.Choice([*CONTROLS]),
    help="With -o sarif: name the controls of this framework as tags of the rules that violate "
    "them. Repeatable.",
)
@click.option(
    "--watch", is_flag=True, help="Check again whenever a manifest changes; Ctrl+C ends it."
)
@settings_options
@click.option(
    "--explain",
    metavar="CODE",
    is_eager=True,
    expose_value=False,
    callback=explain,
    help="Explain a code, with an example, and exit.",
)
def command(inputs: Inputs, namespace: str | None, all_namespaces: bool, **options: Any) -> int:
    """Find what the API server would refuse, and policies that do something else than they say.

    NetworkPolicies, and policies of the Admin and Baseline tiers, are checked field by field as the
    server does, all errors at once; of other kinds, what podfence reads of them. Where every object
    can be read, the policies are compiled, and rules that cannot do what is written, or hardly do
    what was meant, are said. With -n the objects of one namespace and those of none are checked.
    Exit status 1 when there is an error, and for --fix-diff when there is something to fix; 2 when
    a file cannot be read at all, or there is no object, whatever --fail-on says.
    """
    asked = CheckOptions(**options)
    formats = asked.formats(inputs)
    settings = read_settings(asked.config, none=asked.no_config)
    scope = inputs.scope(() if namespace is None else (namespace,), everything=all_namespaces)
    check = _Check(inputs, scope, asked, formats, settings)
    if not asked.watch:
        return check.run()
    from podfence.cli.watching import again_and_again

    return again_and_again(check.run, watched_paths(inputs), [each.file for each in formats])


class _Check:
    """One check, which may be run again and again."""

    def __init__(
        self,
        inputs: Inputs,
        scope: tuple[str, ...],
        asked: CheckOptions,
        formats: Sequence[Output],
        settings: Settings,
    ) -> None:
        self._inputs = inputs
        self._scope = scope
        self._asked = asked
        self._formats = formats
        self._settings = settings
        wanted = _asked_for(asked.select, asked.ignore)
        self._wanted = frozenset(code for code in wanted if not code.startswith(settings.ignore))
        self._known = NO_BASELINE if asked.baseline is None else read_baseline(asked.baseline)

    def run(self) -> int:
        """Show what is found, and mend it where that is asked for; the exit status."""
        asked = self._asked
        loaded, judged = self._read()
        if asked.fixes:
            made = self._fix(loaded, judged)
            if asked.fix_diff:
                return 1 if made else 0
            loaded, judged = self._read()
        if asked.write_baseline is not None:
            _write_known(asked.write_baseline, loaded, judged)
        offers = _offers(loaded, judged, self._settings) if asked.with_fixes else {}
        answer = _report(loaded, judged, self._scope, server_only=asked.server_only, offers=offers)
        answer = replace(answer, frameworks=asked.frameworks)
        write_outputs(self._formats, lambda form: answer_text(answer, form))
        if any(each.code in UNREAD for each in answer.problems):
            return 2
        limit = asked.fail_on or self._settings.fail_on or Severity.ERROR.value
        return 1 if _heaviest(answer.all_problems) <= _weight(limit) else 0

    def _read(self) -> tuple[Loaded, CheckResult]:
        loaded = read_inputs(self._inputs, self._scope)
        known_namespaces(loaded, self._scope)
        if self._asked.server_only:
            return loaded, CheckResult()
        _warn_of_tenants(loaded, self._settings)
        named = any(each.format in NAMING for each in self._formats)
        return loaded, judge(
            loaded,
            self._scope,
            self._wanted,
            self._settings,
            self._known,
            strict=self._asked.strict,
            fingerprints=named or self._asked.write_baseline is not None,
        )

    def _fix(self, loaded: Loaded, judged: CheckResult) -> bool:
        """Make what fixes there are, or show them; whether there are any."""
        from podfence.cli.editedfiles import write_edits
        from podfence.cli.fixing import fixes_for, show_fixes

        fixed = fixes_for(
            loaded,
            judged.new,
            unsafe=self._asked.unsafe,
            pod_cidrs=self._settings.cluster.pod_cidrs,
            is_partial=self._settings.is_partial,
        )
        if not self._asked.fix_diff:
            require_writable("-o", (each.file for each in self._formats))
            require_writable("--write-baseline", (self._asked.write_baseline or "",))
            write_edits(fixed.texts, "--fix")
        show_fixes(fixed, loaded, diff=self._asked.fix_diff)
        return bool(fixed.made)


def _warn_of_tenants(loaded: Loaded, settings: Settings) -> None:
    """A label of tenants that no namespace has tells nobody apart, and finds nothing."""
    label = settings.cluster.tenant_label
    known = {key for each in loaded.cluster.namespaces.values() for key, _ in each.labels}
    if label and known and label not in known:
        close = similar(label, known)
        hint = f"; did you mean {close[0]}?" if close else ""
        said = f"cluster.tenant-label: no namespace of the input has the label {label!r}{hint}"
        echo(f"warning: {settings.file}: {printable(said)}", err=True)


def _asked_for(select: Iterable[str], ignore: Iterable[str]) -> frozenset[str]:
    """The codes that options leave. Raises UsageError where these are none."""
    found = (chosen(select) or frozenset(LINT_RULES)) - chosen(ignore)
    if not found:
        raise click.UsageError("--ignore leaves none of the codes of --select")
    return found


def _write_known(path: str, loaded: Loaded, judged: CheckResult) -> None:
    """Raises PodfenceError, also where some findings are not known."""
    if loaded.doubts:
        said = "not every object can be read, so not all findings are known; nothing is written"
        raise PodfenceError(f"--write-baseline {path}: {said}", code="PF007")
    write(path, judged.kept)


def _offers(loaded: Loaded, judged: CheckResult, settings: Settings) -> Mapping[LintFinding, Offer]:
    """The fixes of findings, as many as can be proved; says how many cannot."""
    from podfence.cli.fixing import offers_for

    cidrs = settings.cluster.pod_cidrs
    found, left = offers_for(loaded, judged.new, cidrs, is_partial=settings.is_partial)
    if left:
        echo(f"{count(left, 'more finding')} may have a fix that was not proved", err=True)
    return found


def _report(
    loaded: Loaded,
    judged: CheckResult,
    scope: Sequence[str],
    *,
    server_only: bool,
    offers: Mapping[LintFinding, Offer],
) -> CheckReport:
    problems = tuple(
        problem
        for problem in (*loaded.problems, *channel_warnings(loaded))
        if not scope or _is_in(loaded, problem.source, scope)
    )
    return CheckReport(loaded, problems, judged, _kinds(loaded, scope), server_only, offers)


def _is_in(loaded: Loaded, source: Source | None, scope: Sequence[str]) -> bool:
    """Whether an object is in one of the namespaces, or in none: cluster-wide objects concern
    all."""
    metadata = (loaded.raw(source) or {}).get("metadata")
    namespace = metadata.get("namespace") if isinstance(metadata, dict) else None
    return not namespace or namespace in scope


def _kinds(loaded: Loaded, scope: Sequence[str]) -> Mapping[str, int]:
    """Objects that were checked, by kind."""
    if not scope:
        return loaded.kinds
    return Counter(str(d.data["kind"]) for d in loaded.documents if _is_in(loaded, d.source, scope))


_WEIGHTS = ["never", *(each.value for each in Severity)]


def _weight(severity: str) -> int:
    """0 for never, then the most severe first."""
    return _WEIGHTS.index(severity)


def _heaviest(problems: Iterable[Problem]) -> int:
    return min((_weight(each.severity.value) for each in problems), default=len(_WEIGHTS))


_CODES = re.compile(r"PF[0-9]{0,3}")


def chosen(options: Iterable[str]) -> frozenset[str]:
    """The codes that options name: ``PF304``, or in words ``rules-without-type``; ``PF31`` for all
    codes with this beginning; several with commas between. Raises UsageError for others: what the
    server would refuse is always shown."""
    found: set[str] = set()
    for name in (name.strip() for option in options for name in option.split(",")):
        begin = code_of(name)
        codes = {code for code in LINT_RULES if code.startswith(begin)}
        if not codes or not _CODES.fullmatch(begin):
            known = " or ".join(sorted({code[:4] for code in LINT_RULES}))
            close = similar(name, LINT_SLUGS)
            hint = f" (did you mean {close[0]}?)" if close else ""
            raise click.UsageError(
                f"{name!r} is not a code of what policies do{hint}; these begin with {known}, and "
                "what the server would refuse is always shown"
            )
        found |= codes
    return frozenset(found)
