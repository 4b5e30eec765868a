"""JSON values as YAML: every reader reads what was written."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from podfence.manifests.yamlreader import read_yaml
from podfence.manifests.yamlscalars import Scalars
from podfence.render.yamltext import yaml_lines

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    "1e3 012 0x1f 1_000 12:30 .inf ~ NULL y No on 2024-01-01 - --- ... ? : # & * ! | > % @ ` "
    "a:b a#b {} [] a,b 'x' \" \\ \t = << 0o7 +1 -1 1. tRue".split()
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(TEXTS, VALUES, max_size=4))
def test_what_is_written_is_read_by_both_readers(value: dict[str, Any]) -> None:
    text = "".join(yaml_lines(value))
    assert yaml.safe_load(text) == value
    assert read_yaml(text, 1, Scalars()).value == value


@pytest.mark.parametrize("text", ["12e4567", "0123", "yes", "1.10", "null", "", " a", "a: b", "-"])
def test_what_could_be_something_else_stands_in_quotes(text: str) -> None:
    assert "".join(yaml_lines({"a": text})) == f"a: {json.dumps(text)}\n"


def test_the_form_is_that_of_kubectl() -> None:
    value = {"items": [{"a": 1, "b": [True, None]}, {}], "c": [], "d": {"e": "f-g.h/i"}}
    lines = ["items:", "- a: 1", "  b:", "  - true", "  - null", "- {}", "c: []", "d:"]
    assert "".join(yaml_lines(value)).splitlines() == [*lines, "  e: f-g.h/i"]
