"""Whom the selector at a line of a text means, as the editor of ``podfence serve`` asks it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from podfence.errors import Problem, Severity
from podfence.manifests.load import Loaded, load
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Direction
from podfence.policy.index import PolicyIndex
from podfence.questions.describe import peer_path
from podfence.questions.phrases.matched import MatchedPods
from podfence.web.pointing import PointedSelector, pointed
from tests.cli.session import ROOT
from tests.support.serving import Serving

EXAMPLES = ("examples/shop", "examples/tiers", "examples/gotchas", "examples/tutorials")


@pytest.fixture(scope="module", params=EXAMPLES)
def example(request: pytest.FixtureRequest) -> tuple[Loaded, PolicyIndex]:
    loaded = load([str(ROOT / request.param)])
    return loaded, compile_cluster(loaded.cluster)


def asked(
    loaded: Loaded, source: object, path: str, *, last: bool = False
) -> PointedSelector | None:
    """What is answered on the first or the last line of a field, in the text of its whole file."""
    field = Problem("", Severity.NOTE, "", source, path, object="it")  # type: ignore[arg-type]
    find = loaded.positions.end_of_problem if last else loaded.positions.locate_problem
    position = find(field)
    assert position is not None
    text = dict(loaded.positions.texts())[position.file]
    return pointed(loaded.cluster, text, position.line)


@pytest.mark.parametrize("last", [False, True], ids=["first-line", "last-line"])
def test_a_pod_selector_means_the_pods_that_the_policy_selects(
    example: tuple[Loaded, PolicyIndex], last: bool
) -> None:
    loaded, index = example
    matched = MatchedPods(index)
    assert loaded.cluster.policies
    for policy in loaded.cluster.policies:
        found = asked(loaded, policy.source, "spec.podSelector", last=last)
        assert found is not None
        assert (found.policy, found.path) == (str(policy.ref), "spec.podSelector")
        wanted = {f"{e.pod.namespace}/{e.pod.name}" for e in matched.subjects(policy)}
        assert set(found.pods) & set(index.endpoints) == wanted


def test_a_peer_means_the_pods_that_the_engine_lets_in(
    example: tuple[Loaded, PolicyIndex],
) -> None:
    loaded, index = example
    matched = MatchedPods(index)
    for policy in loaded.cluster.policies:
        for direction, rules in (
            (Direction.INGRESS, policy.ingress),
            (Direction.EGRESS, policy.egress),
        ):
            for at, rule in enumerate(rules):
                for number, peer in enumerate(rule.peers):
                    path = peer_path(direction, at, number)
                    found = asked(loaded, policy.source, path)
                    assert found is not None
                    assert found.path == path
                    if peer.ip_block is not None:
                        assert found.networks
                        assert found.pods == ()
                        continue
                    ends = matched.peers(policy.ref.namespace, peer)
                    wanted = {f"{e.pod.namespace}/{e.pod.name}" for e in ends}
                    assert set(found.pods) & set(index.endpoints) == wanted


def test_a_subject_of_the_cluster_means_its_pods() -> None:
    loaded = load([str(ROOT / "examples/tiers")])
    index = compile_cluster(loaded.cluster)
    matched = MatchedPods(index)
    assert loaded.cluster.admin_policies
    for policy in loaded.cluster.admin_policies:
        found = asked(loaded, policy.source, "spec.subject")
        assert found is not None
        wanted = {f"{e.pod.namespace}/{e.pod.name}" for e in matched.subjects(policy)}
        assert set(found.pods) & set(index.endpoints) == wanted


WORLD = """
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: shop, labels: {app: a, new: "yes"}}
---
apiVersion: v1
kind: Pod
metadata: {name: b, namespace: other, labels: {app: a}}
"""
POLICY = """# a comment
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p, namespace: shop}
spec:
  podSelector:
    matchLabels:
      new: "yes"
  ingress:
  - from:
    - ipBlock: {cidr: 10.0.0.0/8, except: [10.128.0.0/9]}
    - namespaceSelector: {}
      podSelector: {matchLabels: {app: a}}
"""


@pytest.fixture
def world(tmp_path: Path) -> Loaded:
    (tmp_path / "world.yaml").write_text(WORLD)
    return load([str(tmp_path / "world.yaml")])


@pytest.mark.parametrize(
    ("line", "path", "pods", "networks"),
    [
        (6, "spec.podSelector", ("shop/a",), ()),  # a label that no policy asks for
        (8, "spec.podSelector", ("shop/a",), ()),
        (11, "spec.ingress[0].from[0]", (), ("10.0.0.0/9",)),
        (12, "spec.ingress[0].from[1]", ("shop/a", "other/b"), ()),
        (13, "spec.ingress[0].from[1]", ("shop/a", "other/b"), ()),
    ],
)
@pytest.mark.parametrize("before", ["", "kind: Secret\n---\n", "{torn: [\n---\n"])
def test_a_line_in_one_of_several_documents(
    world: Loaded,
    before: str,
    line: int,
    path: str,
    pods: tuple[str, ...],
    networks: tuple[str, ...],
) -> None:
    found = pointed(world.cluster, before + POLICY, line + before.count("\n"))
    assert found == PointedSelector("shop/p", path, pods, networks)


@pytest.mark.parametrize("line", [-1, 0, 1, 2, 4, 9, 14, 15, 99])
def test_a_line_without_a_selector_means_nobody(world: Loaded, line: int) -> None:
    assert pointed(world.cluster, POLICY, line) is None


@pytest.mark.parametrize("text", ["", "---", "{", "kind: NetworkPolicy", "a: &a [*a]", "\x00"])
def test_a_text_that_cannot_be_read_means_nobody(world: Loaded, text: str) -> None:
    assert pointed(world.cluster, text, 1) is None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    shutil.copytree(ROOT / "examples/shop", tmp_path / "shop")
    with Serving("-f", "shop", "--edit", directory=tmp_path) as found:
        yield found


@pytest.mark.timeout(300)
def test_the_server_answers_it(server: Serving) -> None:
    text = (ROOT / "examples/shop/policies/db.yaml").read_text()
    line = 1 + text.split("\n").index("  podSelector:")
    body = json.dumps({"text": text, "line": line}).encode()
    also = {"Content_Type": "application/json"}
    answer = server.ask("/api/v1/select", "POST", body=body, also=also)
    assert answer.data["selected"] == {
        "policy": "shop/db",
        "path": "spec.podSelector",
        "pods": ["shop/db-0"],
        "networks": [],
    }
    refused = server.ask("/api/v1/select", "POST", body=b'{"text": 1}', also=also)
    assert refused.status == 400
