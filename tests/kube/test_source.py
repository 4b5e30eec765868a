"""Where a cluster is found, and what is read of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from podfence.kube.narrow import KEPT
from podfence.kube.resource import resources_of
from podfence.kube.source import NoCluster, find_access, wanted
from tests.kube.fakecluster import SERVED, TIER, kubeconfig


def test_a_kubeconfig_goes_before_the_account_of_a_pod(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path, "http://127.0.0.1:9", "shop")
    access = find_access("", None, {"KUBECONFIG": str(file)})
    assert (access.name, access.namespace) == ("test", "shop")


def test_nothing_that_names_a_cluster_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(NoCluster, match=r"there is no kubeconfig \(.*\.kube/config\)"):
        find_access("", None, {"HOME": str(tmp_path)})
    with pytest.raises(NoCluster, match="HOME is not set"):
        find_access("", None, {})


def test_the_paths_of_kinds_are_those_of_servers() -> None:
    served = {(group, version, name): kind for (group, version, name), (kind, _) in SERVED.items()}
    served[TIER] = "ClusterNetworkPolicy"
    scopes = dict(SERVED.values())
    for (group, version, name), kind in served.items():
        best = resources_of(kind)[0]
        assert (best.group, best.version, best.name) == (group, version, name)
        assert best.namespaced is scopes.get(kind, False)
    old = [each.api_version for each in resources_of("ClusterNetworkPolicy")]
    assert old == ["policy.networking.k8s.io/v1beta1", "policy.networking.k8s.io/v1alpha2"]


def test_every_kind_that_is_kept_is_wanted() -> None:
    assert set(wanted().versions) == set(KEPT)


def test_what_can_be_no_namespace_is_not_wanted() -> None:
    names = ["shop", "a/b", "", "..", "UPPER", "x" * 64, "shop"]
    assert wanted(names, tuple(names)).namespaces == ("shop",)
    assert wanted(names, tuple(names)).policies_of == ("shop",)
