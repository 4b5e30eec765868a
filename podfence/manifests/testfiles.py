"""Test files: documents of kind PolicyTests with their positions.

Rule: a file that cannot be read, or that contains no tests, is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

from msgspec import Struct

from podfence.admission.kinds import TESTS_KIND
from podfence.errors import Locate, Position, Problem, Severity, Source
from podfence.manifests.documents import read_manifests
from podfence.manifests.positions import Positions
from podfence.questions.tests.decode import API_VERSION, decode
from podfence.questions.tests.fields import CODE
from podfence.questions.tests.form import PolicyTests

KINDS = frozenset({TESTS_KIND, f"{TESTS_KIND}.{API_VERSION.partition('/')[0]}"})
"""The kind with and without its group, which is none of Kubernetes' own."""
TEST_FILE_CODES = {CODE: "a test file cannot be understood"}


class ReadTests(Struct, frozen=True):
    """The tests of all files, and what is wrong with them."""

    files: tuple[PolicyTests, ...]
    problems: tuple[Problem, ...]
    positions: Positions

    def locating(self, elsewhere: Locate) -> Locate:
        """Finds positions in test files, and by ``elsewhere`` in what they are about."""
        positions = {file.source.file for file in self.files}

        def locate(source: Source | None, path: str) -> Position | None:
            of_test = source is not None and source.file in positions
            return (self.positions.shown if of_test else elsewhere)(source, path)

        return locate


def read_test_files(paths: Sequence[str], stdin: BinaryIO | None = None) -> ReadTests:
    """Read files, or directories with everything below them; ``-`` is standard input."""
    read = read_manifests(paths, kinds=KINDS, stdin=stdin)
    problems = list(read.problems)
    files: list[PolicyTests] = []
    for document in read.documents:
        found, wrong = decode(document.data, document.source)
        problems += wrong
        if found is not None:
            files.append(found)
    if not read.documents and not problems:
        shown = ", ".join(paths[:3])
        text = (
            f"no document of kind {TESTS_KIND} is here ({shown}); podfence test --init writes one"
        )
        position = Position(paths[0], 1, 1)
        problems.append(Problem(CODE, Severity.ERROR, text, Source(paths[0]), position=position))
    return ReadTests(tuple(files), tuple(problems), read.positions)
