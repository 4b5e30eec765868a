"""The steps of ``plan --order`` as words for a shell: run one after the other, they make NEW."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.session import ROOT, podfence

KUBECTL = """#!/bin/sh
{ printf '%s\\0' "$@"; printf '\\1'; case $1 in apply) cat ;; esac; printf '\\2'; } >> "$CALLS"
"""
WORLD = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
"""
OLD = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: shop}
spec: {podSelector: {matchLabels: {app: db}}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: kept, namespace: shop}
spec: {podSelector: {matchLabels: {app: web}}}
"""
NEW = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: database
  namespace: shop
  labels: {team: data}
  annotations:
    why: |
      it's "quoted", $HOME and `id`
      EOF
      rm -rf /
spec: {podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {}}]}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: kept, namespace: shop}
spec: {podSelector: {matchLabels: {app: web}}, ingress: [{}]}
"""
Call = tuple[list[str], Any]


@pytest.fixture
def sides(tmp_path: Path) -> Path:
    for name, text in (("world", WORLD), ("old", OLD), ("new", NEW)):
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


def steps(folder: Path, *more: str) -> list[dict[str, Any]]:
    files = ("old.yaml", "new.yaml", "-f", "world.yaml")
    done = podfence(["plan", *files, "--order", "-o", "json", *more], directory=folder)
    assert done.status == 1, done.err
    found: list[dict[str, Any]] = json.loads(done.out)["order"]["steps"]
    return found


def run(folder: Path, commands: list[str]) -> list[Call]:
    """The words and the standard input of each kubectl that a shell runs."""
    (folder / "bin").mkdir()
    stand_in = folder / "bin" / "kubectl"
    stand_in.write_text(KUBECTL)
    stand_in.chmod(0o755)
    path = f"{stand_in.parent}{os.pathsep}{os.environ['PATH']}"
    calls = folder / "calls"
    env = {"PATH": path, "CALLS": str(calls), "HOME": "/nowhere"}
    subprocess.run(["sh", "-eu"], input="\n".join(commands), text=True, check=True, env=env)
    found = []
    for call in calls.read_text().split("\2")[:-1]:
        words, given = call.split("\1")
        found.append((words.split("\0")[:-1], json.loads(given) if given else None))
    return found


def test_the_commands_make_the_new_state_of_the_old_one(sides: Path) -> None:
    objects = {each["metadata"]["name"]: each for each in yaml.safe_load_all(OLD)}
    for words, given in run(sides, [step["command"] for step in steps(sides)]):
        if words[:3] == ["delete", "-n", "shop"]:
            assert words[3] == "networkpolicy"
            del objects[words[4]]
        else:
            assert words == ["apply", "-n", "shop", "-f", "-"]
            objects[given["metadata"]["name"]] = given
    assert objects == {each["metadata"]["name"]: each for each in yaml.safe_load_all(NEW)}


def test_a_workload_of_another_kind_is_another_object(sides: Path) -> None:
    text = """
apiVersion: apps/v1
kind: {1}
metadata: {{name: api, namespace: shop}}
spec:
  selector: {{matchLabels: {{app: {0}}}}}
  template: {{metadata: {{labels: {{app: {0}}}}}, spec: {{containers: [{{name: a, image: a}}]}}}}
"""
    (sides / "old.yaml").write_text(OLD + "---" + text.format("api", "Deployment"))
    (sides / "new.yaml").write_text(OLD + "---" + text.format("web", "StatefulSet"))
    created, deleted = run(sides, [step["command"] for step in steps(sides)])
    assert (created[0], created[1]["kind"]) == (["apply", "-n", "shop", "-f", "-"], "StatefulSet")
    assert deleted == (["delete", "-n", "shop", "deployment", "api"], None)


def test_temporary_policies_come_and_go(tmp_path: Path) -> None:
    inputs = ROOT / "tests/cli/inputs/plan"
    done = podfence(
        ["plan", str(inputs / "flat.yaml"), str(inputs / "closed.yaml"), "--order", "-o", "json"]
    )
    order = json.loads(done.out)["order"]
    names = {each["metadata"]["name"] for each in order["temporary"]}
    assert names
    made: set[str] = set()
    for words, given in run(tmp_path, [step["command"] for step in order["steps"]]):
        if words[0] == "delete":
            made.discard(words[-1])
        elif given["metadata"]["name"] in names:
            assert given in order["temporary"]
            made.add(given["metadata"]["name"])
    assert made == set()


def test_a_namespace_is_an_object_of_no_namespace(sides: Path) -> None:
    (sides / "world.yaml").write_text(WORLD.split("---", 1)[1])
    for name, labels in (("old", "{}"), ("new", "{tier: front}")):
        space = (
            f"\n---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: shop, labels: {labels}}}\n"
        )
        (sides / f"{name}.yaml").write_text(OLD + space)
    done = podfence(
        ["plan", "old.yaml", "new.yaml", "-f", "world.yaml", "--order", "-o", "json"],
        directory=sides,
    )
    (step,) = json.loads(done.out)["order"]["steps"]
    ((words, given),) = run(sides, [step["command"]])
    assert words == ["apply", "-f", "-"]
    assert given["metadata"] == {"name": "shop", "labels": {"tier": "front"}}
