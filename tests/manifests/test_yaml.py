"""Scalars as kubectl reads them, and the two readers of YAML against one another."""

from __future__ import annotations

import random
import tracemalloc
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from podfence.manifests.yamllines import DECLINED, Lines, read_lines
from podfence.manifests.yamlreader import read_yaml
from podfence.manifests.yamlscalars import BadScalar, Scalars, resolve_plain, resolve_tagged, shown


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("y", True), ("n", False), ("on", True), ("NO", False), ("yes", True), ("oN", "oN"),
        ("", None), ("~", None), ("null", None), ("nULL", "nULL"),
        ("0777", 511), ("0o17", 15), ("08", 8.0), ("0x1F", 31), ("-0b11", -3), ("+1", 1),
        ("1_000", 1000), ("1e3", 1000.0), ("1.10", 1.1), (".5", 0.5), ("1234e56", 1234e56),
        ("1:30", "1:30"), ("2026-11-20", "2026-11-20"), ("=", "="), ("-", "-"), ("0x", "0x"),
        ("1e400", "1e400"), ("9" * 5000, "9" * 5000), ("\u0661", "\u0661"),
        ("18446744073709551615", 2**64 - 1), ("18446744073709551616", float(2**64)),
        ("-9223372036854775808", -(2**63)), ("1.2.3", "1.2.3"), ("._5", "._5"), ("<<", "<<"),
    ],
)  # fmt: skip
def test_plain_scalars(text: str, value: object) -> None:
    resolved = resolve_plain(text)
    assert (type(resolved), resolved) == (type(value), value)


@pytest.mark.parametrize(
    ("tag", "text", "value"),
    [
        ("str", "80", "80"),
        ("int", "80", 80),
        ("float", "5", 5.0),
        ("bool", "on", True),
        ("null", "", None),
        ("timestamp", "2026-11-20", "2026-11-20"),
        ("binary", "aGk=", "hi"),
    ],
)
def test_tagged_scalars(tag: str, text: str, value: object) -> None:
    resolved = resolve_tagged(f"tag:yaml.org,2002:{tag}", text)
    assert (type(resolved), resolved) == (type(value), value)


@pytest.mark.parametrize(
    ("tag", "text"), [("int", "x"), ("bool", "1"), ("binary", "?"), ("binary", "/w=="), ("int", "")]
)
def test_tags_that_do_not_fit(tag: str, text: str) -> None:
    with pytest.raises(BadScalar):
        resolve_tagged(f"tag:yaml.org,2002:{tag}", text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\nb", '"a\\nb"'),
        ("\x1b[2J", '"\\x1b[2J"'),
        ("\u202eabc", '"\\u202eabc"'),
        ('"', '"\\""'),
        ("x" * 100, '"' + "x" * 57 + '..."'),
    ],
)
def test_hostile_text_is_shown_harmlessly(text: str, expected: str) -> None:
    assert shown(text) == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("a: 1\nb:\n  c: x\n", {"a": 1, "b": {"c": "x"}}, id="mappings"),
        pytest.param("a:\n- b\n- c\nd: e\n", {"a": ["b", "c"], "d": "e"}, id="dash-below-key"),
        pytest.param("- a:\n  - b: 1\n    c: {}\n", [{"a": [{"b": 1, "c": {}}]}], id="compact"),
        pytest.param("- - a\n  - b\n- c\n", [["a", "b"], "c"], id="list-in-list"),
        pytest.param("a:\nb: 'x y'\n", {"a": None, "b": "x y"}, id="null"),
        pytest.param("a: nginx:1.2\n", {"a": "nginx:1.2"}, id="colon-inside"),
    ],
)
def test_plain_block_style_is_read_by_lines(text: str, value: object) -> None:
    assert read_lines(text, Lines(Scalars())) == value == read_yaml(text, 1, Scalars()).value


