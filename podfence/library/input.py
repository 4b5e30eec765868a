"""The library: manifests in, an object that answers by name.

Rule: the answers are those of the commands, guarded as theirs are: where an object that could not
be read may turn an answer, PodfenceError (PF007) is raised and names it. Addresses, ports and
positions are text. Nothing is printed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import cached_property, partial

from podfence.cli.beside import known_entries
from podfence.cli.check_answer import all_problems
from podfence.cli.common import asking, has_errors, require_certain, without_verdict
from podfence.cli.targets import question
from podfence.errors import Locate, PodfenceError, Problem
from podfence.flows.seen import FlowRecords
from podfence.library.find import FILES, Find, change_of, rule_of, shown
from podfence.library.values import (
    Answer,
    Connection,
    Finding,
    Planned,
    TestResult,
    Traffic,
    Use,
    Way,
)
from podfence.manifests.flowfiles import read_flows
from podfence.manifests.load import Loaded
from podfence.manifests.load import load as load_manifests
from podfence.manifests.testfiles import read_test_files
from podfence.model.cluster import Cluster
from podfence.model.doubt import Doubt
from podfence.policy.compile import compile_cluster
from podfence.policy.domains import NO_NAMES, DomainTable
from podfence.policy.index import PolicyIndex
from podfence.questions.can import CanAnswer, EndPair, QueryEvaluator
from podfence.questions.connectivity import connectivity
from podfence.questions.plan import used as judged
from podfence.questions.plan.plan import plan
from podfence.questions.tests.judge import Result, ResultStatus
from podfence.questions.tests.run import FileRunner
from podfence.questions.why import why
from podfence.render.plan_used import ungrounded
from podfence.render.suggest import port_text
from podfence.render.tests_text import reasons
from podfence.render.verdicts import why_text
from podfence.text import printable

Path = str | os.PathLike[str]


class Input:
    """Manifests that were read. ``can``, ``why``, ``map``, ``find``, ``check``, ``plan`` and
    ``test`` answer as the commands of these names do."""

    def __init__(self, loaded: Loaded, names: DomainTable = NO_NAMES) -> None:
        self._loaded = loaded
        self._names = names

    # -- what was read

    @property
    def cluster(self) -> Cluster:
        """The objects, as far as they could be read."""
        return self._loaded.cluster

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with the manifests."""
        return self._loaded.problems

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """The objects of which it is not clear what they mean."""
        return self._loaded.doubts

    @property
    def locate(self) -> Locate:
        """The position of a field."""
        return self._loaded.locate

    @cached_property
    def index(self) -> PolicyIndex:
        """The compiled form, for everything that has no method here."""
        return compile_cluster(self.cluster, self._names)

    @cached_property
    def _asker(self) -> QueryEvaluator:
        return QueryEvaluator(self.index)

    # -- questions

    @cached_property
    def find(self) -> Find:
        """Who reaches what, what stands open, and what a policy is for: a method each."""
        return Find(self._loaded, self.index)

    def can(self, source: str, target: str, *, namespace: str | None = None) -> Answer:
        """Whether SOURCE can reach ``DST:PORT[/PROTO]``; words as on the command line.

        Raises UnknownObject or QuestionError when it cannot be asked, PodfenceError (PF007) when
        something that could not be read may turn the answer.
        """
        with asking(self._loaded, FILES):
            answer = self._asker.can(question(source, target, namespace))
        require_certain(self._loaded, answer)
        return self._answer(answer)

    def why(self, source: str, target: str, *, namespace: str | None = None) -> Answer:
        """The same with every policy that had a say, in ``text``."""
        with asking(self._loaded, FILES):
            answer = why(self._asker, question(source, target, namespace))
        require_certain(self._loaded, answer.can)
        return self._answer(answer.can, why_text(answer, self.locate))

    def map(self) -> tuple[Connection, ...]:
        """Who can reach whom. Raises PodfenceError (PF007) when some of it is not certain."""
        self._require_all()
        rows = connectivity(self.index).rows()
        return tuple(
            Connection(source.name, row.destination.name, str(row.ports), row.family)
            for row in rows
            for source in row.sources
        )

    def check(self) -> tuple[Finding, ...]:
        """What the API server would refuse, and what policies do otherwise than they say."""
        return tuple(map(self._finding, all_problems(self._loaded, self.index)))

    def plan(
        self, other: Input, *, newcomers: bool = True, flows: Path | Iterable[Path] | None = None
    ) -> Planned:
        """What opens and closes from these manifests to other ones. ``flows``: files of flow
        records, as ``podfence plan --flows`` reads them; what of them that cuts and lets through is
        ``traffic``.

        Raises PodfenceError: PF007 where an object could not be read, PF011 where a flow record
        could not.
        """
        for side in (self, other):
            side._require_all()
        seen = None if flows is None else seen_in(_texts(flows))
        records = None if seen is None else tuple(seen.flows())
        found = plan(self.cluster, other.cluster, self._names, newcomers=newcomers, flows=records)
        changes = tuple(map(change_of, (*found.outcomes, *found.newcomers)))
        return Planned(changes, traffic_of(found.used, seen) if found.used and seen else None)

    def test(self, *files: Path) -> tuple[TestResult, ...]:
        """What comes of the tests of some files.

        Raises PodfenceError (PF500) for a file that is wrong, with everything that is wrong with
        it, and (PF007) for a test that something unreadable may turn.
        """
        read = read_test_files([os.fspath(file) for file in files])
        if has_errors(read.problems):
            said = [f"{shown(read.positions.locate_problem(p))} {p.message}" for p in read.problems]
            raise PodfenceError("; ".join(said), code="PF500")

        runs = FileRunner(self.cluster, self._names, partial(known_entries, self._loaded))
        found = [each for file in runs.all(read.files) for each in file.results]
        if any(r.status is ResultStatus.UNDECIDED and not r.unknown for r in found):
            raise self._open()
        return tuple(
            self._result(result, shown(read.positions.shown(result.test.source, result.test.path)))
            for result in found
        )

    # -- values

    def _require_all(self) -> None:
        """Raises PodfenceError when an object could not be read."""
        if self.doubts:
            raise self._open()

    def _open(self) -> PodfenceError:
        said = without_verdict(self._loaded, self.doubts)
        return PodfenceError(f"no verdict: {said}", code="PF007")

    def _answer(self, answer: CanAnswer, text: str = "") -> Answer:
        ways = tuple(map(self._way, answer.cases))
        return Answer(answer.allowed, ways, answer.note, text)

    def _way(self, case: EndPair) -> Way:
        verdict = case.verdict
        sides = [d for d in (verdict.egress, verdict.ingress) if d.allowed is verdict.allowed]
        origins = dict.fromkeys(origin for side in sides for origin in side.origins)
        addresses = [end.address(case.judged_family) for end in (case.source, case.destination)]
        near, far = (str(address) if address else "" for address in addresses)
        ends = case.source.name, case.destination.name, near, far
        rules = tuple(rule_of(origin, self.locate) for origin in origins)
        return Way(*ends, case.protocol, case.port, verdict.allowed, rules)

    def _finding(self, problem: Problem) -> Finding:
        position = shown(self._loaded.positions.locate_problem(problem))
        words = problem.code, problem.severity.value, problem.object, problem.message
        return Finding(*words, position)

    def _result(self, result: Result, position: str) -> TestResult:
        because = () if result.is_good else tuple(reasons(result, self.locate))
        return TestResult(result.test.name, result.status.value, because, position)


