"""Edits of text: made all at once in the old text, they give the new one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from podfence.questions.repair.textedits import TextEdit, text_edits
from tests.support.editing import made

TEXTS = st.text(st.sampled_from("ab \n\r\u2028:"), max_size=30)


@given(TEXTS, TEXTS)
def test_they_give_the_new_text(before: str, after: str) -> None:
    assert made(before, text_edits("x", before, after)) == after


@given(TEXTS)
def test_nothing_is_no_edit(text: str) -> None:
    assert text_edits("x", text, text) == ()


def test_what_stays_is_in_none_of_them() -> None:
    before = "a: 1  # why\nb: prometeus\nc: 3\n"
    after = "a: 1  # why\nb: prometheus\nc: 3\nd: 4\n"
    assert text_edits("x", before, after) == (
        TextEdit("x", 2, 10, 2, 10, "h"),
        TextEdit("x", 4, 1, 4, 1, "d: 4\n"),
    )
