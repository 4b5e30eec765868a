"""The data of a page, part by part: of a report in one file, or of a page from a server.

Rule: a part is made when it is asked for; what two parts need is made once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import partial
from importlib.resources import files
from typing import Any, Final

from msgspec import Struct

from podfence._version import __version__
from podfence.cli.beside import known_entries, map_remarks
from podfence.cli.check_answer import all_problems
from podfence.cli.settings import read_settings
from podfence.manifests.load import Loaded
from podfence.manifests.testfiles import ReadTests
from podfence.policy.compile import compile_cluster
from podfence.policy.domains import DomainTable
from podfence.policy.index import PolicyIndex
from podfence.questions.dns import map_notes
from podfence.questions.plan.newcomers import with_newcomers
from podfence.questions.report import Report, report
from podfence.questions.selecting import audit_notes
from podfence.render.problems import problem_data
from podfence.render.report_html import Assets, report_html
from podfence.render.report_map import map_data
from podfence.render.report_names import AsWritten
from podfence.render.report_newcomers import newcomers_data
from podfence.render.report_rules import rules_data

ABOUT_SCHEMA: Final = "podfence.report-about/v1"
PARTS: Final = ("map", "newcomers", "rules", "findings", "tests", "about")
"""Names of parts, in the order in which a file holds them."""


class PageParts(Struct, frozen=True):
    """``title``, ``source``: what the page is called, and what was read. ``text``: with the texts
    of manifests. ``tests``: test files that are judged, None without any."""

    loaded: Loaded
    index: PolicyIndex
    found: Report
    title: str
    source: str
    shown: AsWritten
    text: bool = True
    tests: ReadTests | None = None

    def page(self, more: Mapping[str, object], without: Collection[str] = ()) -> str:
        """One file of HTML. ``more``: parts that are made elsewhere, such as a plan; ``without``:
        parts that it does not hold, and the tests where there are none."""
        parts = {
            name: self.part(name)
            for name in PARTS
            if name not in without and (name != "tests" or self.tests is not None)
        }
        return report_html(self.title, {**parts, **more}, _assets())

    def part(self, name: str) -> object:
        """One of ``PARTS`` as JSON values. Raises KeyError for any other name."""
        match name:
            case "map":
                return map_data(self.found, self.shown, self._notes())
            case "newcomers":
                return self._newcomers()
            case "rules":
                excerpt = self.loaded.positions.lines_of if self.text else None
                return rules_data(self.found, self.shown, self.loaded.locate, excerpt)
            case "findings":
                return self._findings()
            case "tests":
                return self._tests()
            case "about":
                return self._about()
        raise KeyError(name)

    def _notes(self) -> list[str]:
        if self.shown.hides:
            return []
        remarks = map_remarks(self.loaded, self.index)
        return [*map_notes(self.index), *audit_notes(self.index), *remarks]

    def _newcomers(self) -> object:
        """The map of a cluster with pods to come, less the map as it is."""
        cluster = self.loaded.cluster
        later = with_newcomers(cluster, cluster.namespaces.keys())
        found = report(compile_cluster(later, self.index.names), self.found.map.only)
        today, then = (map_data(each, self.shown) for each in (self.found, found))
        return newcomers_data(today, then)

    def _findings(self) -> list[dict[str, object]]:
        locate = self.loaded.positions.locate_problem
        settings = read_settings(None, none=False)
        problems = all_problems(self.loaded, self.index, settings)
        return [problem_data(problem, locate(problem)) for problem in problems]

    def _tests(self) -> list[dict[str, Any]] | None:
        if self.tests is None:
            return None
        from podfence.questions.tests.run import FileRunner  # few pages need it
        from podfence.render.report_tests import tests_data

        runs = FileRunner(
            self.loaded.cluster, self.index.names, partial(known_entries, self.loaded)
        )
        locate = self.tests.locating(self.loaded.locate)
        return tests_data(runs.all(self.tests.files), self.found, locate)

    def _about(self) -> dict[str, object]:
        return {
            "schema": ABOUT_SCHEMA,
            "version": __version__,
            "title": self.title,
            "source": "" if self.shown.hides else self.source,
            "live": bool(self.loaded.live),
            "objects": dict(self.loaded.kinds),
            "doubts": [] if self.shown.hides else list(self._doubts()),
        }

    def _doubts(self) -> Iterable[dict[str, object]]:
        for doubt in self.loaded.doubts:
            position = self.loaded.locate(doubt.source, doubt.path)
            location = {} if position is None else {"file": position.file, "line": position.line}
            unlisted = {} if doubt.listed_in is None else {"unlisted": True}
            yield {"object": str(doubt), "namespace": doubt.namespace, **location, **unlisted}


def map_before(loaded: Loaded, names: DomainTable, scope: Collection[str] = ()) -> object:
    """The map of the state before a change, as JSON values."""
    found = report(compile_cluster(loaded.cluster, names), frozenset(scope))
    return map_data(found, AsWritten())


def _assets() -> Assets:
    static = files("podfence") / "web" / "static"
    script, style = (
        (static / name).read_text(encoding="utf-8") for name in ("report.js", "report.css")
    )
    return Assets(script, style)
