"""Documents -> Cluster: decode, validate, expand workloads, give addresses.

Rule: nothing is silently missing. An object that could not be read is a problem with its position
and a doubt of the cluster, so that no verdict is given that it could change.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from podfence.admission.decode import Decoded, decode, is_wanted
from podfence.admission.kinds import CLUSTER_SCOPED
from podfence.admission.schema import Json
from podfence.errors import Problem, Severity, Source
from podfence.intake.documents import DecodedDocuments, Document, Unreadable
from podfence.intake.doubts import can_matter, doubt_of, doubt_of_unreadable
from podfence.intake.unknownlabels import unknown_labels
from podfence.model.claims import claim_problems
from podfence.model.cluster import Cluster, ClusterObject, assign_addresses
from podfence.model.doubt import BOTH_TYPES, Doubt
from podfence.model.meta import DEFAULT_NAMESPACE
from podfence.model.objects import Namespace, Node, Pod
from podfence.model.selectors import LabelSelector
from podfence.model.workloads import Workload, expand


class Intake(Struct, frozen=True):
    """A cluster, and the problems of its objects."""

    cluster: Cluster
    problems: tuple[Problem, ...]
    """Problems of the objects; the source has those of the texts."""
    kinds: Mapping[str, int]
    """Objects read, by kind."""
    foreign: Mapping[str, int]
    """Objects of foreign API groups whose kind has the name of one of ours, by kind."""


class Reading(Struct, frozen=True):
    """The result of a source, and the problems that it found."""

    documents: tuple[Document, ...]
    unreadable: tuple[Unreadable, ...] = ()
    problems: tuple[Problem, ...] = ()
    may_be_patches: bool = False
    """A kustomization was not built: of two objects of one name, one may be a patch."""


def build_cluster(
    reading: Reading, *, strict_cidrs: bool = True, kept: DecodedDocuments | None = None
) -> Intake:
    """Build the cluster. ``strict_cidrs``: as in ``admission.decode.decode``; ``kept``: documents
    decoded by earlier readings."""
    builder = _Builder(reading, strict_cidrs, kept)
    for document in reading.documents:
        builder.take(document)
    return builder.result()


class _Builder:
    """Collects the objects, the problems and the doubts."""

    def __init__(self, reading: Reading, strict_cidrs: bool, kept: DecodedDocuments | None) -> None:
        self._kept = kept
        self._strict_cidrs = strict_cidrs
        self._may_be_patches = reading.may_be_patches
        self._problems: list[Problem] = []
        self._kinds: Counter[str] = Counter()
        self._foreign: Counter[str] = Counter()
        self._plain: list[ClusterObject] = []
        self._workloads: list[Workload] = []
        self._first: dict[tuple[str, str] | None, Document] = {}
        self._doubts = _of_texts(reading.unreadable)
        self._text_faults: dict[Source | None, list[Problem]] = defaultdict(list)
        for problem in reading.problems:
            if problem.severity is Severity.ERROR:
                self._text_faults[problem.source].append(problem)

    def take(self, document: Document) -> None:
        """Decode one document."""
        data = document.data
        kind = str(data.get("kind"))
        if not is_wanted(data):
            self._foreign[kind] += 1
            return
        decoded = self._decoded(document, data)
        self._problems += decoded.problems
        self._problems += self._duplicate(document, data)
        self._kinds[kind] += 1
        # A repeated key was read, but perhaps not as it was meant.
        said = self._text_faults.get(document.source, ())
        faults = [p for p in said if can_matter(kind, p.path)]
        if not decoded.objects or faults:
            doubt = doubt_of(document, [*decoded.problems, *faults])
            if self._first.get(key_of(data), document) is not document:
                # It may replace another object, whose pods are then doubtful, too.
                doubt = replace(doubt, selector=LabelSelector(), types=BOTH_TYPES)
            self._doubts.append(doubt)
            if doubt.kind == "Namespace" and doubt.keys is not None:
                # Only its other labels are in doubt: rules may use those that could be read.
                self._plain += _with_readable_labels(data, document.source)
            return
        for thing in decoded.objects:
            if isinstance(thing, Workload):
                self._workloads.append(thing)
            else:
                self._plain.append(thing)

    def _decoded(self, document: Document, data: Json) -> Decoded:
        known = self._kept.decoded(document) if self._kept else None
        if known is not None:
            return known
        found = decode(data, document.source, strict_cidrs=self._strict_cidrs)
        if self._kept:
            self._kept.keep(document, found)
        return found

    def result(self) -> Intake:
        """The cluster, workloads expanded."""
        pods = [thing for thing in self._plain if isinstance(thing, Pod)]
        nodes = [thing for thing in self._plain if isinstance(thing, Node)]
        expanded, problems = expand(self._workloads, pods, nodes)
        others = (thing for thing in self._plain if not isinstance(thing, Pod))
        cluster = Cluster.of([*others, *assign_addresses(expanded)])
        unknown = list(unknown_labels(cluster))
        doubts = (*self._doubts, *(doubt for _, doubt in unknown))
        busy = {pod.owner for pod in cluster.pods}
        idle = tuple(w.ref for w in self._workloads if w.owner is None and w.ref not in busy)
        cluster = replace(cluster, doubts=doubts, idle=idle)
        found = (*self._problems, *problems, *claim_problems(pods), *(said for said, _ in unknown))
        return Intake(cluster, found, self._kinds, self._foreign)

    def _duplicate(self, document: Document, data: Json) -> Iterator[Problem]:
        """The API holds one object of a kind and name: of two documents the later one stays."""
        key = key_of(data)
        if key is None:
            return
        earlier = self._first.setdefault(key, document)
        if earlier is not document and earlier.data != data:
            name = " ".join(key)
            used = "as kubectl apply would leave it"
            if self._may_be_patches:
                used = "though one may be a patch"
            yield Problem(
                "PF110",
                Severity.WARNING,
                f"defined twice, and the two differ; this one is used, {used} (the other is in "
                f"{earlier.source.file}, document {earlier.source.document + 1})",
                document.source,
                "metadata.name",
                name,
            )


def _with_readable_labels(data: Json, source: Source) -> Iterator[Namespace]:
    """The Namespace without labels whose value is not text."""
    metadata = data["metadata"]
    labels = {
        key: value
        for key, value in metadata["labels"].items()
        if value is None or isinstance(value, str)
    }
    readable = {**data, "metadata": {**metadata, "labels": labels}}
    for thing in decode(readable, source).objects:
        if isinstance(thing, Namespace):
            yield thing


def key_of(data: Json) -> tuple[str, str] | None:
    """Kind, namespace and name; None if the name is unknown."""
    metadata = data.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        return None
    kind = str(data["kind"])
    scope = "" if kind in CLUSTER_SCOPED else f"{metadata.get('namespace') or DEFAULT_NAMESPACE}/"
    return kind, f"{scope}{metadata['name']}"


def _of_texts(unreadable: Iterable[Unreadable]) -> list[Doubt]:
    found = map(doubt_of_unreadable, unreadable)
    return [doubt for doubt in found if doubt is not None]