@pytest.mark.parametrize(
    "text",
    [
        "a: b\n  c\n", "a: b\n  - c\n", "- a\n  b: c\n", "a: 1\na: 2\n", "on: 1\n", "a: 1\n- b\n",
        "a: 1\n  b: 2\n", "a:\n    b: 1\n  c: 2\n", "a: # c\n", "a: &x b\n", "a: *x\n", "<<: x\n",
        "a: b #c\n", "a: fd00::\n", "a: |\n  x\n", "a:\tb\n", 'a: "\\n"\n', "a", " a: 1\nb: 2\n",
        "a: 'it''s'\n", "- " * 101 + "a\n", "a:\n  - b\n  c: d\n", "", "a: {b}\n", "a: b: c\n",
        "- a\n- b: 1\n c: 2\n", "a: -\n", "a: ---\n", "a: @b\n", "a:\n- b\n - c\n",
        "a: b:\n", "a: b:  \n", "a: b c:\n", "a: b:c:\n", "a: b: \n", "a: b::\n", "a: b.c:\n",
        "- a: b:\n", "- b c:\n", "a: 1:\n", "a: b:/:\n", "a:\n  b: c d e:\n  f: g\n",
    ],
)  # fmt: skip
def test_anything_doubtful_is_declined_by_the_line_reader(text: str) -> None:
    assert read_lines(text, Lines(Scalars())) is DECLINED


@pytest.mark.parametrize(
    ("start", "repeated", "end"),
    [
        ("a: ", "x", ""),
        ("a: ", "x", "\x07"),
        ("a: ", "x:", ""),
        ("a: ", "x:", "x"),
        ("a: ", "xyz ", ""),
        ("a: ", "xyz ", "#"),
        ("a: ", ":x", " #"),
        ("a: '", "x", ""),
        ('a: "', "x", ""),
        ("", "- ", "x\x07"),
        ("", " ", "x\x07"),
        ("", "x", "\x07"),
        ("", "x:", ""),
    ],
)
def test_time_and_memory_of_the_line_reader_grow_with_the_text_alone(
    start: str, repeated: str, end: str
) -> None:
    """With backtracking that multiplies, one of these runs into the time limit of the suite."""
    text = f"{start}{repeated * 500_000}{end}\n"
    tracemalloc.start()
    try:
        read_lines(text, Lines(Scalars()))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6 * len(text) + 100_000


_LINE = st.builds(
    lambda indent, dashes, rest: " " * indent + "- " * dashes + rest,
    st.integers(0, 6),
    st.sampled_from([0, 0, 0, 1, 1, 2]),
    st.sampled_from(
        ["a:", "b:", "c: 1", "a: x", "b: on", 'c: "q: #"', "x", "{}", "a: []", "d: a b", "e: a:b",
         "y: 1", "f:  z ", "a: 1e3", "g: '-'", "", "a:b", "h: x,y", "- i: 0x1", "j: a - b",
         "k: l:", "m: n o:", "p: q:r:", "s: t: u", "v: w::x", "z:: 1"]
    ),
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(st.lists(_LINE, min_size=1, max_size=8).map("\n".join))
@example("a:\n- b:\n  - c\n  d: 1\ne:\n  f: x")
def test_the_line_reader_agrees_or_declines(text: str) -> None:
    value = read_lines(text, Lines(Scalars()))
    if value is not DECLINED:
        parsed = read_yaml(text, 1, Scalars())
        assert parsed.readable
        assert not parsed.findings
        assert repr(value) == repr(parsed.value)


def test_written_objects_come_back_from_the_line_reader() -> None:
    for seed in range(100):
        value = _object(random.Random(seed), 4)
        lines = "".join(f"{line}\n" for line in _written(value, 0))
        assert read_lines(lines, Lines(Scalars())) == value


def _object(rng: random.Random, depth: int) -> Any:
    kind = rng.choice(("map", "list", "text", "number")) if depth < 4 else "map"
    if depth and kind == "map":
        return {f"k{i}": _object(rng, depth - 1) for i in range(rng.randint(1, 4))}
    if depth and kind == "list":
        return [_object(rng, depth - 1) for _ in range(rng.randint(1, 3))]
    return rng.randint(0, 99) if kind == "number" else rng.choice(["ab", "c d", "a/b:c", "x.y"])


def _written(value: Any, indent: int) -> list[str]:
    if isinstance(value, dict):
        entries = [(f"{key}:", item) for key, item in value.items()]
    else:
        entries = [("-", item) for item in value]
    lines = []
    for head, item in entries:
        if not isinstance(item, (dict, list)):
            lines.append(f"{' ' * indent}{head} {item}")
            continue
        below = _written(item, indent + 2)
        if head == "-":
            lines += [f"{' ' * indent}- {below[0].lstrip()}", *below[1:]]
        else:
            lines += [f"{' ' * indent}{head}", *below]
    return lines
