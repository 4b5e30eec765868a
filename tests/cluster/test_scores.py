"""How a run of a suite is written down."""

from __future__ import annotations

from tests.cluster.scores import summary, text_of
from tests.cluster.suites import FAILED, LEFT_OUT, PASSED, Result

RESULTS = [
    Result("allows", PASSED, 1.25),
    Result("serves SCTP", LEFT_OUT, 0.0, "this kernel has none"),
    Result("denies", FAILED, 12.0, "Had 2 wrong results"),
]


def test_a_run_is_its_sum_and_then_each_test_those_that_failed_first() -> None:
    assert text_of("S v1", "none", RESULTS, 13.4, ["2 nodes", "Linux 6"]) == (
        "suite:     S v1\n"
        "enforcer:  none\n"
        "where:     2 nodes\n"
        "           Linux 6\n"
        "time:      13 s\n"
        "result:    1 passed, 1 failed, 1 left out\n"
        "\n"
        "failed:\n"
        "   12.0 s  denies\n"
        "\n"
        "left out:\n"
        "           serves SCTP  (this kernel has none)\n"
        "\n"
        "passed:\n"
        "    1.2 s  allows\n"
    )


def test_a_sum_names_every_state() -> None:
    assert summary(RESULTS[:1]) == "1 passed, 0 failed, 0 left out"
