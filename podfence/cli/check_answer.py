"""The findings of ``check``, and how they are shown."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from datetime import date
from functools import cache, cached_property
from importlib.resources import files

import click
from msgspec import Struct
from msgspec.structs import replace

from podfence.admission.channel import experimental_fields
from podfence.admission.decode import decode
from podfence.admission.kinds import POLICY_KINDS
from podfence.cli.baseline import NO_BASELINE, Baseline
from podfence.cli.beside import touched_pods
from podfence.cli.common import describe_problem
from podfence.cli.fingerprints import fingerprinted
from podfence.cli.settings import NO_SETTINGS, Settings
from podfence.collector import collector_paused
from podfence.errors import Problem, Severity
from podfence.likeness import similar
from podfence.manifests.load import Loaded
from podfence.model.meta import IGNORE_ANNOTATION
from podfence.model.networkpolicy import NetworkPolicy
from podfence.policy.compile import compile_cluster
from podfence.policy.index import PolicyIndex
from podfence.questions.lint.conflicts import Twin
from podfence.questions.lint.findings import (
    LINT_CODES,
    LINT_RULES,
    LINT_SLUGS,
    LintFinding,
    code_of,
)
from podfence.questions.lint.ignoring import (
    IGNORE_CODES,
    Remark,
    remarks_of_documents,
    remarks_of_text,
    sift,
)
from podfence.questions.lint.lint import lint
from podfence.questions.lint.surroundings import Surroundings
from podfence.questions.phrases.words import count
from podfence.questions.repair.textedits import Offer
from podfence.render.jsontext import json_text
from podfence.render.problems import problem_data
from podfence.text import printable

_STRICT = {"PF350": Severity.WARNING}


class CheckResult(Struct, frozen=True):
    """Findings about what policies do: ``new`` ones, those that remarks ignore, and problems of
    remarks. ``kept``: the new ones with those of the baseline; ``known`` of the baseline's are
    still there, ``gone`` are not; ``older``: whether the baseline is of an older format."""

    new: tuple[LintFinding, ...] = ()
    kept: tuple[LintFinding, ...] = ()
    ignored: tuple[tuple[LintFinding, Remark], ...] = ()
    problems: tuple[Problem, ...] = ()
    known: int = 0
    gone: int = 0
    older: bool = False


class CheckReport(Struct, frozen=True, dict=True):
    """Everything to show. ``problems``: what the server says; ``kinds``: objects by kind."""

    loaded: Loaded
    problems: tuple[Problem, ...]
    judged: CheckResult
    kinds: Mapping[str, int]
    server_only: bool
    offers: Mapping[LintFinding, Offer] = {}
    """Repairs that are shown beside findings."""
    frameworks: tuple[str, ...] = ()
    """Whose controls stand beside the rules of SARIF."""

    @cached_property
    def all_problems(self) -> tuple[Problem, ...]:
        """What counts for the exit status."""
        found = (finding.problem for finding in self.judged.new)
        return (*self.problems, *self.judged.problems, *found)


def judge(
    loaded: Loaded,
    scope: Sequence[str],
    wanted: Set[str],
    settings: Settings = NO_SETTINGS,
    known: Baseline = NO_BASELINE,
    *,
    strict: bool = False,
    index: PolicyIndex | None = None,
    fingerprints: bool = False,
) -> CheckResult:
    """What policies do; audited ones are judged as if they were enforced. ``index``: the compiled
    form, if there is one already. ``fingerprints``: whether findings need theirs.

    Empty while an object could not be read: a policy may be about that object.
    """
    if loaded.doubts:
        return CheckResult()
    weights = {**(_STRICT if strict else {}), **settings.severity}
    remarked = [each for each in loaded.documents if each.may_hold(IGNORE_ANNOTATION)]
    annotated = [*remarks_of_documents((each.source, each.data) for each in remarked)]
    with collector_paused():
        if index is None or loaded.cluster.audited:
            index = compile_cluster(loaded.cluster.with_audited())
        around = surroundings(loaded, index, settings, annotated)
        found = [
            replace(finding, severity=weights[finding.code]) if finding.code in weights else finding
            for finding in lint(index, loaded.raw, around)
            if finding.code in wanted and _is_about(loaded, finding, scope)
        ]
    found = [each for each in found if not settings.ignored_in(_file(each), each.code)]
    if fingerprints or known:
        found = fingerprinted(found, loaded.raw)
    texts = loaded.positions.texts()
    remarks = [remark for file, text in texts for remark in remarks_of_text(file, text)]
    remarks += annotated
    sifted = sift(
        found,
        remarks,
        lambda finding: loaded.locate(finding.source, finding.path),
        wanted if not scope else frozenset(),
        date.today(),  # noqa: DTZ011 - a day as the person who wrote until= means it
    )
    new, still, gone = known.held_back(sifted.kept) if known else (sifted.kept, 0, 0)
    return CheckResult(
        new, sifted.kept, sifted.ignored, sifted.problems, still, gone, known.is_older
    )


def surroundings(
    loaded: Loaded, index: PolicyIndex, settings: Settings, annotated: Iterable[Remark] = ()
) -> Surroundings:
    """What settings and the rest of the input say besides. ``annotated``: remarks on objects."""
    cluster = settings.cluster
    return Surroundings(
        touched=touched_pods(loaded, index),
        entries=loaded.beside.routes,
        controllers=cluster.controllers,
        api_server=cluster.api_server,
        tenants=settings.tenants,
        plugin=cluster.plugin,
        service_cidrs=cluster.service_cidrs,
        twins=tuple(_twins(loaded)),
        apart=frozenset(
            each.object
            for each in annotated
            if each.object is not None and "PF350".startswith(each.codes)
        ),
        dns=cluster.dns,
        metadata_allowed=settings.metadata_allowed,
        is_partial=settings.is_partial,
    )


def configured(settings: Settings, finding: LintFinding) -> LintFinding | None:
    """A finding as settings want it; None where they leave it out."""
    code = finding.code
    if code.startswith(settings.ignore) or settings.ignored_in(_file(finding), code):
        return None
    return replace(finding, severity=settings.severity.get(code, finding.severity))


def configured_judgement(loaded: Loaded, settings: Settings, index: PolicyIndex) -> CheckResult:
    """What ``check`` finds without options. ``index``: the compiled form."""
    wanted = frozenset(code for code in LINT_RULES if not code.startswith(settings.ignore))
    return judge(loaded, (), wanted, settings, index=index)


def _twins(loaded: Loaded) -> Iterator[Twin]:
    """Policies that were replaced by others of the same name (PF110); none where one of two may be
    a patch (PF114)."""
    codes = {problem.code for problem in loaded.problems}
    if "PF110" not in codes or "PF114" in codes:
        return
    used = {policy.ref: policy.source for policy in loaded.cluster.policies}
    for document in loaded.documents:
        if document.data.get("kind") != "NetworkPolicy":
            continue
        for thing in decode(document.data, document.source).objects:
            if isinstance(thing, NetworkPolicy) and used.get(thing.ref) != thing.source:
                yield Twin(thing)


def _file(finding: LintFinding) -> str:
    return finding.source.file if finding.source else ""


def _is_about(loaded: Loaded, finding: LintFinding, scope: Sequence[str]) -> bool:
    if not scope:
        return True
    ref = finding.object
    return (not ref.namespace and ref.kind != "Namespace") or (ref.namespace or ref.name) in scope


def answer_text(answer: CheckReport, output: str) -> str:
    """Everything, in one format."""
    loaded = answer.loaded
    if output == "json":
        return f"{json_text(_data(answer))}\n"
    if output == "text":
        lines = [describe_problem(loaded, problem) for problem in answer.all_problems]
        return "".join(f"{line}\n" for line in (*lines, _summary(answer)))
    return _form(answer, output)


def _form(answer: CheckReport, output: str) -> str:
    from podfence.render.check_forms import (
        LocatedProblem,
        junit_report,
        sarif_data,
        workflow_commands,
    )

    heads = {code: text.partition("\n")[0] for code, text in sections().items()}
    titles = {code: head.partition(": ")[2] for code, head in heads.items()}
    positions = answer.loaded.positions

    def said(
        problem: Problem, finding: LintFinding | None = None, ignored: str = ""
    ) -> LocatedProblem:
        return LocatedProblem(
            problem,
            positions.locate_problem(problem),
            titles.get(problem.code, problem.code),
            "" if finding is None else finding.fingerprint,
            ignored,
            positions.end_of_problem(problem) if output == "sarif" else None,
            answer.offers.get(finding) if finding is not None else None,
        )

    found = [said(each) for each in (*answer.problems, *answer.judged.problems)]
    found += [said(each.problem, each) for each in answer.judged.new]
    if output == "sarif":
        ignored = [
            said(each.problem, each, remark.reason) for each, remark in answer.judged.ignored
        ]
        return f"{json_text(sarif_data([*found, *ignored], sections(), answer.frameworks))}\n"
    if output == "github":
        return "".join(f"{line}\n" for line in workflow_commands(found))
    return junit_report(found, {**LINT_CODES, **IGNORE_CODES})


def _data(answer: CheckReport) -> dict[str, object]:
    loaded, judged = answer.loaded, answer.judged
    others = [*answer.problems, *judged.problems]
    problems = [_problem_data(loaded, problem) for problem in others]
    problems += [_finding_data(loaded, each, answer.offers.get(each)) for each in judged.new]
    return {
        "schema": "podfence.check/v1",
        "ok": all(each.severity is not Severity.ERROR for each in answer.all_problems),
        "problems": problems,
        "ignored": [
            {**_finding_data(loaded, each), "because": remark.reason}
            for each, remark in judged.ignored
        ],
        "heldBack": judged.known,
        "objects": dict(answer.kinds),
        "passedOver": dict(loaded.passed_over),
    }


def _problem_data(loaded: Loaded, problem: Problem) -> dict[str, object]:
    positions = loaded.positions
    return problem_data(
        problem, positions.locate_problem(problem), positions.end_of_problem(problem)
    )


def _finding_data(
    loaded: Loaded, finding: LintFinding, offer: Offer | None = None
) -> dict[str, object]:
    data = _problem_data(loaded, finding.problem)
    data |= {"slug": finding.slug, "fingerprint": finding.fingerprint}
    if offer is None:
        return data
    edits = [
        {
            "file": each.file,
            "line": each.line,
            "column": each.column,
            "endLine": each.end_line,
            "endColumn": each.end_column,
            "text": each.text,
        }
        for each in offer.edits
    ]
    return {**data, "fix": {"does": offer.words, "safe": offer.safe, "edits": edits}}


def _summary(answer: CheckReport) -> str:
    return "; ".join(_parts(answer))


def _parts(answer: CheckReport) -> Iterator[str]:
    loaded, judged = answer.loaded, answer.judged
    found = Counter(problem.severity for problem in answer.all_problems)
    read = ", ".join(f"{n} {kind}" for kind, n in sorted(answer.kinds.items())) or "no object"
    where = f"cluster {printable(loaded.live)}" if loaded.live else count(loaded.files, "file")
    yield f"{where}: {read}"
    if loaded.absent:
        yield f"not in this cluster: {', '.join(loaded.absent)}"
    for title, others in (("not judged", loaded.not_judged), ("ignored", loaded.passed_over)):
        if others:
            yield f"{title}: {', '.join(f'{n} {printable(k)}' for k, n in sorted(others.items()))}"
    weights = [count(found[each], each.value) for each in (Severity.ERROR, Severity.WARNING)]
    if found[Severity.NOTE]:
        weights.append(count(found[Severity.NOTE], Severity.NOTE.value))
    yield ", ".join(weights)
    if judged.ignored:
        yield f"{count(len(judged.ignored), 'finding')} ignored by remarks"
    if judged.known or judged.gone:
        verb = "is" if judged.gone == 1 else "are"
        gone = f" ({judged.gone} more {verb} gone: --write-baseline removes them)"
        yield f"{judged.known} held back by the baseline{gone if judged.gone else ''}"
    if judged.older:
        yield "the baseline is of an older form: --write-baseline renews it"
    if loaded.doubts and not answer.server_only and POLICY_KINDS & answer.kinds.keys():
        yield "what the policies really do is checked once all objects can be read"


def channel_warnings(loaded: Loaded) -> tuple[Problem, ...]:
    """Fields of policies in tiers that only the experimental channel of their API has."""
    policies = loaded.cluster.admin_policies
    return tuple(problem for policy in policies for problem in experimental_fields(policy))


def all_problems(
    loaded: Loaded, index: PolicyIndex, settings: Settings = NO_SETTINGS
) -> tuple[Problem, ...]:
    """Everything that ``check`` reports about a cluster without options. ``index``: its compiled
    form."""
    judged = configured_judgement(loaded, settings, index)
    found = (finding.problem for finding in judged.new)
    return (*loaded.problems, *channel_warnings(loaded), *judged.problems, *found)


# -- ``check --explain CODE``: the section of docs/errors.md about a code, from inside the package


_SECTION = re.compile(r"^### (PF\d{3}): .*\n(?:(?!^##).*\n)*", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]*)\]\([^)#]*(?:#[^)]*)?\)")


@cache
def sections() -> Mapping[str, str]:
    """The section of every code; links are reduced to their words."""
    text = files("podfence.cli").joinpath("errors.md").read_text(encoding="utf-8")
    return {found[1]: _LINK.sub(r"\1", found[0]).strip() for found in _SECTION.finditer(text)}


def explain(context: click.Context, parameter: click.Parameter, code: str | None) -> None:
    """Print the section of a code and end the command."""
    if code is None or context.resilient_parsing:
        return
    name = code.strip().lower()
    section = sections().get(code_of(name)) or sections().get(name.upper())
    if section is None:
        close = similar(name, LINT_SLUGS)
        hint = f"did you mean {close[0]}?" if close else "PF320 is one"
        raise click.UsageError(f"--explain {code}: there is no such code; {hint}")
    click.echo(section)
    context.exit(0)
