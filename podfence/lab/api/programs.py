"""Where etcd and kube-apiserver are on this machine. Process: a command.

Rule: nothing is downloaded. Where a folder is named, its programs are used, or there is an error.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from podfence.errors import LabError
from podfence.text import printable

ETCD, APISERVER = "etcd", "kube-apiserver"
VARIABLES = ("PODFENCE_APISERVER_ASSETS", "KUBEBUILDER_ASSETS")
"""Variables that name a folder with both."""
USUAL = Path("/usr/local/kubebuilder/bin")
"""Where tools for controllers put them."""
_ADVICE = (
    "podfence downloads none: name a folder that holds both with --api-programs DIR or in "
    "KUBEBUILDER_ASSETS; `setup-envtest use -p path` prints one, and a release of Kubernetes and "
    "one of etcd have a program each"
)


class Programs(Struct, frozen=True):
    """Both programs."""

    etcd: Path
    apiserver: Path


def find_programs(folder: Path | None, environment: Mapping[str, str] = os.environ) -> Programs:
    """In the folder that is named, by hand or else by a variable; else where they usually are, or
    on the PATH. Raises LabError with what is missing, and where it was looked for."""
    if folder is not None:
        return _in_named(folder, "--api-programs")
    for name in VARIABLES:
        if value := environment.get(name):
            return _in_named(Path(value), f"${name}")
    if all(_is_program(USUAL / name) for name in (ETCD, APISERVER)):
        return Programs(USUAL / ETCD, USUAL / APISERVER)
    path = environment.get("PATH", os.defpath)
    found = {name: shutil.which(name, path=path) for name in (ETCD, APISERVER)}
    etcd, apiserver = found[ETCD], found[APISERVER]
    if etcd is None or apiserver is None:
        missing = " and no ".join(name for name, where in found.items() if where is None)
        raise LabError(f"no API server: there is no {missing} on the PATH or in {USUAL}; {_ADVICE}")
    return Programs(Path(etcd), Path(apiserver))


def _in_named(folder: Path, by: str) -> Programs:
    folder = folder.absolute()
    missing = " and no ".join(n for n in (ETCD, APISERVER) if not _is_program(folder / n))
    if missing:
        where = printable(str(folder))
        raise LabError(f"no API server: {where} ({by}) holds no {missing}; {_ADVICE}")
    return Programs(folder / ETCD, folder / APISERVER)


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
