"""``why --repair`` on random clusters: the edits that it prints allow the flow, and open nothing
that it does not name."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from podfence.library.input import Input, load
from podfence.model.cluster import Cluster
from podfence.testing.builders import pod, policy
from podfence.testing.manifest import to_manifest
from tests.cli.session import podfence
from tests.support.random_clusters import Size, random_cluster

SIZE = Size(namespaces=3, pods=6, policies=6, rules=2)


def written(cluster: Cluster, folder: Path) -> Path:
    """A cluster as one file, in a mixture of styles."""
    pods = [pod for pod in cluster.pods if not pod.host_network and not pod.finished]
    values = [
        *map(to_manifest, cluster.namespaces.values()),
        *map(to_manifest, pods),
        *map(to_manifest, cluster.policies),
    ]
    path = folder / "all.yaml"
    path.write_text(
        "---\n".join(
            f"{json.dumps(each, indent=number % 2)}\n"
            if number % 3 == 0
            else yaml.safe_dump(each, sort_keys=False, default_style='"')
            for number, each in enumerate(values)
        )
    )
    return path


def patched(path: Path, files: list[dict[str, Any]]) -> Path:
    """The file with the printed lines taken out and put in, in a folder of its own."""
    [file] = files
    old = path.read_text().split("\n")
    gone = {line["line"] for line in file["lines"] if line["sign"] == "-"}
    kept = [text for number, text in enumerate(old, 1) if number not in gone]
    for line in file["lines"]:
        if line["sign"] == "+":
            kept.insert(line["line"] - 1, line["text"])
    made = path.parent / "made" / path.name
    made.parent.mkdir(exist_ok=True)
    made.write_text("\n".join(kept))
    return made


def pairs(before: Input, after: Input) -> set[tuple[str, str, str]]:
    """Pairs that open, as the map of single pods says it; outside addresses left out."""
    was = {(c.source, c.destination, c.family): c.ports for c in before.map()}
    return {
        (c.source, c.destination, c.ports)
        for c in after.map()
        if was.get((c.source, c.destination, c.family)) != c.ports
        and not c.source.startswith("outside")
        and not c.destination.startswith("outside")
    }


def check(rng: Random, folder: Path) -> bool:
    """Try one random question of one random cluster; False where nothing is repaired."""
    before = load(path := written(random_cluster(rng, SIZE), folder))
    names = sorted(before.index.endpoints)
    if before.doubts or not names:  # pods that share an address, and the like
        return False
    source, destination = rng.choice(names), rng.choice(names)
    target = f"{destination}:{rng.choice(('80', '53/udp', '8080'))}"
    done = podfence(["why", source, target, "-f", str(path), "--repair", "-o", "json"])
    repair = json.loads(done.out).get("repair", {}) if done.status == 1 else {}
    if "files" not in repair:
        return False
    after = load(patched(path, repair["files"]))
    assert after.can(source, target).allowed, (source, target, repair)
    named = {
        (near.partition("[")[0], far.partition("[")[0])
        for each in repair["changes"]
        for near in each["from"]
        for far in each["to"]
    }
    for near, far, _ in pairs(before, after):
        assert (near.partition("[")[0], far.partition("[")[0]) in named, (near, far, repair)
    return True


@pytest.mark.parametrize("seed", range(8))
def test_the_printed_edit_allows_the_flow_and_opens_what_is_printed(
    seed: int, tmp_path: Path
) -> None:
    rng = Random(seed)

    assert any(check(rng, tmp_path) for _ in range(80))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_same_at_length(tmp_path: Path) -> None:
    rng = Random(1000)

    assert sum(check(rng, tmp_path) for _ in range(500)) > 15


PODS = {
    "web": {"app": "web"},
    "db": {"app": "db"},
    "bare": {},
    "bare-2": {},
    "job": {"app": "job"},
    "job-2": {"app": "job"},
    "job-3": {"app": "job", "tier": "back"},
}
NO_APP = {"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}
JOBS = {"matchLabels": {"app": "job"}}
NO_TIER = {"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}
ISOLATED: dict[str, tuple[dict[str, Any], str, set[str]]] = {
    "labels tell it from the others": ({}, "db", {"db"}),
    "it has no labels, and all are isolated": ({}, "bare", {*PODS} - {"web"}),
    "it has no labels, and others are not isolated": (NO_APP, "bare", {"bare", "bare-2"}),
    "a pod with its labels is not isolated": (JOBS | NO_TIER, "job", {"job", "job-2"}),
    "a pod with its labels is isolated, too": (JOBS, "job", {"job", "job-2", "job-3"}),
    "labels tell it from those that are isolated": (JOBS, "job-3", {"job-3"}),
}
"""Whom a policy isolates, who is to be reached then, and who else can be without need."""


@pytest.mark.parametrize(("selector", "to", "opened"), ISOLATED.values(), ids=ISOLATED)
def test_an_edit_closes_nothing_and_opens_no_pod_that_another_edit_would_leave_closed(
    selector: dict[str, Any], to: str, opened: set[str], tmp_path: Path
) -> None:
    values = [to_manifest(pod(f"shop/{name}", labels)) for name, labels in PODS.items()]
    isolating = to_manifest(policy("shop/isolating", types=["Ingress"]))
    isolating["spec"]["podSelector"] = selector
    path = tmp_path / "all.yaml"
    path.write_text("---\n".join(map(yaml.safe_dump, (*values, isolating))))

    done = podfence(["why", "shop/web", f"shop/{to}:80", "-f", str(path), "--repair", "-o", "json"])

    before, after = load(path), load(patched(path, json.loads(done.out)["repair"]["files"]))
    ways = [
        (f"shop/{one}", f"shop/{two}:{port}") for one in PODS for two in PODS for port in (80, 81)
    ]
    turned = {way for way in ways if before.can(*way).allowed is not after.can(*way).allowed}
    assert turned == {("shop/web", f"shop/{name}:80") for name in opened}
