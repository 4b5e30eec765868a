"""``plan``: what opens between tenants comes right after what opens to the outside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.session import podfence

SPACES = "".join(
    f"{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}, labels: {labels}}}}}\n---\n"
    f"{{apiVersion: v1, kind: Pod, metadata: {{name: web, namespace: {name}, labels: {{app: w}}}}}}"
    "\n---\n"
    for name, labels in (
        ("red", "{team: r}"),
        ("red2", "{team: r}"),
        ("blue", "{team: b}"),
        ("common", "{team: c, shared: 'yes'}"),
        ("nobody", "{}"),
    )
)
POLICY = """---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: in, namespace: %s}
spec: {podSelector: {}, policyTypes: [Ingress], ingress: [%s]}
"""
FROM = "{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %s}}}]}"
TEAM = "[cluster]\ntenant-label = 'team'\n"
WORDS = ["plan", "old.yaml", "new.yaml", "-f", "spaces.yaml", "--no-newcomers"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "spaces.yaml").write_text(SPACES)
    (tmp_path / "old.yaml").write_text(POLICY % ("red", ""))
    (tmp_path / "podfence.toml").write_text(TEAM)
    return tmp_path


@pytest.mark.parametrize(
    ("source", "settings", "meet"),
    [
        ("blue", TEAM, True),
        ("blue", "", False),
        ("red2", TEAM, False),
        ("nobody", TEAM, False),
        ("common", TEAM, True),
        ("common", f"{TEAM}[check]\nshared = ['common']\n", False),
        ("common", f"{TEAM}[check]\nshared = ['shared=yes']\n", False),
    ],
)
def test_tenants_that_meet_are_told(tree: Path, source: str, settings: str, meet: bool) -> None:
    (tree / "new.yaml").write_text(POLICY % ("red", FROM % source))
    (tree / "podfence.toml").write_text(settings)
    done = podfence(WORDS, directory=tree)
    assert (done.status, done.err) == (1, "")
    line = f"{source}/web -> red/web: opens all"
    assert (f"!! {line} (across tenants: {source[0]} -> r)" in done.out) is meet
    assert line in done.out
    data = json.loads(podfence([*WORDS, "-o", "json"], directory=tree).out)
    found = [(t["from"], t["to"]) for o in data["outcomes"] for t in o.get("tenants", [])]
    assert found == ([(source[0], "r")] if meet else [])


def test_what_closes_between_tenants_is_as_anything_else(tree: Path) -> None:
    (tree / "new.yaml").write_text(POLICY % ("red", FROM % "blue"))
    done = podfence([*WORDS, "--reverse"], directory=tree)
    assert "blue/web -> red/web: closes all" in done.out
    assert "across tenants" not in done.out


def test_they_come_before_larger_causes(tree: Path) -> None:
    wide = ", ".join(FROM % name for name in ("red", "blue", "common"))
    (tree / "old.yaml").write_text(POLICY % ("red", "") + POLICY % ("nobody", ""))
    (tree / "new.yaml").write_text(POLICY % ("red", FROM % "blue") + POLICY % ("nobody", wide))
    for settings, first in (TEAM, "red/in"), ("", "nobody/in"):
        (tree / "podfence.toml").write_text(settings)
        lines = podfence(WORDS, directory=tree).out.splitlines()
        causes = [line for line in lines if line.startswith("~ NetworkPolicy")]
        assert f"NetworkPolicy {first} " in causes[0]
