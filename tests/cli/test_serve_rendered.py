"""Charts and kustomizations that ``serve`` shows: rendered as for every other command, followed,
and not edited."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import quote

import pytest

from podfence.cli.inputs import Inputs, Rendering, RenderMode
from podfence.cli.rendering import rendered_from
from podfence.cli.watching import look
from podfence.web.folder import Folder, Renderer
from tests.support.serving import Serving

POLICY = """apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: shop}
spec: {podSelector: {}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
"""
KUSTOMIZE = """#!/bin/sh
[ "$1" = build ] || exit 0
[ -e broken ] && { echo "no such patch" >&2; exit 1; }
cat "$2/../base/policy.yaml"
"""


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An overlay whose base is elsewhere, and a stand-in that gives the base as it is."""
    for name, text in {
        "base/kustomization.yaml": "resources: [policy.yaml]\n",
        "base/policy.yaml": POLICY,
        "overlay/kustomization.yaml": "resources: [../base]\n",
        "chart/Chart.yaml": "apiVersion: v2\nname: chart\nversion: 1.0.0\n",
        "chart/templates/_names.tpl": "",
        "prod.yaml": "a: 1\n",
        "bin/kustomize": KUSTOMIZE,
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "bin/kustomize").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_overlay_is_shown_as_what_it_builds(tree: Path) -> None:
    with Serving("-f", "overlay", directory=tree) as server:
        assert "shop/web" in json.dumps(server.get("map"))
        status, said = server.stop()
    assert status == 0
    assert said.count("rendered overlay with kustomize") == 1


def test_what_is_rendered_is_not_edited_and_the_page_says_why(tree: Path) -> None:
    shown = "overlay/kustomization.yaml (rendered)"
    with Serving("-f", "overlay", "--edit", directory=tree) as server:
        assert server.get("files")["files"] == []
        found = server.ask(f"/api/v1/file?path={quote(shown)}")
        assert found.status == 404
        assert "a chart or a kustomization gave, so it is not edited here" in str(found.body)
        for path in (shown, "overlay/new.yaml", "base/policy.yaml"):
            body = json.dumps({"path": path, "text": "# mine\n", "digest": ""}).encode()
            saved = server.ask(
                "/api/v1/file", "PUT", body=body, also={"Content-Type": "application/json"}
            )
            assert saved.status == 403, path
        _, said = server.stop()
    assert "what was rendered is not edited in the page: edit its sources" in said
    assert sorted(path.name for path in (tree / "overlay").iterdir()) == ["kustomization.yaml"]
    assert (tree / "base/policy.yaml").read_text() == POLICY


def test_plain_files_beside_it_are_edited_as_ever(tree: Path) -> None:
    (tree / "plain").mkdir()
    (tree / "plain/pod.yaml").write_text(POLICY.partition("---\n")[2].replace("web", "db"))
    with Serving("-f", "overlay", "-f", "plain", "--edit", directory=tree) as server:
        assert server.get("files")["files"] == ["plain/pod.yaml"]
        assert server.ask("/api/v1/file?path=plain/pod.yaml").status == 200
        assert server.ask("/api/v1/file?path=plain/new.yaml").status == 200


@pytest.mark.parametrize("mode", list(RenderMode))
def test_render_decides_what_of_a_tree_is_built(tree: Path, mode: RenderMode) -> None:
    (tree / "chart/Chart.yaml").unlink()
    with Serving("-f", "overlay", "-f", "base", "--render", mode.value, directory=tree) as server:
        _, said = server.stop()
    assert ("rendered overlay" in said) == (mode is not RenderMode.NEVER)


def test_a_program_that_fails_at_the_start_ends_it(tree: Path) -> None:
    (tree / "broken").touch()
    server = Serving("-f", "overlay", directory=tree)
    with pytest.raises(AssertionError, match="no such patch"), server:
        pass


@pytest.mark.parametrize(
    ("changed", "inputs"),
    [
        ("base/policy.yaml", Inputs(("overlay",))),
        ("base/policy.yaml", Inputs(("overlay/kustomization.yaml",))),
        ("base/policy.yaml", Inputs((".",), rendering=Rendering(RenderMode.ALWAYS))),
        ("chart/templates/_names.tpl", Inputs(("chart",))),
        ("chart/templates/_names.tpl", Inputs(("chart/Chart.yaml",))),
        ("prod.yaml", Inputs(("chart",), rendering=Rendering(values=("prod.yaml",)))),
    ],
)
def test_changes_of_the_sources_are_seen(tree: Path, changed: str, inputs: Inputs) -> None:
    """By the page and by ``--watch``."""
    folder = Folder(
        inputs.paths, renderer=Renderer(lambda files: files, lambda: rendered_from(inputs))
    )
    before, seen = folder.stamp(), look((*inputs.paths, *rendered_from(inputs)))
    os.utime(tree / changed, (1, 1))
    assert folder.stamp() != before
    assert look((*inputs.paths, *rendered_from(inputs))) != seen


def test_sources_that_name_each_other_are_found_once(tree: Path) -> None:
    (tree / "base/kustomization.yaml").write_text("resources: [../overlay]\n")
    found = rendered_from(Inputs(("overlay",)))
    assert {os.path.basename(path) for path in found} == {"overlay", "base"}


def test_no_repair_is_offered_for_what_no_file_holds(tree: Path) -> None:
    slip = "spec: {podSelector: {matchLabels: {app: wbe}}, ingress: [{}]}"
    pod = "metadata: {name: web, namespace: shop, labels: {app: web}}"
    text = POLICY.replace("spec: {podSelector: {}}", slip)
    (tree / "base/policy.yaml").write_text(
        text.replace("metadata: {name: web, namespace: shop}", pod)
    )
    for path, number in (("base/policy.yaml", 1), ("overlay", 0)):
        with Serving("-f", path, "--edit", directory=tree) as server:
            assert len(server.get("fixes")["fixes"]) == number, path
