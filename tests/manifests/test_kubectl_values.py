"""What kubectl makes of YAML before the server sees it: numbers, keys that are none, merges.

Rule: every row was answered by kubectl 1.32 and 1.37 (``create --dry-run=client -o json``).
"""

from __future__ import annotations

from typing import Any

import pytest

from podfence.errors import Severity
from podfence.manifests.jsonreader import read_json
from podfence.manifests.yamlpositions import find
from podfence.manifests.yamlreader import compose, read_yaml
from podfence.manifests.yamlscalars import Scalars

ANCHORS = "p: &p {k: p, x: p}\nq: &q {k: q, z: q}\n"


def value_of(text: str) -> Any:
    parsed = read_yaml(text, 1, Scalars())
    assert all(finding.severity is Severity.WARNING for finding in parsed.findings)
    return parsed.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("80.0", 80), ("8e1", 80), ("1.0E+2", 100), ("080", 80), ("-0.0", 0), ("8_0.0", 80),
        ("!!float 80", 80), ("1e15", 10**15), ("80.5", 80.5), ("1e21", 1e21), ("1e-7", 1e-7),
    ],
)  # fmt: skip
def test_a_float_without_a_fraction_is_sent_as_an_integer(text: str, value: object) -> None:
    for found in (value_of(f"a: {text}")["a"], value_of(f"[{text}]")[0]):
        assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("text", "value"),
    [("80.0", 80), ("8e1", 80), ("1.0E+2", 100), ("-0.0", 0), ("80.5", 80.5), ("1e21", 1e21)],
)
@pytest.mark.parametrize("around", ['{"a":%s}', '{"a":%s} {}', '{"kind":"List","items":[],"a":%s}'])
def test_json_gives_the_value_that_kubectl_sends(text: str, value: object, around: str) -> None:
    found = read_json(around % text, 1)[0].parsed.value["a"]
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("1.0", "1"), ("1e5", "100000"), ("1e6", "1e+06"), ("1e20", "1e+20"), ("1e-7", "1e-07"),
        ("0.0001", "0.0001"), ("0.00001", "1e-05"), ("123456789.5", "1.2345679e+08"),
        ("1234567.5", "1.2345675e+06"), (".5", "0.5"), ("-0.0", "-0"), ("0.1", "0.1"),
        ("1e-50", "0"), ("3.4e39", ".inf"), ("-3.4e39", "-.inf"), ("1.50", "1.5"),
        (".nan", ".nan"), (".NaN", ".nan"), ("!!float .nan", ".nan"), ("-.INF", "-.inf"),
        ("0x10", "16"), ("16777217.0", "1.6777216e+07"), ("off", "false"),
    ],
)  # fmt: skip
def test_a_number_as_a_key_is_written_with_32_bits(key: str, text: str) -> None:
    assert value_of(f"{{{key}: a}}") == {text: "a"}


def test_beside_such_a_key_a_number_that_json_has_not_is_refused() -> None:
    found = read_yaml("{.nan: 1, a: .nan}", 1, Scalars())
    assert [(each.code, each.column) for each in found.findings] == [("PF103", 2), ("PF108", 14)]


@pytest.mark.parametrize(
    ("mapping", "column"),
    [
        ("{1: a, 0x1: b}", 2),
        ("{a: b, 1.0: a, 1: b}", 8),
        ("{on: a, true: b}", 2),
        ("{'1': a, 1: b}", 2),
    ],
)
def test_a_key_that_is_there_in_other_letters_is_found(mapping: str, column: int) -> None:
    (found,) = (each for each in read_yaml(mapping, 1, Scalars()).findings if each.code == "PF102")
    assert f"already set at line 1, column {column};" in found.message


@pytest.mark.parametrize(
    ("mapping", "value", "warned"),
    [
        ("{<<: *p, k: own}", {"k": "own", "x": "p"}, 0),
        ("{k: own, <<: *p}", {"k": "p", "x": "p"}, 1),
        ("{k: p, <<: *p}", {"k": "p", "x": "p"}, 0),
        ("{k: {}, <<: *p}", {"k": "p", "x": "p"}, 1),
        ("{<<: *p, <<: *q}", {"k": "q", "x": "p", "z": "q"}, 1),
        ("{<<: [*p, *q]}", {"k": "p", "x": "p", "z": "q"}, 0),
        ("{<<: [*q, *p], k: own}", {"k": "own", "x": "p", "z": "q"}, 0),
        ("{k: own, <<: [*q, *p]}", {"k": "q", "x": "p", "z": "q"}, 1),
        ("{<<: {k: inner, <<: *p}}", {"k": "p", "x": "p"}, 1),
        ("{<<: {<<: *p, k: inner}}", {"k": "inner", "x": "p"}, 0),
    ],
)
def test_of_a_merge_and_a_key_the_later_wins(mapping: str, value: object, warned: int) -> None:
    parsed = read_yaml(f"{ANCHORS}r: {mapping}\n", 1, Scalars())
    assert parsed.value["r"] == value
    assert [(f.code, f.severity) for f in parsed.findings] == [("PF102", Severity.WARNING)] * warned


def test_a_key_that_is_merged_and_then_written_twice_is_a_duplicate() -> None:
    parsed = read_yaml(f"{ANCHORS}r: {{<<: *p, k: a, k: b}}\n", 1, Scalars())
    assert [(f.code, f.severity) for f in parsed.findings] == [("PF102", Severity.ERROR)]


@pytest.mark.parametrize(
    ("mapping", "line"),
    [
        ("<<: *p\n  k: own", 5),
        ("k: own\n  <<: *p", 1),
        ("<<: *p\n  <<: *q", 2),
        ("<<: [*p, *q]", 1),
    ],
)
def test_the_position_of_a_field_is_that_of_its_value(mapping: str, line: int) -> None:
    text = f"{ANCHORS}r:\n  {mapping}\n"
    root = compose(text)
    assert root is not None
    assert find(root, ("r", "k"))[0] == line - 1
