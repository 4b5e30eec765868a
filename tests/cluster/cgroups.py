"""The control groups of a cluster: made before its nodes start, removed after their last process.

Rule: everything is below one folder of the cluster's name, in each hierarchy that this machine has
mounted. Nobody else's groups are read or written, but for the processors and the memory nodes that
a new group of version 1 has to be given.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

REMOVAL_SECONDS = 20
_MOUNTS = Path("/proc/self/mounts")
_CPUSET = ("cpuset.cpus", "cpuset.mems")


def hierarchies() -> list[Path]:
    """Where this machine has mounted control groups, of both versions."""
    lines = [line.split() for line in _MOUNTS.read_text(encoding="ascii").splitlines()]
    return [Path(fields[1]) for fields in lines if fields[2] in ("cgroup", "cgroup2")]


def create(cluster: str, nodes: int) -> None:
    """A group for each node. Raises OSError."""
    for hierarchy in hierarchies():
        for node in range(1, nodes + 1):
            group = hierarchy / cluster / f"node{node}"
            group.mkdir(parents=True, exist_ok=True)
            for folder in (group.parent, group):
                _allow_processors(folder)


def _allow_processors(group: Path) -> None:
    """In version 1 a group without processors and memory nodes takes no process."""
    for name in _CPUSET:
        file = group / name
        if file.exists() and not file.read_text().strip():
            file.write_text((group.parent / name).read_text())


def left(cluster: str) -> list[Path]:
    """The groups of a cluster that are there, the inner ones first."""
    return [group for top in _tops(cluster) for group in _inside_out(top)]


def remove(cluster: str) -> None:
    """Removes the groups of a cluster whose processes are gone. Raises OSError for a group that
    still has processes after 20 seconds.
    """
    until = time.monotonic() + REMOVAL_SECONDS
    while groups := left(cluster):
        for group in groups:
            try:
                group.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                # A process that was killed leaves its group a moment after its parent knows.
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)


def _tops(cluster: str) -> Iterator[Path]:
    return (top for hierarchy in hierarchies() if (top := hierarchy / cluster).is_dir())


def _inside_out(group: Path) -> Iterator[Path]:
    for entry in sorted(group.iterdir()):
        if entry.is_dir():
            yield from _inside_out(entry)
    yield group
