"""Every field is found where it is written."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from podfence.errors import Position, Problem, Severity, Source
from podfence.manifests.documents import read_manifests
from podfence.manifests.fieldpaths import FieldSteps, PathStep, format_path, parse_path
from podfence.manifests.jsonitems import JsonItems
from podfence.manifests.jsonpositions import JsonSpans
from podfence.manifests.positions import Positions

KINDS = frozenset({"Pod"})


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("", ()),
        ("spec.ingress[0].ports[1].port", ("spec", "ingress", 0, "ports", 1, "port")),
        ("labels[app.kubernetes.io/name]", ("labels", "app.kubernetes.io/name")),
        ('a["x]y"].b', ("a", "x]y", "b")),
        ('a["\\q"]', ("a", "\\q")),
        ("a[", ("a",)),
        ("..", ()),
    ],
)  # fmt: skip
def test_paths_are_read(path: str, steps: FieldSteps) -> None:
    assert parse_path(path) == steps


@given(st.lists(st.one_of(st.integers(0, 999_999), st.text(max_size=12)), max_size=5))
@example(["", "a b", 'q"', "]", "\n"])
def test_paths_are_written_and_read_back(steps: list[PathStep]) -> None:
    back = parse_path(format_path(steps))
    assert [str(step) for step in back] == [str(step) for step in steps]


TEXT = """\
# a comment
---
apiVersion: v1
kind: List
base: &base
  kind: Pod
  apiVersion: v1
items:
- kind: Pod
  apiVersion: v1
  metadata:
    labels: {app.kubernetes.io/name: x, "80": y}
- <<: *base
  spec:
    ports: [a, b]
- apiVersion: v1
  kind: List
  items:
    - {apiVersion: v1, kind: Pod}
