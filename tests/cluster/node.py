"""A node: ``python -m tests.cluster.node FOLDER CLUSTER NUMBER PROGRAMS``, as its first process.

Rule: it runs in mount, PID, UTS, IPC and network namespaces of its own, so containers, mounts and
network of a node go away with this process. What a node writes below ``/var`` and ``/run`` is the
node's own; of the machine it sees the rest.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from tests.cluster import layout
from tests.cluster.layout import Node
from tests.cluster.programs import Programs

READY_SECONDS = 30
SYSCTLS = {"vm/overcommit_memory": "1", "kernel/panic": "10", "kernel/panic_on_oops": "1"}
"""What the kubelet would set for the whole machine; it finds these files instead."""


def main(folder: Path, cluster: str, node: Node, assets: Path) -> None:
    own = folder / node.name
    socket.sethostname(node.name)
    _mount(own)
    (own / "cni").mkdir()
    (own / "cni" / "10-ptp.conflist").write_text(layout.cni_config(node))
    (own / "containerd.toml").write_text(layout.containerd_config(folder, node))
    (own / "kubelet.yaml").write_text(layout.kubelet_config(folder, cluster, node))
    (own / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    # containerd looks for its shim there.
    os.environ["PATH"] = f"{assets}:{os.environ['PATH']}"
    programs = Programs(own)
    programs.start("containerd", ["containerd", "--config", own / "containerd.toml"])
    programs.wait_until("containerd", _has_containerd, READY_SECONDS)
    for archive in sorted((folder / "images").glob("*.tar")):
        load(archive)
    programs.start("kubelet", [assets / "kubelet", *layout.kubelet_flags(folder, node)])
    programs.start("kube-proxy", [assets / "kube-proxy", *layout.proxy_flags(folder, node)])
    programs.run()


def load(archive: Path) -> None:
    """An image for the kubelet of this node. Raises CalledProcessError."""
    _run("ctr", "--namespace", "k8s.io", "images", "import", str(archive))


def _mount(own: Path) -> None:
    _run("mount", "--make-rshared", "/")
    _run("mount", "--type", "tmpfs", "tmpfs", "/run")
    (own / "var").mkdir(parents=True)
    for name in ("lib", "log", "tmp", "cache"):
        (own / "var" / name).mkdir()
    (own / "var" / "run").symlink_to("/run")
    _run("mount", "--bind", str(own / "var"), "/var")
    for name, value in SYSCTLS.items():
        file = own / name.replace("/", ".")
        file.write_text(f"{value}\n")
        _run("mount", "--bind", str(file), f"/proc/sys/{name}")


def _has_containerd() -> bool:
    answer = subprocess.run(["ctr", "version"], capture_output=True, check=False)
    return answer.returncode == 0


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    os.umask(0o022)
    main(Path(sys.argv[1]), sys.argv[2], Node(int(sys.argv[3])), Path(sys.argv[4]))
