"""Kinds: slips of the pen are told from other kinds, and policies of other APIs from the rest."""

from __future__ import annotations

import pytest

from podfence.admission import kinds

CORE_AND_OURS = ("v1", "apps/v1", "batch/v1", "networking.k8s.io/v1")


@pytest.mark.parametrize(
    ("kind", "api_version", "meant"),
    [
        ("NetworkPolcy", "networking.k8s.io/v1", "NetworkPolicy"),
        ("NetworkPolicies", "networking.k8s.io/v1", "NetworkPolicy"),
        ("NetPol", "networking.k8s.io/v1", "NetworkPolicy"),
        ("networkpolicy", "networking.k8s.io/v1", "NetworkPolicy"),
        ("ClusterNetworkPolcy", "policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy"),
        ("ClusterNetworkPolcy", "policy.networking.k8s.io/v1beta1", "ClusterNetworkPolicy"),
        ("Deploymnet", "apps/v1", "Deployment"),
        ("Cronjob", "batch/v1", "CronJob"),
        ("Cronjob", "", "CronJob"),
        ("NetworkPolcy", "", "NetworkPolicy"),
        pytest.param("NetPol", "", "", id="far, and no group to go by"),
        pytest.param("NetworkPolcy", "example.com/v1", "", id="another group's kind"),
        pytest.param("NetworkPolcy", "apps/v1", "", id="nothing alike in this group"),
        pytest.param("Ingress", "networking.k8s.io/v1", "", id="nothing like it"),
        pytest.param("NodePool", "karpenter.sh/v1", "", id="node-like, elsewhere"),
        pytest.param("NetworkPolicy", "networking.k8s.io/v1", "", id="right"),
    ],
)
def test_a_misspelt_kind_is_one_of_its_own_group(kind: str, api_version: str, meant: str) -> None:
    assert kinds.meant_kind(kind, api_version) == meant
    assert not meant or kinds.may_be_misspelt(kind)


@pytest.mark.parametrize("api_version", CORE_AND_OURS)
@pytest.mark.parametrize(
    "kind",
    [
        "ServiceAccount",
        "ServiceCIDR",
        "PodTemplate",
        "ControllerRevision",
        "IngressClass",
        "Secret",
    ],
)
def test_kinds_that_exist_are_no_slips(kind: str, api_version: str) -> None:
    assert kinds.meant_kind(kind, api_version) == ""
    assert not kinds.may_be_misspelt(kind)


@pytest.mark.parametrize(
    ("api_version", "meant"),
    [
        ("networking.k8s.oi/v1", "networking.k8s.io/v1"),
        ("networking.k8.io/v1", "networking.k8s.io/v1"),
        ("projectcalico.org/v3", ""),
        ("crd.projectcalico.org/v1", ""),
        ("networking.gke.io/v1", ""),
    ],
)
def test_a_group_that_is_all_but_right(api_version: str, meant: str) -> None:
    assert kinds.meant_version("NetworkPolicy", api_version) == meant


@pytest.mark.parametrize(
    ("kind", "group", "is_one"),
    [
        ("CiliumNetworkPolicy", "cilium.io", True),
        ("CiliumClusterwideNetworkPolicy", "cilium.io", True),
        ("NetworkPolicy", "projectcalico.org", True),
        ("GlobalNetworkPolicy", "crd.projectcalico.org", True),
        ("ClusterNetworkPolicy", "crd.antrea.io", True),
        ("EgressFirewall", "k8s.ovn.org", True),
        ("AuthorizationPolicy", "security.istio.io", True),
        ("CiliumNetworkPolicyList", "cilium.io", True),
        pytest.param("StagedNetworkPolicy", "projectcalico.org", False, id="not enforced yet"),
        pytest.param("MultiNetworkPolicy", "k8s.cni.cncf.io", False, id="secondary networks"),
        pytest.param("NetworkPolicy", "networking.k8s.io", False, id="ours"),
        ("PodDisruptionBudget", "policy", False),
        ("Policy", "kyverno.io", False),
    ],
)
def test_policies_of_other_apis(kind: str, group: str, is_one: bool) -> None:
    assert kinds.is_policy_elsewhere(kind, group) == is_one


@pytest.mark.parametrize(
    ("kind", "api_version", "is_one"),
    [
        ("Kustomization", "kustomize.config.k8s.io/v1beta1", True),
        ("Component", "kustomize.config.k8s.io/v1alpha1", True),
        ("Kustomization", "", True),
        pytest.param("Kustomization", "kustomize.toolkit.fluxcd.io/v1", False, id="Flux"),
        pytest.param("Component", "backstage.io/v1", False, id="another Component"),
    ],
)
def test_kustomizations(kind: str, api_version: str, is_one: bool) -> None:
    assert kinds.is_kustomization(kind, api_version) == is_one
