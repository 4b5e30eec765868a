"""Unsaved texts, judged against the files.

Rule: the readers, checks and the plan are those of the commands. If only policies differ, the cost
is that of the change; any other edit costs a whole reading. For a text that cannot be read, only
the reason is reported.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from podfence.collector import collector_paused
from podfence.errors import Locate, Position, Problem, Severity, Source
from podfence.intake.build import key_of
from podfence.intake.documents import DecodedDocuments, Document
from podfence.live.clusterevents import ClusterEvent, gone, put
from podfence.live.clusterindex import ClusterIndex
from podfence.manifests.inputfiles import InputFile
from podfence.manifests.load import Loaded, load_files
from podfence.model.cluster import Cluster
from podfence.model.meta import DEFAULT_NAMESPACE, ObjectRef
from podfence.model.networkpolicy import NetworkPolicy
from podfence.policy.domains import DomainTable
from podfence.policy.index import PolicyIndex
from podfence.questions.lint.lint import lint
from podfence.questions.lint.note import WrittenObjects
from podfence.questions.lint.notes import notes_for
from podfence.questions.phrases.matched import MatchedPods
from podfence.questions.plan.followed import FollowedState
from podfence.questions.plan.plan import Plan, plan
from podfence.questions.tests.judge import Result
from podfence.questions.tests.throughentries import KnownEntries
from podfence.questions.tests.turning import TestChanges, TestedSide, judged, turned
from podfence.web.folder import Folder
from podfence.web.revision import ReadInput, followed_of

SMALL: Final = 500
"""Up to this number, all policies are checked together while somebody types; above it, only those
of the text."""
_OF_ALL: Final = frozenset({"PF112", "PF114", "PF119"})
"""Codes about the input as a whole, which do not apply to a single text."""


class Side(Struct, frozen=True):
    """The input of one side of a plan."""

    raw: Callable[[Source | None], Mapping[str, Any] | None]
    locate: Locate


class Judgement(Struct, frozen=True):
    """The result for drafts. ``plan``: None for texts that cannot be judged. ``problems``: those of
    the texts, with their positions; ``sides``: of the plan; ``tested``: the input of tests, with
    the texts applied."""

    problems: tuple[tuple[Problem, Position | None], ...]
    plan: Plan | None = None
    sides: tuple[Side, Side] | None = None
    tested: TestedSide | None = None


class Base:
    """The state of the input that drafts are judged against."""

    def __init__(
        self,
        folder: Folder,
        read: ReadInput,
        names: DomainTable,
        followed: FollowedState | None = None,
    ) -> None:
        """``followed``: of the same input, if it exists already."""
        self._folder = folder
        self._read = read
        self._names = names
        self._kept = DecodedDocuments()
        self._followed = followed or followed_of(read)

    def prepare(self) -> None:
        """Compute in advance what the first draft needs."""
        with collector_paused():
            self._followed.prepare()
            _ = self._plain, self._policies, self._elsewhere
            if len(self._read.loaded.cluster.policies) > SMALL:
                self._matched.prepare()
                self._written.prepare()

    def judge(self, texts: Mapping[str, str], *, order: bool = False) -> Judgement:
        """``texts``: of files, by name; a name that is not there yet is a new file. ``order``: also
        find an order of their edits, which takes a whole comparison."""
        with collector_paused():
            parts = {path: self._alone(path, text) for path, text in texts.items()}
            if any(part.doubts for part in parts.values()):
                return Judgement(tuple(_problems(parts)))
            events = None if order else self._events(parts)
            if events is None:
                return self._whole(texts, parts, order=order)
            found = self._followed.plan(events)
            new, _ = self._plain.apply(events)
            draft = _Draft(self._read, parts)
            notes = tuple(draft.notes(new.index, *self._known_of(new.index, events, draft)))
            sides = Side(self._read.loaded.raw, self._read.loaded.locate), draft.side
            tested = self._tested(new.index.cluster, self._read.loaded)
            return Judgement((*_problems(parts), *notes), found, sides, tested)

    def turning(self, drafted: TestedSide) -> TestChanges | None:
        """The tests whose result differs with drafts; None without test files."""
        tests = self._read.tests
        if tests is None:
            return None
        with collector_paused():
            return turned(self._results, judged(tests.files, drafted, self._names))

    @cached_property
    def _results(self) -> tuple[Result, ...]:
        """The results of the tests on the saved files."""
        tests = self._read.tests
        loaded = self._read.loaded
        side = self._tested(loaded.cluster, loaded)
        return judged(tests.files, side, self._names) if tests else ()

    def _tested(self, cluster: Cluster, loaded: Loaded) -> TestedSide:
        """``loaded``: the input with the same objects beside its policies."""

        def entries() -> KnownEntries:
            found = loaded.beside.entries(loaded.cluster, loaded.raw)
            return KnownEntries(found, self._read.around.controllers)

        return TestedSide(cluster, entries)

    # -- states

    @cached_property
    def _plain(self) -> ClusterIndex:
        """Without newcomers, because a check is about existing objects."""
        return ClusterIndex.of(self._read.loaded.cluster, self._names)

    @cached_property
    def _matched(self) -> MatchedPods:
        return MatchedPods(self._plain.index)

    @cached_property
    def _written(self) -> WrittenObjects:
        return WrittenObjects(self._plain.index, self._read.loaded.raw)

    def _known_of(
        self, index: PolicyIndex, events: tuple[ClusterEvent, ...], draft: _Draft
    ) -> tuple[MatchedPods, WrittenObjects]:
        """Facts about pods and workloads for checks, which a draft of policies does not change."""
        changed = {
            event.ref: event.thing if isinstance(event.thing, NetworkPolicy) else None
            for event in events
        }
        return self._matched.after(index, changed), self._written.after(draft.raw)

    # -- one text

    def _alone(self, path: str, text: str) -> Loaded:
        namespace = self._folder.namespace or DEFAULT_NAMESPACE
        strict = self._folder.strict_cidrs
        file = InputFile(path, text)
        return load_files([file], [path], namespace=namespace, strict_cidrs=strict)

    @cached_property
    def _documents(self) -> Mapping[str, list[Document]]:
        found: dict[str, list[Document]] = defaultdict(list)
        for document in self._read.loaded.documents:
            found[document.source.file].append(document)
        return found

    @cached_property
    def _policies(self) -> Mapping[str, tuple[ObjectRef, ...]]:
        """The NetworkPolicies of each file that contains nothing else."""
        found: dict[str, list[ObjectRef]] = {path: [] for path in self._documents}
        for policy in self._read.loaded.cluster.policies:
            if policy.source is not None:
                found[policy.source.file].append(policy.ref)
        times = Counter(key_of(document.data) for document in self._read.loaded.documents)
        # If a policy is defined twice, the other definition would replace it.
        return {
            path: tuple(refs)
            for path, refs in found.items()
            if len(refs) == len(self._documents[path])
            and all(times[key_of(each.data)] == 1 for each in self._documents[path])
        }

    @cached_property
    def _elsewhere(self) -> Mapping[ObjectRef, str]:
        return {ref: path for path, refs in self._policies.items() for ref in refs}

    def _events(self, parts: Mapping[str, Loaded]) -> tuple[ClusterEvent, ...] | None:
        """The changes of the drafts, if they are only NetworkPolicies, each in one file."""
        events: dict[ObjectRef, ClusterEvent] = {}
        for path in parts:
            if path in self._documents and path not in self._policies:
                return None
            events.update((ref, gone(ref)) for ref in self._policies.get(path, ()))
        added: set[ObjectRef] = set()
        for part in parts.values():
            policies = part.cluster.policies
            if len(policies) != len(part.documents):
                return None
            for policy in policies:
                before = self._elsewhere.get(policy.ref)
                known = policy.ref in self._plain.objects.known
                if policy.ref in added or (known and before not in parts):
                    return None
                added.add(policy.ref)
                events[policy.ref] = put(policy)
        return tuple(events.values())

    # -- everything again

    def _whole(
        self, texts: Mapping[str, str], parts: Mapping[str, Loaded], *, order: bool
    ) -> Judgement:
        left = dict(texts)
        files = [
            replace(file, text=left.pop(file.path))
            if isinstance(file, InputFile) and file.path in left
            else file
            for file in self._read.files
        ]
        files += [InputFile(path, text) for path, text in left.items()]
        loaded = self._folder.load(files, self._kept)
        before = self._read.loaded
        found = plan(before.cluster, loaded.cluster, self._names, order=order)
        sides = Side(before.raw, before.locate), Side(loaded.raw, loaded.locate)
        tested = self._tested(loaded.cluster, loaded)
        return Judgement(tuple(_problems(parts)), found, sides, tested)


class _Draft:
    """The input with some texts replaced by others, where only policies differ."""

    def __init__(self, read: ReadInput, parts: Mapping[str, Loaded]) -> None:
        self._read = read
        self._before = read.loaded
        self._parts = parts
        self.side = Side(self.raw, self.locate)

    def _of(self, source: Source | None) -> Loaded:
        return self._parts.get(source.file, self._before) if source else self._before

    def raw(self, source: Source | None) -> Mapping[str, Any] | None:
        return self._of(source).raw(source)

    def locate(self, source: Source | None, path: str) -> Position | None:
        return self._of(source).locate(source, path)

    def notes(
        self, index: PolicyIndex, matched: MatchedPods, written: WrittenObjects
    ) -> Iterator[tuple[Problem, Position | None]]:
        """The findings of ``check`` about the policies in the texts."""
        if len(index.cluster.policies) <= SMALL:
            found = lint(index, self.raw, self._read.around)
        else:
            found = (
                finding
                for part in self._parts.values()
                for policy in part.cluster.policies
                for finding in notes_for(
                    index,
                    policy,
                    self.raw(policy.source),
                    matched,
                    written,
                    self._read.around.dns,
                )
            )
        for each in found:
            finding = self._read.configured(each)
            if finding is None:
                continue
            if finding.source is not None and finding.source.file in self._parts:
                yield finding.problem, self.locate(finding.source, finding.path)


def _problems(parts: Mapping[str, Loaded]) -> Iterator[tuple[Problem, Position | None]]:
    """The server's problems of the texts, errors first."""
    found = [
        (problem, part.positions.locate_problem(problem))
        for part in parts.values()
        for problem in part.problems
        if problem.code not in _OF_ALL
    ]
    yield from sorted(found, key=lambda each: each[0].severity is not Severity.ERROR)
