"""What is said of the input as a whole: nothing in it, nothing that can be judged, not built."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from podfence.manifests.load import Loaded, load

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop}\n"
CILIUM = "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: %s}\n"
KUSTOMIZATION = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
POLICY = (
    "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: db, namespace: shop}\n"
    "spec:\n  podSelector: {}\n"
)


def read(*documents: str) -> Loaded:
    return load(["-"], stdin=io.BytesIO("---\n".join(documents).encode()))


def said(loaded: Loaded) -> list[str]:
    return [
        f"{position.line if position else 0} {problem.severity.value} {problem.code}"
        for problem in loaded.problems
        for position in [loaded.positions.locate_problem(problem)]
    ]


@pytest.mark.parametrize(
    "text",
    ["", "\n# a comment\n---\n", "null\n", '{"apiVersion":"v1","kind":"List","items":[]}'],
    ids=["nothing", "a comment", "null", "an empty list"],
)
def test_input_without_an_object_is_an_error(text: str) -> None:
    assert said(read(text)) == ["1 error PF112"]


def test_empty_files_are_named(tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in ("a.yaml", "b.yaml")]
    for path in paths:
        Path(path).touch()
    [problem] = load(paths).problems
    assert problem.position
    assert problem.position.file == paths[0]
    assert f"nor in {paths[1]}" in problem.message


@pytest.mark.parametrize("text", [POD, "kind: ConfigMap\n"], ids=["wanted", "ignored"])
def test_one_object_of_any_kind_is_enough(text: str) -> None:
    assert said(read(text)) == []


def test_a_file_that_cannot_be_read_is_not_an_empty_one(tmp_path: Path) -> None:
    [problem] = load([str(tmp_path / "missing")]).problems
    assert problem.code == "PF106"


@pytest.mark.parametrize(
    ("documents", "line"),
    [
        pytest.param([POD, CILIUM % "a", CILIUM % "b"], 6, id="documents"),
        pytest.param(
            [
                (
                    "kind: List\nitems:\n"
                    "- {apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy}\n"
                    "- {apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy}\n"
                )
            ],
            3,
            id="a List",
        ),
    ],
)
def test_policies_of_another_api_are_warned_of_once(documents: list[str], line: int) -> None:
    loaded = read(*documents)
    assert said(loaded) == [f"{line} warning PF113"]
    assert loaded.problems[0].message.startswith("2 CiliumNetworkPolicy (cilium.io) are not judged")
    assert loaded.not_judged == {"CiliumNetworkPolicy.cilium.io": 2}
    assert not loaded.passed_over


@pytest.mark.parametrize(
    "text",
    [
        "kind: AuthorizationPolicy\napiVersion: security.istio.io/v1\n",
        "apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\n",
        "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\n",
    ],
)
def test_each_kind_is_known_by_its_group(text: str) -> None:
    assert said(read(text)) == [f"{text.splitlines().index(_kind_line(text)) + 1} warning PF113"]


def _kind_line(text: str) -> str:
    return next(line for line in text.splitlines() if line.startswith("kind"))


def test_a_kustomization_is_warned_of_once() -> None:
    loaded = read(POD, KUSTOMIZATION, KUSTOMIZATION)
    assert said(loaded) == ["6 warning PF114"]
    assert loaded.passed_over == {"Kustomization": 2}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        pytest.param([], "as kubectl apply would leave it", id="plain"),
        pytest.param([KUSTOMIZATION], "though one may be a patch", id="not built"),
    ],
)
def test_which_of_two_objects_stays_is_known_of_built_ones_only(
    more: list[str], words: str
) -> None:
    loaded = read(*more, POLICY, POLICY + "  ingress: [{}]\n")
    assert words in loaded.problems[-1].message


@pytest.mark.parametrize(
    ("head", "line", "message"),
    [
        pytest.param(
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolcy\n",
            2,
            'no matches for kind "NetworkPolcy" in version "networking.k8s.io/v1"; did you mean '
            "NetworkPolicy?",
            id="the kind",
        ),
        pytest.param(
            "apiVersion: apps/v1\nkind: networkPolicy\n",
            2,
            'no matches for kind "networkPolicy" in version "apps/v1"; did you mean NetworkPolicy '
            "of networking.k8s.io/v1?",
            id="the kind and its version",
        ),
        pytest.param(
            "apiVersion: networking.k8.io/v1\nkind: NetworkPolicy\n",
            1,
            'no matches for kind "NetworkPolicy" in version "networking.k8.io/v1"; did you mean '
            "networking.k8s.io/v1?",
            id="the group",
        ),
        pytest.param(
            "kind: NetworkPolicy\n",
            1,
            "NetworkPolicy has no apiVersion: write apiVersion: networking.k8s.io/v1",
            id="no version",
        ),
        pytest.param(
            "kind: 'NetworkPolcy'\n",
            1,
            'the kind "NetworkPolcy" does not exist: write NetworkPolicy',
            id="the kind, without a version",
        ),
    ],
)
@pytest.mark.parametrize("namespace", ["shop", ""])
def test_a_misspelt_policy_is_an_error_and_its_namespace_is_not_judged(
    head: str, line: int, message: str, namespace: str
) -> None:
    namespace_line = f"  namespace: {namespace}\n" if namespace else ""
    loaded = read(f"{head}metadata:\n  name: db\n{namespace_line}")
    assert said(loaded) == [f"{line} error PF107"]
    assert loaded.problems[0].message == message
    (doubt,) = loaded.doubts
    assert (doubt.kind, doubt.namespace) == ("NetworkPolicy", namespace)


def test_a_misspelt_workload_leaves_every_policy_known() -> None:
    loaded = read("apiVersion: apps/v1\nkind: Deploymnet\nmetadata: {name: web}\n")
    assert said(loaded) == ["2 error PF107"]
    assert [doubt.kind for doubt in loaded.doubts] == ["Deployment"]
