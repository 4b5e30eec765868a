"""A cluster as a source of objects: found as kubectl finds it, and read for ``intake``.

Rule: objects come from no file, so their positions are their names and field paths. Each has a
source without a file, numbered in the order of reading.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from podfence.admission.kinds import is_policy_elsewhere, served_versions
from podfence.errors import ClusterError, Problem, Source
from podfence.intake.build import Reading
from podfence.intake.documents import Document
from podfence.intake.unlisted import Elsewhere
from podfence.kube.access import Access
from podfence.kube.client import Client
from podfence.kube.incluster import in_cluster
from podfence.kube.kubeconfig import find_files, read_kubeconfig
from podfence.kube.narrow import KEPT
from podfence.kube.snapshot import KindsToRead, Snapshot, Tell, read_snapshot
from podfence.text import printable


class NoCluster(ClusterError):
    """No setting says which cluster is meant."""


def find_access(context: str, kubeconfig: str | None, environment: Mapping[str, str]) -> Access:
    """The cluster that kubectl would ask. ``context``: "" for the current one.

    Raises NoCluster where no setting names one, and ClusterError for settings that cannot be used.
    """
    files = find_files(kubeconfig, environment)
    found = read_kubeconfig(files, must_exist=kubeconfig is not None)
    if found is not None:
        return found.access(context)
    access = in_cluster(environment)
    if access is None or context:
        looked = " and ".join(printable(str(file)) for file in files) or "HOME is not set"
        raise NoCluster(
            f"no cluster is known, because there is no kubeconfig ({looked}): name one with "
            "--kubeconfig, and its context with --context"
        )
    return access


def wanted(
    namespaces: Iterable[str] = (), policies_of: tuple[str, ...] | None = None
) -> KindsToRead:
    """All that verdicts depend on; the arguments are those of ``KindsToRead``.

    A namespace may come from a command line: a word that cannot be the name of one is not asked
    for.
    """
    versions = {kind: served_versions(kind) for kind in KEPT}
    enough = None if policies_of is None else _names(policies_of)
    return KindsToRead(versions, is_policy_elsewhere, _names(namespaces), _OPTIONAL, enough)


def _names(namespaces: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in dict.fromkeys(namespaces) if _NAME.fullmatch(name))


_OPTIONAL: Final = frozenset({"CronJob"})
"""Their pods are there while they run; between runs they tell who will be."""
_NAME: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")


def reading_of(snapshot: Snapshot) -> Reading:
    """What ``intake`` makes a cluster of. The sources are numbered: objects first, then gaps."""
    documents = tuple(
        Document(Source("", number), data) for number, data in enumerate(snapshot.objects)
    )
    gaps = [(Source("", len(documents) + number), gap) for number, gap in enumerate(snapshot.gaps)]
    problems: list[Problem] = [gap.problem(source) for source, gap in gaps]
    problems += [gap.note() for gap in snapshot.unseen]
    problems += [Elsewhere(*each).problem(None) for each in snapshot.elsewhere.items()]
    unreadable = tuple(gap.unreadable(source) for source, gap in gaps)
    return Reading(documents, unreadable, tuple(problems))


def documents_of(snapshot: Snapshot) -> tuple[dict[str, Any], ...]:
    """A snapshot as objects that can be written down; what is missing from it is among them."""
    gaps = [gap.document() for gap in snapshot.gaps]
    elsewhere = [Elsewhere(*each).document() for each in snapshot.elsewhere.items()]
    return (*snapshot.objects, *gaps, *elsewhere)


def read_cluster(access: Access, wanted: KindsToRead, tell: Tell) -> Snapshot:
    """Everything of a cluster that verdicts depend on. Raises ClusterError."""
    with Client(access) as client:
        return read_snapshot(client, wanted, tell)
