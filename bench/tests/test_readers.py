"""What the fuzzer prints is read, and what it found is kept small."""

from __future__ import annotations

import base64

from bench.readers import KEPT, LONGEST, Run, counted, kept, raised, report

SAID = """INFO: Instrumenting podfence
#2 INITED cov: 12 ft: 13 corp: 1/1b
#512 NEW    cov: 40 ft: 60 corp: 9/90b
 === Uncaught Python exception: ===
Traceback (most recent call last):
KeyError: 1
stat::number_of_executed_units: 1234
"""


def test_what_the_fuzzer_prints_is_read() -> None:
    assert counted(SAID) == (1234, 40)
    assert counted("#77 DONE cov: 3") == (77, 3)
    assert counted("") == (0, 0)
    assert raised(SAID).startswith("Traceback")
    assert raised("fine") == "no traceback"


def test_a_corpus_stays_small_and_sorted() -> None:
    found = kept([b"bb", b"a", b"a", b"x" * (LONGEST + 1), *(bytes([n]) * 3 for n in range(KEPT))])
    lines = found.splitlines()
    assert [base64.b64decode(line) for line in lines[:2]] == [b"a", b"bb"]
    assert len(lines) == KEPT


def test_a_fault_is_reported_with_its_input() -> None:
    text = "\n".join(report([Run("a", 1000, 3, 7.4), Run("b", 10, 4, 0.2, (b"xy", "KeyError: 1"))]))
    assert "a                        1,000       3       7  none" in text
    assert "all                      1,010               8" in text
    assert "b: eHk=\nKeyError: 1" in text
