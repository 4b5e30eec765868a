"""What is read from the output of suites."""

from __future__ import annotations

import pytest

from tests.cluster.suites import FAILED, LEFT_OUT, PASSED, Result, results_of_go

OUTPUT = """\
=== RUN   TestConformance
    suite.go:1: Applying base manifests
=== RUN   TestConformance/Egress
=== RUN   TestConformance/Egress/Should_deny
--- FAIL: TestConformance (12.34s)
    --- FAIL: TestConformance/Egress (3.00s)
        --- PASS: TestConformance/Egress/Should_allow (1.00s)
        --- FAIL: TestConformance/Egress/Should_deny (2.00s)
    --- SKIP: TestConformance/Names (0.00s)
FAIL
"""


def test_the_innermost_tests_of_a_go_suite_are_its_results() -> None:
    assert results_of_go(OUTPUT) == [
        Result("TestConformance/Egress/Should_allow", PASSED, 1.0),
        Result("TestConformance/Egress/Should_deny", FAILED, 2.0),
        Result("TestConformance/Names", LEFT_OUT, 0.0),
    ]


def test_a_suite_that_ends_before_its_first_test_is_no_success() -> None:
    with pytest.raises(RuntimeError, match="no API server"):
        results_of_go("panic: no API server\n")