"""


@pytest.mark.parametrize(
    ("item", "path", "line", "column"),
    [
        pytest.param(0, "", 9, 3, id="object"),
        pytest.param(0, "metadata.labels", 12, 5, id="field"),
        pytest.param(0, "metadata.labels[app.kubernetes.io/name]", 12, 14, id="key-with-dots"),
        pytest.param(0, "metadata.labels[80]", 12, 41, id="key-of-digits"),
        pytest.param(0, "metadata.name", 11, 3, id="nearest-parent"),
        pytest.param(1, "spec.ports[1]", 15, 16, id="element"),
        pytest.param(1, "spec.ports[7]", 15, 5, id="element-that-is-not"),
        pytest.param(1, "kind", 6, 3, id="merged-in"),
        pytest.param(2, "kind", 19, 24, id="nested-list"),
    ],
)
def test_positions_in_yaml(item: int, path: str, line: int, column: int) -> None:
    manifests = read_manifests(["-"], kinds=KINDS, stdin=io.BytesIO(TEXT.encode()))
    position = manifests.positions.locate(manifests.documents[item].source, path)
    assert position == Position("-", line, column)


def test_an_unknown_source_has_the_line_it_says() -> None:
    assert Positions().locate(Source("x", 0, None, 7), "a.b") == Position("x", 7, 1)


# --- every path of random objects, written by writers that note where they put things

Written = dict[FieldSteps, tuple[int, int]]


class _Writer:
    def __init__(self) -> None:
        self.lines = [""]
        self.positions: Written = {}

    def put(self, text: str) -> None:
        self.lines[-1] += text

    def note(self, steps: FieldSteps) -> None:
        self.positions[steps] = len(self.lines), len(self.lines[-1]) + 1

    def line(self, indent: int) -> None:
        self.lines.append(" " * indent)


def write_json(writer: _Writer, value: Any, steps: FieldSteps, indent: int) -> None:
    if not isinstance(value, (dict, list)) or not value:
        writer.put(json.dumps(value))
        return
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    writer.put("{" if isinstance(value, dict) else "[")
    for number, (step, item) in enumerate(entries):
        writer.put("," if number else "")
        if (len(steps) + number) % 2:
            writer.line(indent)
        writer.note((*steps, step))
        if isinstance(value, dict):
            writer.put(f"{json.dumps(step)} : ")
        write_json(writer, item, (*steps, step), indent + 1)
    writer.put("}" if isinstance(value, dict) else "]")


def write_yaml(writer: _Writer, value: Any, steps: FieldSteps, indent: int) -> None:
    if not isinstance(value, (dict, list)) or not value:
        writer.put(f" {json.dumps(value)} # noted")
        return
    for step, item in value.items() if isinstance(value, dict) else enumerate(value):
        writer.line(indent)
        if isinstance(value, dict):
            writer.note((*steps, step))
            writer.put(f"{json.dumps(step)}:")
            write_yaml(writer, item, (*steps, step), indent + 2)
            continue
        writer.put("-")
        write_yaml(writer, item, (*steps, step), indent + 2)
        if not isinstance(item, (dict, list)) or not item:
            writer.positions[*steps, step] = len(writer.lines), indent + 3


def random_value(rng: random.Random, depth: int) -> Any:
    if depth and rng.random() < 0.7:
        if rng.random() < 0.5:
            return [random_value(rng, depth - 1) for _ in range(rng.randint(0, 3))]
        keys = ["name", "a.b/c", "x]", 'q"', "80", "ü", "on"]
        return {key: random_value(rng, depth - 1) for key in rng.sample(keys, rng.randint(0, 4))}
    return rng.choice([None, True, 5, 1.5, "text", "ü: x", "{", '"'])


@pytest.mark.parametrize("write", [write_json, write_yaml])
@pytest.mark.parametrize("as_list", [False, True])
def test_every_path_of_random_objects(write: Any, as_list: bool) -> None:
    for seed in range(60):
        rng = random.Random(seed)
        value = {"apiVersion": "v1", "kind": "Pod", "spec": random_value(rng, 4)}
        whole = {"apiVersion": "v1", "kind": "List", "items": [value]} if as_list else value
        writer = _Writer()
        write(writer, whole, (), 0)
        text = "\n".join(writer.lines).encode()
        manifests = read_manifests(["-"], kinds=KINDS, stdin=io.BytesIO(text))
        [document] = manifests.documents
        assert document.data == value
        prefix: FieldSteps = ("items", 0) if as_list else ()
        for steps, (line, column) in writer.positions.items():
            if steps[: len(prefix)] == prefix and steps != prefix:
                path = format_path(steps[len(prefix) :])
                assert manifests.positions.locate(document.source, path) == Position(
                    "-", line, column
                )


ONE_LINE = (
    '{"kind": "List", "apiVersion": "v1", "items": [{"kind": "Pod", "apiVersion": "v1", '
    '"metadata": {"name": "a"}, "spec": {"containers": [{"name": "m"}]}}]}\n'
)
SERVED = 'kind: Pod\napiVersion: v1\nmetadata: {name: a, resourceVersion: "7"}\nspec: {}\n'
WRITTEN = "kind: Pod\napiVersion: v1\nmetadata: {name: a}\nspec: {}\n"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        pytest.param(ONE_LINE, False, id="json-on-one-line"),
        pytest.param(ONE_LINE.replace(", ", ",\n"), True, id="json-on-several-lines"),
        pytest.param(ONE_LINE.replace('"a"', '"a","resourceVersion":"7"'), False, id="json-served"),
        pytest.param(SERVED, False, id="yaml-of-a-server"),
        pytest.param(WRITTEN, True, id="yaml-of-a-person"),
        pytest.param(
            WRITTEN.replace("a}", "a, annotations: {x: resourceVersion}}"), True, id="word"
        ),
    ],
)
def test_a_line_that_nobody_can_open_is_not_shown(text: str, lines: bool, tmp_path: Path) -> None:
    piped = read_manifests(["-"], kinds=KINDS, stdin=io.BytesIO(text.encode()))
    (document,) = piped.documents
    assert (piped.positions.shown(document.source, "spec") is not None) is lines
    assert piped.positions.locate(document.source, "spec") is not None
    file = tmp_path / "file.yaml"
    file.write_text(text)
    saved = read_manifests([str(file)], kinds=KINDS)
    (document,) = saved.documents
    assert saved.positions.shown(document.source, "spec") is not None


def test_a_problem_without_a_name_keeps_its_line() -> None:
    piped = read_manifests(["-"], kinds=KINDS, stdin=io.BytesIO(ONE_LINE.encode()))
    (document,) = piped.documents
    named = Problem(
        "PF203", Severity.ERROR, "spec: wrong", document.source, "spec", "Pod default/a"
    )
    assert piped.positions.locate_problem(named) is None
    assert piped.positions.locate_problem(replace(named, object="")) is not None


# --- items of a List, of which texts tell how long they are


@pytest.mark.parametrize("indent", [None, 1, 4])
def test_items_of_a_list_are_found_as_fields_of_any_text(indent: int | None) -> None:
    for seed in range(40):
        rng = random.Random(seed)
        items = [{"kind": "Pod", "spec": random_value(rng, 4)} for _ in range(rng.randint(0, 4))]
        value = {"kind": "List", "metadata": {"items": [7]}, "items": items}
        text = "\n " + json.dumps(value, indent=indent)
        listed, spans = JsonItems(text, 2, len(text), 2), JsonSpans(text)
        assert len(listed) == len(items)
        for number, item in enumerate(items):
            for steps in paths_of(item):
                offset = spans.find(2, ("items", number, *steps))
                line = text.count("\n", 0, offset) + 1
                assert listed.find(number, steps) == (line, offset - text.rfind("\n", 0, offset))


def paths_of(value: Any, steps: FieldSteps = ()) -> Iterator[FieldSteps]:
    """Every path of a value, and two below each that do not exist."""
    yield from (steps, (*steps, "nowhere"), (*steps, 9))
    if isinstance(value, dict | list):
        members = value.items() if isinstance(value, dict) else enumerate(value)
        for step, below in members:
            yield from paths_of(below, (*steps, step))


@pytest.mark.parametrize("text", ['{"kind": "List"}', '{"items": null}', '{"items": {}}', "[]"])
def test_a_list_without_items_has_none(text: str) -> None:
    assert len(JsonItems(text, 0, len(text), 1)) == 0


@pytest.mark.parametrize("ports", ["[{port: 1}]", "\n    - port: 1"], ids=["flow", "plain"])
def test_positions_are_the_same_however_often_a_document_is_asked(
    ports: str, tmp_path: Path
) -> None:
    """The first questions are answered line by line, later ones out of its nodes."""
    items = "".join(
        f"- kind: Pod\n  metadata:\n    name: p{n}\n  spec:\n    ports: {ports}\n"
        for n in range(60)
    )
    file = tmp_path / "file.yaml"
    file.write_text(f"kind: List\nitems:\n{items}")
    found = read_manifests([str(file)], kinds=KINDS)
    height = 5 + ports.count("\n")
    for turn in range(3):
        for number, document in enumerate(found.documents):
            position = found.positions.locate(document.source, "spec.ports[0]")
            line = 3 + number * height + 4 + ports.count("\n")
            column = 7 if "\n" in ports else 13
            assert (position.line, position.column) == (line, column), (turn, number)
