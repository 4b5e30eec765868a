"""The folder of a lab's API server: certificates, tokens, logs and the data of etcd. Process: any.

Rule: a link beside the lab's socket, in a directory of the user, names the folder. So the folder of
a lab that was killed can be found from its socket.
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
