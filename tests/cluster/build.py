"""Gets the programs of a cluster and the suites that run in it: ``python -m tests.cluster build``.

Rule: what is built is named by the module's files and by the table below; a folder of that name
is complete or not there. etcd and the API server are those of ``tests/apiserver``; runc and the
programs of the CNI are the distribution's. containerd is not: a stable distribution has one without
the Node Resource Interface.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.apiserver import build as apiserver
from tests.cluster.layout import CNI_PROGRAMS
from tests.support.golang import Go, Unavailable, cache_folder, filled, version_flags

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CACHE = ROOT / ".apiserver"
KUBERNETES = apiserver.KUBERNETES
NETWORK_POLICY_API = apiserver.CRDS[0].partition("@")[2]
PROGRAMS = {
    **{
        name: f"k8s.io/kubernetes/cmd/{name}"
        for name in (
            "kubelet",
            "kube-controller-manager",
            "kube-scheduler",
            "kube-proxy",
            "kubectl",
        )
    },
    "agnhost": "k8s.io/kubernetes/test/images/agnhost",
    "front": "podfence.invalid/tests/cluster/front",
}
CONTAINERD = {
    name: f"github.com/containerd/containerd/v2/cmd/{name}"
    for name in ("containerd", "containerd-shim-runc-v2", "ctr")
}
"""Of a module of its own (``containerd/go.mod``)."""
_CONTAINERD_MODULE = "github.com/containerd/containerd/v2"
SUITES = {
    "netpol.test": "podfence.invalid/tests/cluster",
    "conformance.test": "sigs.k8s.io/network-policy-api/conformance",
}
CRD = "clusternetworkpolicies.yaml"
"""The kind of the cluster tiers with every field, of the same module as its suite."""
_CRD_FILE = "config/crd/experimental/policy.networking.k8s.io_clusternetworkpolicies.yaml"
READY_MADE = "PODFENCE_CLUSTER_ASSETS"
"""A variable that names a folder with all of them: nothing is built then."""
PACKAGES = {
    "runc": "runc",
    "bash-static": "bash-static",
    "conntrack": "conntrack",
    "nft": "nftables",
    "ip": "iproute2",
    "nsenter": "util-linux",
}
"""Programs of the distribution, and the packages that hold them."""
UNAVAILABLE = apiserver.UNAVAILABLE


def assets() -> Path:
    """The folder with the programs, without building any. Raises Unavailable."""
    if given := os.environ.get(READY_MADE):
        wanted = [*apiserver.PROGRAMS, *PROGRAMS, *CONTAINERD, *SUITES, CRD]
        missing = [name for name in wanted if not (Path(given) / name).is_file()]
        if missing:
            raise Unavailable(f"{READY_MADE}={given} holds no {' and no '.join(missing)}")
        return Path(given)
    if not _folder().is_dir():
        raise Unavailable("its programs were not built yet: ./dev cluster build")
    return _folder()


def _folder() -> Path:
    files = [*sorted(HERE.rglob("go.*")), *sorted(HERE.rglob("*.go"))]
    words = f"{KUBERNETES} {PROGRAMS} {CONTAINERD} {SUITES} {_CRD_FILE}"
    return cache_folder(CACHE, "cluster-", files, words, version_flags(KUBERNETES))


def obstacle() -> str:
    """Why there can be no cluster on this machine; empty when there can."""
    if os.geteuid() != 0:
        return "only root can start nodes"
    missing = {package for name, package in PACKAGES.items() if not shutil.which(name)}
    if not (CNI_PROGRAMS / "ptp").is_file():
        missing.add("containernetworking-plugins")
    if missing:
        return f"programs are missing (apt-get install {' '.join(sorted(missing))})"
    try:
        assets()
    except Unavailable as error:
        return str(error)
    return ""


def build() -> Path:
    """Builds what is missing; the folder. Raises Unavailable, or CalledProcessError where the
    compiler refuses sources that are all there.
    """
    return filled(_folder(), _fill)


def _fill(folder: Path) -> None:
    try:
        of_apiserver = apiserver.assets()
    except Unavailable:
        of_apiserver = apiserver.build()
    go = Go(HERE, CACHE)
    _say("fetching sources")
    go.fetch("list", "-mod=readonly", "-deps", *PROGRAMS.values())
    go.fetch("list", "-mod=readonly", "-deps", "-test", *SUITES.values())
    module = "sigs.k8s.io/network-policy-api"
    source = go.fetch("list", "-mod=readonly", "-m", "-f", "{{.Dir}}", module).strip()
    shutil.copyfile(Path(source) / _CRD_FILE, folder / CRD)
    for program in apiserver.PROGRAMS:
        shutil.copy2(of_apiserver / program, folder / program)
    flags = version_flags(KUBERNETES)
    for program, package in PROGRAMS.items():
        _say(f"building {program}")
        go.build(folder / program, package, flags)
    for program, package in SUITES.items():
        _say(f"building {program}")
        go.build(folder / program, package, flags, kind=("test", "-c", "-vet=off"))
    containerd = Go(HERE / "containerd", CACHE)
    containerd.fetch("list", "-mod=readonly", "-deps", *CONTAINERD.values())
    version = containerd.fetch("list", "-m", "-f", "{{.Version}}", _CONTAINERD_MODULE).strip()
    for program, package in CONTAINERD.items():
        _say(f"building {program}")
        flag = f"-s -w -X {_CONTAINERD_MODULE}/version.Version={version}"
        containerd.build(folder / program, package, flag)


def _say(text: str) -> None:
    print(f"cluster: {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Prints the folder with the programs; exit status 3 where they cannot be had."""
    try:
        print(assets() if os.environ.get(READY_MADE) else build())
    except Unavailable as error:
        _say(f"!!! NO CLUSTER, so NOTHING WILL BE TESTED in one: {error}")
        return UNAVAILABLE
    except (subprocess.CalledProcessError, OSError) as error:
        _say(f"its programs cannot be built: {error}")
        return 1
    return 0
