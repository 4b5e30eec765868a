"""Objects of a document: Lists unfolded, kinds told apart.

Rule: whether an object is wanted depends on its kind, and a kind of the same name in a foreign API
group (Calico's ``NetworkPolicy``, Knative's ``Service``) is another kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from msgspec import Raw, Struct

from podfence.admission.kinds import (
    API_VERSIONS,
    group_of,
    is_foreign,
    is_served,
    meant_kind,
    meant_version,
)
from podfence.manifests.fieldpaths import FieldSteps
from podfence.manifests.inputfiles import KUSTOMIZATION_FILES
from podfence.manifests.jsonreader import READER
from podfence.manifests.yamlscalars import shown
from podfence.text import printable


class ListItem(Struct, frozen=True):
    """A value that should be an API object; ``item`` numbers the objects of a List from 0.

    ``text``: its JSON text, where the List holds that in place of the value.
    """

    value: Any
    steps: FieldSteps = ()
    item: int | None = None
    text: Raw | None = None


def is_list_of(kind: str, kinds: frozenset[str]) -> bool:
    """Whether a kind may be a list of wanted objects: ``List``, ``PodList``, ..."""
    return kind.endswith("List") and (kind == "List" or kind[:-4] in kinds)


def unfold(value: Any, kinds: frozenset[str]) -> Iterator[ListItem]:
    """The objects of a document in order, nested lists too; a document that is no list itself.

    Items of a List that are texts (``Raw``) are decoded one by one, when they are asked for.
    """
    if _items(value, kinds) is None:
        yield ListItem(value)
        return
    for number, leaf in enumerate(_leaves(value, (), kinds)):
        yield ListItem(leaf.value, leaf.steps, number, leaf.text)


def _leaves(value: Any, steps: FieldSteps, kinds: frozenset[str]) -> Iterator[ListItem]:
    for index, item in enumerate(_items(value, kinds) or ()):
        text = item if isinstance(item, Raw) else None
        each = _typed(item, value) if text is None else READER.decode(text)
        here = (*steps, "items", index)
        if _items(each, kinds) is None:
            yield ListItem(each, here, text=text)
        else:
            yield from _leaves(each, here, kinds)


def _items(value: Any, kinds: frozenset[str]) -> list[Any] | None:
    """Items of a list, ``None`` for anything that is not one. ``items: null`` is empty."""
    if not isinstance(value, dict):
        return None
    kind = value.get("kind")
    if not isinstance(kind, str) or not is_list_of(kind, kinds):
        return None
    items = value.get("items", ())
    if items is None or items == ():
        return []
    return items if isinstance(items, list) else None


def _typed(item: Any, parent: dict[str, Any]) -> Any:
    """The item; in a ``PodList`` from the server it has no kind, so it gets that of the list."""
    if parent["kind"] == "List" or not isinstance(item, dict):
        return item
    inherited = {"apiVersion": parent.get("apiVersion"), "kind": parent["kind"][:-4]}
    return {**inherited, **item}


def kind_of(value: Any) -> str:
    """The object's kind, with the group behind it if that is a foreign one; ``""`` for none."""
    kind = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(kind, str):
        return ""
    group = group_of(version_of(value))
    return f"{kind}.{group}" if is_foreign(group) else kind


def version_of(value: Any) -> str:
    """The object's ``apiVersion``, ``""`` if it is missing or not text."""
    version = value.get("apiVersion") if isinstance(value, dict) else None
    return version if isinstance(version, str) else ""


def name_of(value: Any) -> str:
    """``Kind namespace/name`` of an object for messages, ``""`` where it has no name."""
    kind, name = kind_of(value), _metadata(value, "name")
    namespace = namespace_of(value)
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}" if name else ""


def namespace_of(value: Any) -> str:
    """The namespace that is written in an object, ``""`` for none."""
    return _metadata(value, "namespace")


def _metadata(value: Any, key: str) -> str:
    metadata = value.get("metadata") if isinstance(value, dict) else None
    found = metadata.get(key) if isinstance(metadata, dict) else None
    return found if isinstance(found, str) else ""


def what_is_wrong(value: Any, kind: str, kinds: frozenset[str]) -> tuple[str, str]:
    """Why a value is not an API object, and the field that is wrong; ``("", "")`` if it is one."""
    if not isinstance(value, dict):
        name = _TYPE_NAMES.get(type(value), "a value")
        return f"{name} is not a Kubernetes object: write a mapping with apiVersion and kind", ""
    if not kind:
        return _without_kind(value)
    if kind in kinds:
        if not version_of(value) and kind in API_VERSIONS:
            return f"{kind} has no apiVersion: write apiVersion: {API_VERSIONS[kind]}", ""
    elif kind == "List":
        return "a List needs a list of objects under items", "items"
    elif (right := wanted_kind_of(value)) not in ("", kind):
        return _no_such_kind(value, right)
    return "", ""


def wanted_kind_of(value: Any) -> str:
    """The wanted kind of an object, or the one that its kind misspells; ``""`` for none."""
    kind = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(kind, str):
        return ""
    version = version_of(value)
    if kind in API_VERSIONS:
        ours = not is_foreign(group_of(version)) or meant_version(kind, version)
        return kind if ours else ""
    return meant_kind(kind, version)


def _no_such_kind(value: dict[str, Any], right: str) -> tuple[str, str]:
    """The server's text, what would be right, and which of the two fields is wrong."""
    kind, version, wanted = value["kind"], version_of(value), API_VERSIONS[right]
    if not version:
        return f"the kind {shown(kind)} does not exist: write {right}", "kind"
    text = f"no matches for kind {shown(kind)} in version {shown(version)}; did you mean"
    if kind == right:
        return f"{text} {wanted}?", "apiVersion"
    return f"{text} {right}{'' if is_served(right, version) else f' of {wanted}'}?", "kind"


def _without_kind(value: dict[str, Any]) -> tuple[str, str]:
    kind = value.get("kind")
    if kind is None or kind == "":
        return "the object has no kind: write apiVersion and kind, as in kind: NetworkPolicy", ""
    return "the kind is not a string: write a name such as NetworkPolicy", "kind"


_TYPE_NAMES: Final = {
    str: "a piece of text",
    list: "a list of its own",
    bool: "true or false",
    int: "a number",
    float: "a number",
    type(None): "null",
}

_CHART: Final = "part of a Helm chart: -f {} renders it, as helm template RELEASE {} does"
_KUSTOMIZATION: Final = "a kustomization: -f {} builds it, as kubectl kustomize {} does"
_ADVICE: Final = {
    "Chart.yaml": _CHART,
    "values.yaml": _CHART,
    **dict.fromkeys(KUSTOMIZATION_FILES, _KUSTOMIZATION),
}


def advice_for(path: str) -> str:
    """What to do with a well-known file that is not a manifest, ``""`` for any other."""
    folder, _, name = path.rpartition("/")
    advice = _ADVICE.get(name)
    return f" ({advice.replace('{}', printable(folder or '.'))})" if advice else ""
