"""Where ``podfence test`` runs: in the model, in a lab, or in both, which then have to agree."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click
from msgspec import Struct

from podfence.cli.common import without_verdict
from podfence.errors import Locate, PodfenceError
from podfence.manifests.load import Loaded
from podfence.policy.domains import DomainTable
from podfence.questions.tests.form import PolicyTest, PolicyTests
from podfence.questions.tests.judge import ResultStatus
from podfence.questions.tests.run import FileResults
from podfence.render.tests_told import LAB, MODEL, FileTold, told_results
from podfence.text import printable

if TYPE_CHECKING:  # most runs have no lab, and it takes a while to import
    from podfence.lab.testbed.agreement import Agreement
    from podfence.lab.testbed.proved import Proved
    from podfence.lab.trial import LabOptions

F = TypeVar("F", bound=Callable[..., Any])
ENVIRONMENTS = (MODEL, LAB)


environments_option: Callable[[F], F] = click.option(
    "--in",
    "environments",
    default=MODEL,
    show_default=True,
    metavar="model|lab|model,lab",
    help="Where: the engine judges every connection; or packets in this machine's kernel; or both, "
    "and then they have to agree (exit status 2 when they do not).",
)


def read_environments(word: str) -> tuple[str, ...]:
    """The environments that ``--in`` names. Raises UsageError."""
    named = word.split(",")
    for each in named:
        if each not in ENVIRONMENTS:
            raise click.UsageError(f"--in {word}: there are {' and '.join(ENVIRONMENTS)}")
    return tuple(each for each in ENVIRONMENTS if each in named)


class JudgedTests(Struct, frozen=True):
    """The tests of all files, as the model and the lab judged them; () where they did not run.
    ``agreement``: of both, None where there is but one."""

    results: tuple[FileResults, ...] = ()
    packets: tuple[tuple[PolicyTests, tuple[Proved, ...]], ...] = ()
    agreement: Agreement | None = None

    @property
    def proved(self) -> list[Proved]:
        """What packets say of each test."""
        return [each for _, found in self.packets for each in found]

    @property
    def ran(self) -> bool:
        """Whether any test was run anywhere."""
        words = [result.status.value for each in self.results for result in each.results]
        words += [each.status for each in self.proved]
        return any(word != ResultStatus.SKIPPED.value for word in words)

    def lab_status(self) -> int:
        """The exit status for what the lab has seen."""
        from podfence.lab.testbed.agreement import Sight

        if self.agreement is not None and self.agreement.seen(Sight.DISAGREE):
            return 2
        if self.agreement is not None and self.agreement.seen(Sight.UNPROVED):
            return 1
        return int(any(each.status not in ("passed", "skipped") for each in self.proved))

    def told(self, locate: Locate, *, strict: bool) -> list[FileTold]:
        """All of it for build servers."""
        found = list(told_results(self.results, locate, strict=strict))
        if self.packets:
            from podfence.render.lab_tests import told_packets

            found += [told_packets(file, each, locate) for file, each in self.packets]
        return found


def lab_refuses(loaded: Loaded) -> None:
    """Raises PodfenceError where an input is too doubtful to be enforced."""
    if loaded.doubts:
        raise PodfenceError(f"no lab: {without_verdict(loaded, loaded.doubts)}", code="PF007")


def lab_progress(line: str) -> None:
    """Say what a lab does, to who looks on."""
    if sys.stderr.isatty():
        click.echo(f"lab: {printable(line)}", err=True)


def tried_in_lab(
    loaded: Loaded,
    names: DomainTable,
    files: Sequence[PolicyTests],
    wanted: Callable[[PolicyTest], bool],
    options: LabOptions | None = None,
) -> tuple[tuple[PolicyTests, tuple[Proved, ...]], ...]:
    """What packets say of the tests of each document. Raises LabError."""
    from podfence.lab.promises import prove
    from podfence.lab.trial import LabOptions

    chosen = options or LabOptions()
    return tuple(
        (file, tuple(prove(loaded.cluster, names, file, wanted, chosen, lab_progress)))
        for file in files
    )


def compared(
    results: Sequence[FileResults], packets: Sequence[tuple[PolicyTests, tuple[Proved, ...]]]
) -> Agreement:
    """Whether model and lab say the same of the same tests."""
    from podfence.lab.testbed.agreement import agreement

    return agreement(
        [result for each in results for result in each.results],
        [each for _, found in packets for each in found],
    )
