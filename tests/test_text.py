"""printable: nothing that it returns can act on a terminal."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podfence.text import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("shop/web", "shop/web", id="plain"),
        pytest.param("büro 東京", "büro 東京", id="letters of any script"),
        pytest.param("a\nb\tc", "a\\x0ab\\x09c", id="newline and tab"),
        pytest.param("\x1b[31mred", "\\x1b[31mred", id="escape sequence"),
        pytest.param("\x9b31m", "\\x9b31m", id="C1 control"),
        pytest.param("a\u202eb", "a\\u202eb", id="bidi override"),
        pytest.param("a\u200bb\ufeff", "a\\u200bb\\ufeff", id="zero width"),
        pytest.param("\U000e0041", "\\U000e0041", id="tag character"),
        pytest.param("\ud800", "\\ud800", id="lone surrogate"),
        pytest.param("a\u2028b\xa0", "a\\u2028b\\xa0", id="separators"),
        pytest.param("a\\x1b", "a\\\\x1b", id="backslash"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text())
def test_no_control_character_is_left(text: str) -> None:
    shown = printable(text)

    assert all(c == " " or unicodedata.category(c)[0] not in "CZ" for c in shown)
    assert shown.encode("utf-8").decode("utf-8") == shown


@given(st.text(), st.text())
def test_different_texts_stay_different(one: str, other: str) -> None:
    assert (printable(one) == printable(other)) == (one == other)
