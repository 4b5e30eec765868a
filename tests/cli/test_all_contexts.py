"""``--all-contexts``: the same question to every cluster of a kubeconfig."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.liveshop import asking, shop
from tests.cli.schema import violations
from tests.cli.session import ROOT, Done, podfence

QUESTIONS = (
    "can shop/probe shop/db:5432",
    "why shop/web shop/db:5432",
    "map -A",
    "check -A",
    "describe shop/db",
    "find to shop/db",
    "find unprotected",
)


class Clusters:
    """A kubeconfig of two contexts: ``test`` leads to the shop, ``gone`` to nobody."""

    def __init__(self, config: Path) -> None:
        self.config = config
        data = yaml.safe_load(config.read_text())
        data["clusters"].append({"name": "none", "cluster": {"server": "http://127.0.0.1:9"}})
        data["contexts"].append({"name": "gone", "context": {"cluster": "none", "user": "u"}})
        config.write_text(yaml.safe_dump(data))

    def rename(self, old: str, new: str) -> None:
        data = yaml.safe_load(self.config.read_text())
        for each in data["contexts"]:
            each["name"] = new if each["name"] == old else each["name"]
        self.config.write_text(yaml.safe_dump(data))

    def drop(self, name: str) -> None:
        data = yaml.safe_load(self.config.read_text())
        data["contexts"] = [each for each in data["contexts"] if each["name"] != name]
        self.config.write_text(yaml.safe_dump(data))

    def __call__(self, *words: str) -> Done:
        return podfence(words, kubeconfig=str(self.config))


@pytest.fixture
def clusters(tmp_path: Path) -> Iterator[Clusters]:
    with asking(shop(), tmp_path) as asked:
        yield Clusters(asked.config)


@pytest.mark.parametrize("question", QUESTIONS)
def test_each_answer_stands_under_its_context_and_who_cannot_be_asked_is_said(
    clusters: Clusters, question: str
) -> None:
    done = clusters(*question.split(), "--all-contexts")
    alone = clusters(*question.split(), "--context", "test")

    assert done.status == 2
    assert done.out == f"== test\n{alone.out}\n== gone\n"
    assert "error[PF" in done.err
    assert "gone: " in done.err


def test_the_worst_answer_is_the_exit_status(clusters: Clusters) -> None:
    clusters.drop("gone")
    assert clusters("can", "shop/web", "shop/db:5432", "--all-contexts").status == 0
    assert clusters("can", "watch/probe", "shop/db:5432", "--all-contexts").status == 1
    assert clusters("can", "shop/nobody", "shop/db:5432", "--all-contexts").status == 2


def test_data_is_one_document(clusters: Clusters) -> None:
    done = clusters("map", "-A", "--all-contexts", "-o", "json")
    said: Any = json.loads(done.out)
    schema = json.loads((ROOT / "docs/schemas/contexts.schema.json").read_text("utf-8"))
    alone = json.loads(clusters("map", "-A", "--context", "test", "-o", "json").out)

    assert done.status == 2
    assert violations(said, schema, schema) == []
    test, gone = said["contexts"]
    assert test == {"context": "test", "status": 0, "answer": alone}
    assert (gone["context"], gone["status"]) == ("gone", 2)
    assert gone["error"]["code"].startswith("PF")


def test_a_hostile_name_of_a_context_stays_a_name(clusters: Clusters) -> None:
    clusters.rename("gone", "\x1b[31mred\nerror[PF000]: x")
    done = clusters("map", "-A", "--all-contexts")
    assert "\x1b" not in done.out + done.err
    assert "\nerror[PF000]: x" not in done.out + done.err


def test_promises_are_kept_by_every_cluster(clusters: Clusters, tmp_path: Path) -> None:
    tests = tmp_path / "a.podfence.yaml"
    tests.write_text(
        "apiVersion: podfence.io/v1alpha1\nkind: PolicyTests\ntests:\n"
        "- {name: reads, from: shop/web, to: 'shop/db:5432', expect: allow}\n"
    )
    clusters.drop("gone")
    done = clusters("test", str(tests), "--all-contexts")
    assert done.status == 0, done.err
    assert done.out.startswith("== test\npass    reads")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["map", "-f", "examples/shop"], "-f reads files and --all-contexts asks clusters"),
        (["map", "--context", "test"], "--context is one of them"),
        (["map", "-o", "svg"], "answers in text or JSON"),
        (["check", "-o", "text", "-o", "sarif=x"], "answers in text or JSON"),
        (["check", "-o", "text=x"], "answers in text or JSON"),
    ],
)
def test_what_makes_no_sense_is_refused(clusters: Clusters, words: list[str], said: str) -> None:
    done = clusters(*words, "--all-contexts")
    assert (done.status, done.out) == (2, "")
    assert said in done.err


def test_without_a_kubeconfig_there_is_nobody_to_ask() -> None:
    done = podfence(["map", "--all-contexts"])
    assert done.status == 2
    assert "error[PF" in done.err
