"""The API server's checks of an object's metadata, and of labels and selectors anywhere.

Rule: as when the object is created, in the server's order and words. ``metadata.managedFields`` is
not looked at, and the server itself replaces ``generation`` before it looks. Labels of one map are
checked in the order of their keys (the server has no order there).
"""

from __future__ import annotations

from typing import Any

from podfence.admission import validate_names as names
from podfence.admission.refusals import forbidden, in_json, invalid, refused, required
from podfence.admission.schema import NOTHING, Json
from podfence.errors import Problem

TOTAL_ANNOTATION_BYTES = 256 * 1024
_NEED_VALUES = frozenset({"In", "NotIn"})
_REFUSE_VALUES = frozenset({"Exists", "DoesNotExist"})
_STANDARD_FINALIZERS = frozenset({"kubernetes", "orphan", "foregroundDeletion"})


def metadata_refusals(metadata: Json, *, namespaced: bool, built_in: bool) -> list[Problem]:
    """The errors of the metadata of an object with a name.

    ``built_in`` kinds alone want finalizers that are qualified.
    """
    problems = _names(metadata, namespaced)
    problems += label_refusals(metadata.get("labels"), "metadata.labels")
    if annotations := metadata.get("annotations"):
        problems += _annotations(annotations)
    if references := metadata.get("ownerReferences"):
        problems += _owner_references(references)
    if finalizers := metadata.get("finalizers"):
        problems += _finalizers([text or "" for text in finalizers], built_in)
    return problems


def _names(metadata: Json, namespaced: bool) -> list[Problem]:
    problems: list[Problem] = []
    if prefix := metadata.get("generateName"):
        problems += invalid("metadata.generateName", prefix, *names.generate_name(prefix))
    if name := metadata.get("name"):
        problems += invalid("metadata.name", name, *names.dns_subdomain(name))
    else:
        problems.append(required("metadata.name", "name or generateName is required"))
    if not namespaced:
        return problems
    if namespace := metadata.get("namespace"):
        problems += invalid("metadata.namespace", namespace, *names.namespace_name(namespace))
    else:
        problems.append(required("metadata.namespace"))
    return problems


def _annotations(annotations: Json) -> list[Problem]:
    path = "metadata.annotations"
    problems: list[Problem] = []
    for key in sorted(annotations):
        problems += invalid(path, key, *names.label_key(key.lower()))
    size = sum(names.byte_length(k) + names.byte_length(v or "") for k, v in annotations.items())
    if size > TOTAL_ANNOTATION_BYTES:
        detail = f"may not be more than {TOTAL_ANNOTATION_BYTES} bytes"
        problems.append(refused(path, "Too long", detail))
    return problems


def _owner_references(references: list[Json | None]) -> list[Problem]:
    path = "metadata.ownerReferences"
    problems: list[Problem] = []
    controllers: list[str] = []
    stored: list[dict[str, Any]] = []
    for reference in (_stored_reference(item or NOTHING) for item in references):
        if reference not in stored:  # the server drops repetitions first
            stored.append(reference)
    for index, reference in enumerate(stored):
        problems += _owner_reference(reference, f"{path}[{index}]")
        if reference.get("controller"):
            controllers.append(f"{reference['kind']}/{reference['name']}")
    for other in controllers[1:]:
        detail = (
            'Only one reference can have Controller set to true. Found "true" in references for '
            f"{controllers[0]} and {other}"
        )
        problems += invalid(path, stored, detail)
    return problems


def _stored_reference(reference: Json) -> dict[str, Any]:
    texts = {key: reference.get(key) or "" for key in ("apiVersion", "kind", "name", "uid")}
    flags = {key: reference.get(key) for key in ("controller", "blockOwnerDeletion")}
    return texts | {key: flag for key, flag in flags.items() if flag is not None}


def _owner_reference(reference: Json, path: str) -> list[Problem]:
    problems: list[Problem] = []
    api_version = reference["apiVersion"]
    if api_version and (api_version.count("/") > 1 or api_version.endswith("/")):
        detail = "must be <group>/<version> or <version>"
        problems += invalid(f"{path}.apiVersion", api_version, detail)
    for field in ("apiVersion", "kind", "name", "uid"):
        if not reference[field]:
            problems.append(required(f"{path}.{field}", "must not be empty"))
    if (api_version, reference["kind"]) == ("v1", "Event"):
        detail = "/v1, Kind=Event is disallowed from being an owner"
        problems += invalid(path, reference, detail)
    return problems


def _finalizers(finalizers: list[str], built_in: bool) -> list[Problem]:
    path = "metadata.finalizers"
    problems: list[Problem] = []
    for text in finalizers:
        problems += invalid(path, text, *names.label_key(text))
    if {"orphan", "foregroundDeletion"} <= set(finalizers):
        detail = "finalizer orphan and foregroundDeletion cannot be both set"
        problems += invalid(path, finalizers, detail)
    for index, text in enumerate(finalizers if built_in else ()):
        if "/" not in text and text not in _STANDARD_FINALIZERS:
            detail = "name is neither a standard finalizer name nor is it fully qualified"
            problems += invalid(f"{path}[{index}]", text, detail)
    return problems


# -------------------------------------------------------------------------- labels and selectors


def label_refusals(labels: Json | None, path: str) -> list[Problem]:
    """The errors of a map of labels; the path is that of the map for every entry."""
    if not labels:
        return []
    problems: list[Problem] = []
    for key, value in sorted(labels.items()):
        text = value or ""
        if complaints := names.label_key(key):
            problems += invalid(path, key, *complaints)
        if complaints := names.label_value(text):
            problems += invalid(path, text, *complaints)
    return problems


def selector_refusals(selector: Json | None, path: str) -> list[Problem]:
    """The errors of a label selector; a missing one counts as empty."""
    if not selector:
        return []
    problems = label_refusals(selector.get("matchLabels"), f"{path}.matchLabels")
    for index, requirement in enumerate(selector.get("matchExpressions") or ()):
        problems += _requirement(requirement or NOTHING, f"{path}.matchExpressions[{index}]")
    return problems


def _requirement(requirement: Json, path: str) -> list[Problem]:
    values = requirement.get("values") or ()
    problems = _operator(requirement.get("operator") or "", bool(values), path)
    key = requirement.get("key") or ""
    if complaints := names.label_key(key):
        problems += invalid(f"{path}.key", key, *complaints)
    for index, value in enumerate(values):
        text = value or ""
        if complaints := names.label_value(text):
            problems += invalid(f"{path}.values[{index}]", text, *complaints)
    return problems


def _operator(operator: str, has_values: bool, path: str) -> list[Problem]:
    if operator in _NEED_VALUES:
        detail = "must be specified when `operator` is 'In' or 'NotIn'"
        return [] if has_values else [required(f"{path}.values", detail)]
    if operator in _REFUSE_VALUES:
        detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        return [forbidden(f"{path}.values", detail)] if has_values else []
    detail = "not a valid selector operator"
    return [refused(f"{path}.operator", "Invalid value", in_json(operator), detail)]
