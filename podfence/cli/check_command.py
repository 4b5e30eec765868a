"""``podfence check``: what the API server would refuse, with file:line:col."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import click

from podfence.admission.channel import experimental_fields
from podfence.cli.common import describe_problem, known_namespaces, output_option, read_inputs
from podfence.cli.inputs import Inputs, all_namespaces_option, input_options, namespace_option
from podfence.cli.terminal import echo
from podfence.errors import Problem, Severity, Source
from podfence.manifests.load import Loaded
from podfence.policy.compile import compile_cluster
from podfence.questions.lint.tiers import TierFinding, tier_findings
from podfence.questions.phrases.words import count
from podfence.render.jsontext import json_text
from podfence.render.problems import problem_data
from podfence.text import printable


@click.command("check")
@input_options
@namespace_option
@all_namespaces_option
@output_option
@click.option(
    "--kube-version",
    default="",
    metavar="1.N",
    help="The server that is meant; the newest one when it is not given.",
)
def command(
    inputs: Inputs, namespace: str | None, all_namespaces: bool, output: str, kube_version: str
) -> int:
    """Validate manifests as the API server would, all errors at once.

    NetworkPolicies, and policies of the Admin and Baseline tiers, are checked field by field; of
    other kinds, what podfence reads of them. Where there is no error, rules of those tiers that do
    nothing, or something else than it seems, are warned of. With -n the objects of one namespace
    and those of none are checked. Exit status 1 when there is an error; warnings alone are fine.
    """
    strict = minor_version(kube_version) >= STRICT_CIDRS_SINCE if kube_version else True
    given = () if namespace is None else (namespace,)
    scope = inputs.scope(given, everything=all_namespaces)
    loaded = read_inputs(inputs, scope, strict_cidrs=strict)
    known_namespaces(loaded, scope)
    found = (*loaded.problems, *_channel_warnings(loaded), *_tier_warnings(loaded))
    problems = tuple(p for p in found if not scope or _is_in(loaded, p.source, scope))
    kinds = _kinds(loaded, scope)
    if output == "json":
        click.echo(json_text(_data(loaded, problems, kinds)))
    else:
        for problem in problems:
            echo(describe_problem(loaded, problem))
        echo(_summary(loaded, problems, kinds))
    return 1 if _errors(problems) else 0


def _is_in(loaded: Loaded, source: Source | None, scope: Sequence[str]) -> bool:
    """Whether an object is in one of the namespaces, or in none: it concerns them all."""
    metadata = (loaded.raw(source) or {}).get("metadata")
    namespace = metadata.get("namespace") if isinstance(metadata, dict) else None
    return not namespace or namespace in scope


def _kinds(loaded: Loaded, scope: Sequence[str]) -> Mapping[str, int]:
    """Objects that were checked, by kind."""
    if not scope:
        return loaded.kinds
    return Counter(str(d.data["kind"]) for d in loaded.documents if _is_in(loaded, d.source, scope))


def _errors(problems: Iterable[Problem]) -> int:
    return sum(problem.severity is Severity.ERROR for problem in problems)


STRICT_CIDRS_SINCE = 36
"""The minor version of Kubernetes since which CIDRs with host bits are refused."""
_VERSION = re.compile(r"v?1\.(\d{1,3})(?:[.+-].*)?", re.DOTALL)


def minor_version(text: str) -> int:
    """36 of ``1.36``, ``v1.36.2`` or ``1.36.0-rc.1``. Raises UsageError for anything else."""
    found = _VERSION.fullmatch(text)
    if found is None:
        raise click.UsageError(f"--kube-version {text!r} is no version; write for example 1.35")
    return int(found[1])


def _channel_warnings(loaded: Loaded) -> tuple[Problem, ...]:
    policies = loaded.cluster.admin_policies
    return tuple(problem for policy in policies for problem in experimental_fields(policy))


def _tier_warnings(loaded: Loaded) -> tuple[Problem, ...]:
    """Nothing while there are errors: what could not be read may be what a rule is about."""
    if loaded.doubts or not loaded.cluster.admin_policies:
        return ()
    return tuple(map(_warning, tier_findings(compile_cluster(loaded.cluster))))


def _warning(finding: TierFinding) -> Problem:
    policy = finding.policy
    text = f"{finding.path}: {finding.text}"
    name = f"{policy.kind} {policy}"
    return Problem(finding.code, Severity.WARNING, text, finding.source, finding.path, name)


def _data(
    loaded: Loaded, problems: tuple[Problem, ...], kinds: Mapping[str, int]
) -> dict[str, object]:
    return {
        "schema": "podfence.check/v1",
        "ok": not _errors(problems),
        "problems": [problem_data(p, loaded.positions.locate_problem(p)) for p in problems],
        "objects": dict(kinds),
        "passedOver": dict(loaded.passed_over),
    }


def _summary(loaded: Loaded, problems: tuple[Problem, ...], kinds: Mapping[str, int]) -> str:
    warnings = sum(p.severity is Severity.WARNING for p in problems)
    read = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items())) or "no object"
    where = f"cluster {printable(loaded.live)}" if loaded.live else count(loaded.files, "file")
    words = [f"{where}: {read}"]
    if loaded.absent:
        words.append(f"not in this cluster: {', '.join(loaded.absent)}")
    words += [
        f"{title}: {', '.join(f'{n} {printable(k)}' for k, n in sorted(others.items()))}"
        for title, others in (
            ("not judged", loaded.not_judged),
            ("ignored", loaded.passed_over),
        )
        if others
    ]
    words.append(f"{count(_errors(problems), 'error')}, {count(warnings, 'warning')}")
    return "; ".join(words)
