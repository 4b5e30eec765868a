"""Objects that bring others are told with where these come from; what they bring is not guessed."""

from __future__ import annotations

from io import BytesIO

import pytest
import yaml

from podfence.manifests.load import load


def said(text: str) -> list[str]:
    loaded = load(["-"], stdin=BytesIO(text.encode()))
    return [p.message for p in loaded.problems if p.code == "PF123"]


def made(version: str, kind: str, spec: object, name: str = "shop") -> str:
    return yaml.safe_dump(
        {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}
    )


@pytest.mark.parametrize(
    ("version", "kind", "spec", "named"),
    [
        ("argoproj.io/v1alpha1", "Application", {"source": {"path": "deploy"}}, "shop (deploy)"),
        ("argoproj.io/v1alpha1", "Application", {"source": {"chart": "redis"}}, "shop (redis)"),
        (
            "argoproj.io/v1alpha1",
            "Application",
            {"sources": [{"path": "a"}, {"chart": "b"}, {"ref": "c"}]},
            "shop (a, b)",
        ),
        (
            "helm.toolkit.fluxcd.io/v2",
            "HelmRelease",
            {"chart": {"spec": {"chart": "./charts/x"}}},
            "shop (./charts/x)",
        ),
        ("kustomize.toolkit.fluxcd.io/v1", "Kustomization", {"path": "./apps"}, "shop (./apps)"),
        ("kustomize.toolkit.fluxcd.io/v1", "Kustomization", None, "shop; render"),
        ("argoproj.io/v1alpha1", "Application", {"source": "odd"}, "shop; render"),
    ],
)
def test_a_delivery_is_named_with_its_source(
    version: str, kind: str, spec: object, named: str
) -> None:
    (message,) = said(made(version, kind, spec))
    assert f"{kind} {named}" in message


@pytest.mark.parametrize(
    ("version", "kind"),
    [("app.k8s.io/v1beta1", "Application"), ("argoproj.io/v1alpha1", "AppProject")],
)
def test_others_of_that_name_bring_nothing(version: str, kind: str) -> None:
    assert said(made(version, kind, {"source": {"path": "deploy"}})) == []


def test_many_are_one_warning() -> None:
    every = "---\n".join(
        made("argoproj.io/v1alpha1", "Application", {"source": {"path": str(n)}}, f"a{n}")
        for n in range(9)
    )
    (message,) = said(every)
    assert "Application a4 (4) and 4 more" in message


def test_a_hostile_path_stays_a_path() -> None:
    (message,) = said(made("argoproj.io/v1alpha1", "Application", {"source": {"path": "\x1b[31m"}}))
    assert "\x1b" not in message


def test_one_that_cannot_be_parsed_is_a_warning() -> None:
    text = made("helm.toolkit.fluxcd.io/v2", "HelmRelease", {}).replace("spec: {}", "spec: {a: [}")
    loaded = load(["-"], stdin=BytesIO(text.encode()))
    assert [problem.code for problem in loaded.problems if problem.severity.value == "error"] == []
