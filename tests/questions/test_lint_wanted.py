"""PF337 to PF339, PF355, PF364 and PF365: where each speaks, and where it must be silent."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.session import podfence

POLICY = "networking.k8s.io/v1, kind: NetworkPolicy"


def obj(kind: str, name: str, rest: str, namespace: str = "shop", labels: str = "") -> str:
    space = f", namespace: {namespace}" if namespace else ""
    metadata = f"{{name: {name}{space}{labels}}}"
    return f"---\n{{apiVersion: {kind}, metadata: {metadata}, {rest}}}\n"


def pod(name: str, namespace: str = "shop", spec: str = "", status: str = "") -> str:
    ports = "ports: [{containerPort: 8443, name: tls}]"
    rest = f"spec: {{{spec}containers: [{{name: c, {ports}}}]}}{status}"
    return obj("v1, kind: Pod", name, rest, namespace, f", labels: {{app: {name}}}")


def policy(rules: str, name: str = "web", namespace: str = "shop") -> str:
    spec = f"spec: {{podSelector: {{matchLabels: {{app: {name}}}}}, {rules}}}"
    return obj(POLICY, name, spec, namespace)


def space(name: str, labels: str = "") -> str:
    return obj("v1, kind: Namespace", name, "spec: {}", "", f", labels: {{{labels}}}")


SERVICE = obj(
    "v1, kind: Service",
    "web",
    "spec: {selector: {app: web}, ports: [{port: 443, targetPort: tls}]}",
)
WEB = pod("web") + SERVICE
TO_WEB = "service: {name: web, namespace: shop}"
HOOK = obj(
    "admissionregistration.k8s.io/v1, kind: MutatingWebhookConfiguration",
    "hook",
    f"webhooks: [{{name: a.example, clientConfig: {{{TO_WEB}}}}}]",
    "",
)
API = obj("apiregistration.k8s.io/v1, kind: APIService", "v1.a.example", f"spec: {{{TO_WEB}}}", "")
CRD = obj(
    "apiextensions.k8s.io/v1, kind: CustomResourceDefinition",
    "things.a.example",
    "spec: {conversion: {strategy: Webhook, webhook: {clientConfig: {" + TO_WEB + "}}}}",
    "",
)
BOUND = obj(
    "rbac.authorization.k8s.io/v1, kind: RoleBinding",
    "web",
    "subjects: [{kind: ServiceAccount, name: robot}]",
)
ROBOT = pod("web", spec="serviceAccountName: robot, ")
CLOSED = "ingress: [{from: [{podSelector: {}}]}]"
CILIUM = obj("cilium.io/v2, kind: CiliumNetworkPolicy", "other", "spec: {endpointSelector: {}}")
TO_PODS = "policyTypes: [Egress], egress: [{to: [{podSelector: {}}]}]"


def block(cidr: str, port: int = 8443) -> str:
    return f"[{{ipBlock: {{cidr: {cidr}}}}}], ports: [{{port: {port}}}]"


def to_block(port: int) -> str:
    return f"policyTypes: [Egress], egress: [{{to: {block('192.0.2.0/24', port)}}}]"


def said(
    code: str, directory: Path, *texts: str, settings: str = "", files: tuple[str, ...] = ("-",)
) -> list[str]:
    """``error`` and the like for each finding of a code."""
    (directory / "podfence.toml").write_text(settings)
    words = ["check", "--select", code, *(word for file in files for word in ("-f", file))]
    done = podfence(words, stdin="".join(texts).encode(), directory=directory)
    assert done.status in (0, 1), done.err
    return re.findall(rf"(\w+)\[{code}\]", done.out)


# -- PF337: the states of entries have tests of their own


@pytest.mark.parametrize(
    ("more", "found"),
    [
        (policy("ingress: [{ports: [{port: 443}]}]"), ["error"]),
        (policy("ingress: []"), ["error"]),
        ("", []),
        (policy(CLOSED), []),
        (policy("ingress: [{ports: [{port: tls}]}]"), []),
        (policy("ingress: []") + CILIUM, []),
    ],
    ids=["port of the Service", "nobody", "no policy", "pods may be it", "its port", "others too"],
)
def test_an_ingress_to_closed_pods(tmp_path: Path, more: str, found: list[str]) -> None:
    spec = "spec: {defaultBackend: {service: {name: web, port: {number: 443}}}}"
    ingress = obj("networking.k8s.io/v1, kind: Ingress", "front", spec)
    assert said("PF337", tmp_path, WEB, ingress, more) == found


@pytest.mark.parametrize(("other", "found"), [("", ["error"]), ("edge", []), ("kube-system", [])])
def test_an_ingress_is_not_closed_where_one_of_several_that_may_serve_it_comes_in(
    tmp_path: Path, other: str, found: list[str]
) -> None:
    nginx = "{app.kubernetes.io/name: ingress-nginx, app.kubernetes.io/component: controller}"
    pods = "".join(
        f"---\n{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: {name}, "
        f"labels: {nginx}}}, spec: {{containers: [{{name: c}}]}}}}\n"
        for name in ("ingress-nginx", other)
        if name
    )
    spaces = "{matchExpressions: [{key: kubernetes.io/metadata.name, operator: In, values: [V]}]}"
    spaces = spaces.replace("V", "edge, kube-system")
    spec = "spec: {defaultBackend: {service: {name: web, port: {number: 443}}}}"
    ingress = obj("networking.k8s.io/v1, kind: Ingress", "front", spec)
    rule = policy(f"ingress: [{{from: [{{namespaceSelector: {spaces}}}]}}]")
    assert said("PF337", tmp_path, WEB, pods, ingress, rule) == found


# -- PF338


@pytest.mark.parametrize("call", [HOOK, API, CRD], ids=["webhook", "API", "conversion"])
@pytest.mark.parametrize(
    ("rules", "found"),
    [
        (CLOSED, ["error"]),
        ("ingress: []", ["error"]),
        ("ingress: [{ports: [{port: 443}]}]", ["error"]),
        ("ingress: [{ports: [{port: 8443}]}]", []),
        (f"ingress: [{{from: {block('0.0.0.0/0')}}}]", []),
        (f"ingress: [{{from: {block('192.0.2.0/24')}}}]", ["note"]),
        ("ingress: [{from: [{namespaceSelector: {}}]}]", ["note"]),
        ("policyTypes: [Egress]", []),
    ],
    ids=["pods", "nobody", "port", "its port", "everyone", "some", "kube-system", "egress"],
)
def test_a_webhook_of_closed_pods(tmp_path: Path, call: str, rules: str, found: list[str]) -> None:
    assert said("PF338", tmp_path, WEB, call, policy(rules)) == found


@pytest.mark.parametrize(
    ("server", "found"), [("192.0.2.10:6443", []), ("198.51.100.7", ["error"])]
)
def test_the_address_of_the_server_decides(tmp_path: Path, server: str, found: list[str]) -> None:
    settings = f'[cluster]\napi-server = ["{server}"]\n'
    rules = policy(f"ingress: [{{from: {block('192.0.2.0/24')}}}]")
    assert said("PF338", tmp_path, WEB, HOOK, rules, settings=settings) == found


def test_a_webhook_of_a_service_that_is_not_there_is_nothing(tmp_path: Path) -> None:
    assert said("PF338", tmp_path, pod("web"), HOOK, policy("ingress: []")) == []
    assert said("PF338", tmp_path, WEB, HOOK, policy("ingress: []"), CILIUM) == []


# -- PF339


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        ((ROBOT, BOUND, policy(TO_PODS)), ["warning"]),
        ((ROBOT, BOUND, policy("policyTypes: [Egress]")), ["warning"]),
        ((ROBOT, BOUND), []),
        ((ROBOT, policy(TO_PODS)), []),
        ((pod("web"), BOUND, policy(TO_PODS)), []),
        ((ROBOT, BOUND, policy(to_block(6443))), []),
        ((ROBOT, BOUND, policy(to_block(80))), ["warning"]),
        ((ROBOT, BOUND, policy(TO_PODS), CILIUM), []),
        ((ROBOT.replace("containers", "automountServiceAccountToken: false, containers"), BOUND,
          policy(TO_PODS)), []),
    ],
    ids=["pods alone", "nobody", "no policy", "no rights", "another account", "a block",
         "another port", "others too", "no token"],
)  # fmt: skip
def test_pods_that_use_the_api(tmp_path: Path, texts: tuple[str, ...], found: list[str]) -> None:
    assert said("PF339", tmp_path, *texts) == found


# -- PF355


RED, BLUE = space("red", "team: red"), space("blue", "team: blue")
TWO = RED + BLUE + pod("a", "red") + pod("b", "blue")
INSIDE = "ingress: [{from: [{podSelector: {}}]}]"
TEAM = '[cluster]\ntenant-label = "team"\n'


@pytest.mark.parametrize(
    ("texts", "settings", "found"),
    [
        ((TWO,), TEAM, ["error", "error"]),
        ((TWO,), "", []),
        ((TWO,), '[cluster]\ntenant-label = "other"\n', []),
        ((TWO, policy(INSIDE, "b", "blue")), TEAM, ["error"]),
        ((TWO, policy(INSIDE, "b", "blue"), policy(INSIDE, "a", "red")), TEAM, []),
        ((TWO,), TEAM + '[check]\nshared = ["red"]\n', []),
        ((TWO.replace("team: blue", "team: red"),), TEAM, []),
        ((TWO.replace("team: blue", ""),), TEAM, []),
    ],
    ids=["both", "not asked", "other label", "one way", "apart", "shared", "one team", "no team"],
)
def test_tenants(tmp_path: Path, texts: tuple[str, ...], settings: str, found: list[str]) -> None:
    assert said("PF355", tmp_path, *texts, settings=settings) == found


# -- PF364


RANGE = policy("ingress: [{ports: [{port: 80, endPort: 90}]}]")
ONE = policy("ingress: [{ports: [{port: 80, endPort: 80}]}]")
SCTP = policy("ingress: [{ports: [{port: 80, protocol: SCTP}]}]")
REAL = pod("web", status=", status: {podIP: 10.1.0.5, podIPs: [{ip: 10.1.0.5}]}")
OWN = policy("ingress: [{from: [{ipBlock: {cidr: 10.1.0.0/16}}]}]")
ALL = policy("ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]")


@pytest.mark.parametrize(
    ("text", "plugin", "found"),
    [
        (RANGE, "cilium 1.15.3", 1),
        (RANGE, "Cilium v1.15", 1),
        (RANGE, "cilium 1.16.0", 0),
        (RANGE, "cilium", 0),
        (RANGE, "calico 3.0", 0),
        (RANGE, "", 0),
        (ONE, "cilium 1.15.3", 0),
        (SCTP, "cilium 1.18", 1),
        (SCTP, "kube-router", 1),
        (SCTP, "calico", 0),
        (REAL + OWN, "cilium", 1),
        (pod("web") + OWN, "cilium", 0),
        (REAL + ALL, "cilium", 0),
        (ONE, "flannel", 1),
        (ONE, "unknown 1.0", 0),
    ],
)
def test_a_plugin_that_lacks_something(tmp_path: Path, text: str, plugin: str, found: int) -> None:
    settings = f'[cluster]\nplugin = "{plugin}"\n'
    assert said("PF364", tmp_path, text, settings=settings) == ["warning"] * found


# -- PF365


OTHER = policy("ingress: []", "web")
SAME = policy("policyTypes: [Ingress]", "web")
MORE = policy(CLOSED, "web")
PAIR = pod("web") + pod("db")


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        (OTHER, MORE, ["warning"]),
        (MORE, OTHER, ["warning"]),
        (OTHER, SAME, []),
        (OTHER, OTHER, []),
        (OTHER, "", []),
        (policy("ingress: []", "gone"), policy(CLOSED, "gone"), []),
    ],
    ids=["opens", "closes", "the same meaning", "the same", "one", "no pod"],
)
def test_a_policy_of_two_sources(tmp_path: Path, first: str, second: str, found: list[str]) -> None:
    (tmp_path / "a.yaml").write_text(PAIR + first)
    (tmp_path / "b.yaml").write_text(second or "---\n")
    files = ("a.yaml", "b.yaml") if second else ("a.yaml",)
    assert said("PF365", tmp_path, files=files) == found


def test_a_patch_is_no_second_policy(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources: [a.yaml]\npatches: [{path: b.yaml}]\n")
    (tmp_path / "a.yaml").write_text(PAIR + OTHER)
    (tmp_path / "b.yaml").write_text(MORE)
    assert said("PF365", tmp_path, files=(".",)) == []


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ('[cluster]\napi-server = ["x"]\n', "'x' is not an address"),
        ("[cluster]\napi-server = 5\n", "use addresses"),
        ("[cluster]\nplugin = 5\n", "cluster.plugin: use a string"),
        ("[cluster]\ntenant-label = []\n", "cluster.tenant-label: use a string"),
        ("[check]\nshared = [5]\n", "check.shared: use namespaces"),
    ],
)
def test_settings_that_cannot_be_used(tmp_path: Path, settings: str, text: str) -> None:
    (tmp_path / "podfence.toml").write_text(settings)
    done = podfence(["check", "-f", "-"], stdin=WEB.encode(), directory=tmp_path)
    assert done.status == 2
    assert text in done.err
