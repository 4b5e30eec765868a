"""The numbers of a cluster do not meet; what both Go modules need has one version."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from tests.apiserver import build as apiserver_build
from tests.cluster import build, layout
from tests.cluster.layout import Node

NODES = layout.nodes(layout.MOST_NODES)


@pytest.mark.parametrize("family", [0, 1])
def test_every_node_has_addresses_and_pods_of_its_own(family: int) -> None:
    addresses = [ip_address(node.addresses[family]) for node in NODES]
    ranges = [ip_network(node.pods[family]) for node in NODES]
    assert len({*addresses, ip_address(layout.CONTROL[family])}) == len(NODES) + 1
    assert not any(a.overlaps(b) for a in ranges for b in ranges if a != b)


@pytest.mark.parametrize("family", [0, 1])
def test_pods_of_a_node_are_in_the_range_of_all_pods(family: int) -> None:
    everyone = ip_network(layout.POD_RANGES[family])
    for node in NODES:
        pods = ip_network(node.pods[family])
        assert int(everyone.network_address) <= int(pods.network_address)
        assert int(pods.broadcast_address) <= int(everyone.broadcast_address)


@pytest.mark.parametrize("family", [0, 1])
def test_pods_services_and_nodes_share_no_address(family: int) -> None:
    network = ip_network(f"{layout.CONTROL[family]}/{layout.LENGTHS[family]}", strict=False)
    used = [network, *(ip_network(r[family]) for r in (layout.POD_RANGES, layout.SERVICE_RANGES))]
    assert not any(a.overlaps(b) for a in used for b in used if a is not b)


def test_everybody_but_the_administrator_and_the_controllers_has_the_rights_of_his_kind() -> None:
    groups = {name: group for name, (_, group) in layout.identities(2).items()}
    assert groups == {
        "admin": "system:masters",
        "kube-controller-manager": "system:masters",
        "kube-scheduler": "",
        "kube-proxy": "",
        "node1": "system:nodes",
        "node2": "system:nodes",
    }


def test_a_nodes_cni_gives_addresses_of_its_own_ranges() -> None:
    text = layout.cni_config(Node(3))
    assert "10.244.3.0/24" in text
    assert "fd00:244:0:3::/64" in text


# --- the two Go modules ------------------------------------------------------------------------


def versions(module: Path) -> dict[str, str]:
    """Module -> version; what is replaced has the version that replaces it."""
    text = (module / "go.mod").read_text(encoding="utf-8")
    found = dict(re.findall(r"^(?:\t|require )(\S+) (v\S+)", text, re.MULTILINE))
    replaced = re.findall(r"^\t(\S+) => (\S+) (v\S+)$", text, re.MULTILINE)
    return found | {name: version for name, _, version in replaced}


def test_what_the_api_server_is_built_from_has_the_same_version_in_a_cluster() -> None:
    """Else Go compiles nearly everything twice, and an API server is tested that is no node's."""
    apiserver, cluster = versions(apiserver_build.HERE), versions(build.HERE)
    assert len(apiserver) > 150
    assert {name: cluster.get(name) for name in apiserver} == apiserver
