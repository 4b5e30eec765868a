"""Kinds of API objects: those that podfence reads, and facts about others.

Rule: a kind belongs to an API group. Kubernetes' own groups are known completely, so a kind that
they do not have is a misspelling if it resembles one that they have. A kind of another group is
never taken for one of ours, but it is known which of them are policies too.
"""

from __future__ import annotations

from functools import lru_cache

from podfence.likeness import likeness, similar

_CORE = frozenset({"Namespace", "Node", "Pod", "Service", "Endpoints", "ReplicationController"})
API_VERSIONS = {
    **dict.fromkeys(_CORE, "v1"),
    **dict.fromkeys(("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"), "apps/v1"),
    **dict.fromkeys(("Job", "CronJob"), "batch/v1"),
    "EndpointSlice": "discovery.k8s.io/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "ClusterNetworkPolicy": "policy.networking.k8s.io/v1beta1",
    "AdminNetworkPolicy": "policy.networking.k8s.io/v1alpha1",
    "BaselineAdminNetworkPolicy": "policy.networking.k8s.io/v1alpha1",
}
"""The version of each kind that podfence writes."""
_ALSO_SERVED = {"ClusterNetworkPolicy": ("policy.networking.k8s.io/v1alpha2",)}
"""Older versions with the same schema."""
WANTED_KINDS = frozenset(API_VERSIONS)
"""Kinds that verdicts depend on."""
TESTS_KIND = "PolicyTests"
"""The kind of podfence's own test files, which may be among manifests; no server has it."""
POLICY_KINDS = frozenset(kind for kind in API_VERSIONS if kind.endswith("NetworkPolicy"))
"""Kinds whose absence changes what is allowed."""
CLUSTER_SCOPED = frozenset({"Namespace", "Node", *POLICY_KINDS} - {"NetworkPolicy"})
"""Wanted kinds without a namespace."""

_OTHER_KINDS = frozenset(
    "Binding ComponentStatus ConfigMap Event Eviction LimitRange PersistentVolume "
    "PersistentVolumeClaim PodTemplate ResourceQuota Secret ServiceAccount Status "
    "ControllerRevision Scale IPAddress Ingress IngressClass ServiceCIDR".split()
)
"""Every other kind of the groups of ``API_VERSIONS``."""
_ALIKE = 0.6
_SURELY_ALIKE = 0.8
_GROUPS_ALIKE = 0.9

_POLICIES = frozenset(
    {
        "AuthorizationPolicy",
        "EgressFirewall",
        "MeshTrafficPermission",
        "SecurityGroupPolicy",
        "ServiceIntentions",
    }
)
"""Kinds of other APIs that deny connections, besides all that are a ``...NetworkPolicy``."""
_NOT_ENFORCED = ("Staged", "MultiNetworkPolicy")
"""Prefixes of kinds that deny nothing yet, or only on secondary networks."""

NAMESPACED_ELSEWHERE = frozenset(
    {
        "AuthorizationPolicy",
        "CiliumNetworkPolicy",
        "EgressFirewall",
        "MeshTrafficPermission",
        "NetworkPolicy",
        "SecurityGroupPolicy",
        "ServiceIntentions",
    }
)
"""Kinds of other APIs whose objects are always in a namespace; of other kinds, one without may be
of the cluster."""
_GATEWAY_KINDS = (
    "Gateway GatewayClass ReferenceGrant HTTPRoute GRPCRoute TLSRoute TCPRoute UDPRoute".split()
)
_BESIDE = {
    "Ingress": frozenset({"networking.k8s.io", "extensions"}),
    "IngressClass": frozenset({"networking.k8s.io"}),
    "Route": frozenset({"route.openshift.io"}),
    "APIService": frozenset({"apiregistration.k8s.io"}),
    "CustomResourceDefinition": frozenset({"apiextensions.k8s.io"}),
    "ValidatingWebhookConfiguration": frozenset({"admissionregistration.k8s.io"}),
    "MutatingWebhookConfiguration": frozenset({"admissionregistration.k8s.io"}),
    "RoleBinding": frozenset({"rbac.authorization.k8s.io"}),
    "ClusterRoleBinding": frozenset({"rbac.authorization.k8s.io"}),
    **dict.fromkeys(_GATEWAY_KINDS, frozenset({"gateway.networking.k8s.io"})),
}
"""Kinds about ways into the cluster or to the API, with their groups. No verdict depends on
them."""

