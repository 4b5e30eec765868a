"""Commands without files: a cluster is asked, as kubectl would ask it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.liveshop import SHOP, Asked, asking, shop
from tests.cli.session import ROOT, podfence
from tests.kube.fakeapi import refusal, serving
from tests.kube.fakecluster import CILIUM, FakeCluster, kubeconfig

# --- namespaces, as kubectl means them -----------------------------------------------------------


def test_a_question_is_answered_without_files(tmp_path: Path) -> None:
    with asking(shop(), tmp_path) as ask:
        assert ask("can", "shop/web", "shop/db:5432").status == 0
        assert ask("can", "watch/probe", "shop/db:5432").status == 1


def test_an_audited_policy_of_a_cluster_enforces_nothing(tmp_path: Path) -> None:
    cluster = shop()
    (policy,) = [each for each in yaml.safe_load_all(SHOP) if each["kind"] == "NetworkPolicy"]
    policy["metadata"]["annotations"] = {"podfence.io/mode": "audit", "note": "hush"}
    cluster.apply(policy)
    with asking(cluster, tmp_path) as ask:
        answered = ask("can", "watch/probe", "shop/db:5432")
        written = ask("get").out
    assert answered.status == 0
    assert "audited: no, if shop/db were enforced" in answered.out
    assert "podfence.io/mode: audit" in written
    assert "hush" not in written


def test_a_position_is_a_name_and_a_field(tmp_path: Path) -> None:
    with asking(shop(), tmp_path) as ask:
        done = ask("why", "watch/probe", "shop/pg:5432")
    assert "shop/db: isolates\n      spec.ingress[0]: near miss" in done.out
    data = json.loads(ask_json(shop(), tmp_path, "why", "shop/web", "shop/db:5432"))
    assert "file" not in json.dumps(data)


def ask_json(cluster: FakeCluster, folder: Path, *arguments: str) -> str:
    with asking(cluster, folder) as ask:
        return ask(*arguments, "-o", "json").out


def test_a_load_balancer_of_a_cluster_lets_in_only_its_ranges(tmp_path: Path) -> None:
    cluster = shop()
    spec = {"type": "LoadBalancer", "selector": {"app": "web"}, "ports": [{"port": 80}]}
    limits = {"loadBalancerSourceRanges": ["198.51.100.0/24"], "externalTrafficPolicy": "Local"}
    meta = {"name": "front", "namespace": "shop"}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {**spec, **limits}}
    cluster.apply(service)
    with asking(cluster, tmp_path) as ask:
        found = ask("find", "exposed")
    assert "198.51.100.0/24" in found.out


def test_names_without_a_namespace_are_in_that_of_the_context(tmp_path: Path) -> None:
    with asking(shop(), tmp_path, "shop") as ask:
        assert ask("can", "web", "db:5432").status == 0
        assert ask("can", "web", "db:5432", "-n", "watch").status == 2


def test_a_map_is_about_the_namespace_of_the_context(tmp_path: Path) -> None:
    with asking(shop(), tmp_path, "watch") as ask:
        own, everything = ask("map"), ask("map", "-A")
        other = ask("map", "-n", "shop")
    assert "shop/db" not in own.out
    assert "watch/probe" in own.out
    assert "shop/db" in everything.out
    assert "shop/db" in other.out


def test_an_empty_namespace_says_where_pods_are(tmp_path: Path) -> None:
    with asking(shop(), tmp_path) as ask:
        done = ask("map")
    assert done.status == 0
    assert "there is no pod in namespace default; use -A" in done.err
    assert "shop and watch" in done.err


def test_check_and_describe_are_about_one_namespace(tmp_path: Path) -> None:
    with asking(shop(), tmp_path, "shop") as ask:
        assert "NetworkPolicy shop/db" in ask("describe").out
        assert ask("describe", "-n", "watch").status == 2
        assert "NetworkPolicy shop/db" in ask("describe", "-A").out
        checked = ask("check")
    assert checked.status == 0
    assert checked.out.splitlines()[-1].startswith(
        "cluster test: 3 Namespace, 1 NetworkPolicy, 1 Node, 2 Pod"
    )
    assert "not in this cluster: ClusterNetworkPolicy" in checked.out


def test_a_policy_is_described_by_its_name_in_the_namespace_of_the_context(tmp_path: Path) -> None:
    with asking(shop(), tmp_path, "shop") as ask:
        assert "NetworkPolicy shop/db" in ask("describe", "db").out
        assert "shop/db" in ask("describe", "po/web").out + ask("describe", "po/db").out
    with asking(shop(), tmp_path, "watch") as ask:
        assert ask("describe", "db").status == 2
        for arguments in (["shop/db"], ["db", "-n", "shop"], ["db", "-A"]):
            assert "NetworkPolicy shop/db" in ask("describe", *arguments).out


def test_nothing_is_written_to_a_cluster_and_no_secret_is_asked_for(tmp_path: Path) -> None:
    with asking(shop(), tmp_path) as ask:
        ask("map", "-A")
        assert not [each for each in ask.api.requests if "secrets" in each.path]
        assert {each.headers["Authorization"] for each in ask.api.requests} == {"Bearer hush"}


def asked_policies(ask: Asked) -> list[str]:
    return [each.path for each in ask.api.requests if each.path.endswith("/networkpolicies")]


def test_one_question_lists_the_policies_of_its_namespaces_alone(tmp_path: Path) -> None:
    everywhere = "/apis/networking.k8s.io/v1/networkpolicies"
    with asking(shop(), tmp_path) as ask:
        by_name = ask("why", "watch/probe", "shop/db:5432")
        assert everywhere not in asked_policies(ask)
        assert asked_policies(ask)[-1] == everywhere.replace("v1/", "v1/namespaces/shop/")
    with asking(shop(), tmp_path) as ask:
        by_address = ask("why", "10.1.0.3", "shop/db:5432")
        assert asked_policies(ask) == [everywhere], "the address may be of any pod"
    assert by_name.status == by_address.status == 1
    ingress = by_name.out.partition("ingress of")[2]
    assert ingress
    assert ingress == by_address.out.partition("ingress of")[2]


def test_what_can_be_no_namespace_is_not_asked_for(tmp_path: Path) -> None:
    cluster = shop()
    cluster.forbidden = {"pods"}
    with asking(cluster, tmp_path) as ask:
        done = ask("can", "..%2F..\n/web", "shop/db:5432", "-n", "a b")
        assert done.status == 2
        assert {each.path for each in ask.api.requests if "/pods" in each.path} == {
            "/api/v1/pods",
            "/api/v1/namespaces/shop/pods",
            "/api/v1/namespaces/default/pods",
        }


# --- snapshots -----------------------------------------------------------------------------------


@pytest.mark.parametrize("output", ["yaml", "json"])
def test_a_snapshot_answers_as_its_cluster(tmp_path: Path, output: str) -> None:
    cluster = shop()
    cluster.served[CILIUM] = ("CiliumNetworkPolicy", True)
    cluster.apply({"kind": "CiliumNetworkPolicy", "metadata": {"name": "a", "namespace": "shop"}})
    with asking(cluster, tmp_path) as ask:
        written = ask("get", "-o", output)
        live = ask("map", "-A")
    assert written.status == 0
    assert "hush" not in written.out
    file = tmp_path / f"snapshot.{output}"
    file.write_text(written.out, encoding="utf-8")
    read = podfence(["map", "-f", str(file)])
    assert (read.status, read.out) == (live.status, live.out)
    assert "1 CiliumNetworkPolicy (cilium.io) is not judged" in read.err


@pytest.mark.parametrize("output", ["yaml", "json"])
def test_a_snapshot_remembers_what_could_not_be_listed(tmp_path: Path, output: str) -> None:
    cluster = shop()
    cluster.forbidden, cluster.allowed = {"networkpolicies"}, {"shop"}
    questions = [("shop/web", "shop/db:5432"), ("shop/web", "watch/probe:80")]
    with asking(cluster, tmp_path) as ask:
        written = ask("get", "-o", output, "-n", "shop")
        live = [ask("can", *each) for each in questions]
    assert written.status == 2
    file = tmp_path / f"snapshot.{output}"
    file.write_text(written.out, encoding="utf-8")
    read = [podfence(["can", *each, "-f", str(file)]) for each in questions]
    assert [each.status for each in read] == [each.status for each in live] == [0, 2]
    assert "any NetworkPolicy outside shop could change this" in read[1].err


def test_an_unlisted_that_cannot_be_read_hides_anything(tmp_path: Path) -> None:
    file = tmp_path / "snapshot.yaml"
    file.write_text(SHOP + "---\napiVersion: podfence/v1\nkind: Unlisted\nmetadata: {name: a}\n")
    done = podfence(["can", "shop/web", "shop/db:5432", "-f", str(file)])
    assert done.status == 2
    assert "this Unlisted cannot be read" in done.err


# --- errors --------------------------------------------------------------------------------------


def test_without_files_and_cluster_both_ways_are_named() -> None:
    done = podfence(["map"])
    assert done.status == 2
    assert "error[PF008]: no cluster is known, because there is no kubeconfig (no-k" in done.err
    assert "--context" in done.err
    assert "-f FILE" in done.err


def test_a_path_without_its_option_is_put_behind_one() -> None:
    done = podfence(["describe", "examples/shop"])
    assert "manifests are given with -f: podfence describe -f examples/shop" in done.err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"current-context": "tset"}, "there is no context 'tset' .*; did you mean test?"),
        ({"current-context": ""}, "no current context is set"),
        ({"users": [{"name": "u", "user": {"exec": {"apiVersion": "x", "command": "c"}}}]}, "'c'"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_named(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    file = kubeconfig(tmp_path, "http://127.0.0.1:9")
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **change}))
    done = podfence(["map"], kubeconfig=str(file))
    assert done.status == 2
    assert done.err.startswith("error[PF008]: ")
    assert re.search(said, done.err)


def test_a_server_that_is_down_is_named_with_its_context(tmp_path: Path) -> None:
    done = podfence(["map"], kubeconfig=str(kubeconfig(tmp_path, "http://127.0.0.1:9")))
    assert "the API server http://127.0.0.1:9 of context test cannot be asked" in done.err
    assert done.status == 2


def test_a_refused_credential_says_what_to_do(tmp_path: Path) -> None:
    with serving(lambda _: refusal(401, "Unauthorized")) as api:
        done = podfence(["map"], kubeconfig=str(kubeconfig(tmp_path, api.url)))
    assert "answers 401 to /apis: Unauthorized; the credential of this context" in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("map -f examples/shop --context a", "-f reads files and --context asks a cluster"),
        ("map -f examples/shop --kubeconfig a", "-f reads files and --kubeconfig asks"),
        ("map --exclude a", "--exclude is for files, and none is given"),
        ("map --input-namespace a", "--input-namespace is for files"),
    ],
)
def test_options_of_files_and_of_clusters_do_not_mix(arguments: str, said: str) -> None:
    done = podfence(arguments.split())
    assert done.status == 2
    assert said in done.err


# --- the lab -------------------------------------------------------------------------------------


@pytest.mark.kernel
def test_a_lab_of_a_cluster_is_tried_with_real_packets(tmp_path: Path) -> None:
    with asking(shop(), tmp_path) as ask:
        done = subprocess.run(
            [sys.executable, "-m", "podfence", "lab", "run"],
            cwd=ROOT,
            env={**os.environ, "KUBECONFIG": str(ask.config)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert "3 pods, 1 node(s)" in done.stdout
    assert "kernel and engine agree" in done.stdout


# --- kubectl, and what it costs ------------------------------------------------------------------


def test_as_a_plugin_of_kubectl_it_names_itself_so(tmp_path: Path) -> None:
    with asking(shop(), tmp_path) as ask:
        assert "kubectl podfence map -f manifests/" in ask(program="kubectl-podfence").out
        usage = ask("map", "--nonsense", program="/usr/bin/kubectl-podfence")
    assert usage.err.startswith("Usage: kubectl podfence map")


def test_files_cost_no_import_of_a_client() -> None:
    heavy = ["asyncio", "http.client", "podfence.kube", "socket", "ssl", "subprocess"]
    words = ["podfence", "why", "shop/frontend", "shop/db:5432", "-f", "examples/shop"]
    code = (
        f"import sys; sys.argv = {words}\n"
        "from podfence.cli.main import run\n"
        f"try:\n    run()\nfinally:\n    print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[-1] == "[]"