def load(
    paths: Path | Iterable[Path],
    *,
    namespace: str | None = None,
    exclude: Sequence[str] = (),
    names: DomainTable = NO_NAMES,
) -> Input:
    """Read manifests: a file, a directory, or several. Never raises for what they hold.

    ``namespace``: that of objects that name none. ``exclude``: patterns of what is not read of
    directories. ``names``: what domain names stand for.
    """
    return Input(load_manifests(_texts(paths), namespace=namespace, exclude=exclude), names)


def _texts(paths: Path | Iterable[Path]) -> list[str]:
    """One path or several, as text."""
    given = [paths] if isinstance(paths, str | os.PathLike) else paths
    return [os.fspath(path) for path in given]


# -- Flow records of the library's ``plan``: read, and what comes of them as its values
# Rule: records that cannot be read may be the ones that matter, so they are an error and no answer.


def seen_in(files: Sequence[str]) -> FlowRecords:
    """What flow records of all files say. Raises PodfenceError (PF011) where one cannot be read."""
    seen = read_flows(files, None)
    if seen.unread:
        where = "; ".join(f"{printable(e.file)}:{e.line}: {e.message}" for e in seen.unread_at)
        more = seen.unread - len(seen.unread_at)
        said = f"{where}; and {more:,} more" if more else where
        raise PodfenceError(f"flow records cannot be read: {said}", code="PF011")
    return seen


def traffic_of(used: judged.TrafficImpact, seen: FlowRecords) -> Traffic:
    """What a change cuts and lets through."""
    cut, opened = (tuple(map(_use, uses)) for uses in (used.cut, used.opened))
    return Traffic(cut, opened, used.kept, used.refused, ungrounded(used, seen))


def _use(each: judged.ChangedUse) -> Use:
    found = each.connection
    port = port_text(found.protocol, found.port)
    ends = found.source.name, found.destination.name
    return Use(*ends, port, found.count, found.last, each.denied)
