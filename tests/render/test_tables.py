"""Tables for people: aligned, and no wider than the terminal where there is one."""

from __future__ import annotations

import pytest

from podfence.render.tables import at_commas, table

ROWS = [("shop/db", "TCP/5432", "shop/backend, shop/frontend, monitoring/prometheus")]
HEADER = ("TO", "PORTS", "FROM")


def test_without_a_width_a_list_stays_on_its_line() -> None:
    assert table(HEADER, ROWS).splitlines() == [
        "TO        PORTS      FROM",
        "shop/db   TCP/5432   shop/backend, shop/frontend, monitoring/prometheus",
    ]


def test_the_last_column_is_broken_behind_commas() -> None:
    assert table(HEADER, ROWS, width=50).splitlines() == [
        "TO        PORTS      FROM",
        "shop/db   TCP/5432   shop/backend, shop/frontend,",
        "                     monitoring/prometheus",
    ]


def test_a_long_first_column_is_broken_as_well() -> None:
    rows = [("outside 203.0.113.0/25, 2001:db8:113::/48", "TCP/443", "shop/backend, shop/frontend")]
    assert table(HEADER, rows, width=60).splitlines() == [
        "TO                        PORTS     FROM",
        "outside 203.0.113.0/25,   TCP/443   shop/backend,",
        "2001:db8:113::/48                   shop/frontend",
    ]


@pytest.mark.parametrize("width", range(41, 80))
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    lines = table(HEADER, ROWS * 3, width=width).splitlines()
    assert max(map(len, lines)) <= max(width, 21 + len("monitoring/prometheus,"))
    assert " ".join(" ".join(lines[1:]).split()) == " ".join(" ".join(ROWS[0] * 3).split())


def test_a_terminal_that_is_too_narrow_breaks_nothing() -> None:
    assert table(HEADER, ROWS, width=30) == table(HEADER, ROWS)


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("", 5, [""]),
        ("a, b", 5, ["a, b"]),
        ("a, b", 4, ["a, b"]),
        ("a, b", 3, ["a,", "b"]),
        ("a, b, c", 5, ["a, b,", "c"]),
        ("long name, b", 3, ["long name,", "b"]),
    ],
)
def test_lists_break_behind_commas(text: str, width: int, lines: list[str]) -> None:
    assert at_commas(text, width) == lines
    assert " ".join(lines) == text
