"""Rules about one policy, PF322 to PF360: where each speaks, and where it must be silent."""

from __future__ import annotations

import io

import pytest

from podfence.manifests.load import load
from podfence.policy.compile import compile_cluster
from podfence.questions.lint.findings import LintFinding
from podfence.questions.lint.lint import lint


def pod(
    name: str, ports: str = "", more: str = "", *, namespace: str = "shop", spec: str = ""
) -> str:
    labels = f"app: {name}{more}"
    metadata = f"{{name: {name}, namespace: {namespace}, labels: {{{labels}}}}}"
    containers = f"containers: [{{name: main, ports: [{ports}]}}]"
    return (
        f"{{apiVersion: v1, kind: Pod, metadata: {metadata}, spec: {{{spec}{containers}}}}}\n---\n"
    )


def service(name: str, spec: str) -> str:
    metadata = f"{{name: {name}, namespace: shop}}"
    spec = f"{{selector: {{app: {name}}}, {spec}}}"
    return f"{{apiVersion: v1, kind: Service, metadata: {metadata}, spec: {spec}}}\n---\n"


DEPLOYMENT = """
{apiVersion: v1, kind: Namespace, metadata: {name: mon, labels: {team: ops}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop, labels: {tier: front, app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, ports: [{name: http, containerPort: 8080}]}]}
---
"""
STATSD = "{name: statsd, containerPort: 8125, protocol: UDP}"
PODS = "".join(
    [
        DEPLOYMENT,
        pod("db", "{name: sql, containerPort: 5432}", ", set: stores"),
        pod("cache", f"{{containerPort: 5432}}, {STATSD}", ", set: stores"),
        pod("quiet"),
        pod("agent", spec="hostNetwork: true, "),
        pod("prom", "{name: web, containerPort: 9090}", namespace="mon"),
        service("web", "clusterIP: 10.96.0.9, ports: [{port: 80, targetPort: http}]"),
        service("db", "type: NodePort, ports: [{port: 5432}]"),
    ]
)
WEB, DB, CACHE, STORES = "app: web", "app: db", "app: cache", "set: stores"


def policy(labels: str, rules: str = "", name: str = "p", namespace: str = "shop") -> str:
    """A NetworkPolicy; ``rules``: its lists as flow style."""
    selector = f"{{matchLabels: {{{labels}}}}}" if labels else "{}"
    return (
        "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, "
        f"metadata: {{name: {name}, namespace: {namespace}}}, "
        f"spec: {{podSelector: {selector}{', ' if rules else ''}{rules}}}}}\n---\n"
    )


def found(*policies: str) -> list[LintFinding]:
    loaded = load(["-"], stdin=io.BytesIO((PODS + "".join(policies)).encode()))
    assert not loaded.errors
    return list(lint(compile_cluster(loaded.cluster), loaded.raw))


def out(rule: str) -> str:
    """An egress rule."""
    return f"policyTypes: [Egress], egress: [{rule}]"


def to(block: str, ports: str = "") -> str:
    return out(f"{{to: [{{ipBlock: {{{block}}}}}]{', ports: [' + ports + ']' if ports else ''}}}")


def admit(peer: str, ports: str = "") -> str:
    return f"ingress: [{{from: [{peer}]{', ports: [' + ports + ']' if ports else ''}}}]"


ANY = "{namespaceSelector: {}}"
FROM_WEB = "{podSelector: {matchLabels: {app: web}}}"
ONLY_X = "podSelector: {matchLabels: {app: x}}"
NOT_RED = "{matchExpressions: [{key: team, operator: NotIn, values: [red]}]}"

