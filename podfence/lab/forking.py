"""fork(2) for processes that never return into their parent's code."""

from __future__ import annotations

import os
import warnings


def fork() -> int:
    """fork(2), for a child that never returns into its parent's code.

    It must go on with what its module imports and nothing else.
    """
    with warnings.catch_warnings():
        # Newer interpreters warn when other threads exist, for one of them might hold a lock. The
        # child uses no lock of theirs: it opens its own files and sockets, and ends with _exit.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()
