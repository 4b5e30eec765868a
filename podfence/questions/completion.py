"""Completion in the text of a policy: labels, namespaces and ports that exist.

Rule: unfinished text cannot be parsed, so the position is found from the keys above it by their
indentation, as a person reads it. Every option says how many pods it matches.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

from podfence.model.cluster import Cluster
from podfence.model.meta import DEFAULT_NAMESPACE
from podfence.model.objects import Pod
from podfence.questions.phrases.words import count

MOST: Final = 60
_KEY: Final = re.compile(
    r"""^(\s*(?:- +)*)(?:"([^"]*)"|'([^']*)'|([^\s#:{}\[\],"']+))\s*:(?:\s|$)"""
)
_LABELS: Final = ("matchLabels", "labels")


class Option(Struct, frozen=True):
    """``detail``: for a person. ``weight``: the option that most pods have comes first."""

    text: str
    detail: str
    weight: int


class Completion(Struct, frozen=True):
    """``start``: the column from which an option replaces the text."""

    start: int
    options: tuple[Option, ...]


def complete(cluster: Cluster, text: str, line: int, column: int) -> Completion | None:
    """``line`` from 1, ``column`` from 0. None where nothing is known that fits."""
    lines = text.split("\n")
    if not 1 <= line <= len(lines):
        return None
    typed = lines[line - 1][:column]
    found = _Here.of(lines, line, typed)
    if found is None:
        return None
    options = sorted(_options(cluster, found), key=lambda each: (-each.weight, each.text))
    return Completion(column - len(found.word), tuple(options[:MOST])) if options else None


class _Here(Struct, frozen=True):
    """``above``: the keys around, innermost first. ``key``: of the value that is typed, None for a
    key. ``word``: the part that is typed already. ``namespace``: of the policy. ``spaces``: the
    peer's namespaceSelector; None if it has none."""

    above: tuple[str, ...]
    key: str | None
    word: str
    namespace: str
    spaces: Mapping[str, str] | None

    @classmethod
    def of(cls, lines: Sequence[str], line: int, typed: str) -> _Here | None:
        flow = re.search(r"(?:([\w.\-/]+)\s*:\s*|- +)\{([^{}]*)$", typed)
        inner: tuple[str, ...] = ()
        if flow:
            rest = flow[2].rpartition(",")[2]
            inner = (flow[1],) if flow[1] else ()
        else:
            rest = typed.lstrip().removeprefix("- ").lstrip()
        if "#" in rest:
            return None
        key, colon, value = rest.partition(":")
        if colon and not value.startswith(" "):
            return None
        word = (value if colon else key).lstrip().lstrip("\"'")
        outer = typed[: flow.start()] if flow else typed
        above = (*inner, *_above(lines, line, _indent(outer)))
        return cls(
            above,
            key.strip().strip("\"'") if colon else None,
            word,
            _namespace(lines, line),
            _spaces(lines, line),
        )


def _indent(text: str) -> int:
    """Where the first key of a line begins: a dash and blanks count as its indentation."""
    found = re.match(r"\s*(?:- +)*", text)
    return found.end() if found else 0


def _above(lines: Sequence[str], line: int, indent: int) -> Iterator[str]:
    """The keys around a line, innermost first."""
    dash = len(lines[line - 1]) - len(lines[line - 1].lstrip())
    if lines[line - 1].lstrip().startswith("- "):
        indent = dash + 1
    for text in reversed(lines[: line - 1]):
        if text.startswith("---"):
            return
        found = _KEY.match(text)
        if found is None:
            continue
        start = len(found[1])
        if start < indent:
            yield found[2] or found[3] or found[4]
            lead = len(text) - len(text.lstrip())
            indent = lead + 1 if lead < start else start


def _document(lines: Sequence[str], line: int) -> Sequence[str]:
    first = max((n for n in range(line) if lines[n].startswith("---")), default=-1)
    last = next((n for n in range(line, len(lines)) if lines[n].startswith("---")), len(lines))
    return lines[first + 1 : last]


def _namespace(lines: Sequence[str], line: int) -> str:
    """The namespace of the document."""
    text = "\n".join(_document(lines, line))
    found = re.search(r"""^metadata:.*?\bnamespace:\s*["']?([\w.-]+)""", text, re.M | re.S)
    return found[1] if found else DEFAULT_NAMESPACE


def _spaces(lines: Sequence[str], line: int) -> Mapping[str, str] | None:
    """The labels of namespaces that the peer around a line asks for, if it asks for any."""
    first = line - 1
    while first > 0 and not re.match(r"\s*- ", lines[first]):
        first -= 1
    dash = len(lines[first]) - len(lines[first].lstrip())
    last = line
    while last < len(lines) and len(lines[last]) - len(lines[last].lstrip()) > dash:
        last += 1
    text = "\n".join(lines[first:last])
    found = re.search(r"namespaceSelector:(.*?)(?=podSelector:|\Z)", text, re.S)
    if found is None:
        return None
    return dict(re.findall(r"([\w.\-/]+):\s*[\"']?([\w.-]+)", found[1].replace("matchLabels:", "")))


def _options(cluster: Cluster, here: _Here) -> Iterator[Option]:
    near = here.above[0] if here.above else ""
    if near in _LABELS or (near == "matchExpressions" and here.key == "key"):
        key = None if near == "matchExpressions" else here.key
        yield from _labels(_things(cluster, here), key)
    elif here.key == "namespace":
        spaces = Counter(pod.namespace for pod in cluster.pods)
        yield from _counted({name: spaces[name] for name in cluster.namespaces})
    elif here.key == "port":
        yield from _ports(cluster.pods)
    elif here.key == "protocol":
        yield from _counted(_protocols(cluster.pods))


_Things = list[tuple[Mapping[str, str], int]]
"""Labels, and how many pods have them."""


def _things(cluster: Cluster, here: _Here) -> _Things:
    if "namespaceSelector" in here.above[:2]:
        pods = Counter(pod.namespace for pod in cluster.pods)
        return [(dict(n.labels), pods[n.name]) for n in cluster.namespaces.values()]
    inside = {here.namespace}
    if here.spaces is not None and "podSelector" in here.above:
        asked = here.spaces.items()
        spaces = cluster.namespaces.values()
        inside = {each.name for each in spaces if asked <= dict(each.labels).items()}
    return [(dict(pod.labels), 1) for pod in cluster.pods if pod.namespace in inside]


def _labels(things: _Things, key: str | None) -> Iterator[Option]:
    """Keys, or the values of one key."""
    found: Counter[str] = Counter()
    for labels, pods in things:
        names: Iterable[str] = labels if key is None else filter(None, [labels.get(key)])
        for name in names:
            found[name] += pods
    yield from _counted(found)


def _ports(pods: Iterable[Pod]) -> Iterator[Option]:
    """Numbers and names of ports that pods declare."""
    numbers: Counter[int] = Counter()
    names: Counter[str] = Counter()
    for pod in pods:
        numbers.update({port.port for port in pod.ports})
        names.update({port.name for port in pod.ports if port.name})
    yield from _counted({str(number): pods for number, pods in numbers.items()})
    yield from _counted(names)


def _protocols(pods: Iterable[Pod]) -> Mapping[str, int]:
    found = Counter({"TCP": 0, "UDP": 0, "SCTP": 0})
    for pod in pods:
        found.update({port.protocol.value for port in pod.ports})
    return found


def _counted(found: Mapping[str, int]) -> Iterator[Option]:
    for text, pods in found.items():
        yield Option(text, count(pods, "pod"), pods)
