"""Workloads that run no pod now: a question about one says so, whatever made it so."""

from __future__ import annotations

import pytest

from tests.cli.session import podfence

MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: zero, namespace: e}
spec:
  replicas: COUNT
  selector: {matchLabels: {a: z}}
  template: {metadata: {labels: {a: z}}, spec: {containers: [{name: c, image: i}]}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: done, namespace: e}
spec: {suspend: true, template: {metadata: {labels: {a: j}}, spec: {containers: [{name: c}]}}}
---
apiVersion: v1
kind: Pod
metadata: {name: other, namespace: e}
spec: {containers: [{name: c}]}
"""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("e/zero", "Deployment e/zero runs no pod now"),
        ("e/deploy/zero", "Deployment e/zero runs no pod now"),
        ("e/done", "Job e/done runs no pod now"),
    ],
)
def test_a_question_about_it_says_so(name: str, said: str) -> None:
    text = MANIFEST.replace("COUNT", "0").encode()
    done = podfence(["can", name, "e/other:80", "-f", "-"], stdin=text)
    assert (done.status, done.out) == (2, "")
    assert said in done.err


def test_with_a_pod_it_is_like_any_other() -> None:
    text = MANIFEST.replace("COUNT", "1").encode()
    assert podfence(["can", "e/zero", "e/other:80", "-f", "-"], stdin=text).status == 0
