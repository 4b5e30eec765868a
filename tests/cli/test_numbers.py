"""Options that are numbers take numbers."""

from __future__ import annotations

import pytest

from tests.cli.session import podfence


@pytest.mark.parametrize(
    "words",
    [
        ["test", "--coverage", "--touched"],
        ["test", "--mutate", "--score"],
        ["wait", "db", "--timeout"],
        ["agent", "--mirror-patience"],
    ],
    ids=lambda words: words[-1],
)
@pytest.mark.parametrize("number", ["nan", "-nan", "NaN", "inf", "-inf", "many"])
def test_what_is_no_number_of_the_range_is_refused(words: list[str], number: str) -> None:
    """Every comparison with nan is false, so that a gate would stand open."""
    done = podfence([*words[:-1], f"{words[-1]}={number}"])
    assert (done.status, done.out) == (2, "")
    assert words[-1] in done.err
    assert number in done.err
