"""Times as Go reads them."""

from __future__ import annotations

import pytest

from podfence.admission.gotime import time_complaint

AS = 'as "2006-01-02T15:04:05Z07:00": cannot parse'


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31T15:04:05Z",
        "2024-02-29T00:00:00Z",
        "0000-02-29T00:00:00Z",
        "2026-01-31T15:04:05.999999999999Z",
        "2026-01-31T15:04:05,5Z",
        "2026-01-31T5:04:05Z",
        "2026-01-31T15:04:05-07:00",
        "2026-01-31T15:04:05+24:60",
    ],
)
def test_what_go_takes(text: str) -> None:
    assert time_complaint(text) == ""


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", f'"" {AS} "" as "2006"'),
        ("202-01-31T00:00:00Z", f'"202-01-31T00:00:00Z" {AS} "202-01-31T00:00:00Z" as "2006"'),
        ("2026/01/31", f'"2026/01/31" {AS} "/01/31" as "-"'),
        ("2026-1-31T00:00:00Z", f'"2026-1-31T00:00:00Z" {AS} "1-31T00:00:00Z" as "01"'),
        ("2026-01-31 00:00:00Z", f'"2026-01-31 00:00:00Z" {AS} " 00:00:00Z" as "T"'),
        ("2026-01-31T00:00:00", f'"2026-01-31T00:00:00" {AS} "" as "Z07:00"'),
        ("2026-01-31T00:00:00z", f'"2026-01-31T00:00:00z" {AS} "z" as "Z07:00"'),
        ("2026-01-31T00:00:00*07:00", f'"2026-01-31T00:00:00*07:00" {AS} "*07:00" as "Z07:00"'),
        ("2026-13-01T00:00:00Z", '"2026-13-01T00:00:00Z": month out of range'),
        ("2026-04-31T00:00:00Z", '"2026-04-31T00:00:00Z": day out of range'),
        ("2026-04-00T00:00:00Z", '"2026-04-00T00:00:00Z": day out of range'),
        ("2026-04-01T24:00:00Z", '"2026-04-01T24:00:00Z": hour out of range'),
        ("2026-04-01T00:60:00Z", '"2026-04-01T00:60:00Z": minute out of range'),
        ("2026-04-01T00:00:60Z", '"2026-04-01T00:00:60Z": second out of range'),
        (
            "2026-04-01T00:00:00+25:00",
            '"2026-04-01T00:00:00+25:00": time zone offset hour out of range',
        ),
        (
            "2026-04-01T00:00:00+01:61",
            '"2026-04-01T00:00:00+01:61": time zone offset minute out of range',
        ),
        ("2026-04-01T00:00:00Zé", '"2026-04-01T00:00:00Z\\xc3\\xa9": extra text: "\\xc3\\xa9"'),
        ('a"\\\n', f'"a\\"\\\\\\x0a" {AS} "a\\"\\\\\\x0a" as "2006"'),
    ],
)
def test_what_go_says_of_the_others(text: str, complaint: str) -> None:
    assert time_complaint(text) == f"parsing time {complaint}"
