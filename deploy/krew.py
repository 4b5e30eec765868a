"""The files of a release that krew, the plugin manager of kubectl, asks for.

Rule: krew installs an archive by its hash, so the archive of a version is the same wherever it is
made. What is in it starts podfence; Python packages bring podfence itself, in exactly this version.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from pathlib import Path

import yaml

from deploy.links import ROOT

LAUNCHER = """\
#!/bin/sh
# kubectl podfence, as krew installs it. An installed podfence goes first, whatever its version.
set -eu
package="podfence==@VERSION@"
if command -v podfence >/dev/null; then exec podfence "$@"; fi
if command -v uvx >/dev/null; then exec uvx --from "$package" podfence "$@"; fi
if command -v pipx >/dev/null; then exec pipx run --spec "$package" podfence "$@"; fi
echo "kubectl podfence needs podfence, uv or pipx on the PATH: pipx install $package" >&2
exit 2
"""


def write(folder: Path, home: str, revision: str) -> None:
    """The archive and the manifest of a version into a folder."""
    version = revision.removeprefix("v")
    name = f"podfence-krew-{version}.tar.gz"
    archive = packed(version)
    (folder / name).write_bytes(archive)
    address = f"{home}/releases/download/{revision}/{name}"
    text = manifest(revision, home, address, hashlib.sha256(archive).hexdigest())
    (folder / "podfence-krew.yaml").write_text(text, encoding="utf-8")


def packed(version: str) -> bytes:
    """The archive: the program that starts podfence, and the licence, which krew wants inside."""
    files = {
        "kubectl-podfence": (LAUNCHER.replace("@VERSION@", version).encode(), 0o755),
        "LICENSE": ((ROOT / "LICENSE").read_bytes(), 0o644),
    }
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, (data, mode) in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), mode
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(tar.getvalue(), mtime=0)


def manifest(revision: str, home: str, address: str, digest: str) -> str:
    """What an index of krew holds of the plugin."""
    systems = {"key": "os", "operator": "In", "values": ["linux", "darwin"]}
    platform = {
        "selector": {"matchExpressions": [systems]},
        "uri": address,
        "sha256": digest,
        "files": [{"from": each, "to": "."} for each in ("kubectl-podfence", "LICENSE")],
        "bin": "kubectl-podfence",
    }
    spec = {
        "version": revision,
        "homepage": home,
        "shortDescription": "Answers what network policies allow, and why",
        "description": (
            "Who reaches whom under the NetworkPolicies and ClusterNetworkPolicies of a cluster or "
            "of files, and by which line.\n"
        ),
        "caveats": "Needs podfence itself, or uv or pipx to fetch it (Python 3.11 or newer).\n",
        "platforms": [platform],
    }
    plugin = {
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": "podfence"},
        "spec": spec,
    }
    return str(yaml.safe_dump(plugin, sort_keys=False))
