"""Policies of other APIs: whom they may touch is never taken too small."""

from __future__ import annotations

import io

import pytest

from podfence.manifests.load import load
from podfence.policy.compile import compile_cluster
from podfence.questions.unjudged import TouchedPods
from tests.cli.session import podfence

PODS = "".join(
    "---\n{apiVersion: v1, kind: Pod, metadata: "
    f"{{name: {name}, namespace: {namespace}, labels: {{app: {name}, tier: a}}}}, "
    "spec: {containers: [{name: c}]}}\n"
    for name, namespace in (("web", "shop"), ("db", "shop"), ("web", "ops"))
)
EVERYBODY = {"shop/web", "shop/db", "ops/web"}
SHOP = {"shop/web", "shop/db"}
NAMED = "endpointSelector: {matchLabels: "


def foreign(version: str, kind: str, spec: str, namespace: str = "shop") -> str:
    space = f", namespace: {namespace}" if namespace else ""
    metadata = f"{{name: other{space}}}"
    return f"---\n{{apiVersion: {version}, kind: {kind}, metadata: {metadata}, {spec}}}\n"


def cilium(spec: str, kind: str = "CiliumNetworkPolicy") -> str:
    wide = kind == "CiliumClusterwideNetworkPolicy"
    return foreign("cilium.io/v2", kind, spec, "" if wide else "shop")


def calico(spec: str, kind: str = "NetworkPolicy") -> str:
    space = "" if kind.startswith("Global") else "shop"
    return foreign("projectcalico.org/v3", kind, f"spec: {{{spec}}}", space)


def touched(text: str) -> set[str]:
    loaded = load(["-"], stdin=io.BytesIO((PODS + text).encode()))
    assert not loaded.errors
    return set(TouchedPods.of(compile_cluster(loaded.cluster), loaded.beside.foreign).policies)


@pytest.mark.parametrize(
    ("text", "pods"),
    [
        (cilium(f"spec: {{{NAMED}{{app: web}}}}}}"), {"shop/web"}),
        (cilium(f"spec: {{{NAMED}{{'k8s:app': web}}}}}}"), {"shop/web"}),
        (cilium(f"spec: {{{NAMED}{{'any:app': db}}}}}}"), {"shop/db"}),
        (cilium(f"spec: {{{NAMED}{{'reserved:init': ''}}}}}}"), SHOP),
        (cilium("spec: {endpointSelector: {matchExpressions: [{key: a}]}}"), SHOP),
        (cilium("spec: {endpointSelector: {}}"), SHOP),
        (cilium("spec: 5"), SHOP),
        (cilium("description: nothing"), SHOP),
        (cilium(f"specs: [{{{NAMED}{{app: web}}}}}}, {{{NAMED}{{app: db}}}}}}]"), SHOP),
        (cilium("spec: {nodeSelector: {}}", "CiliumClusterwideNetworkPolicy"), set()),
        (cilium(f"spec: {{{NAMED}{{app: web}}}}}}", "CiliumClusterwideNetworkPolicy"),
         {"shop/web", "ops/web"}),
        (cilium(f"spec: {{{NAMED}{{'k8s:io.kubernetes.pod.namespace': ops}}}}}}",
                "CiliumClusterwideNetworkPolicy"), {"ops/web"}),
        (cilium(f"spec: {{{NAMED}{{'k8s:io.cilium.k8s.policy.serviceaccount': x}}}}}}"), SHOP),
        (calico("selector: app == 'web'"), {"shop/web"}),
        (calico("""selector: 'app == "web" && tier == "a"'"""), {"shop/web"}),
        (calico("""selector: 'app == "web" && tier == "b"'"""), set()),
        (calico("""selector: 'app == "web" || tier == "a"'"""), SHOP),
        (calico("selector: all()"), SHOP),
        (calico("order: 5"), SHOP),
        (calico("selector: has(app)"), SHOP),
        (calico("selector: 5"), SHOP),
        (calico("selector: projectcalico.org/name == 'o'", "GlobalNetworkPolicy"), EVERYBODY),
        (calico("selector: app == 'db'", "GlobalNetworkPolicy"), {"shop/db"}),
        (foreign("security.istio.io/v1", "AuthorizationPolicy",
                 "spec: {selector: {matchLabels: {app: db}}}"), {"shop/db"}),
        (foreign("security.istio.io/v1", "AuthorizationPolicy", "spec: {}"), SHOP),
        (foreign("security.istio.io/v1", "AuthorizationPolicy", "spec: {}", "istio-system"),
         EVERYBODY),
        (foreign("crd.antrea.io/v1beta1", "ClusterNetworkPolicy", "spec: {}", ""), EVERYBODY),
        (foreign("crd.antrea.io/v1beta1", "NetworkPolicy", "spec: {}", "ops"), {"ops/web"}),
        (foreign("k8s.ovn.org/v1", "EgressFirewall", "spec: {}", ""), set()),
        (foreign("example.com/v1", "ZoneNetworkPolicy", "spec: {}", ""), EVERYBODY),
        (foreign("projectcalico.org/v3", "StagedNetworkPolicy", "spec: {}"), set()),
    ],
)  # fmt: skip
def test_whom_a_policy_may_touch(text: str, pods: set[str]) -> None:
    assert touched(text) == pods


