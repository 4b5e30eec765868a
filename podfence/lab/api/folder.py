"""The folder of a lab's API server: certificates, tokens, logs, what etcd holds. Process: any.

Rule: it is found by a link beside the lab's socket, in a directory that is the user's alone, so
that whoever finds the socket of a lab that was killed finds the folder, too.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

_SUFFIX = ".api"


def link_of(socket_path: Path) -> Path:
    """Where the folder of a lab is found, by the path of the lab's socket."""
    return socket_path.with_suffix(_SUFFIX)


def remove_folder(link: Path) -> None:
    """Remove the folder that a link names, and the link; nothing where there is none."""
    if link.is_symlink():
        shutil.rmtree(os.readlink(link), ignore_errors=True)
        link.unlink(missing_ok=True)
