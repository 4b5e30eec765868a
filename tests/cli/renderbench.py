"""A chart, a kustomization, and a stand-in for the program that renders them."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

from tests.cli.session import Done, podfence

POLICY = """apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: NAME}
spec: {podSelector: {}, ingres: []}
"""
POD = (
    "apiVersion: v1\nkind: Pod\nmetadata: {name: web, labels: {app: web}}\n"
    "spec: {containers: [{name: c}]}\n"
)
OUTPUT = (
    "---\n# Source: shop/templates/pod.yaml\n" + POD + "---\n# Source: shop/templates/netpol.yaml\n"
    + POLICY.replace("NAME", "one") + "---\n# Source: shop/templates/netpol.yaml\n"
    + POLICY.replace("NAME", "two")
)  # fmt: skip
STAND_IN = """#!{python}
import json, os, sys
if sys.argv[1] == "version":
    print("v3.99.1+gabc")
    sys.exit()
with open({log!r}, "a") as log:
    log.write(json.dumps({{"arguments": sys.argv[1:], "environment": dict(os.environ)}}) + "\\n")
{body}
"""
PRINTS = "sys.stdout.write({text!r})"


LOGGED = 'E1130 18:45:04.620547   14339 run.go:72] "command failed" err="no \\"x\\""'
"""What kubectl says last."""
PLAIN = "template shop ./shop --namespace=default --skip-tests"


class Bench:
    """A directory with a chart ``shop``, a kustomization ``overlay``, and one program."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.programs = directory / "bin"
        self.programs.mkdir()
        self.log = directory / "calls"
        self.write("shop/Chart.yaml", "apiVersion: v2\nname: shop\nversion: 1.0.0\n")
        self.write("shop/templates/pod.yaml", "{{ if true }}\n" + POD + "{{ end }}\n")
        self.write("base/kustomization.yaml", "resources: [policy.yaml]\n")
        self.write("base/policy.yaml", POLICY.replace("NAME", "base"))
        self.write("overlay/kustomization.yaml", "resources: [../base]\n")

    def write(self, name: str, text: str) -> None:
        path = self.directory / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)

    def program(self, name: str, body: str = PRINTS.format(text=OUTPUT)) -> None:
        path = self.programs / name
        path.write_text(STAND_IN.format(python=sys.executable, log=str(self.log), body=body))
        path.chmod(0o755)

    def run(self, *words: str) -> Done:
        with mock.patch.dict(os.environ, {"PATH": str(self.programs), "SECRET": "x"}):
            return podfence(words, directory=self.directory)

    @property
    def calls(self) -> list[dict[str, object]]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [json.loads(line) for line in lines]

    @property
    def arguments(self) -> list[str]:
        return [shlex.join(map(str, _list(call["arguments"]))) for call in self.calls]


def _list(value: object) -> Sequence[object]:
    assert isinstance(value, list)
    return value
