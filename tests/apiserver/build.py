"""Gets etcd, kube-apiserver and the CRDs of the cluster tiers: ``python -m tests.apiserver.build``.

Rule: what is built is named by go.mod, go.sum and the tables below; a folder of that name is
complete or not there. Nothing of the programs is copied into the repository: Go's module proxy has
their sources, go.sum and ``CRDS`` their hashes. Where they cannot be had, that is said, and is no
failure.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from tests.support.golang import Go, Unavailable, cache_folder, filled, version_flags

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CACHE = ROOT / ".apiserver"
KUBERNETES = "v1.37.2"
PROGRAMS = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
}
READY_MADE = ("PODFENCE_APISERVER_ASSETS", "KUBEBUILDER_ASSETS")
"""Variables that name a folder with the programs: nothing is built then."""
CRDS = ("sigs.k8s.io/network-policy-api@v0.3.0", "h1:RL6fVXiix9IW1pj0ImkW645m+EWmb3dBGCiW19bg5+k=")
"""The module that publishes the CRDs, and its hash."""
CHANNELS = ("standard", "experimental")
_CRD_FILE = "config/crd/{}/policy.networking.k8s.io_clusternetworkpolicies.yaml"
UNAVAILABLE = 3
"""The exit status where the programs cannot be had, which is no fault of the sources."""


def assets() -> Path:
    """The folder with the programs, without building any. Raises Unavailable."""
    for variable in READY_MADE:
        if folder := os.environ.get(variable):
            missing = [name for name in PROGRAMS if not (Path(folder) / name).is_file()]
            if missing:
                raise Unavailable(f"{variable}={folder} holds no {' and no '.join(missing)}")
            return Path(folder)
    if not _folder().is_dir():
        raise Unavailable("it was not built yet: ./dev apiserver")
    return _folder()


def crd_file(channel: str) -> Path:
    """The CRD of ClusterNetworkPolicy in a channel. Raises Unavailable."""
    for folder in (assets(), _folder()):
        if (found := folder / f"{channel}.yaml").is_file():
            return found
    raise Unavailable("the CRDs of the cluster tiers were not fetched yet: ./dev apiserver")


def _folder() -> Path:
    words = f"{PROGRAMS} {CRDS} {CHANNELS} {_CRD_FILE}"
    files = (HERE / "go.mod", HERE / "go.sum")
    return cache_folder(CACHE, "", files, words, version_flags(KUBERNETES))


def build() -> Path:
    """Builds what is missing; the folder. Raises Unavailable, or CalledProcessError where the
    compiler refuses sources that are all there.
    """
    return filled(_folder(), _fill)


def _fill(folder: Path) -> None:
    go = Go(HERE, CACHE)
    _say("fetching sources of etcd, kube-apiserver and the CRDs")
    go.fetch("list", "-mod=readonly", "-deps", *PROGRAMS.values())
    _copy_crds(go, folder)
    for program, package in PROGRAMS.items():
        _say(f"building {program}")
        go.build(folder / program, package, version_flags(KUBERNETES))


def _copy_crds(go: Go, folder: Path) -> None:
    module, wanted = CRDS
    # Its hash is known here, so that no other list of hashes is asked.
    found = json.loads(go.fetch("mod", "download", "-json", module, GONOSUMDB="*"))
    if found["Sum"] != wanted:
        raise Unavailable(f"{module} has the hash {found['Sum']}, not {wanted}")
    for channel in CHANNELS:
        data = (Path(found["Dir"]) / _CRD_FILE.format(channel)).read_bytes()
        (folder / f"{channel}.yaml").write_bytes(data)


def _say(text: str) -> None:
    print(f"apiserver: {text}", file=sys.stderr, flush=True)


def main() -> NoReturn:
    """Prints the folder with the programs; exit status 3 where they cannot be had."""
    try:
        if any(os.environ.get(variable) for variable in READY_MADE):
            print(assets())
        else:
            print(build())
    except Unavailable as error:
        _say(f"!!! NO API SERVER, so NOTHING WILL BE TESTED with one: {error}")
        sys.exit(UNAVAILABLE)
    except (subprocess.CalledProcessError, OSError) as error:
        _say(f"the API server cannot be built: {error}")
        sys.exit(1)
    sys.exit(0)


if __name__ == "__main__":
    main()
