"""The table of --resolve: both forms, and every fault with its position."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podfence.manifests.domaintable import MAX_PROBLEMS, NameTable, read_name_table

TWO = {"a.example": {"192.0.2.1", "2001:db8::1"}, "b.example": {"192.0.2.2"}}


def read(text: str) -> NameTable:
    return read_name_table("-", io.BytesIO(text.encode()))


def names(text: str) -> dict[str, set[str]]:
    table = read(text)
    assert table.problems == ()
    return {name: set(map(str, found)) for name, found in table.names.items()}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a.example 192.0.2.1 2001:db8::1\nb.example\t192.0.2.2\n", id="lines"),
        pytest.param(
            "# table\n\n  a.example 192.0.2.1 # one\na.example 2001:db8::1\nb.example 192.0.2.2",
            id="remarks, and a name that comes again",
        ),
        pytest.param("A.Example. 192.0.2.1 2001:db8:0::1\nB.EXAMPLE 192.0.2.2\n", id="CNP-19 case"),
        pytest.param("a.example: [192.0.2.1, '2001:db8::1']\nb.example: 192.0.2.2\n", id="YAML"),
        pytest.param(
            "---\n# t\na.example:\n- 192.0.2.1\n- 2001:db8::1\nb.example: [192.0.2.2]\n",
            id="YAML in blocks",
        ),
        pytest.param(
            '{"a.example": ["192.0.2.1", "2001:db8::1"],\n\t"b.example": "192.0.2.2"}', id="JSON"
        ),
        pytest.param("{a.example: [192.0.2.1, '2001:db8::1'], b.example: [192.0.2.2]}", id="flow"),
        pytest.param("a.example ::ffff:192.0.2.1 2001:db8::1\nb.example 192.0.2.2", id="mapped"),
        pytest.param("a.example 192.0.2.1 2001:db8::1\r\nb.example 192.0.2.2\r\n", id="CRLF"),
    ],
)
def test_the_same_table(text: str) -> None:
    assert names(text) == TWO


@pytest.mark.parametrize("text", ["", "\n# nothing\n", "{}"])
def test_an_empty_table(text: str) -> None:
    assert names(text) == {}


@pytest.mark.parametrize("text", ["gone.example\n", "gone.example: []\n", "gone.example:\n"])
def test_a_name_without_addresses_is_known(text: str) -> None:
    assert names(text) == {"gone.example": set()}


@pytest.mark.parametrize(
    ("text", "position", "what"),
    [
        ("192.0.2.1 a.example\n", "-:1:1", "is an address where a name belongs"),
        ("a.example 192.0.2.0/24\n", "-:1:11", "is not an IP address"),
        ("a.example fe80::1%eth0\n", "-:1:11", "is not an IP address"),
        ("x.example\n*.example 192.0.2.1\n", "-:2:1", "is a pattern"),
        ("a..example 192.0.2.1\n", "-:1:1", "is not a domain name"),
        (f"{'a.' * 127}toolong 192.0.2.1\n", "-:1:1", "is not a domain name"),
        ("a.example: [192.0.2.1, nope]\n", "-:1:24", "is not an IP address"),
        ("x.example: 192.0.2.1\na b: [192.0.2.1]\n", "-:2:1", "is not a domain name"),
        ('{"a.example":\n ["192.0.2.1",\n  7]}', "-:3:3", "is not an IP address"),
        ("a.example: [192.0.2.1\n", "-:2:1", ""),
        ("a.example: 192.0.2.1\na.example: 192.0.2.2\n", "-:2:1", ""),
        ("[a.example]\n", "-:1:1", "not a mapping"),
        ('"text"\n', "-:1:1", "not a mapping"),
        ("- a.example: 192.0.2.1\n", "-:1:1", "is not a domain name"),
    ],
)
def test_a_fault_and_its_position(text: str, position: str, what: str) -> None:
    first = read(text).problems[0]

    assert str(first.position) == position
    assert what in first.message


def test_what_is_no_table_does_not_fill_the_screen() -> None:
    assert len(read("no table at all\n" * 1000).problems) == MAX_PROBLEMS + 1


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    [problem] = read_name_table(str(tmp_path / "none.txt")).problems

    assert problem.code == "PF106"


@given(st.text())
def test_any_text_is_a_table_or_has_problems_with_positions(text: str) -> None:
    table = read(text.encode("utf-8", "replace").decode())

    assert all(problem.position is not None for problem in table.problems)
    assert all(name == name.lower() and " " not in name for name in table.names)
