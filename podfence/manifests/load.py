"""Files -> Cluster: read, then decode, validate, expand workloads, give addresses (``intake``).

Rule: nothing is silently missing. Problems of the texts and problems of the objects are one list,
each with its position.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import BinaryIO

from msgspec import Struct
from msgspec.structs import replace

from podfence.admission.kinds import POLICY_KINDS, TESTS_KIND, WANTED_KINDS
from podfence.collector import collector_paused
from podfence.errors import Position, Problem, Severity, Source
from podfence.intake.beside import BESIDE_CODES, NOTHING_BESIDE, SurroundingObjects
from podfence.intake.build import Reading, build_cluster
from podfence.intake.documents import DecodedDocuments, Document
from podfence.intake.doubts import can_matter
from podfence.intake.unknownlabels import UNKNOWN_LABEL_CODES
from podfence.intake.unlisted import UNLISTED_CODES, Elsewhere
from podfence.manifests.deliveries import DELIVERY_CODES, delivery_problems
from podfence.manifests.documents import Manifests, manifests_of
from podfence.manifests.inputfiles import STDIN, InputFile, SkippedLink, read_inputs
from podfence.manifests.leftout import left_out_problems
from podfence.manifests.positions import Positions
from podfence.model.claims import CLAIM_CODES
from podfence.model.cluster import Cluster
from podfence.model.doubt import Doubt
from podfence.model.meta import DEFAULT_NAMESPACE
from podfence.model.objects import Pod

LOAD_CODES = {
    "PF110": "one name, two objects that differ",
    "PF112": "the input holds no object",
    "PF114": "a kustomization that was not built",
    "PF119": "policies without a namespace, where no pod is",
    **BESIDE_CODES,
    **DELIVERY_CODES,
    **UNLISTED_CODES,
    **CLAIM_CODES,
    **UNKNOWN_LABEL_CODES,
}
"""Codes of the problems that show only when all objects are read."""


class Loaded(Struct, frozen=True):
    """A cluster with everything to say about how it was read.

    ``kinds``: objects read, by kind. ``passed_over``: objects of other kinds, by kind;
    ``not_judged``: those that are policies of another API. ``without_namespace``: how many objects
    name no namespace, though their kind has one.
    """

    cluster: Cluster
    problems: tuple[Problem, ...]
    kinds: Mapping[str, int]
    passed_over: Mapping[str, int]
    not_judged: Mapping[str, int]
    documents: tuple[Document, ...]
    files: int
    positions: Positions
    without_namespace: int = 0
    live: str = ""
    """The name of the live cluster; "" for files."""
    absent: tuple[str, ...] = ()
    """Wanted kinds that the live cluster does not have."""
    beside: SurroundingObjects = NOTHING_BESIDE
    """Ways in from outside, and policies of other APIs."""
    _by_source: dict[Source, Document] = {}

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that are errors."""
        return tuple(p for p in self.problems if p.severity is Severity.ERROR)

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """The objects whose meaning is unclear."""
        return self.cluster.doubts

    def locate(self, source: Source | None, path: str) -> Position | None:
        """The position of a field, None for objects that come from no file."""
        return self.positions.shown(source, path)

    def raw(self, source: Source | None) -> Mapping[str, object] | None:
        """The object as it was written."""
        if source is None:
            return None
        if not self._by_source:
            every = (*self.documents, *self.beside.documents)
            self._by_source.update((d.source, d) for d in every)
        document = self._by_source.get(source)
        return None if document is None else document.data


def load(
    paths: Sequence[str],
    *,
    namespace: str | None = None,
    exclude: Sequence[str] = (),
    stdin: BinaryIO | None = None,
    strict_cidrs: bool = True,
    kept: DecodedDocuments | None = None,
    onto: Reading | None = None,
) -> Loaded:
    """Read everything under ``paths``; raises nothing for the content of the files.

    ``namespace``: that of objects that name none, None for ``default``. ``exclude``: patterns of
    what is not read of directories, as in ``.gitignore``. ``strict_cidrs``: as
    ``admission.decode.decode``. ``kept``: decoded documents of another version. ``onto``: further
    objects, replaced by those of the files with the same kind and name.
    """
    files = read_inputs(paths, stdin, exclude)
    return load_files(
        files, paths, namespace=namespace, strict_cidrs=strict_cidrs, kept=kept, onto=onto
    )


def load_files(
    files: Iterable[InputFile | SkippedLink],
    paths: Sequence[str],
    *,
    namespace: str | None = None,
    strict_cidrs: bool = True,
    kept: DecodedDocuments | None = None,
    onto: Reading | None = None,
) -> Loaded:
    """The same for files that were read before. ``paths``: as the user named them."""
    with collector_paused():
        manifests = manifests_of(
            files, kinds=WANTED_KINDS, kept=kept, namespace=namespace or DEFAULT_NAMESPACE
        )
        loaded = _build(manifests, paths, strict_cidrs, kept, onto or Reading(()))
    if namespace is not None:
        return loaded
    homeless = _without_pods(manifests.without_namespace, loaded.cluster.pods)
    return replace(loaded, problems=(*loaded.problems, *homeless))