SPEAKS = [
    ("PF322", "spec.podSelector", policy("tier: front")),
    (
        "PF322",
        "spec.ingress[0].from[0].podSelector",
        policy(DB, admit("{podSelector: {matchLabels: {tier: front}}}")),
    ),
    ("PF323", "spec.podSelector", policy("app: web, helm.sh/chart: web-1.2")),
    (
        "PF323",
        "spec.ingress[0].from[0].podSelector",
        policy(DB, admit("{podSelector: {matchLabels: {app.kubernetes.io/version: v1}}}")),
    ),
    (
        "PF324",
        "spec.ingress[0].from[0].namespaceSelector",
        policy(DB, admit(f"{{namespaceSelector: {NOT_RED}}}")),
    ),
    ("PF325", "spec.podSelector", policy("app: prom")),
    ("PF326", "spec.ingress[0].ports[0]", policy(STORES, admit(FROM_WEB, "{port: sql}"))),
    ("PF327", "spec.ingress[0].ports[0]", policy(CACHE, admit(FROM_WEB, "{port: 8125}"))),
    (
        "PF327",
        "spec.egress[0].ports[0]",
        policy(
            WEB, out("{to: [{podSelector: {matchLabels: {app: cache}}}], ports: [{port: 8125}]}")
        ),
    ),
    (
        "PF328",
        "spec.ingress[0].ports[1]",
        policy(WEB, admit(ANY, "{port: 8080}, {port: 1024, endPort: 65535}")),
    ),
    ("PF328", "spec.ingress[0].ports[0]", policy(WEB, admit(ANY, "{port: 1, endPort: 65535}"))),
    (
        "PF329",
        "spec.ingress[0].ports[0]",
        policy(WEB, admit("{podSelector: {matchLabels: {app: db}}}", "{port: 80}")),
    ),
    (
        "PF335",
        "spec.egress[0]",
        policy(WEB, out("{ports: [{protocol: UDP, port: 53}, {port: 53}]}")),
    ),
    ("PF340", "spec.egress[0].to[0]", policy(DB, to("cidr: 10.96.0.9/32", "{port: 80}"))),
    ("PF341", "spec.egress[0].to[0]", policy(WEB, to("cidr: 0.0.0.0/0", "{port: 443}"))),
    ("PF352", "spec.ingress[0]", policy(WEB, "ingress: [{ports: [{port: http}]}]")),
    ("PF353", "spec.egress[0].to[0]", policy(WEB, to("cidr: 0.0.0.0/0", "{port: 80}"))),
    ("PF353", "spec.egress[0].to[0]", policy(WEB, to("cidr: 169.254.0.0/16"))),
    (
        "PF354",
        "spec.egress[0]",
        policy(WEB, to("cidr: 0.0.0.0/0, except: [10.0.0.0/8, 169.254.0.0/16, 168.63.129.16/32]")),
    ),
    ("PF356", "spec.ingress[0]", policy(DB, admit(ANY, "{port: sql}"))),
    ("PF356", "spec.ingress[0]", policy(DB, "ingress: [{ports: [{port: 5432}]}]")),
    ("PF360", "spec.podSelector", policy("app: agent")),
    (
        "PF360",
        "spec.ingress[0].from[0]",
        policy(WEB, admit("{podSelector: {matchLabels: {app: agent}}}")),
    ),
]


@pytest.mark.parametrize(("code", "path", "text"), SPEAKS)
def test_a_rule_finds_the_mistake_at_its_field(code: str, path: str, text: str) -> None:
    assert (code, path) in {(each.code, each.path) for each in found(text)}


