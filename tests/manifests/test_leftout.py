"""Directories hold more than manifests: what is left out, what is an error, what is never read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from podfence.errors import Problem
from podfence.manifests.load import Loaded, load

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: %s, namespace: shop}\n"
POLICY = (
    "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
    "metadata: {name: deny, namespace: shop}\nspec: {podSelector: {}}\n"
)
TEMPLATE = POLICY.replace("deny", '{{ .Release.Name }}-{{ include "x" . }}')
QUOTED_TEMPLATE = POLICY.replace("deny", "'{{ .Release.Name }}'")
CHART = "apiVersion: v2\nname: web\nversion: 0.1.0\n"
KUSTOMIZATION = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"


def plant(root: Path, files: Mapping[str, str | bytes]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def walk(root: Path, files: Mapping[str, str | bytes], *exclude: str) -> Loaded:
    plant(root, {"app.yaml": POD % "web", **files})
    return load([str(root)], exclude=exclude)


def warning(loaded: Loaded) -> str:
    """The text of the one warning about what is left out."""
    [problem] = loaded.problems
    assert (problem.code, problem.severity.value) == ("PF115", "warning")
    return problem.message


NO_MANIFESTS: dict[str, str | bytes] = {
    "renovate.json": '{"extends": ["config:base"]}',
    "docker-compose.yaml": "services:\n  web: {image: web}\n",
    "values.yaml": "replicas: 2\n",
    "values-with-a-kind.yaml": "kind: DaemonSet\nimage: {tag: '1'}\n",
    "values-with-a-kind-of-theirs.yaml": "kind: {name: a}\nmetadata: x\n",
    "values-with-objects.yaml": "extra:\n- apiVersion: v1\n  kind: Pod\n",
    "values-without-kind.yaml": "kind:\nspec: {}\n",
    "datasources.yaml": "apiVersion: 1\ndatasources: []\n",
    "queries.json": '[{"src": "a/one", "dst": "a/two", "port": 80}]',
    "ci.yaml": "name: ci\non: push\njobs: {a: {runs-on: x}}\n",
    "number.yaml": "17\n",
    "words.yaml": "just some words\nabout a kind of policy\n",
    "several.yaml": "a: 1\n---\nb: 2\n",
    "empty-mapping.yaml": "{}\n",
    "patch.yaml": "- {op: replace, path: /spec/replicas, value: 2}\n",
    "mkdocs.yml": "emoji: !!python/name:materialx.emoji.twemoji\nnav: [: ]]\n",
    "cloudformation.yaml": "Resources: {Role: !GetAtt Role.Arn}\n",
    "tsconfig.json": '{\n  // a comment\n  "strict": true\n}\n',
    "many.json": '{"a": 1}\n{"b": 2}\n',
    "latin.yaml": b"name: caf\xe9\n",
    "picture.json": b"\x89PNG\r\n\0\0\xff",
    "deep.json": "[" * 300 + "]" * 300,
}


@pytest.mark.parametrize("name", NO_MANIFESTS)
def test_a_file_that_is_no_manifest_is_named_and_takes_no_verdict(
    name: str, tmp_path: Path
) -> None:
    loaded = walk(tmp_path, {name: NO_MANIFESTS[name]})
    assert (
        warning(loaded)
        == f"these files are not Kubernetes manifests and are left out: {tmp_path / name}"
    )
    assert not loaded.doubts
    assert len(loaded.cluster.pods) == 1


@pytest.mark.parametrize("name", NO_MANIFESTS)
def test_the_same_file_is_an_error_where_a_person_names_it(name: str, tmp_path: Path) -> None:
    plant(tmp_path, {name: NO_MANIFESTS[name]})
    loaded = load([str(tmp_path / name)])
    assert loaded.errors
    assert not [problem for problem in loaded.problems if problem.code == "PF115"]


MAY_BE_MANIFESTS: dict[str, str | bytes] = {
    "no-kind.yaml": POLICY.replace("kind: NetworkPolicy\n", ""),
    "no-version.yaml": POLICY.replace("apiVersion: networking.k8s.io/v1\n", ""),
    "misspelt.yaml": POLICY.replace("kind: NetworkPolicy", "kind: NetworkPolcy"),
    "kind-is-a-list.yaml": POLICY.replace("kind: NetworkPolicy", "kind: [NetworkPolicy]"),
    "broken.yaml": POLICY + "  egress: [\n",
    "conflict.yaml": "<<<<<<< HEAD\n" + POLICY + "=======\n>>>>>>> x\n",
    "broken.json": '{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "spec": ',
    "broken-list.yaml": "apiVersion: v1\nkind: List\nitems: [\n",
    "broken-without-version.yaml": "kind: NetworkPolicy\nspec: {\n",
    "bare-list.yaml": "".join(f"- {{apiVersion: v1, kind: {kind}}}\n" for kind in ("Pod", "Node")),
    "one-of-two.yaml": "spec: {podSelector: {}}\n---\n" + POLICY.replace("spec", "spce"),
    "list.yaml": "apiVersion: v1\nkind: List\nitems: [{a: b}]\n",
    "latin.yaml": POLICY.encode() + b"# \xe9\n",
    "utf-16.yaml": b"\xff\xfe" + POLICY.encode("utf-16-le") + b"\0",
}


@pytest.mark.parametrize("name", MAY_BE_MANIFESTS)
def test_what_may_be_a_manifest_stays_an_error(name: str, tmp_path: Path) -> None:
    loaded = walk(tmp_path, {name: MAY_BE_MANIFESTS[name]})
    assert loaded.errors
    assert not [problem for problem in loaded.problems if problem.code == "PF115"]
    assert loaded.doubts


def test_a_file_is_left_out_whole_or_not_at_all(tmp_path: Path) -> None:
    """A stray marker cuts a policy in two: its second half must not pass for another file's."""
    loaded = walk(tmp_path, {"cut.yaml": POLICY.replace("spec:", "---\nspec:")})
    assert [problem.code for problem in loaded.errors] == ["PF107"]
    assert loaded.doubts


