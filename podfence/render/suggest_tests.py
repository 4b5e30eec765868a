"""The test file that keeps what the flows need, and the report about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from podfence.questions.phrases.words import count
from podfence.questions.suggest.promises import Promises
from podfence.render.suggest import connection_data, connection_text
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