def _build(
    manifests: Manifests,
    paths: Sequence[str],
    strict_cidrs: bool,
    kept: DecodedDocuments | None,
    onto: Reading,
) -> Loaded:
    named = {_key(document) for document in manifests.documents} if onto.documents else set()
    left = tuple(document for document in onto.documents if _key(document) not in named)
    reading = Reading(
        (*left, *manifests.documents),
        (*onto.unreadable, *manifests.unreadable),
        (*onto.problems, *manifests.problems),
        manifests.kustomization is not None,
    )
    intake = build_cluster(reading, strict_cidrs=strict_cidrs, kept=kept)
    others = Counter(manifests.passed_over) + Counter(intake.foreign)
    elsewhere = {k: n for k, n in others.items() if k in manifests.policies_elsewhere}
    beside = SurroundingObjects(manifests.beside, elsewhere)
    others -= beside.kinds
    return Loaded(
        intake.cluster,
        (
            *onto.problems,
            *_weighed(manifests),
            *_remarks(manifests, paths),
            *intake.problems,
            *beside.problems,
        ),
        {**intake.kinds, **beside.kinds},
        {k: n for k, n in others.items() if k not in (*manifests.policies_elsewhere, TESTS_KIND)},
        elsewhere,
        reading.documents,
        manifests.files,
        manifests.positions,
        len(manifests.without_namespace),
        beside=beside,
    )


def _key(document: Document) -> tuple[object, ...]:
    """The identity of an object, without its version, which may differ between a file and a
    cluster."""
    data = document.data
    metadata = data.get("metadata")
    named = metadata if isinstance(metadata, Mapping) else {}
    return data.get("kind"), named.get("namespace") or "", named.get("name")


def _weighed(manifests: Manifests) -> Iterator[Problem]:
    """The problems of the texts; those in fields that no verdict depends on are marked."""
    faulty = {problem.source for problem in manifests.problems}
    kinds = {d.source: str(d.data["kind"]) for d in manifests.documents if d.source in faulty}
    for problem in manifests.problems:
        kind = kinds.get(problem.source) if problem.source else None
        harmless = kind is not None and not can_matter(kind, problem.path)
        yield replace(problem, refused_only=True) if harmless else problem


def _remarks(manifests: Manifests, paths: Sequence[str]) -> Iterator[Problem]:
    """Problems of the input as a whole."""
    yield from left_out_problems(manifests.left_out)
    if not (manifests.documents or manifests.passed_over or manifests.unreadable):
        yield _without_objects(paths, manifests)
    if manifests.kustomization:
        yield Problem("PF114", Severity.WARNING, _NOT_BUILT, manifests.kustomization, "kind")
    yield from delivery_problems(manifests.deliveries)
    for kind, source in manifests.policies_elsewhere.items():
        yield Elsewhere(kind, manifests.passed_over[kind]).problem(source)


def _without_objects(paths: Sequence[str], manifests: Manifests) -> Problem:
    others = f", nor in {', '.join(paths[1:6])}" if len(paths) > 1 else ""
    text = f"no objects: the input holds{others} only blank lines, comments or empty lists"
    if manifests.kustomization:
        text = f"no objects: the input holds{others} only a kustomization, which is not built"
    if manifests.left_out:
        text = f"no objects: no file here{others} is a manifest"
    file = paths[0] if paths else STDIN
    return Problem("PF112", Severity.ERROR, text, Source(file), position=Position(file, 1, 1))


_NOT_BUILT = (
    "a kustomization is not built here: its bases and patches are read as if each were a whole "
    "object; to read what it builds, name its directory with -f, or use --render always"
)


def _without_pods(without_namespace: Sequence[Document], pods: Sequence[Pod]) -> Iterator[Problem]:
    """A warning for policies without a namespace, if no pod is in theirs."""
    policies = [each for each in without_namespace if each.data["kind"] in POLICY_KINDS]
    if not policies or not pods or any(pod.namespace == DEFAULT_NAMESPACE for pod in pods):
        return
    number = len(policies)
    text = (
        f"{number} {'policy names' if number == 1 else 'policies name'} no namespace, so "
        f"{'it is' if number == 1 else 'they are'} in {DEFAULT_NAMESPACE}, where no pod is; "
        "--input-namespace NAME reads the input as kubectl apply -n NAME does"
    )
    yield Problem("PF119", Severity.WARNING, text, policies[0].source, "metadata")
