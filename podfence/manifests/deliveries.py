"""Objects from which Argo CD and Flux render and apply others.

Rule: nothing is fetched or rendered for them. A warning says that the input lacks their objects,
and names their source.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from podfence.admission.kinds import group_of
from podfence.errors import Problem, Severity, Source
from podfence.manifests.listing import version_of
from podfence.text import printable

DELIVERY_CODES: Final = {"PF123": "objects that others would bring were not read"}
_KINDS: Final = {
    ("argoproj.io", "Application"): (("source", "path"), ("source", "chart"), ("sources",)),
    ("helm.toolkit.fluxcd.io", "HelmRelease"): (("chart", "spec", "chart"), ("chartRef", "name")),
    ("kustomize.toolkit.fluxcd.io", "Kustomization"): (("path",),),
}
"""Each kind, with the fields of its spec that name its sources."""
DELIVERY_KINDS: Final = frozenset({"Application", "HelmRelease"})
"""These kinds. No verdict depends on them, so one that cannot be parsed is a warning."""
_SHOWN: Final = 5


class Delivery(Struct, frozen=True):
    """One such object. ``text``: its kind, name and sources; text of the API."""

    source: Source
    text: str


def delivery_of(source: Source, value: Mapping[str, Any]) -> Delivery | None:
    """Read such an object; None for any other."""
    kind = str(value.get("kind"))
    fields = _KINDS.get((group_of(version_of(value)), kind))
    if fields is None:
        return None
    metadata = value.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    found = next((word for path in fields if (word := _at(value.get("spec"), path))), "")
    return Delivery(source, f"{kind} {name or 'without a name'}{f' ({found})' if found else ''}")


def _at(value: Any, path: Sequence[str]) -> str:
    """The text at a path; of a list, what its items say."""
    for field in path:
        value = value.get(field) if isinstance(value, Mapping) else None
    if isinstance(value, list):
        every = (_at(each, (key,)) for each in value for key in ("path", "chart"))
        return ", ".join(filter(None, every))
    return value if isinstance(value, str) else ""


def delivery_problems(found: Sequence[Delivery]) -> Iterator[Problem]:
    """One for all of them, at the first."""
    if not found:
        return
    named = ", ".join(printable(each.text) for each in found[:_SHOWN])
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    text = (
        f"what these bring was not read, and is not judged: {named}{more}; render it, and read the "
        "result too"
    )
    yield Problem("PF123", Severity.WARNING, text, found[0].source, "kind")
