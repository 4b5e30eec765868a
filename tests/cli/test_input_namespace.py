"""``--input-namespace``: where objects are that name no namespace, and names that have none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.session import Done, podfence

WORKLOAD = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: agent%s}
spec: {template: {metadata: {labels: {app: agent}}, spec: {containers: [{name: c}]}}}
"""
CLIENT = "apiVersion: v1\nkind: Pod\nmetadata: {name: app, namespace: shop}\n"
DENY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny%s}
spec: {podSelector: {}, policyTypes: [Ingress]}
"""
ELSEWHERE = ", namespace: dd"


def ask(tmp_path: Path, arguments: str, *documents: str) -> Done:
    (tmp_path / "in.yaml").write_text("---\n".join(documents), encoding="utf-8")
    return podfence([*arguments.split(), "-f", "in.yaml"], directory=tmp_path)


@pytest.mark.parametrize("workload", ["", ELSEWHERE, ", namespace: null", ', namespace: ""'])
@pytest.mark.parametrize("policy", ["", ELSEWHERE])
def test_objects_without_a_namespace_get_it_and_others_keep_theirs(
    workload: str, policy: str, tmp_path: Path
) -> None:
    documents = (WORKLOAD % workload, CLIENT, DENY % policy)
    done = ask(tmp_path, "can shop/app dd/agent:80 --input-namespace dd", *documents)
    assert (done.status, done.err) == (1, "")


def test_an_object_in_another_namespace_is_not_moved(tmp_path: Path) -> None:
    documents = (WORKLOAD % "", CLIENT, DENY % ", namespace: other")
    assert ask(tmp_path, "can shop/app dd/agent:80 --input-namespace dd", *documents).status == 0


def test_items_of_a_list_and_policies_of_the_whole_cluster(tmp_path: Path) -> None:
    cluster_wide = """
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: deny}
spec:
  tier: Admin
  priority: 1
  subject: {namespaces: {matchLabels: {kubernetes.io/metadata.name: dd}}}
  ingress: [{name: a, action: Deny, from: [{namespaces: {}}]}]
"""
    pod = "apiVersion: v1\nkind: PodList\nitems:\n- metadata: {name: agent}\n"
    options = "can shop/app dd/agent:80 --input-namespace"
    assert ask(tmp_path, f"{options} dd", cluster_wide, pod, CLIENT).status == 1
    assert ask(tmp_path, f"{options} other", cluster_wide, pod, CLIENT).status == 2


@pytest.mark.parametrize(
    ("options", "status"),
    [
        pytest.param("--input-namespace dd", 1, id="the input's"),
        pytest.param("--input-namespace dd -n dd", 1, id="both"),
        pytest.param("--input-namespace dd -n shop", 2, id="-n goes first"),
        pytest.param("", 0, id="neither"),
    ],
)
def test_a_name_without_a_namespace_is_in_the_same(
    options: str, status: int, tmp_path: Path
) -> None:
    documents = (WORKLOAD % "", CLIENT, DENY % ELSEWHERE)
    assert ask(tmp_path, f"can shop/app agent:80 {options}", *documents).status == status


@pytest.mark.parametrize("command", ["map", "check", "describe"])
def test_every_command_has_the_option(command: str, tmp_path: Path) -> None:
    done = ask(tmp_path, f"{command} --input-namespace dd", WORKLOAD % "", DENY % "")
    assert done.status == 0
    assert "dd/" in done.out or command == "check"


@pytest.mark.parametrize("name", ["", "Dd", "a/b", "a b", "-a", "a" * 64, "ü"])
def test_a_name_that_no_namespace_can_have(name: str, tmp_path: Path) -> None:
    (tmp_path / "in.yaml").write_text(CLIENT, encoding="utf-8")
    done = podfence(["check", "-f", "in.yaml", "--input-namespace", name], directory=tmp_path)
    assert done.status == 2
    assert "is not a valid namespace name" in done.err


@pytest.mark.parametrize(
    "question",
    ["can shop/app dd/agent:80", "why shop/app dd/agent:80", "describe dd/x", "map -n dd"],
)
def test_a_name_that_is_not_found_says_what_names_no_namespace(
    question: str, tmp_path: Path
) -> None:
    documents = (WORKLOAD % "", CLIENT, DENY % "")
    hint = "objects of the input without a namespace (2) are in default; --input-namespace NAME"
    done = ask(tmp_path, question, *documents)
    assert done.status == 2
    assert hint in done.err
    assert hint not in ask(tmp_path, f"{question} --input-namespace shop", *documents).err


@pytest.mark.parametrize(
    ("documents", "options", "warned"),
    [
        pytest.param([CLIENT, DENY % ""], "", True, id="the pods are elsewhere"),
        pytest.param([CLIENT, DENY % ELSEWHERE], "", False, id="the policy says where"),
        pytest.param([CLIENT, DENY % "", WORKLOAD % ""], "", False, id="a pod beside it"),
        pytest.param([DENY % ""], "", False, id="no pod at all"),
        pytest.param([CLIENT, DENY % ""], "--input-namespace default", False, id="asked for"),
    ],
)
def test_policies_that_are_most_likely_meant_elsewhere(
    documents: list[str], options: str, warned: bool, tmp_path: Path
) -> None:
    done = ask(tmp_path, f"check {options}", *documents)
    assert done.status == 0
    assert ("warning[PF119]: " in done.out) is warned
