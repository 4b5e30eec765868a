"""Strict reading of the fields of a test file.

Rule: an unknown field and a value of a wrong type are errors with their path, and reading goes on,
so that one pass finds everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from podfence.admission.decode_strict import json_type
from podfence.errors import Problem, Severity, Source
from podfence.likeness import similar
from podfence.model.meta import Labels, labels_of
from podfence.model.selectors import LabelSelector, LabelSelectorRequirement, Operator

CODE = "PF500"
Json = Mapping[str, Any]
T = TypeVar("T")


class DocumentFields:
    """Typed access to the fields of one document; collects the problems on the way."""

    def __init__(self, source: Source, subject: str) -> None:
        self._source = source
        self._subject = subject
        self.problems: list[Problem] = []

    def refuse(self, path: str, text: str) -> None:
        """Notes an error."""
        said = f"{path}: {text}" if path else text
        found = Problem(CODE, Severity.ERROR, said, self._source, path, self._subject)
        self.problems.append(found)

    def known(self, value: Json, path: str, names: Sequence[str]) -> None:
        """Report unknown fields."""
        for key in value:
            if key not in names:
                close = similar(str(key), names)
                what = f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}"
                self.refuse(at(path, str(key)), f"unknown field {str(key)!r}; {what}")

    def mapping(self, value: Any, path: str, names: Sequence[str] = ()) -> Json | None:
        """A mapping; with ``names`` it may have only these fields."""
        if not isinstance(value, Mapping):
            self.refuse(path, f"expected a mapping, got {json_type(value)}")
            return None
        if names:
            self.known(value, path, names)
        return value

    def items(self, parent: Json, key: str, path: str) -> Iterator[tuple[str, Any]]:
        """The items of a list with their paths; one that is absent is empty."""
        value = parent.get(key)
        if value is None:
            return
        if not isinstance(value, list):
            self.refuse(at(path, key), f"expected a list, got {json_type(value)}")
            return
        for number, item in enumerate(value):
            yield f"{at(path, key)}[{number}]", item

    def text(self, parent: Json, key: str, path: str) -> str:
        """A text, "" where there is none."""
        value = parent.get(key)
        if value is None or isinstance(value, str):
            return value or ""
        self.refuse(at(path, key), f"expected a string, got {json_type(value)}")
        return ""

    def required(self, parent: Json, key: str, path: str) -> str:
        """A text that has to be there."""
        found = self.text(parent, key, path)
        if not found and not isinstance(parent.get(key), (int, bool, list, dict)):
            self.refuse(path, f"has no {key}")
        return found

    def flag(self, parent: Json, key: str, path: str) -> bool:
        """A truth value, False where there is none."""
        value = parent.get(key)
        if value is None or isinstance(value, bool):
            return bool(value)
        self.refuse(at(path, key), f"expected true or false, got {json_type(value)}")
        return False

    def choice(self, parent: Json, key: str, path: str, names: Mapping[str, T]) -> T | None:
        """One of some words."""
        return self._chosen(parent.get(key), at(path, key), names)

    def choices(self, parent: Json, key: str, path: str, names: Mapping[str, T]) -> list[T]:
        """Several of some words."""
        found = (self._chosen(item, where, names) for where, item in self.items(parent, key, path))
        return [each for each in found if each is not None]

    def _chosen(self, value: Any, path: str, names: Mapping[str, T]) -> T | None:
        if value is None:
            return None
        if isinstance(value, str) and value in names:
            return names[value]
        shown = repr(value) if isinstance(value, str) else json_type(value)
        self.refuse(path, f"{shown} is not one of {', '.join(names)}")
        return None

    def labels(self, value: Any, path: str) -> Labels:
        """Labels; {} and nothing are none."""
        if value is None:
            return ()
        found = self.mapping(value, path) or {}
        kept = {}
        for key, each in found.items():
            if isinstance(each, str):
                kept[str(key)] = each
            else:
                text = f"a label is a string, got {json_type(each)}; put it in quotes"
                self.refuse(at(path, str(key)), text)
        return labels_of(kept)

    def selector(self, value: Any, path: str) -> LabelSelector:
        """A LabelSelector as in a NetworkPolicy."""
        found = self.mapping(value, path, ("matchLabels", "matchExpressions"))
        if found is None:
            return LabelSelector()
        labels = self.labels(found.get("matchLabels"), at(path, "matchLabels"))
        asked = self.items(found, "matchExpressions", path)
        requirements = [self._requirement(item, where) for where, item in asked]
        return LabelSelector(labels, tuple(each for each in requirements if each is not None))

    def _requirement(self, value: Any, path: str) -> LabelSelectorRequirement | None:
        found = self.mapping(value, path, ("key", "operator", "values"))
        if found is None:
            return None
        key = self.required(found, "key", path)
        operator = self.choice(found, "operator", path, {each.value: each for each in Operator})
        values = [item for _, item in self.items(found, "values", path)]
        if operator is None:
            if found.get("operator") is None:
                self.refuse(path, "has no operator")
            return None
        needs = operator in (Operator.IN, Operator.NOT_IN)
        if bool(values) is not needs:
            word = "needs values" if needs else "takes no values"
            self.refuse(at(path, "values"), f"{operator.value} {word}")
            return None
        return LabelSelectorRequirement(key, operator, tuple(map(str, values)))

    def worded(self, path: str, read: Callable[[], T]) -> T | None:
        """The meaning of a word, None where it has none."""
        try:
            return read()
        except ValueError as error:
            self.refuse(path, str(error))
            return None


def at(path: str, key: str) -> str:
    """The path of a field."""
    if not key.replace("_", "").replace("-", "").isalnum():
        key = f"[{key}]"
        return f"{path}{key}"
    return f"{path}.{key}" if path else key