def test_objects_of_other_kinds_do_not_keep_a_file(tmp_path: Path) -> None:
    loaded = walk(tmp_path, {"mixed.yaml": "apiVersion: v1\nkind: ConfigMap\n---\na: 1\n"})
    assert "mixed.yaml" in warning(loaded)
    assert loaded.passed_over == {"ConfigMap": 1}


def test_all_files_make_one_warning(tmp_path: Path) -> None:
    for name in ("a", "b"):
        plant(tmp_path / name, {"app.yaml": POD % name})
    plant(tmp_path, {f"{folder}/{n:02}.json": "{}" for folder in "ab" for n in range(20)})
    loaded = load([str(tmp_path / "a"), str(tmp_path / "b")])
    assert warning(loaded).endswith("a/07.json and 32 more")
    assert loaded.files == 2


def test_nothing_but_other_files_is_no_input(tmp_path: Path) -> None:
    plant(tmp_path, {"a.json": "{}"})
    assert [problem.code for problem in load([str(tmp_path)]).problems] == ["PF115", "PF112"]


def test_the_positions_of_files_after_one_that_is_left_out(tmp_path: Path) -> None:
    wrong = POLICY.replace("podSelector: {}", "podSelectr: {}")
    loaded = walk(tmp_path, {"a.json": '{"a": {"b": 1}}', "b.yaml": "\n" + wrong})
    found = {problem.code: loaded.positions.locate_problem(problem) for problem in loaded.problems}
    assert [str(found[code]) for code in found if code == "PF201"] == [f"{tmp_path}/b.yaml:5:8"]


# --- templates and charts


@pytest.mark.parametrize(
    "text",
    [
        TEMPLATE,
        POLICY + "  ingress:\n  {{- range .Values.from }}\n  - x\n  {{- end }}\n",
        "{{- if .Values.enabled }}\n" + POLICY + "{{- end }}\n",
        '{{- define "x" -}}\nname: x\n{{- end -}}\n',
        POLICY + "---\n{{- if .x }}\n" + POLICY + "{{ end }}\n",
    ],
)
def test_a_template_is_left_out_wherever_it_lies(text: str, tmp_path: Path) -> None:
    said = warning(walk(tmp_path, {"t/policy.yaml": text}))
    name = tmp_path / "t/policy.yaml"
    assert said.startswith(f"these templates were not rendered and are left out: {name}")
    assert said.endswith("are missing from every answer") is ("NetworkPolicy" in text)


