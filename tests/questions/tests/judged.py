"""Tests of test files: a cluster and a file in, a status a test out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from podfence.errors import Source
from podfence.intake.build import Reading, build_cluster
from podfence.intake.documents import Document
from podfence.model.cluster import Cluster
from podfence.questions.tests.decode import decode
from podfence.questions.tests.form import PolicyTests
from podfence.questions.tests.judge import Result
from podfence.questions.tests.run import FileRunner

HEAD = {
    "apiVersion": "podfence.io/v1alpha1",
    "kind": "PolicyTests",
    "defaults": {"namespace": "shop"},
}


def cluster(text: str) -> Cluster:
    """The cluster of some manifests."""
    values = [value for value in yaml.safe_load_all(text) if value]
    documents = tuple(Document(Source("in.yaml", n), value) for n, value in enumerate(values))
    return build_cluster(Reading(documents)).cluster


def file_of(*tests: Mapping[str, Any], **fields: Any) -> PolicyTests:
    """A test file with these tests; a test without a name gets its number."""
    named = [{"name": str(number), **test} for number, test in enumerate(tests)]
    found, problems = decode({**HEAD, "tests": named, **fields}, Source("t.yaml"))
    assert found is not None, [problem.message for problem in problems]
    return found


def results(of: Cluster, *tests: Mapping[str, Any], **fields: Any) -> list[Result]:
    """What comes of the tests."""
    (found,) = FileRunner(of).all([file_of(*tests, **fields)])
    return list(found.results)


def result(of: Cluster, text: str, **fields: Any) -> Result:
    """What comes of one test."""
    return results(of, yaml.safe_load(text), **fields)[0]
