"""What a cluster of the tests looks like: names, addresses, flags and configuration, as values.

Rule: this module starts nothing and reads nothing. Every number of a cluster is here, so that no
two of them meet: node 1 is 10.99.0.11 and fd00:99::11, its pods are 10.244.1.0/24 and
fd00:244:0:1::/64.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from tests.cluster.images import PAUSE

PORT = 6443
CONTROL = ("10.99.0.1", "fd00:99::1")
"""Addresses of the control plane, and of the bridge that joins it to the nodes."""
LENGTHS = (24, 64)
POD_RANGES = ("10.244.0.0/16", "fd00:244::/48")
SERVICE_RANGES = ("10.96.0.0/16", "fd00:96::/112")
SERVER = f"https://{CONTROL[0]}:{PORT}"
MOST_NODES = 9
CNI_PROGRAMS = Path("/usr/lib/cni")
CONTAINERD_SOCKET = "unix:///run/containerd/containerd.sock"


class Node(Struct, frozen=True):
    """A node by its number, 1 to 9."""

    number: int

    @property
    def name(self) -> str:
        """Its name in the API, and its host name."""
        return f"node{self.number}"

    @property
    def addresses(self) -> tuple[str, str]:
        """Its own addresses."""
        return f"10.99.0.1{self.number}", f"fd00:99::1{self.number}"

    @property
    def pods(self) -> tuple[str, str]:
        """The ranges of its pods."""
        return f"10.244.{self.number}.0/24", f"fd00:244:0:{self.number}::/64"


def nodes(count: int) -> list[Node]:
    """The nodes of a cluster."""
    return [Node(number) for number in range(1, count + 1)]


# ------------------------------------------------------------------------------ the control plane

ADMIN = "admin"
_PROGRAMS = ("kube-controller-manager", "kube-scheduler", "kube-proxy")


def identities(count: int) -> dict[str, tuple[str, str]]:
    """Who has a token: a name for its kubeconfig -> user and group in the API."""
    found = {ADMIN: ("admin", "system:masters")}
    for program in _PROGRAMS:
        # The controllers act for everybody; roles of their own would only slow the start down.
        group = "system:masters" if program == "kube-controller-manager" else ""
        found[program] = (f"system:{program}", group)
    for node in nodes(count):
        found[node.name] = (f"system:node:{node.name}", "system:nodes")
    return found


def kubeconfig(folder: Path, token: str) -> str:
    """How a program of the cluster, or of its tests, reaches the API server."""
    cluster = {"server": SERVER, "certificate-authority": str(folder / "apiserver.crt")}
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "here", "cluster": cluster}],
            "users": [{"name": "me", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "here", "user": "me"}}],
        }
    )


def apiserver_flags(folder: Path) -> list[str]:
    """It makes a certificate for itself, which names the advertised address and the Service."""
    return [
        f"--etcd-servers=unix://{folder}/c.sock",
        f"--cert-dir={folder}",
        "--bind-address=::",
        f"--advertise-address={CONTROL[0]}",
        f"--secure-port={PORT}",
        f"--service-cluster-ip-range={','.join(SERVICE_RANGES)}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        "--kubelet-preferred-address-types=InternalIP",
        f"--token-auth-file={folder}/tokens.csv",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-signing-key-file={folder}/accounts.key",
        f"--service-account-key-file={folder}/accounts.key",
        "--profiling=false",
    ]


def controller_manager_flags(folder: Path) -> list[str]:
    return [
        f"--kubeconfig={folder}/kube-controller-manager.kubeconfig",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        f"--root-ca-file={folder}/apiserver.crt",
        f"--service-account-private-key-file={folder}/accounts.key",
    ]


def scheduler_flags(folder: Path) -> list[str]:
    return [
        f"--kubeconfig={folder}/kube-scheduler.kubeconfig",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
    ]


# ------------------------------------------------------------------------------------------ a node


def proxy_flags(folder: Path, node: Node) -> list[str]:
    return [
        f"--kubeconfig={folder}/kube-proxy.kubeconfig",
        "--proxy-mode=nftables",
        f"--cluster-cidr={','.join(POD_RANGES)}",
        f"--hostname-override={node.name}",
        "--healthz-bind-address=127.0.0.1:10256",
        # These limits are the machine's, not those of a network namespace.
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0s",
        "--conntrack-tcp-timeout-close-wait=0s",
    ]


def kubelet_flags(folder: Path, node: Node) -> list[str]:
    return [
        f"--config={folder}/{node.name}/kubelet.yaml",
        f"--kubeconfig={folder}/{node.name}.kubeconfig",
        f"--hostname-override={node.name}",
        f"--node-ip={','.join(node.addresses)}",
    ]


def kubelet_config(folder: Path, cluster: str, node: Node) -> str:
    """Whoever reaches the kubelet may use it: only the cluster itself does."""
    return yaml.safe_dump(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "containerRuntimeEndpoint": CONTAINERD_SOCKET,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{cluster}/{node.name}",
            "enforceNodeAllocatable": [],
            "failCgroupV1": False,
            "failSwapOn": False,
            # Root in a container may not lower it.
            "oomScoreAdj": 0,
            "resolvConf": str(folder / node.name / "resolv.conf"),
            # A disk that is nearly full is no reason to evict pods of a test.
            "evictionHard": {"nodefs.available": "0%", "imagefs.available": "0%"},
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "syncFrequency": "10s",
        }
    )


def containerd_config(folder: Path, node: Node) -> str:
    """Its Node Resource Interface is on, as it is unless somebody turns it off."""
    return f"""version = 3
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{PAUSE}"
[plugins."io.containerd.cri.v1.runtime"]
  # Root in a container may not lower the score, and runc would fail over it.
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["{CNI_PROGRAMS}"]
    conf_dir = "{folder}/{node.name}/cni"
"""


def cni_config(node: Node) -> str:
    """Pods get a point-to-point link to the node, which routes everything, its own pods too."""
    ranges = [[{"subnet": subnet}] for subnet in node.pods]
    routes = [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]
    ipam = {"type": "host-local", "dataDir": "/var/lib/cni", "ranges": ranges, "routes": routes}
    plugin: Mapping[str, Any] = {"type": "ptp", "ipMasq": False, "ipam": ipam}
    return json.dumps({"cniVersion": "0.4.0", "name": "podfence-test", "plugins": [plugin]})
