"""The figures of ``podfence test``: coverage, and mistakes that tests notice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from podfence.errors import Locate

if TYPE_CHECKING:
    from podfence.questions.tests.coverage import Coverage
    from podfence.questions.tests.mutation import Mutation


class Figures(Struct, frozen=True):
    """A figure is None if it was not asked for."""

    coverage: Coverage | None = None
    mutation: Mutation | None = None

    def are_below(self, touched: float | None, score: float | None) -> bool:
        """Whether a figure is below its minimum. The exact fractions are compared, not the rounded
        figures."""
        shares: list[tuple[tuple[int, int], float]] = []
        if self.coverage is not None and touched is not None:
            shares.append((self.coverage.share, touched))
        if self.mutation is not None and score is not None:
            shares.append((self.mutation.score, score))
        return any(part * 100 < least * whole for (part, whole), least in shares)

    def lines(self, locate: Locate) -> Iterator[str]:
        """As text."""
        if self.coverage is None and self.mutation is None:
            return
        from podfence.render.tests_mutation import coverage_lines, mutation_lines

        if self.coverage is not None:
            yield from coverage_lines(self.coverage, locate)
        if self.mutation is not None:
            yield from mutation_lines(self.mutation, locate)

    def data(self, locate: Locate) -> dict[str, Any]:
        """As fields of the JSON answer."""
        from podfence.render.tests_mutation import coverage_data, mutation_data

        found = {} if self.mutation is None else mutation_data(self.mutation, locate)
        if self.coverage is not None:
            touched = coverage_data(self.coverage, locate)
            found["coverage"] = found.get("coverage", {}) | touched
        return found

    def properties(self) -> list[tuple[str, str]]:
        """As properties of a suite."""
        from podfence.render.tests_mutation import coverage_properties, mutation_properties

        found = [] if self.mutation is None else mutation_properties(self.mutation)
        more = [] if self.coverage is None else coverage_properties(self.coverage)
        return [*found, *(each for each in more if each not in found)]