SILENT = [
    pytest.param("PF322", policy(WEB), id="the pods have the label, too"),
    pytest.param("PF322", policy("tier: back"), id="nobody has it"),
    pytest.param(
        "PF322",
        policy(
            DB,
            admit(
                "{podSelector: {matchLabels: {tier: front}}, "
                "namespaceSelector: {matchLabels: {team: ops}}}"
            ),
        ),
        id="the workload is in another namespace",
    ),
    pytest.param(
        "PF323", policy("statefulset.kubernetes.io/pod-name: db-0"), id="a name that stays"
    ),
    pytest.param(
        "PF324",
        policy(DB, admit(f"{{namespaceSelector: {NOT_RED}, {ONLY_X}}}")),
        id="a positive term beside it",
    ),
    pytest.param(
        "PF324",
        policy(
            DB,
            admit(
                "{namespaceSelector: {matchExpressions: [{key: kubernetes.io/metadata.name, "
                "operator: NotIn, values: [mon]}]}}"
            ),
        ),
        id="a label that every namespace has",
    ),
    pytest.param("PF325", policy("app: nobody"), id="nobody anywhere"),
    pytest.param("PF325", policy("app: agent"), id="a pod of the host is here"),
    pytest.param("PF326", policy(WEB, admit(ANY, "{port: http}")), id="all declare it"),
    pytest.param("PF326", policy("", admit(ANY, "{port: http}")), id="others serve other ports"),
    pytest.param(
        "PF327",
        policy(CACHE, admit(FROM_WEB, "{port: 8125}, {port: 8125, protocol: UDP}")),
        id="both protocols",
    ),
    pytest.param("PF327", policy("app: quiet", admit(FROM_WEB, "{port: 8125}")), id="no port"),
    pytest.param("PF327", policy("", admit(FROM_WEB, "{port: 8125}")), id="one declares none"),
    pytest.param(
        "PF328",
        policy(WEB, admit(ANY, "{protocol: UDP, port: 1024, endPort: 65535}")),
        id="media streams",
    ),
    pytest.param("PF328", policy(WEB, admit(ANY, "{port: 8000, endPort: 8100}")), id="narrow"),
    pytest.param(
        "PF328",
        policy(
            WEB,
            "ingress: [{from: [{namespaceSelector: {}}], ports: [{port: 8080}]}, "
            "{from: [{podSelector: {}}], ports: [{port: 1024, endPort: 65535}]}]",
        ),
        id="the named port is for others",
    ),
    pytest.param(
        "PF329", policy(WEB, admit(ANY, "{port: 80}, {port: 8080}")), id="another port passes"
    ),
    pytest.param(
        "PF335",
        policy(
            WEB,
            out("{ports: [{protocol: UDP, port: 53}]}, {to: [{ipBlock: {cidr: 198.51.100.0/24}}]}"),
        ),
        id="there are other ways out",
    ),
    pytest.param("PF340", policy(DB, to("cidr: 10.96.0.0/24")), id="other addresses, too"),
    pytest.param(
        "PF341",
        policy(WEB, to("cidr: 0.0.0.0/0, except: [10.0.0.0/8]", "{port: 443}")),
        id="private ranges are left out",
    ),
    pytest.param(
        "PF341",
        policy(WEB, out("{to: [{ipBlock: {cidr: 0.0.0.0/0}}]}, {to: [{namespaceSelector: {}}]}")),
        id="a rule means these pods",
    ),
    pytest.param("PF352", policy(DB, "ingress: [{ports: [{port: 5432}]}]"), id="a NodePort"),
    pytest.param("PF352", policy(WEB, admit(ANY, "{port: http}")), id="pods alone"),
    pytest.param(
        "PF352",
        policy(WEB, admit("{ipBlock: {cidr: 198.51.100.0/24}}", "{port: http}")),
        id="a network that is named",
    ),
    pytest.param("PF352", policy("app: quiet", "ingress: [{ports: [{port: 1}]}]"), id="no Service"),
    pytest.param("PF353", policy(WEB, to("cidr: 0.0.0.0/0", "{port: 443}")), id="another port"),
    pytest.param("PF353", policy(WEB, to("cidr: 169.254.169.254/32")), id="meant"),
    pytest.param(
        "PF353",
        policy(WEB, to("cidr: 0.0.0.0/0, except: [169.254.0.0/16, 168.63.129.16/32]")),
        id="left out",
    ),
    pytest.param("PF354", policy(WEB, to("cidr: 0.0.0.0/0", "{port: 443}")), id="some ports"),
    pytest.param("PF356", policy(DB, admit(FROM_WEB, "{port: sql}")), id="named pods"),
    pytest.param("PF356", policy(DB, admit(ANY, "{port: 9100}")), id="another port"),
    pytest.param("PF356", policy(WEB, admit(ANY, "{port: 5432}")), id="not declared"),
    pytest.param("PF360", policy("", ""), id="other pods, too"),
    pytest.param("PF360", policy("app: nobody"), id="nobody"),
]


@pytest.mark.parametrize(("code", "text"), SILENT)
def test_a_rule_without_the_mistake_has_no_finding(code: str, text: str) -> None:
    assert code not in {each.code for each in found(text)}


def test_a_surer_cause_is_said_in_place_of_the_others() -> None:
    """Each of these positions would have another code, too."""
    for text, code in (
        (policy("tier: front"), "PF322"),
        (policy("app: prom"), "PF325"),
        (policy("app: agent"), "PF360"),
    ):
        at = [each.code for each in found(text) if each.path == "spec.podSelector"]
        assert at == [code]


@pytest.mark.parametrize(("labels", "name"), [(WEB, "sohp"), ("", "sohp"), (WEB, "shp")])
def test_a_misspelt_namespace_is_an_error(labels: str, name: str) -> None:
    [finding] = [f for f in found(policy(labels, namespace=name)) if f.code == "PF325"]
    assert (finding.path, finding.weight.value) == ("metadata.namespace", "error")
    assert "in namespace shop it would select" in finding.text


@pytest.mark.parametrize("namespace", ["shop2", "m", "other"])
def test_another_namespace_is_another(namespace: str) -> None:
    assert "PF325" not in {f.code for f in found(policy("", namespace=namespace))}


def test_a_policy_without_pods_around_is_only_noted() -> None:
    [finding] = [f for f in found(policy("app: prom", namespace="elsewhere")) if f.code == "PF325"]
    assert finding.weight.value == "note"
