"""Starts a cluster, ends it and cleans up after it: ``python -m tests.cluster.keeper FOLDER ...``.

Rule: a cluster lives as long as its keeper, and the keeper as long as somebody holds the other end
of its standard input, unless a line ``keep`` came through it. So the end of whoever started a
cluster, in whatever way, ends the cluster; the end of the keeper ends it too, and leaves nothing
but empty control groups and a folder, which the next start or ``down`` removes.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from tests.cluster import cgroups, images, world

LOCK = "lock"
ASSETS = "assets"
KEEP = b"keep\n"
_PR_SET_CHILD_SUBREAPER = 36
_LAUNCHER = """
import os, sys
from podfence.kernel.netns import die_with_parent
die_with_parent(int(sys.argv[1]))
os.execvp(sys.argv[2], sys.argv[2:])
"""
_NAMESPACES = "--net --mount --uts --ipc --pid --fork --kill-child=SIGKILL --mount-proc"


def main(folder: Path, cluster: str, nodes: int, assets: Path) -> int:
    """Runs until the cluster ends or is to end; 1 when it ended by itself."""
    # Whatever of the cluster loses its parent can be waited for here.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    (folder / ASSETS).symlink_to(assets)
    (folder / "images").mkdir()
    images.write_all(folder / "images", assets, Path(shutil.which("bash-static") or ""))
    cgroups.create(cluster, nodes)
    words = [str(folder), cluster, str(nodes), str(assets)]
    command = ["unshare", *_NAMESPACES.split(), sys.executable, "-m", "tests.cluster.world", *words]
    with (folder / world.LOG).open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-c", _LAUNCHER, str(os.getpid()), *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    ended_by_itself = _wait(child)
    child.kill()
    _reap()
    if ended_by_itself:
        # What was said before the end is worth reading; the rest is not.
        cgroups.remove(cluster)
        for var in folder.glob("node*/var"):
            shutil.rmtree(var)
    else:
        clean(folder, cluster)
    return int(ended_by_itself)


def clean(folder: Path, cluster: str) -> None:
    """Removes what a cluster leaves whose processes are gone. Raises OSError."""
    cgroups.remove(cluster)
    shutil.rmtree(folder, ignore_errors=True)


def _wait(child: subprocess.Popen[bytes]) -> bool:
    """Until the cluster ends by itself (true) or has to end."""
    awakening, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    ended = os.pidfd_open(child.pid)
    watched = [awakening, ended, sys.stdin.fileno()]
    while True:
        ready, _, _ = select.select(watched, [], [])
        if ended in ready:
            return True
        if awakening in ready:
            return False
        if os.read(sys.stdin.fileno(), len(KEEP)) == KEEP:
            watched.remove(sys.stdin.fileno())
        else:
            return False


def _reap() -> None:
    """Until nothing of the cluster runs any more."""
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def try_lock(folder: Path) -> int | None:
    """A descriptor that stands for the cluster of a folder, with the keeper's process id in the
    file; None where it has a keeper already.
    """
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor


if __name__ == "__main__":
    _folder = Path(sys.argv[1])
    if try_lock(_folder) is None:
        sys.exit(f"{_folder} has a cluster already")
    sys.exit(main(_folder, sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])))