KUSTOMIZATIONS = frozenset({"Kustomization", "Component"})
"""Kinds of ``is_kustomization``."""
_KUSTOMIZE = "kustomize.config.k8s.io"


def is_served(kind: str, api_version: object) -> bool:
    """Whether objects of a wanted kind are read in this version."""
    return api_version == API_VERSIONS[kind] or api_version in _ALSO_SERVED.get(kind, ())


def served_versions(kind: str) -> tuple[str, ...]:
    """The versions in which a wanted kind is read, the best one first."""
    return (API_VERSIONS[kind], *_ALSO_SERVED.get(kind, ()))


def group_of(api_version: str) -> str:
    """``apps`` of ``apps/v1``; the core group is ``""``."""
    return api_version.rpartition("/")[0]


def is_foreign(group: str) -> bool:
    """Kubernetes' own groups have no dot (``apps``) or end in ``.k8s.io``."""
    return "." in group and not group.endswith(".k8s.io")


@lru_cache(maxsize=1 << 10)
def meant_kind(kind: str, api_version: str) -> str:
    """The wanted kind that a kind is a misspelling of, ``""`` when it is none.

    Case alone never tells two kinds apart. Otherwise a kind may only stand for one of its own
    group; where there is no ``apiVersion`` it has to resemble it closely.
    """
    if kind in WANTED_KINDS or kind in _OTHER_KINDS or is_foreign(group_of(api_version)):
        return ""
    for wanted in API_VERSIONS:
        if wanted.lower() == kind.lower():
            return wanted
    group = group_of(api_version)
    known = [k for k, v in API_VERSIONS.items() if not api_version or group_of(v) == group]
    close = similar(kind, known, cutoff=_ALIKE if api_version else _SURELY_ALIKE)
    return close[0] if close else ""


@lru_cache(maxsize=1 << 10)
def may_be_misspelt(kind: str) -> bool:
    """Whether ``meant_kind`` may have an answer for some ``apiVersion``."""
    return kind not in _OTHER_KINDS and bool(similar(kind, WANTED_KINDS, cutoff=_ALIKE))


def meant_version(kind: str, api_version: str) -> str:
    """The ``apiVersion`` of a policy whose group is all but written right, else ``""``."""
    right, group = API_VERSIONS[kind], group_of(api_version)
    if kind not in POLICY_KINDS or not is_foreign(group):
        return ""
    return right if likeness(group, group_of(right)) >= _GROUPS_ALIKE else ""


def may_be_policy_elsewhere(kind: str) -> bool:
    """Whether ``is_policy_elsewhere`` for some group."""
    name = kind.removesuffix("List")
    return name in _POLICIES or (
        name.endswith("NetworkPolicy") and not name.startswith(_NOT_ENFORCED)
    )


def is_policy_elsewhere(kind: str, group: str) -> bool:
    """Whether a kind of another API decides over connections of pods: Calico's, Cilium's, ..."""
    return is_foreign(group) and may_be_policy_elsewhere(kind)


def is_entry(kind: str) -> bool:
    """Whether a kind is about ways into the cluster or to the API, in some group."""
    return kind in _BESIDE


def may_be_beside(kind: str) -> bool:
    """Whether ``is_beside`` for some group."""
    return kind in _BESIDE or may_be_policy_elsewhere(kind)


def is_beside(kind: str, group: str) -> bool:
    """Whether an object is kept because answers mention it, although no verdict depends on it."""
    return group in _BESIDE.get(kind, ()) or is_policy_elsewhere(kind, group)


def is_kustomization(kind: str, api_version: str) -> bool:
    """Whether an object is input of ``kubectl kustomize``, not an object of the API."""
    group = group_of(api_version)
    return kind in KUSTOMIZATIONS and (group == _KUSTOMIZE or not api_version)
