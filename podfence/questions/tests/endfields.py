"""The fields of a test file that name ends and ports: words, lists of them, mappings, groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from podfence.admission.decode_strict import json_type
from podfence.likeness import similar
from podfence.model.selectors import LabelSelector
from podfence.questions.tests.fields import DocumentFields, Json, at
from podfence.questions.tests.form import (
    ALL_PORTS,
    End,
    NewcomerEnd,
    PortSpec,
    SelectedEnd,
    TargetEnd,
    UnionEnd,
)
from podfence.questions.tests.words import joined, read_port, read_target

_FIELDS = ("namespace", "namespaces", "pods", "newcomer", "ends", "except")


class EndReader:
    """Reads ends. ``groups``: the names that the file gives to ends."""

    def __init__(self, fields: DocumentFields, namespace: str, groups: Json) -> None:
        self._fields = fields
        self._namespace = namespace
        self._groups = groups
        self._open: list[str] = []

    def check_groups(self) -> None:
        """Every group has to be an end, whether a test uses it or not."""
        for name, value in self._groups.items():
            self._group(str(name), value)

    def ports(self, parent: Json, path: str) -> PortSpec:
        """The field ``ports``; every port where there is none."""
        value = parent.get("ports")
        if value is None:
            return ALL_PORTS
        inner = at(path, "ports")
        items = value if isinstance(value, list) else [value]
        if not items:
            self._fields.refuse(inner, "is empty, so there is nothing to ask; leave it out for any")
        found: list[PortSpec] = []
        for number, item in enumerate(items):
            where = f"{inner}[{number}]" if isinstance(value, list) else inner
            if isinstance(item, bool) or not isinstance(item, str | int):
                self._fields.refuse(where, f"expected a port, got {json_type(item)}")
                continue
            read = self._fields.worded(where, partial(read_port, item))
            if read is not None:
                found.append(read)
        return joined(found) if found else ALL_PORTS

    def targets(
        self, parent: Json, key: str, path: str, *, ported: bool = True
    ) -> tuple[TargetEnd, ...] | None:
        """The ends of a field, None where it is absent. ``ported``: whether they may have ports."""
        value = parent.get(key)
        if value is None:
            return None
        found = tuple(self._targets(value, at(path, key)))
        for target in found:
            if target.ports is not None and not ported:
                text = f"{target.end.text}:{target.ports.text}: a source has no port; leave it out"
                self._fields.refuse(at(path, key), text)
        return found

    def _targets(self, value: Any, path: str) -> Iterator[TargetEnd]:
        if isinstance(value, list):
            if not value:
                self._fields.refuse(path, "is empty; name at least one end")
            for number, item in enumerate(value):
                yield from self._targets(item, f"{path}[{number}]")
        elif isinstance(value, Mapping):
            end = self._mapping(value, path)
            if end is not None:
                yield TargetEnd(end)
        elif isinstance(value, str) and value.startswith("$"):
            yield from self._called(value, path)
        elif isinstance(value, str):
            read = self._fields.worded(path, lambda: read_target(value, self._namespace))
            if read is not None:
                yield TargetEnd(*read)
        else:
            self._fields.refuse(path, f"expected an end, got {json_type(value)}")

    def _called(self, word: str, path: str) -> Iterator[TargetEnd]:
        """``$group`` and ``$group:port``."""
        name, colon, port = word[1:].partition(":")
        if name not in self._groups:
            close = similar(name, map(str, self._groups))
            hint = f"; did you mean ${close[0]}?" if close else "; groups has no such name"
            self._fields.refuse(path, f"unknown group ${name}{hint}")
            return
        end = self._group(name, self._groups[name])
        if end is None:
            return
        ports = self._fields.worded(path, lambda: read_port(port)) if colon else None
        yield TargetEnd(end, ports)

    def _group(self, name: str, value: Any) -> End | None:
        path = at("groups", name)
        if name in self._open:
            self._fields.refuse(path, f"group ${name} names itself")
            return None
        self._open.append(name)
        found = list(self._targets(value, path))
        self._open.pop()
        for target in found:
            if target.ports is not None:
                text = f"{target.end.text}:{target.ports.text}: a group has no ports; write "
                self._fields.refuse(path, f"{text}${name}:{target.ports.text} where it is used")
        ends = [target.end for target in found]
        return UnionEnd(f"${name}", tuple(ends)) if ends else None

    def _mapping(self, value: Json, path: str) -> End | None:
        fields = self._fields
        fields.known(value, path, _FIELDS)
        namespace = fields.text(value, "namespace", path) or None
        end: End
        if "newcomer" in value:
            labels = fields.labels(value["newcomer"], at(path, "newcomer"))
            shown = f"{namespace or '*'}/+" + (
                f"{{{','.join(f'{k}={v}' for k, v in labels)}}}" if labels else ""
            )
            end = NewcomerEnd(shown, namespace, labels)
        elif "ends" in value:
            inner = tuple(target.end for target in self._targets(value["ends"], at(path, "ends")))
            end = UnionEnd(", ".join(each.text for each in inner), inner)
        elif not value.keys() & {"namespace", "namespaces", "pods"}:
            fields.refuse(path, "names nobody; write namespace, namespaces, pods, newcomer or ends")
            return None
        else:
            end = self._selected(value, path, namespace)
        if "except" not in value:
            return end
        without = tuple(target.end for target in self._targets(value["except"], at(path, "except")))
        text = f"{end.text} except {', '.join(each.text for each in without)}"
        return UnionEnd(text, (end,), without)

    def _selected(self, value: Json, path: str, namespace: str | None) -> SelectedEnd:
        namespaces, pods = LabelSelector(), LabelSelector()
        if "namespaces" in value:
            namespaces = self._fields.selector(value["namespaces"], at(path, "namespaces"))
        if "pods" in value:
            pods = self._fields.selector(value["pods"], at(path, "pods"))
        where = namespace or (_words(namespaces) if "namespaces" in value else "*")
        what = _words(pods) if "pods" in value else "*"
        return SelectedEnd(f"{where}/{what}", namespace, namespaces, pods)


def _words(selector: LabelSelector) -> str:
    said = [f"{key}={value}" for key, value in selector.match_labels]
    for each in selector.match_expressions:
        values = f" ({', '.join(each.values)})" if each.values else ""
        said.append(f"{each.key} {each.operator.value}{values}")
    return ",".join(said) or "*"