def test_a_chart_is_named_once_with_how_to_render_it(tmp_path: Path) -> None:
    files = {
        "chart/Chart.yaml": CHART,
        "chart/values.yaml": "a: 1\n",
        "chart/templates/policy.yaml": TEMPLATE,
        "chart/templates/sub/quoted.yaml": QUOTED_TEMPLATE,
    }
    loaded = walk(tmp_path, files)
    chart = tmp_path / "chart"
    assert warning(loaded) == (
        f"the files of a Helm chart are left out: {chart}; to read what it gives, name it: "
        f"-f {chart}, or use --render always; the policies in "
        f"{chart}/templates/policy.yaml, {chart}/templates/sub/quoted.yaml are missing from every "
        "answer"
    )
    assert not loaded.cluster.policies


def test_what_helm_copies_as_it_is_is_read(tmp_path: Path) -> None:
    files = {"c/Chart.yaml": CHART, "c/templates/a.yaml": POLICY, "c/b.yaml": QUOTED_TEMPLATE}
    loaded = walk(tmp_path, files)
    assert "missing" not in " ".join(problem.message for problem in loaded.problems)
    assert loaded.kinds["NetworkPolicy"] == 2


def test_braces_outside_a_chart_are_text(tmp_path: Path) -> None:
    labels = POD % "b" + "spec: {containers: [{name: c, args: ['{{ .x }}']}]}\n"
    assert not walk(tmp_path, {"templates/pod.yaml": labels}).problems


@pytest.mark.parametrize(
    ("here", "walked"),
    [("chart", "templates"), ("chart", "."), ("chart/templates", "."), ("chart/templates", "sub")],
)
def test_inside_a_chart_its_templates_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: str, walked: str
) -> None:
    sub = tmp_path / "chart/templates/sub"
    sub.mkdir(parents=True)
    (tmp_path / "chart/Chart.yaml").write_text(CHART)
    (sub / "a.yaml").write_text(QUOTED_TEMPLATE)
    monkeypatch.chdir(tmp_path / here)
    loaded = load([walked])
    assert (loaded.documents, [each.code for each in loaded.problems]) == ((), ["PF115", "PF112"])


@pytest.mark.parametrize("walked", ["chart", "chart/templates", "chart/templates/sub"])
def test_a_chart_is_known_from_inside(walked: str, tmp_path: Path) -> None:
    files = {"chart/Chart.yaml": CHART, "chart/templates/sub/a.yaml": QUOTED_TEMPLATE}
    plant(tmp_path, {**files, "app.yaml": POD % "web"})
    loaded = load([str(tmp_path / "app.yaml"), str(tmp_path / walked)])
    assert f"the files of a Helm chart are left out: {tmp_path}/chart;" in warning(loaded)
    assert not loaded.cluster.policies


def test_a_named_template_is_an_error(tmp_path: Path) -> None:
    plant(tmp_path, {"policy.yaml": "{{- if .Values.enabled }}\n" + POLICY + "{{- end }}\n"})
    assert [p.code for p in load([str(tmp_path / "policy.yaml")]).problems] == ["PF104"]


@pytest.mark.parametrize("name", ["kustomization.yaml", "kustomization.yml"])
@pytest.mark.parametrize("text", [KUSTOMIZATION, "resources: [app.yaml]\n"])
def test_a_kustomization_with_or_without_a_kind(name: str, text: str, tmp_path: Path) -> None:
    loaded = walk(tmp_path, {name: text})
    assert [problem.code for problem in loaded.problems] == ["PF114"]
    assert not loaded.doubts


# --- null items


