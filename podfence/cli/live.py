"""A live cluster as input in place of files.

Rule: a command does not know where its objects come from. Objects of a cluster have the form of
objects of files; their positions are names and field paths.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import click

from podfence.cli.inputs import Inputs, path_without_option
from podfence.cli.progress import ReadingProgress
from podfence.collector import collector_paused
from podfence.errors import ClusterError
from podfence.intake.beside import SurroundingObjects
from podfence.intake.build import Reading, build_cluster
from podfence.kube.access import Access
from podfence.kube.kubeconfig import find_files, read_kubeconfig
from podfence.kube.snapshot import Snapshot, Tell
from podfence.kube.source import (
    NoCluster,
    find_access,
    read_cluster,
    reading_of,
    wanted,
)
from podfence.manifests.load import Loaded
from podfence.manifests.positions import Positions


def _access(inputs: Inputs) -> Access:
    try:
        return find_access(inputs.context, inputs.kubeconfig, os.environ)
    except NoCluster as error:
        called = click.get_current_context(silent=True)
        advice = path_without_option(called) if called else ""
        files = advice or "manifests are read with -f FILE, -f DIRECTORY or -f -"
        raise ClusterError(f"{error.message}; {files}") from error


def context_namespace(inputs: Inputs) -> str:
    """The namespace of names without one. Raises ClusterError."""
    return _access(inputs).namespace


def context_names(kubeconfig: str | None) -> tuple[str, ...]:
    """The contexts that ``--context`` takes. Raises ClusterError."""
    found = read_kubeconfig(find_files(kubeconfig, os.environ))
    return tuple(found.contexts) if found else ()


def snapshot(inputs: Inputs, about: Iterable[str] = ()) -> Snapshot:
    """The objects of the cluster. Raises ClusterError."""
    return _read(_access(inputs), about)


def _read(
    access: Access,
    about: Iterable[str],
    enough: tuple[str, ...] | None = None,
    tell: Tell | None = None,
) -> Snapshot:
    """``tell``: is told how many objects were listed, besides the terminal."""
    with ReadingProgress(access.name) as progress:

        def listed(number: int) -> None:
            progress.tell(number)
            if tell is not None:
                tell(number)

        return read_cluster(access, wanted([*about, access.namespace], enough), listed)


def load_applied(inputs: Inputs, read: Callable[[Reading, str], Loaded]) -> tuple[Loaded, Loaded]:
    """A cluster as it is, and with files applied to it. ``read``: reads the files on top of the
    present objects; those without a namespace go into the given one. Raises ClusterError."""
    access = _access(inputs)
    with collector_paused():
        found = _read(access, ())
        return _loaded(access, found, inputs), read(reading_of(found), access.namespace)


def load_live(
    inputs: Inputs,
    about: Iterable[str] = (),
    *,
    policies_of: tuple[str, ...] | None = None,
    tell: Tell | None = None,
) -> Loaded:
    """The same as a compiled input, with its problems. ``tell``: is told how many objects were
    listed. Raises ClusterError."""
    access = _access(inputs)
    with collector_paused():
        return _loaded(access, _read(access, about, policies_of, tell), inputs)


def _loaded(access: Access, found: Snapshot, inputs: Inputs) -> Loaded:
    reading = reading_of(found)
    intake = build_cluster(reading, strict_cidrs=inputs.strict_cidrs)
    return Loaded(
        intake.cluster,
        (*reading.problems, *intake.problems),
        intake.kinds,
        {},
        {kind: number for kind, number in found.elsewhere.items() if number > 0},
        reading.documents,
        0,
        Positions(),
        live=access.name,
        absent=found.absent,
        beside=SurroundingObjects(counted=found.elsewhere),
    )
