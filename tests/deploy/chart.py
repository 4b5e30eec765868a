"""The chart, rendered by the template engine that Helm uses."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "chart"
NAMESPACE = "kube-system"
SECONDS = 110
Json = dict[str, Any]


def obstacle() -> str:
    """Why the chart cannot be rendered on this machine; "" when it can."""
    return "" if shutil.which("go") else "no Go was found"


def metadata() -> Json:
    """Chart.yaml."""
    found: Json = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    return found


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> Json:
    """Values over those of the chart, as Helm lays them."""
    found = dict(under)
    for key, value in over.items():
        below = under.get(key)
        both = isinstance(value, Mapping) and isinstance(below, Mapping)
        found[key] = merged(below, value) if both and below else value
    return found


@functools.cache
def _rendered(values: str) -> str:
    about = metadata()
    given = {
        "Values": merged(yaml.safe_load((CHART / "values.yaml").read_text()), json.loads(values)),
        "Chart": {"Name": about["name"], "AppVersion": about["appVersion"]},
        "Release": {"Name": "podfence", "Namespace": NAMESPACE},
    }
    done = subprocess.run(
        ["go", "run", str(ROOT / "tests/deploy/render.go"), str(CHART)],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def rendered(**values: Any) -> str:
    """The manifests, with these values."""
    return _rendered(json.dumps(values))


def objects(text: str) -> list[Json]:
    """The objects of a manifest."""
    return [each for each in yaml.safe_load_all(text) if each]


def installed() -> list[Json]:
    """Those of deploy/install.yaml."""
    return objects((DEPLOY / "install.yaml").read_text("utf-8"))


def cleanup() -> Json:
    """The DaemonSet of deploy/cleanup.yaml."""
    (found,) = objects((DEPLOY / "cleanup.yaml").read_text("utf-8"))
    return found


def only(found: list[Json], kind: str, name: str = "podfence") -> Json:
    """The one of a kind and a name."""
    (one,) = (e for e in found if (e["kind"], e["metadata"]["name"]) == (kind, name))
    return one
