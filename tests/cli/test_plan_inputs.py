"""What ``plan`` compares: a cluster and the same with files applied; and what it says of both."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.liveshop import asking, shop
from tests.cli.session import podfence
from tests.kube.fakecluster import FakeCluster

PROBE = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}, {namespaceSelector: {}}]
    ports: [{port: 5432}]
"""
CLOSED = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed}
spec: {podSelector: {}}
"""
MISTAKE = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec: {podSelector: {}, ingress: 1}
"""


def written(folder: Path, text: str) -> str:
    file = folder / "new.yaml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def test_a_file_takes_the_place_of_the_object_of_its_name_and_the_rest_stays(
    tmp_path: Path,
) -> None:
    with asking(shop(), tmp_path) as ask:
        file = written(tmp_path, PROBE)
        done = ask("plan", "--context", "test", file, "--no-newcomers")
        assert done.status == 1
        assert f"spec.ingress[0].from[1]: peer added  ({file}:8:" in done.out
        assert "watch/probe -> shop/db: opens TCP/5432" in done.out
        assert "shop/web" not in done.out
        same = written(tmp_path, PROBE.replace(", {namespaceSelector: {}}", ""))
        assert ask("plan", "--kubeconfig", str(ask.config), same).status == 0


@pytest.mark.parametrize(
    ("options", "namespace"),
    [((), "watch"), (("--input-namespace", "shop"), "shop")],
    ids=["of the context", "as named"],
)
def test_a_file_without_a_namespace_goes_where_kubectl_puts_it(
    options: tuple[str, ...], namespace: str, tmp_path: Path
) -> None:
    with asking(shop(), tmp_path, "watch") as ask:
        done = ask("plan", "--context", "test", written(tmp_path, CLOSED), *options)
    assert f"+ NetworkPolicy {namespace}/closed added" in done.out


def test_what_may_not_be_read_is_missing_on_both_sides_and_said_once(tmp_path: Path) -> None:
    cluster = shop()
    cluster.forbidden.add("networkpolicies")
    with asking(cluster, tmp_path) as ask:
        done = ask("plan", "--context", "test", written(tmp_path, PROBE))
    assert done.status == 2
    assert done.err.count("[PF117]") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("--context", "test"),
        ("--context", "test", "--git", "main"),
        ("--context", "test", "x", "-f", "y"),
        ("x",),
    ],
)
def test_what_is_compared_has_to_be_clear(arguments: tuple[str, ...], tmp_path: Path) -> None:
    with asking(FakeCluster(), tmp_path) as ask:
        done = ask("plan", *arguments)
    assert done.status == 2
    assert "Usage: podfence plan" in done.err


def test_a_fault_of_what_both_sides_have_is_said_once(tmp_path: Path) -> None:
    common = written(tmp_path, MISTAKE)
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.yaml").write_text(CLOSED, encoding="utf-8")
    folders = str(tmp_path / "old"), str(tmp_path / "new")
    done = podfence(["plan", *folders, "-f", common])
    assert done.err.count(f"{common}:5:") == 1, done.err
    done = podfence(["plan", common, common])
    assert done.err.count(f"{common}:5:") == 1, done.err


BROKEN = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: 5}}}
"""


@pytest.mark.parametrize("common", ["broken.yaml", "nowhere.yaml"])
def test_a_workload_that_nobody_could_read_is_never_unchanged(tmp_path: Path, common: str) -> None:
    """No pod of it is compared, so that a plan without changes would say nothing about it."""
    (tmp_path / "broken.yaml").write_text(BROKEN)
    (tmp_path / "old.yaml").write_text(CLOSED)
    (tmp_path / "new.yaml").write_text(CLOSED.replace("spec: {", "spec: {ingress: [{}], "))
    words = ["plan", "old.yaml", "new.yaml", "-f", common, "--no-newcomers"]
    done = podfence(words, directory=tmp_path)
    assert done.status == 2
    assert done.out.startswith("no verdict surely changes (1 edit)")
    assert "no certain effect: ~ NetworkPolicy default/closed" in done.out
    assert done.err.count("[PF007]") == 1


def test_a_file_that_is_not_there_is_never_green(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(CLOSED)
    words = ["plan", "a.yaml", "a.yaml", "-f", "nowhere.yaml"]
    assert podfence(words, directory=tmp_path).status == 2
