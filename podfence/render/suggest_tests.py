"""The test file that keeps what the flows need, and the report about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from podfence.errors import Locate
from podfence.questions.phrases.words import count
from podfence.questions.suggest.promised import PromisedConnections
from podfence.questions.suggest.promises import Promises
from podfence.questions.tests.judge import Result, ResultStatus
from podfence.render.suggest import connection_data, connection_text
from podfence.render.tests_text import lines_of_test, reasons
from podfence.render.yamltext import yaml_lines
from podfence.text import printable

_SHOWN = 10


class WrittenTests(Struct, frozen=True):
    """A test file that was written and run: how many of its tests pass with the policies, and how
    many do not in the cluster without them."""

    file: str
    promises: Promises
    passed: int
    failed_without: int

    @property
    def is_proved(self) -> bool:
        """Whether all of its tests pass."""
        return self.passed == len(self.promises.tests)


class GivenTests(Struct, frozen=True):
    """Test files that policies were made for. ``results``: with the policies; ``passed_without``:
    how many pass in the cluster without them."""

    needs: PromisedConnections
    results: tuple[Result, ...]
    passed_without: int

    @property
    def is_proved(self) -> bool:
        """Whether all of its tests pass."""
        return all(result.is_good for result in self.results)


def given_lines(given: GivenTests, locate: Locate) -> Iterator[str]:
    """What tests need, and what comes of them."""
    ran = [each for each in given.results if each.status is not ResultStatus.SKIPPED]
    passed = sum(each.is_good for each in ran)
    yield (
        f"tests: {passed} of {len(ran)} pass with the policies, {given.passed_without} without the "
        "suggested ones"
    )
    bad = [each for each in ran if not each.is_good]
    for result in bad[:_SHOWN]:
        yield from (f"  {line}" for line in lines_of_test(result, locate))
    if len(bad) > _SHOWN:
        yield f"  and {len(bad) - _SHOWN} more (podfence test)"
    for each in given.needs.unsaid[:_SHOWN]:
        yield f"  no rule for {printable(each.test.name)}: {printable(each.because)}"
    if len(given.needs.unsaid) > _SHOWN:
        yield f"  and {len(given.needs.unsaid) - _SHOWN} more (-o json)"


def given_data(given: GivenTests, locate: Locate) -> dict[str, Any]:
    """For ``-o json``."""
    return {
        "connections": [connection_data(each) for each in given.needs.connections],
        "noRule": [
            {"test": each.test.name, "because": each.because} for each in given.needs.unsaid
        ],
        "passedWithout": given.passed_without,
        "results": [
            {
                "name": each.test.name,
                "status": each.status.value,
                "because": list(reasons(each, locate)),
            }
            for each in given.results
        ],
    }


def tests_yaml(found: Promises) -> str:
    """The test file."""
    head = "# What was seen in flow records has to stay allowed; what no entry names is denied.\n"
    return head + "".join(yaml_lines(found.document))


def kept_lines(kept: WrittenTests) -> Iterator[str]:
    """What was written, and the proof."""
    total = len(kept.promises.tests)
    passed = "all pass" if kept.is_proved else f"{kept.passed} pass"
    fail = "1 fails" if kept.failed_without == 1 else f"{kept.failed_without} fail"
    yield (
        f"wrote {count(total, 'test')} to {printable(kept.file)}: {passed} with the policies, "
        f"{fail} without the suggested ones"
    )
    unheld = kept.promises.unheld
    if unheld:
        yield f"  no test holds {count(len(unheld), 'connection')}:"
        yield from (f"    {connection_text(each)}" for each in unheld[:_SHOWN])
        if len(unheld) > _SHOWN:
            yield f"    and {len(unheld) - _SHOWN} more"


def kept_data(kept: WrittenTests) -> dict[str, Any]:
    """The same for ``-o json``."""
    return {
        "file": kept.file,
        "count": len(kept.promises.tests),
        "passed": kept.passed,
        "failedWithout": kept.failed_without,
        "unheld": [connection_data(each) for each in kept.promises.unheld],
    }
