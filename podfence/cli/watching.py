"""Changes of files, found by polling.

Rule: polling works on network disks and in containers, where notifications do not. A file that does
not exist yet counts as changed when it appears.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from podfence.cli.terminal import echo
from podfence.errors import PodfenceError
from podfence.manifests.inputfiles import folders
from podfence.render.problems import message_text

PAUSE = 0.3
"""Seconds between two looks."""
MOST = 5_000
"""Files that are looked at; of those beyond, changes are not seen."""

FileStamps = frozenset[tuple[str, int, int]]
"""Files with the time of their last change, in nanoseconds, and their size."""


def again_and_again(run: Callable[[], int], paths: Sequence[str], made: Sequence[str] = ()) -> int:
    """Run now and after every change, until Ctrl+C; an unreadable file does not end it. ``made``:
    files that a run writes itself, and "": these do not count as changes."""

    def once() -> None:
        try:
            run()
        except PodfenceError as error:
            echo(f"error[{error.code}]: {message_text(error.message)}", err=True)
        sys.stdout.flush()

    before = look(paths, made)  # a file that changes while the first run reads is seen afterwards
    once()
    for _ in changes(paths, made=made, before=before):
        echo("\n-- something changed")
        once()
    return 0


def changes(
    paths: Sequence[str],
    pause: Callable[[float], None] = time.sleep,
    *,
    made: Sequence[str] = (),
    before: FileStamps | None = None,
) -> Iterator[None]:
    """Yields each time that a file at or below one of ``paths`` changes. ``made``: as in ``look``;
    ``before``: their state at the beginning."""
    if before is None:
        before = look(paths, made)
    while True:
        pause(PAUSE)
        now = look(paths, made)
        if now != before:
            before = now
            yield


def look(paths: Sequence[str], made: Sequence[str] = ()) -> FileStamps:
    """The present state of the files, without those of ``made``."""
    less = {os.path.realpath(file) for file in made if file}
    found: set[tuple[str, int, int]] = set()
    for file in _files(paths):
        if less and os.path.realpath(file) in less:
            continue
        try:
            status = os.stat(file)
        except OSError:  # it went away meanwhile, which is a change, too
            continue
        found.add((file, status.st_mtime_ns, status.st_size))
        if len(found) == MOST:
            break
    return frozenset(found)


def _files(paths: Sequence[str]) -> Iterator[str]:
    for path in paths:
        if not os.path.isdir(path):
            yield path
            continue
        for folder, names in folders(path):
            yield from (os.path.join(folder, name) for name in names)
