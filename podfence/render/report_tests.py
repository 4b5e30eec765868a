"""Results of tests for a page: the data of ``test -o json``, with the position of each failure on
the map.

Rule: a pair of the map is named only where the map is about the same world as the test. Fixtures,
pods to come and edits that a test supposes are not on the map, nor are single addresses of nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from podfence.errors import Locate
from podfence.questions.report import Report
from podfence.questions.tests.form import PolicyTests
from podfence.questions.tests.judge import Result, Witness
from podfence.questions.tests.run import FileResults
from podfence.render.tests_formats import test_data
from podfence.render.tests_text import decision_lines
from podfence.sets.addresses import IPAddress


def tests_data(
    found: Iterable[FileResults], report: Report, locate: Locate
) -> list[dict[str, Any]]:
    """Every test, in the order of the files. ``report``: the content of the page; the schema is
    docs/schemas/report.schema.json."""
    ends = _Ends(report)
    return [_test(each.file, result, ends, locate) for each in found for result in each.results]


def _test(file: PolicyTests, result: Result, ends: _Ends, locate: Locate) -> dict[str, Any]:
    data = test_data(result, locate)
    witness = result.witness
    if witness is None:
        return data
    [shown] = data["counterexamples"]
    shown["said"] = list(decision_lines(witness, locate))
    supposed = result.test.given or file.fixture_pods or file.fixture_namespaces
    if supposed:
        shown["supposed"] = True
    pair = None if supposed else ends.pair(witness)
    if pair is not None:
        shown["pair"] = list(pair)
    return data


class _Ends:
    """Looks up lines of the map."""

    def __init__(self, report: Report) -> None:
        self._index = report.index
        self._map = report.map
        self._outside = [group for group in report.map.groups if group.addresses is not None]
        self._pods = {
            f"{group.workload.namespace}/{pod}": group.number
            for group in report.map.groups
            if group.workload is not None
            for pod in group.pods
        }

    def pair(self, witness: Witness) -> tuple[int, int] | None:
        """The two ends of a connection, as numbers of groups; None where one is not on the map."""
        source = self._number(witness.source_pod, witness.source_address)
        destination = self._number(witness.destination_pod, witness.destination_address)
        if source is None or destination is None:
            return None
        groups = self._map.groups
        # Who asked for some namespaces has no rows between others.
        shown = any(self._map.is_about(groups[each]) for each in (source, destination))
        return (source, destination) if shown else None

    def _number(self, pod: str, address: IPAddress) -> int | None:
        found = [self._pods.get(pod)] if pod else self._holding(address)
        return next(iter(found), None)

    def _holding(self, address: IPAddress) -> Iterator[int]:
        if address in self._index.by_node_address:
            return
        for group in self._outside:
            if group.addresses is not None and address in group.addresses:
                yield group.number
