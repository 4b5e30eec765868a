"""Builds the image of podfence without a container engine: ``./dev image [FILE]``.

Rule: what is in it are packages of this machine's own Debian or Ubuntu, the locked Python packages
and podfence, and nothing that runs at installation. No address of a registry is named: apt's and
pip's own configuration decides. The same inputs give the same bytes.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from deploy import bom

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".image"
"""Package lists and packages, so that a second image is made in seconds."""
NAME = "podfence/podfence"
PACKAGES = ("python3", "libstdc++6")
"""Debian packages; the second is what pyroaring is linked with."""
LOCK = ROOT / "requirements" / "runtime.txt"
SITE = "usr/lib/podfence"
"""Where podfence and its Python packages lie in the image."""
LAUNCHER = ROOT / "deploy" / "launcher"
"""What starts it, the same as in the Containerfile."""
MERGED = ("bin", "sbin", "lib", "lib64")
"""Folders that are links into /usr, as on every Debian since 12."""
LEFT_OUT = (
    *("usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/lintian", "usr/share/bug"),
    *("usr/share/perl5", "usr/share/polkit-1", "usr/share/pixmaps", "usr/share/applications"),
)
FRESH_DAYS = 1.0
"""Age of package lists after which they are fetched again."""


class CannotBuild(Exception):
    """This machine lacks something; the text says what."""


def run(command: Sequence[str], **environment: str) -> str:
    """Output of a program. Raises CannotBuild with its last words."""
    try:
        done = subprocess.run(
            command, env={**os.environ, **environment}, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise CannotBuild(f"{command[0]} is missing; install it") from error
    if done.returncode:
        words = (done.stderr or done.stdout).strip()[-2000:]
        raise CannotBuild(f"{' '.join(command[:3])} ... failed:\n{words}")
    return done.stdout


# -- Debian packages


class Apt:
    """apt-get with a state of its own, in which nothing is installed."""

    def __init__(self, folder: Path) -> None:
        self.archives = folder / "-".join(["archives", *PACKAGES])
        self._lists = folder / "lists"
        for each in (self.archives, self._lists):
            (each / "partial").mkdir(parents=True, exist_ok=True)
        status = folder / "status"
        status.write_text("")
        options = {
            "Dir::State::status": status,
            "Dir::State::extended_states": folder / "extended_states",
            "Dir::State::lists": self._lists,
            "Dir::Cache::archives": self.archives,
            "Dir::Cache::pkgcache": "",
            "Dir::Cache::srcpkgcache": "",
            "Debug::NoLocking": "true",
            "APT::Sandbox::User": "root",
            "APT::Install-Recommends": "false",
        }
        self._command = ["apt-get", "-qq", *(f"-o{key}={value}" for key, value in options.items())]

    def fetch(self, packages: Sequence[str]) -> list[Path]:
        """The packages with everything that they depend on."""
        stamp = self._lists / ".fetched"
        if not stamp.exists() or time.time() - stamp.stat().st_mtime > FRESH_DAYS * 86400:
            run([*self._command, "update"])
            run([*self._command, "autoclean"])
            stamp.touch()
        run([*self._command, "-y", "--download-only", "install", *packages])
        return sorted(self.archives.glob("*.deb"))


def unpack(packages: Sequence[Path], root: Path) -> None:
    """Files of packages, as they are before any script of theirs runs."""
    for name in MERGED:
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    known = root / "var/lib/dpkg/status.d"
    known.mkdir(parents=True)
    for package in packages:
        with subprocess.Popen(
            ["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE
        ) as opened:
            subprocess.run(
                ["tar", "-x", "--keep-directory-symlink", "--no-same-owner", "-C", str(root)],
                stdin=opened.stdout,
                check=True,
            )
        control = run(["dpkg-deb", "-f", str(package)])
        (known / package.name.partition("_")[0]).write_text(control, encoding="utf-8")
    for name in LEFT_OUT:
        shutil.rmtree(root / name, ignore_errors=True)
    leave_licences(root / "usr/share/doc")


def leave_licences(folder: Path) -> None:
    """Of a folder of documentation, the licences alone."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.name != "copyright":
            path.unlink()


# -- Python packages


