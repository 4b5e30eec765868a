"""A cluster: ``python -m tests.cluster.world FOLDER CLUSTER NODES PROGRAMS``, its first process.

Rule: it runs in namespaces of its own (network, PID, mount, UTS, IPC) and starts everything else
below them, so the kernel ends a cluster with this process. A file ``ready`` in the folder says that
every node is.
"""

from __future__ import annotations

import secrets
import sys
from http.client import HTTPException
from pathlib import Path

from podfence.kernel import netns
from podfence.lab.api.controlplane import private_key
from tests.apiserver.client import Client
from tests.apiserver.server import etcd_flags
from tests.cluster import layout, network
from tests.cluster.layout import Node
from tests.cluster.programs import Programs

READY = "ready"
LOG = "world.log"
API_SECONDS = 300
NODES_SECONDS = 300
_NAMESPACES = "--mount --uts --ipc --pid --fork --kill-child=SIGKILL --mount-proc"


def main(folder: Path, cluster: str, nodes: list[Node], assets: Path) -> None:
    token = _write_identities(folder, len(nodes))
    programs = Programs(folder)
    for node, namespace in network.build(nodes).items():
        (folder / node.name).mkdir()
        words = [str(folder), cluster, str(node.number), str(assets)]
        command = [sys.executable, "-m", "tests.cluster.node", *words]
        with netns.inside(namespace):
            programs.start(node.name, ["unshare", *_NAMESPACES.split(), *command])
    programs.start("etcd", [assets / "etcd", *etcd_flags(folder).split()])
    apiserver: list[str | Path] = [assets / "kube-apiserver", *layout.apiserver_flags(folder)]
    programs.start("kube-apiserver", apiserver)
    with Client(layout.PORT, folder / "apiserver.crt", token, layout.CONTROL[0]) as admin:
        programs.wait_until("the API server is ready", lambda: _is_ready(admin), API_SECONDS)
        flags = layout.controller_manager_flags(folder)
        programs.start("kube-controller-manager", [assets / "kube-controller-manager", *flags])
        programs.start(
            "kube-scheduler", [assets / "kube-scheduler", *layout.scheduler_flags(folder)]
        )
        waiting = list(nodes)
        programs.wait_until(
            "every node is ready", lambda: _are_ready(admin, waiting), NODES_SECONDS
        )
    (folder / READY).touch()
    programs.run()


def _write_identities(folder: Path, count: int) -> str:
    """The files of everybody's identity; the token of the administrator."""
    tokens = {name: secrets.token_hex(16) for name in layout.identities(count)}
    lines = []
    for name, (user, group) in layout.identities(count).items():
        lines.append(f"{tokens[name]},{user},{name}" + (f",{group}" if group else ""))
        file = folder / f"{name}.kubeconfig"
        file.write_text(layout.kubeconfig(folder, tokens[name]), encoding="ascii")
    (folder / "tokens.csv").write_text("\n".join([*lines, ""]), encoding="ascii")
    (folder / "accounts.key").write_text(private_key(), encoding="ascii")
    return tokens[layout.ADMIN]


def _is_ready(admin: Client) -> bool:
    try:
        return admin.request("GET", "/readyz").status == 200
    except (OSError, HTTPException):
        return False


def _are_ready(admin: Client, waiting: list[Node]) -> bool:
    """Whether all are ready; one that has registered is told the ranges of its pods."""
    for node in list(waiting):
        path = f"/api/v1/nodes/{node.name}"
        found = admin.request("GET", path)
        if found.status != 200:
            continue
        if "podCIDRs" not in found.body["spec"]:
            spec = {"podCIDR": node.pods[0], "podCIDRs": list(node.pods)}
            answer = admin.request("PATCH", path, {"spec": spec}, "application/merge-patch+json")
            assert answer.status == 200, answer
        conditions = found.body["status"].get("conditions", [])
        if any(each["type"] == "Ready" and each["status"] == "True" for each in conditions):
            waiting.remove(node)
    return not waiting


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], layout.nodes(int(sys.argv[3])), Path(sys.argv[4]))
