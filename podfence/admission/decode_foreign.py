"""Policies of other APIs -> the pods that they may touch.

Rule: only a selector of labels with values is understood. Any other selector counts as all pods of
the namespace or the cluster, so that no pod is missed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from podfence.admission.kinds import NAMESPACED_ELSEWHERE, group_of
from podfence.admission.schema import Json
from podfence.errors import Source
from podfence.model.meta import DEFAULT_NAMESPACE, labels_of
from podfence.model.objects import ForeignPolicy
from podfence.model.selectors import LabelSelector

_ALL: Final[tuple[LabelSelector, ...]] = (LabelSelector(),)
_MESH_ROOT: Final = "istio-system"
"""The namespace in which a policy without a selector applies to all pods of the mesh."""
_CILIUM_NAMESPACE: Final = "io.kubernetes.pod.namespace"
_CALICO_TERM: Final = re.compile(r"""\s*([A-Za-z0-9./_-]+)\s*==\s*(?:'([^']*)'|"([^"]*)")\s*""")
_MOST_TERMS: Final = 64


def decode_foreign(data: Json, source: Source) -> ForeignPolicy:
    """The pods that a policy may touch; raises nothing for any content."""
    kind, group = str(data.get("kind")), group_of(str(data.get("apiVersion")))
    metadata = _mapping(data, "metadata")
    name = metadata.get("name")
    space = metadata.get("namespace")
    namespace = space if isinstance(space, str) and space else None
    if namespace is None and kind in NAMESPACED_ELSEWHERE:
        namespace = DEFAULT_NAMESPACE
    selectors = _ALL
    if group == "cilium.io":
        namespace, selectors = _cilium(data, namespace)
    elif group.endswith("projectcalico.org"):
        selectors = _calico(_mapping(data, "spec"))
    elif kind == "AuthorizationPolicy":
        plain = _labels(_mapping(data, "spec").get("selector"))
        selectors = _ALL if plain is None else (plain,)
        if namespace == _MESH_ROOT and selectors == _ALL:
            namespace = None
    named = name if isinstance(name, str) and name else "(unnamed)"
    return ForeignPolicy(f"{kind}.{group}", namespace, named, selectors, source=source)


def _mapping(parent: Any, key: str) -> Mapping[str, Any]:
    value = parent.get(key) if isinstance(parent, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def _labels(selector: Any) -> LabelSelector | None:
    """A selector of ``matchLabels`` alone; None for one that is not understood. Absent: all."""
    if selector is None:
        return LabelSelector()
    if not isinstance(selector, Mapping) or set(selector) - {"matchLabels"}:
        return None
    labels = selector.get("matchLabels") or {}
    if not isinstance(labels, Mapping) or not all(
        isinstance(key, str) and isinstance(value, str) for key, value in labels.items()
    ):
        return None
    return LabelSelector(labels_of(labels))


def _cilium(data: Json, namespace: str | None) -> tuple[str | None, tuple[LabelSelector, ...]]:
    """A rule with a ``nodeSelector`` is about nodes, and touches no pod."""
    specs = [data.get("spec")] if data.get("spec") is not None else []
    listed = data.get("specs")
    specs += listed if isinstance(listed, list) else []
    rules = [spec for spec in specs if isinstance(spec, Mapping)]
    if not rules or len(rules) < len(specs):
        return namespace, _ALL
    found: list[LabelSelector] = []
    for spec in rules:
        if "endpointSelector" not in spec and "nodeSelector" in spec:
            continue
        plain = _labels(spec.get("endpointSelector"))
        labels = {} if plain is None else dict(map(_without_source, plain.match_labels))
        space = labels.pop(_CILIUM_NAMESPACE, "")
        if plain is None or any(key.startswith(("io.", "reserved")) for key in labels):
            return namespace, _ALL
        if space and len(rules) == 1 and namespace is None:
            namespace = space
        found.append(LabelSelector(labels_of(labels)))
    return namespace, tuple(found)


def _without_source(label: tuple[str, str]) -> tuple[str, str]:
    """``k8s:app`` and ``any:app`` are ``app``."""
    key, value = label
    prefix, found, rest = key.partition(":")
    if not found:
        return label
    return (rest if prefix in ("k8s", "any") else f"reserved:{rest}"), value


def _calico(spec: Mapping[str, Any]) -> tuple[LabelSelector, ...]:
    """``app == 'web' && tier == 'front'``; whatever else a selector says means all pods. One that
    is absent means all as well."""
    selector = spec.get("selector")
    if not isinstance(selector, str) or selector.strip() in ("", "all()"):
        return _ALL
    labels: dict[str, str] = {}
    terms = selector.split("&&", _MOST_TERMS)
    for term in terms:
        match = _CALICO_TERM.fullmatch(term)
        if match is None or len(terms) > _MOST_TERMS or match[1].startswith("projectcalico.org/"):
            return _ALL
        labels[match[1]] = match[2] if match[2] is not None else match[3]
    return (LabelSelector(labels_of(labels)),)
