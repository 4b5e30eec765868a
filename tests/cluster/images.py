"""Images without a registry: an archive as ``docker save`` writes it, made from files.

Rule: one layer, the same bytes for the same files. The names are those that the suites ask for, so
that nothing is ever pulled.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

PAUSE = "podfence.invalid/pause:1"
AGNHOST = (
    "registry.k8s.io/e2e-test-images/agnhost:2.66.1",
    "registry.k8s.io/e2e-test-images/agnhost:2.45",
)
"""What Kubernetes' suite and that of the cluster tiers call the program they probe with."""
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def write(
    archive: Path,
    names: Sequence[str],
    files: Mapping[str, Path],
    entrypoint: Sequence[str],
    arguments: Sequence[str] = (),
) -> None:
    """An archive that holds one image under these names. ``files``: path in the image -> file."""
    layer = archive.with_suffix(".layer")
    try:
        _write_layer(layer, files)
        with layer.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        config = json.dumps(
            {
                "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
                "os": "linux",
                "config": {"Entrypoint": list(entrypoint), "Cmd": list(arguments)},
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
            }
        ).encode()
        config_name = f"{hashlib.sha256(config).hexdigest()}.json"
        layers = [f"{digest}/layer.tar"]
        manifest = [{"Config": config_name, "RepoTags": list(names), "Layers": layers}]
        with tarfile.open(archive, "w") as tar:
            _add(tar, config_name, config)
            tar.add(layer, layers[0])
            _add(tar, "manifest.json", json.dumps(manifest).encode())
    finally:
        layer.unlink(missing_ok=True)


def _write_layer(layer: Path, files: Mapping[str, Path]) -> None:
    folders = {parent for path in files for parent in PurePosixPath(path).parents}
    with tarfile.open(layer, "w") as tar:
        for folder in sorted({*folders, PurePosixPath("/tmp")} - {PurePosixPath("/")}):
            entry = tarfile.TarInfo(str(folder).lstrip("/"))
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder.name == "tmp" else 0o755
            tar.addfile(entry)
        for path, file in sorted(files.items()):
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = file.stat().st_size, 0o755
            with file.open("rb") as opened:
                tar.addfile(entry, opened)


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))


def write_all(folder: Path, programs: Path, bash: Path) -> list[Path]:
    """The archives of every image that a node needs before its first pod."""
    pause, agnhost = folder / "pause.tar", folder / "agnhost.tar"
    write(pause, [PAUSE], {"/pause": programs / "front"}, ["/pause"])
    files = {
        "/agnhost": programs / "front",
        "/agnhost.real": programs / "agnhost",
        "/bin/bash": bash,
        "/bin/sh": bash,
    }
    write(agnhost, AGNHOST, files, ["/agnhost"], ["pause"])
    return [pause, agnhost]
