"""One API object as plain JSON -> a value, or all of its problems.

Rule: no input raises. An object whose meaning is unclear because of an error gives no value. A kind
of the same name in another API group gives neither value nor problem (see ``is_wanted``), but no
policy is ignored silently.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from podfence.admission.decode_core import CORE_DECODERS
from podfence.admission.decode_fields import Fields
from podfence.admission.decode_policy import decode_policy
from podfence.admission.decode_workloads import WORKLOAD_DECODERS
from podfence.admission.kinds import (
    API_VERSIONS,
    CLUSTER_SCOPED,
    POLICY_KINDS,
    WANTED_KINDS,
    group_of,
    is_foreign,
    is_served,
)
from podfence.admission.refusals import quote
from podfence.errors import Problem, Severity, Source
from podfence.model.cluster import ClusterObject
from podfence.model.workloads import Workload

__all__ = [
    "PROBLEM_CODES",
    "Decoded",
    "decode",
    "is_wanted",
]

_FORMER_GROUP = "extensions"
_DECODERS = {**CORE_DECODERS, **WORKLOAD_DECODERS}


class Decoded(Struct, frozen=True):
    """``objects`` is empty when it is not clear what the object means, or it is not ours.

    ``problems`` are complete. An object with errors that are ``refused_only`` is there.
    """

    objects: tuple[ClusterObject | Workload, ...] = ()
    problems: tuple[Problem, ...] = ()


def is_wanted(data: Mapping[str, Any]) -> bool:
    """Whether ``decode`` handles an object: its kind is wanted, and its API group is missing or one
    of Kubernetes' own, in which no other kind has that name. Every policy is wanted, in any group.
    """
    kind = data.get("kind")
    if not isinstance(kind, str) or kind not in WANTED_KINDS:
        return False
    api_version = data.get("apiVersion")
    if kind in POLICY_KINDS or not isinstance(api_version, str):
        return True
    return not is_foreign(group_of(api_version))


def decode(data: Mapping[str, Any], source: Source, *, strict_cidrs: bool = True) -> Decoded:
    """Decodes, defaults and validates one object of a wanted kind; never raises.

    ``strict_cidrs``: as servers since 1.36 judge the CIDRs of a NetworkPolicy; those before accept
    host bits, leading zeros and mapped IPv4 addresses with a warning.
    """
    if not is_wanted(data):
        return Decoded()
    kind = data["kind"]
    if not is_served(kind, data.get("apiVersion")):
        text = _version_text(kind, data.get("apiVersion"))
        named = _shown(kind, data)
        problem = Problem("PF205", Severity.ERROR, text, source, "apiVersion", named)
        return Decoded((), (problem,))
    value, problems = _decode_kind(kind, data, source, strict_cidrs)
    if problems:
        named = _shown(kind, data)
        problems = tuple([replace(problem, source=source, object=named) for problem in problems])
    return Decoded(() if value is None else (value,), problems)


def _decode_kind(
    kind: str, data: Mapping[str, Any], source: Source, strict_cidrs: bool
) -> tuple[ClusterObject | Workload | None, tuple[Problem, ...]]:
    if kind == "NetworkPolicy":
        return decode_policy(data, source, strict_cidrs)
    if kind in POLICY_KINDS:
        return _tier_decoder(kind)(data, source)
    fields = Fields(source)
    value = _DECODERS[kind](fields, data)
    return None if fields.problems else value, tuple(fields.problems)


def _tier_decoder(kind: str) -> Callable[..., tuple[ClusterObject | None, tuple[Problem, ...]]]:
    """Imported on first use: most clusters have no such policy."""
    from podfence.admission import decode_adminnetworkpolicy as older
    from podfence.admission import decode_clusternetworkpolicy as newer

    return {
        "ClusterNetworkPolicy": newer.decode_clusternetworkpolicy,
        "AdminNetworkPolicy": older.decode_adminnetworkpolicy,
        "BaselineAdminNetworkPolicy": older.decode_baselineadminnetworkpolicy,
    }[kind]


def _version_text(kind: str, api_version: object) -> str:
    wanted = API_VERSIONS[kind]
    if not isinstance(api_version, str) or not api_version:
        return f"apiVersion is missing or no string: write apiVersion: {wanted}"
    group = group_of(api_version)
    if group == _FORMER_GROUP:
        return f"{kind} of {api_version} is no longer served since Kubernetes 1.16: use {wanted}"
    if group.endswith("projectcalico.org"):
        return f"{kind} of {api_version} is Calico's own kind, which podfence does not judge"
    if kind in CLUSTER_SCOPED & POLICY_KINDS:  # not built in: the server may have other versions
        return f"{kind} of {api_version} is not supported: use {wanted}"
    return f"no matches for kind {quote(kind)} in version {quote(api_version)}; use {wanted}"


def _shown(kind: str, data: Mapping[str, Any]) -> str:
    """``Kind namespace/name``, as far as the object has them."""
    metadata = data.get("metadata")
    known = metadata if isinstance(metadata, dict) else {}
    name, namespace = known.get("name"), known.get("namespace")
    if not isinstance(name, str) or not name:
        prefix = known.get("generateName")
        name = f"{prefix}*" if isinstance(prefix, str) and prefix else "(unnamed)"
    if kind in CLUSTER_SCOPED:
        return f"{kind} {name}"
    return f"{kind} {namespace if isinstance(namespace, str) and namespace else 'default'}/{name}"


# -- Codes of the problems that decoding and expanding can find
# Rule: a code never changes its meaning.


PROBLEM_CODES = {
    "PF201": "unknown field: the API server refuses it (strict field validation)",
    "PF202": "field of the wrong JSON type: the API server cannot decode it",
    "PF203": "validation error: the API server refuses the object with this text",
    "PF204": "null where a value belongs: the API server reads an empty value instead",
    "PF205": "unsupported apiVersion for this kind",
    "PF206": "CIDR that the API server accepts with a warning",
    "PF207": "field of an object other than a policy that cannot be used",
    "PF208": "workload with more pods than podfence expands",
    "PF209": "element that is stored, but cannot be read or evaluated: it fails closed",
    "PF210": "domain names in a rule that does not accept: they match nothing",
    "PF212": "field that only the experimental channel of the API has",
}
"""Problem code to its one-line meaning."""
