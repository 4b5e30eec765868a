"""Where ``podfence test`` runs: in the model, in a lab, in a cluster, or in several of them, which
then have to agree with the model."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click
from msgspec import Struct

from podfence.cli.common import without_verdict
from podfence.cli.inputs import Inputs
from podfence.cli.testincluster import Probing, require_cluster, tried_in_cluster
from podfence.errors import Locate, PodfenceError
from podfence.manifests.load import Loaded
from podfence.policy.domains import DomainTable
from podfence.questions.phrases.words import listed
from podfence.questions.tests.form import PolicyTest, PolicyTests
from podfence.questions.tests.judge import ResultStatus
from podfence.questions.tests.run import FileResults, FileRunner
from podfence.render.tests_told import CLUSTER, LAB, MODEL, ReportedFile, told_results
from podfence.text import printable

if TYPE_CHECKING:  # most runs have no lab, and it takes a while to import
    from podfence.lab.testbed.agreement import Agreement, ProvedTest
    from podfence.lab.trial import LabOptions
    from podfence.questions.tests.coverage import Touching

F = TypeVar("F", bound=Callable[..., Any])
ENVIRONMENTS = (MODEL, LAB, CLUSTER)


environments_option: Callable[[F], F] = click.option(
    "--in",
    "environments",
    default=MODEL,
    show_default=True,
    metavar="model|lab|cluster|...",
    help="Where: the engine judges every connection; or packets in this machine's kernel; or "
    "packets between pods of the cluster. model,lab or model,cluster: both, and then they have to "
    "agree (exit status 2 when they do not).",
)


def read_environments(word: str, inputs: Inputs, probing: Probing) -> tuple[str, ...]:
    """The environments that ``--in`` names. Raises UsageError, also where the input is not a
    cluster that connections could be tried in, and where options say how and none is."""
    named = word.split(",")
    for each in named:
        if each not in ENVIRONMENTS:
            raise click.UsageError(f"--in {word}: there are {listed(ENVIRONMENTS)}")
    if CLUSTER in named:
        require_cluster(inputs)
    elif probing != Probing():
        raise click.UsageError(
            "--probe-image, --probe-pods, --agent-namespace and --yes say how connections are "
            "tried in a cluster; add --in cluster"
        )
    return tuple(each for each in ENVIRONMENTS if each in named)


class Tried(Struct, frozen=True):
    """The tests of all files, as packets of one environment judged them. ``agreement``: with the
    model, None where that did not run."""

    where: str
    files: tuple[tuple[PolicyTests, tuple[ProvedTest, ...]], ...]
    agreement: Agreement | None = None

    @property
    def proved(self) -> list[ProvedTest]:
        """What packets say of each test."""
        return [each for _, found in self.files for each in found]

    def status(self) -> int:
        """The exit status for what packets have shown."""
        from podfence.lab.testbed.agreement import AgreementStatus

        if self.agreement is not None and self.agreement.seen(AgreementStatus.DISAGREE):
            return 2
        if self.agreement is not None and self.agreement.seen(AgreementStatus.UNPROVED):
            return 1
        return int(any(each.status not in ("passed", "skipped") for each in self.proved))


class JudgedTests(Struct, frozen=True):
    """The tests of all files, as the model and packets judged them; () where they did not run."""

    results: tuple[FileResults, ...] = ()
    tried: tuple[Tried, ...] = ()

    @property
    def ran(self) -> bool:
        """Whether any test was run anywhere."""
        words = [result.status.value for each in self.results for result in each.results]
        words += [each.status for one in self.tried for each in one.proved]
        return any(word != ResultStatus.SKIPPED.value for word in words)

    def told(self, locate: Locate, *, strict: bool) -> list[ReportedFile]:
        """All of it for build servers."""
        found = list(told_results(self.results, locate, strict=strict))
        if self.tried:
            from podfence.render.lab_tests import told_packets

            found += [
                told_packets(file, proved, locate, each.where)
                for each in self.tried
                for file, proved in each.files
            ]
        return found


def packets_refuse(loaded: Loaded, where: Sequence[str]) -> None:
    """Raises PodfenceError where an input is too doubtful to be tried by packets."""
    packets = next((each for each in where if each != MODEL), "")
    if packets and loaded.doubts:
        raise PodfenceError(f"no {packets}: {without_verdict(loaded, loaded.doubts)}", code="PF007")


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
) -> tuple[tuple[PolicyTests, tuple[ProvedTest, ...]], ...]:
    """What packets say of the tests of each document. Raises LabError."""
    from podfence.lab.promises import prove
    from podfence.lab.trial import LabOptions

    chosen = options or LabOptions()
    return tuple(
        (file, tuple(prove(loaded.cluster, names, file, wanted, chosen, lab_progress)))
        for file in files
    )


class AskedTests(Struct, frozen=True):
    """Test files, and the input that they are about. ``wanted``: which tests are run."""

    loaded: Loaded
    names: DomainTable
    files: Sequence[PolicyTests]
    wanted: Callable[[PolicyTest], bool]


def judged_in(
    environments: Sequence[str],
    asked: AskedTests,
    runs: FileRunner,
    touching: Touching | None,
    inputs: Inputs,
    probing: Probing,
) -> JudgedTests:
    """The tests in each of these environments. Raises PodfenceError, UsageError."""
    results: tuple[FileResults, ...] = ()
    if MODEL in environments:
        results = tuple(runs.all(asked.files, asked.wanted, touching))
    tried: list[Tried] = []
    for where in (each for each in environments if each != MODEL):
        what = asked.loaded, asked.names, asked.files, asked.wanted
        if where == LAB:
            packets = tried_in_lab(*what)
        else:
            packets = tried_in_cluster(inputs, *what, probing, compare=bool(results))
        tried.append(Tried(where, packets, compared(results, packets) if results else None))
    return JudgedTests(results, tuple(tried))


def compared(
    results: Sequence[FileResults], packets: Sequence[tuple[PolicyTests, tuple[ProvedTest, ...]]]
) -> Agreement:
    """Whether the model and packets say the same of the same tests."""
    from podfence.lab.testbed.agreement import agreement

    return agreement(
        [result for each in results for result in each.results],
        [each for _, found in packets for each in found],
    )