def install(root: Path) -> None:
    """The locked packages and podfence, compiled, and what starts it."""
    site = root / SITE
    version = (root / "usr/bin/python3").readlink().name.removeprefix("python")
    _install_locked(site, version)
    shutil.rmtree(site / "bin", ignore_errors=True)
    skipped = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "podfence", site / "podfence", ignore=skipped)
    for found in [*root.rglob("__pycache__")]:
        shutil.rmtree(found)
    # The image's own Python compiles: the file system of a container cannot be written.
    words = ["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    inside(root, ["/usr/bin/python3", *words, f"/{SITE}", f"/usr/lib/python{version}"])
    launcher = root / "usr/bin/podfence"
    shutil.copy(LAUNCHER, launcher)
    launcher.chmod(0o755)
    etc = root / "etc"
    (etc / "passwd").write_text("root:x:0:0:root:/:/usr/sbin/nologin\n")
    (etc / "group").write_text("root:x:0:\n")
    for name in ("run", "tmp", "proc", "sys", "dev"):
        (root / name).mkdir(exist_ok=True)


def _install_locked(site: Path, version: str) -> None:
    options = ["--no-deps", "--require-hashes", "--only-binary=:all:", "--target", str(site)]
    options += ["--python-version", version, "-r", str(LOCK)]
    if shutil.which("uv"):
        run(["uv", "pip", "install", "-q", *options])
        return
    quiet = ["-q", "--disable-pip-version-check", "--no-compile"]
    run([sys.executable, "-m", "pip", "install", *quiet, *options], PIP_USER="0")


def inside(root: Path, command: Sequence[str]) -> str:
    """Runs a program of the image, with the image as its root folder."""
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    return run(["unshare", *user, f"--root={root}", *command], PYTHONHASHSEED="0")


# -- the archive


def layer_of(root: Path) -> bytes:
    """All files as a tar: owned by root, without times, in order."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path in _walk(root):
            info = archive.gettarinfo(str(path), str(path.relative_to(root)))
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            info.mtime = 0
            info.mode &= 0o755  # neither set-user-ID nor writable by others
            if info.isreg():
                with path.open("rb") as file:
                    archive.addfile(info, file)
            else:
                archive.addfile(info)
    return out.getvalue()


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)


def configuration(layer: bytes, version: str) -> bytes:
    """The image's configuration, as OCI's image specification has it."""
    value = {
        "architecture": run(["dpkg", "--print-architecture"]).strip(),
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "User": "0:0",
            "Env": ["PATH=/usr/sbin:/usr/bin"],
            "Entrypoint": ["/usr/bin/podfence"],
            "WorkingDir": "/",
            "Labels": {
                "org.opencontainers.image.title": "podfence",
                "org.opencontainers.image.version": version,
                "org.opencontainers.image.licenses": "Apache-2.0",
            },
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "./dev image"}],
    }
    return json.dumps(value, sort_keys=True).encode()


def archive(layer: bytes, config: bytes, tag: str) -> bytes:
    """A docker-archive, which docker, podman, containerd and CRI-O all load."""
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": [tag], "Layers": ["layer.tar"]}]
    files: Mapping[str, bytes] = {
        "layer.tar": layer,
        name: config,
        "manifest.json": json.dumps(manifest).encode(),
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as outer:
        for each, data in files.items():
            info = tarfile.TarInfo(each)
            info.size, info.mode = len(data), 0o644
            outer.addfile(info, io.BytesIO(data))
    return out.getvalue()


def version() -> str:
    """The version of podfence."""
    names: dict[str, str] = {}
    exec((ROOT / "podfence/_version.py").read_text(encoding="utf-8"), names)
    return names["__version__"]


def build(root: Path) -> None:
    """The file system of the image, in an empty folder. Raises CannotBuild, also when podfence does
    not run in it."""
    unpack(Apt(CACHE).fetch(PACKAGES), root)
    install(root)
    inside(root, ["/usr/bin/podfence", "agent", "render", "--help"])


def main() -> int:
    """Build; exit status 0, or 2 when this machine cannot."""
    parser = argparse.ArgumentParser(prog="./dev image", description="Build the image of podfence.")
    parser.add_argument("file", nargs="?", type=Path, help="where to (else .image/podfence.tar.gz)")
    parser.add_argument("--tag", help=f"its name and tag (else {NAME}:VERSION)")
    parser.add_argument("--rootfs", type=Path, help="leave the file system in this new folder, too")
    parser.add_argument("--bom", type=Path, help="write the bill of materials (CycloneDX) there")
    given = parser.parse_args()
    tag = given.tag or f"{NAME}:{version()}"
    file = given.file or CACHE / "podfence.tar.gz"
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="podfence-image-") as name:
            root = Path(name) / "root"
            root.mkdir(mode=0o755)
            build(root)
            layer = layer_of(root)
            if given.rootfs:
                shutil.copytree(root, given.rootfs, symlinks=True)
            if given.bom:
                given.bom.write_bytes(bom.bill(root, SITE, version(), bom.distribution()))
    except CannotBuild as error:
        print(f"image: {error}", file=sys.stderr)
        return 2
    whole = archive(layer, configuration(layer, version()), tag)
    file.write_bytes(gzip.compress(whole, 6, mtime=0) if file.suffix in (".gz", ".tgz") else whole)
    size, spent = file.stat().st_size / 2**20, time.monotonic() - started
    unpacked = len(layer) / 2**20
    words = f"{tag} in {file}: {size:.0f} MiB, unpacked {unpacked:.0f} MiB, {spent:.0f} s"
    print(f"image: {words}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
