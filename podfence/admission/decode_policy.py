"""NetworkPolicy manifest -> value: strictly decoded, defaulted, validated, as the server does it.

Rule: there is a value only if the meaning of the policy is clear, even if the server would not
store it (``Problem.refused_only``). Defaults: policyTypes (NP-8), protocol TCP (NP-30), namespace
``default``; null, absent and empty lists are the same (NP-9); null items are zero values (NP-15a).
An explicit protocol "" is not defaulted, but refused.
"""

from __future__ import annotations

import re

from msgspec.structs import replace

from podfence.admission.decode_fields import generated_name, independent, readable_part
from podfence.admission.decode_known import decode_known
from podfence.admission.decode_strict import strict_problems
from podfence.admission.policy_values import (
    policy_types_of,
    rules_of,
    selector_of,
    text_labels,
)
from podfence.admission.schema import NETWORK_POLICY, NOTHING, Json
from podfence.admission.validate import cidr_warnings, validate
from podfence.errors import Problem, Severity, Source
from podfence.likeness import similar
from podfence.model.meta import ObjectRef, is_audited
from podfence.model.networkpolicy import NetworkPolicy
from podfence.model.selectors import LabelSelector


def decode_policy(
    manifest: Json, source: Source, strict_cidrs: bool = True
) -> tuple[NetworkPolicy | None, tuple[Problem, ...]]:
    """The policy, unless it is not clear what it means, and all problems without ``source`` and
    ``object``.

    Where a field has the wrong type the server validates nothing; here the rest is validated.
    """
    known = decode_known(manifest, source)
    if known is not None:
        return known, ()
    return decode_unknown(manifest, source, strict_cidrs)


def decode_unknown(
    manifest: Json, source: Source, strict_cidrs: bool = True
) -> tuple[NetworkPolicy | None, tuple[Problem, ...]]:
    """The same without the cache."""
    problems = [] if NETWORK_POLICY.conforms(manifest) else list(strict_problems(manifest))
    wrong = [problem.path for problem in problems if problem.code == "PF202"]
    defaulted = _with_names(readable_part(manifest) if wrong else manifest, source)
    found = [*validate(defaulted, strict_cidrs), *cidr_warnings(defaulted, strict_cidrs)]
    problems += independent(found, wrong) if wrong else found
    problems = [leave_meaning(problem) for problem in problems]
    if any(map(takes_meaning, problems)):
        return None, tuple(problems)
    return _policy(_named(defaulted, source), source), tuple(problems)


def leave_meaning(problem: Problem) -> Problem:
    """The problem, marked if the meaning of the policy stays clear: metadata and status do not
    matter for that, except for the names of the policy and its namespace."""
    if problem.severity is not Severity.ERROR or not re.match(_NO_MEANING, problem.path):
        return problem
    if problem.code == "PF202" and re.fullmatch(_WHERE_IT_IS, problem.path):
        return problem
    if problem.code == "PF201" and _may_be_namespace(problem.path):
        return problem
    return replace(problem, refused_only=True)


def _may_be_namespace(path: str) -> bool:
    """Whether an unknown field of the metadata may be a misspelt ``namespace``: the policy then
    belongs elsewhere than where it seems to be."""
    field = path.removeprefix("metadata.").lower()
    return bool(similar(field, ("namespace",), cutoff=_LIKE_NAMESPACE))


def takes_meaning(problem: Problem) -> bool:
    """Whether an object with this problem has no clear meaning."""
    return problem.severity is Severity.ERROR and not problem.refused_only


_NO_MEANING = r"(?:metadata|status)(?=[.\[]|\Z)"
_LIKE_NAMESPACE = 0.7
_WHERE_IT_IS = r"metadata(?:\.name|\.namespace)?"


def _named(manifest: Json, source: Source) -> Json:
    """A policy without any name, which no server stores, gets one: its meaning is clear."""
    metadata = manifest["metadata"]
    if metadata["name"]:
        return manifest
    return {**manifest, "metadata": {**metadata, "name": generated_name("unnamed-", source)}}


def _with_names(manifest: Json, source: Source) -> Json:
    """Fills in what the server fills in before it validates: name and namespace."""
    metadata = manifest.get("metadata") or NOTHING
    name, namespace = metadata.get("name"), metadata.get("namespace")
    if name and namespace:
        return manifest
    prefix = metadata.get("generateName")
    names = {
        "name": name or (generated_name(prefix, source) if prefix else ""),
        "namespace": namespace or "default",
    }
    return {**manifest, "metadata": {**metadata, **names}}


def _policy(manifest: Json, source: Source) -> NetworkPolicy:
    metadata, spec = manifest["metadata"], manifest.get("spec") or NOTHING
    egress = rules_of(spec.get("egress"), "to")
    declared = spec.get("policyTypes")
    return NetworkPolicy(
        ref=ObjectRef("NetworkPolicy", metadata["namespace"], metadata["name"]),
        pod_selector=selector_of(spec.get("podSelector")) or LabelSelector(),
        policy_types=policy_types_of(declared, bool(egress)),
        ingress=rules_of(spec.get("ingress"), "from"),
        egress=egress,
        labels=text_labels(metadata.get("labels")),
        declared_types=bool(declared),
        source=source,
        audited=is_audited(metadata.get("annotations")),
    )