def test_policies_that_are_only_counted_may_touch_everybody() -> None:
    gap = (
        "---\n{apiVersion: podfence/v1, kind: Unlisted, metadata: {name: x}, "
        "of: CiliumNetworkPolicy.cilium.io, number: 3}\n"
    )
    assert touched(gap) == EVERYBODY


ONE = cilium(f"spec: {{{NAMED}{{app: db}}}}}}")


def run(*words: str, text: str = ONE) -> tuple[str, str]:
    done = podfence([*words, "-f", "-"], stdin=(PODS + text).encode())
    return done.out, done.err


def test_rows_of_the_map_are_marked() -> None:
    out, _ = run("map")
    lines = [line for line in out.splitlines() if line.startswith("shop/db")]
    assert lines
    assert all(line.startswith("shop/db [?]") for line in lines)
    assert not any(line.startswith("shop/web [?]") for line in out.splitlines())
    assert "unjudged: shop/db (CiliumNetworkPolicy shop/other)" in out


def test_the_matrix_and_the_data_are_marked() -> None:
    assert "shop/db [?]" in run("map", "-o", "matrix")[0]
    assert '"unjudged":["CiliumNetworkPolicy shop/other"]' in run("map", "-o", "json")[0]


@pytest.mark.parametrize("words", [("find", "to", "shop/db"), ("find", "exposed")])
def test_find_marks_the_ends(words: tuple[str, ...]) -> None:
    out, _ = run(*words)
    assert "[?]" in out
    assert "CiliumNetworkPolicy shop/other" in run(*words, "-o", "json")[0]


@pytest.mark.parametrize("word", ["can", "why"])
def test_a_verdict_names_them_on_standard_error(word: str) -> None:
    out, err = run(word, "shop/web", "shop/db:80")
    note = "note: CiliumNetworkPolicy shop/other may decide about shop/db too, and is not judged"
    assert note in err
    assert "unjudged" not in out
    assert "unjudged" not in run(word, "shop/web", "ops/web:80")[1]


def test_pods_that_others_may_close_are_not_called_unprotected() -> None:
    closed = (
        "---\n{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p, "
        "namespace: shop}, spec: {podSelector: {matchLabels: {app: web}}, ingress: []}}\n"
    )
    assert "shop/db" in run("check", "--select", "PF350", text=closed)[0]
    assert "shop/db" not in run("check", "--select", "PF350", text=closed + ONE)[0]
    assert "PF351" in run("check", "--select", "PF351", text=closed)[0]
    assert "PF351" not in run("check", "--select", "PF351", text=closed + ONE)[0]


def test_without_such_policies_nothing_is_marked() -> None:
    for words in (("map",), ("find", "to", "shop/db"), ("can", "shop/web", "shop/db:80")):
        assert "[?]" not in "".join(run(*words, text=""))
        assert "unjudged" not in "".join(run(*words, text=""))
