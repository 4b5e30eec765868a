"""``podfence check``: what the API server would refuse, and what hardly was meant."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence

import click

from podfence.admission.channel import experimental_fields
from podfence.admission.kinds import POLICY_KINDS
from podfence.cli.common import describe_problem, known_namespaces, output_option, read_inputs
from podfence.cli.inputs import Inputs, all_namespaces_option, input_options, namespace_option
from podfence.cli.terminal import echo
from podfence.errors import Problem, Severity, Source
from podfence.manifests.load import Loaded
from podfence.policy.compile import compile_cluster
from podfence.policy.index import PolicyIndex
from podfence.questions.lint.findings import LINT_RULES
from podfence.questions.lint.lint import lint
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
@click.option("--server-only", is_flag=True, help="Say only what the API server would.")
@click.option(
    "--select",
    multiple=True,
    metavar="CODES",
    help="Of what policies really do, say only these, such as PF304 or PF31,PF22; repeatable.",
)
@click.option("--ignore", multiple=True, metavar="CODES", help="Say all but these; repeatable.")
@click.option(
    "--fail-on",
    type=click.Choice([*(each.value for each in Severity), "never"]),
    default=Severity.ERROR.value,
    show_default=True,
    help="The exit status is 1 from this weight on.",
)
def command(
    inputs: Inputs,
    namespace: str | None,
    all_namespaces: bool,
    output: str,
    kube_version: str,
    server_only: bool,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    fail_on: str,
) -> int:
    """Find what the API server would refuse, and policies that do something else than they say.

    NetworkPolicies, and policies of the Admin and Baseline tiers, are checked field by field as the
    server does, all errors at once; of other kinds, what podfence reads of them. Where every object
    can be read, the policies are compiled, and rules that cannot do what is written, or hardly do
    what was meant, are said. With -n the objects of one namespace and those of none are checked.
    Exit status 1 when there is an error.
    """
    strict = minor_version(kube_version) >= STRICT_CIDRS_SINCE if kube_version else True
    wanted = chosen(select) or frozenset(LINT_RULES)
    wanted -= chosen(ignore)
    given = () if namespace is None else (namespace,)
    scope = inputs.scope(given, everything=all_namespaces)
    loaded = read_inputs(inputs, scope, strict_cidrs=strict)
    known_namespaces(loaded, scope)
    found = (*loaded.problems, *_channel_warnings(loaded))
    if not server_only:
        found += _findings(loaded, wanted, scope)
    problems = tuple(p for p in found if not scope or _is_in(loaded, p.source, scope))
    kinds = _kinds(loaded, scope)
    if output == "json":
        click.echo(json_text(_data(loaded, problems, kinds)))
    else:
        for problem in problems:
            echo(describe_problem(loaded, problem))
        echo(_summary(loaded, problems, kinds, server_only=server_only))
    return 1 if _heaviest(problems) <= _weight(fail_on) else 0


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


_WEIGHTS = ["never", *(each.value for each in Severity)]


def _weight(severity: str) -> int:
    """0 for never, then the heaviest first."""
    return _WEIGHTS.index(severity)


def _heaviest(problems: Iterable[Problem]) -> int:
    return min((_weight(each.severity.value) for each in problems), default=len(_WEIGHTS))


_CODES = re.compile(r"PF[0-9]{0,3}")


def chosen(options: Iterable[str]) -> frozenset[str]:
    """The codes that options name: ``PF304``, ``PF31`` for all that begin so, several with commas
    between. Raises UsageError for others: what the server says is always said."""
    found: set[str] = set()
    for name in (name.strip() for option in options for name in option.split(",")):
        codes = {code for code in LINT_RULES if code.startswith(name)}
        if not codes or not _CODES.fullmatch(name):
            known = " or ".join(sorted({code[:4] for code in LINT_RULES}))
            raise click.UsageError(
                f"{name!r} is no code of what policies really do; these begin with {known}, and "
                "what the server would refuse is always said"
            )
        found |= codes
    return frozenset(found)


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


def all_problems(loaded: Loaded, index: PolicyIndex) -> tuple[Problem, ...]:
    """All that ``check`` says of a cluster without options. ``index``: its compiled form."""
    channel = _channel_warnings(loaded)
    return (*loaded.problems, *channel, *_findings(loaded, LINT_RULES, index=index))


def _findings(
    loaded: Loaded,
    wanted: Container[str],
    scope: Sequence[str] = (),
    *,
    index: PolicyIndex | None = None,
) -> tuple[Problem, ...]:
    """Nothing while an object could not be read: it may be what a policy is about."""
    if loaded.doubts:
        return ()
    found = lint(index or compile_cluster(loaded.cluster), loaded.raw)
    return tuple(
        finding.problem
        for finding in found
        if finding.code in wanted
        and (finding.object.kind != "Namespace" or not scope or finding.object.name in scope)
    )


def _data(
    loaded: Loaded, problems: tuple[Problem, ...], kinds: Mapping[str, int]
) -> dict[str, object]:
    return {
        "schema": "podfence.check/v1",
        "ok": all(problem.severity is not Severity.ERROR for problem in problems),
        "problems": [problem_data(p, loaded.positions.locate_problem(p)) for p in problems],
        "objects": dict(kinds),
        "passedOver": dict(loaded.passed_over),
    }


def _summary(
    loaded: Loaded, problems: tuple[Problem, ...], kinds: Mapping[str, int], *, server_only: bool
) -> str:
    found = Counter(problem.severity for problem in problems)
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
    weights = [count(found[each], each.value) for each in (Severity.ERROR, Severity.WARNING)]
    if found[Severity.NOTE]:
        weights.append(count(found[Severity.NOTE], Severity.NOTE.value))
    words.append(", ".join(weights))
    if loaded.doubts and not server_only and POLICY_KINDS & kinds.keys():
        words.append("what the policies really do is checked once all objects can be read")
    return "; ".join(words)