@pytest.mark.parametrize(
    ("items", "positions"),
    [
        ("[null]", ["4:9"]),
        ("\n- null\n- {}\n", ["5:3", "6:3"]),
        ("\n- ~\n-\n", ["5:3", "6:2"]),
        ("\n- {apiVersion: v1, kind: List, items: [null]}\n", ["5:40"]),
    ],
)
def test_a_null_item_is_a_warning_at_its_position(
    items: str, positions: list[str], tmp_path: Path
) -> None:
    text = f"apiVersion: v1\nkind: List\nmetadata: {{}}\nitems: {items}"
    loaded = walk(tmp_path, {"list.yaml": text})
    assert [problem.code for problem in loaded.problems] == ["PF116"] * len(positions)
    assert list(map(_position, loaded.problems)) == positions
    assert not loaded.errors
    assert not loaded.doubts


def _position(problem: Problem) -> str:
    assert problem.position is not None
    return f"{problem.position.line}:{problem.position.column}"


# --- what is walked


def test_patterns_leave_files_and_directories_out(tmp_path: Path) -> None:
    files = {f"{name}.yaml": POD % name for name in ("a", "b")}
    deeper = {f"old/{name}": text for name, text in files.items()}
    loaded = walk(tmp_path, {**files, **deeper}, "old/", "b.yaml")
    assert sorted(pod.name for pod in loaded.cluster.pods) == ["a", "web"]
    assert not loaded.problems


def test_an_ignore_file_counts_at_the_top_of_what_is_walked_only(tmp_path: Path) -> None:
    files = {
        ".podfenceignore": "# ours\n*.yaml\n!app.yaml\n!in\n",
        "b.yaml": POD % "b",
        "in/app.yaml": POD % "c",
        "in/.podfenceignore": "app.yaml\n",
    }
    loaded = walk(tmp_path, files)
    assert sorted(pod.name for pod in loaded.cluster.pods) == ["c", "web"]
    assert [pod.name for pod in walk(tmp_path, {}, "in").cluster.pods] == ["web"]
    assert [pod.name for pod in load([str(tmp_path / "b.yaml")]).cluster.pods] == ["b"]


def test_a_directory_of_which_all_is_excluded(tmp_path: Path) -> None:
    [problem] = walk(tmp_path, {}, "*").problems
    assert "files that are not excluded" in problem.message


def test_an_ignore_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / ".podfenceignore").mkdir()
    [problem] = walk(tmp_path, {}).problems
    assert (problem.code, problem.severity.value) == ("PF106", "error")


def test_links_to_directories_are_followed_once(tmp_path: Path) -> None:
    plant(tmp_path, {"outside/policy.yaml": POLICY, "in/deep/pod.yaml": POD % "a"})
    root = tmp_path / "in"
    for name, target in {
        "outside": "../outside",
        "again": "../outside",
        "loop": ".",
        "deep/up": "..",
        "deep/policy.yaml": "../../outside/policy.yaml",
    }.items():
        (root / name).symlink_to(target)
    loaded = load([str(root)])
    assert loaded.kinds == {"Pod": 1, "NetworkPolicy": 1}
    assert not loaded.problems


def test_a_link_to_a_directory_around_is_named(tmp_path: Path) -> None:
    plant(tmp_path, {"other.yaml": POLICY})
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "up").symlink_to("..")
    (tmp_path / "in" / "top").symlink_to("/")
    said = warning(walk(tmp_path / "in", {}))
    names = f"{tmp_path}/in/top, {tmp_path}/in/up"
    assert said == f"these links lead to a directory above them and are not followed: {names}"


def test_a_link_that_leads_nowhere_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").symlink_to("missing.yaml")
    (tmp_path / "round.yaml").symlink_to("round.yaml")
    (tmp_path / "round").symlink_to("round")
    loaded = walk(tmp_path, {})
    assert [problem.code for problem in loaded.problems] == ["PF106", "PF106"]
    assert loaded.doubts
    assert not walk(tmp_path, {}, "policy.yaml", "round.yaml").problems


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_an_error(tmp_path: Path) -> None:
    plant(tmp_path, {"secret.json": "{}"})
    (tmp_path / "secret.json").chmod(0)
    assert [problem.code for problem in walk(tmp_path, {}).problems] == ["PF106"]
