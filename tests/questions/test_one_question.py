"""A single question is answered from the policies that can concern it, as from all of them."""

from __future__ import annotations

from itertools import product
from random import Random

import pytest
from msgspec.structs import replace

from podfence.errors import PodfenceError
from podfence.model.cluster import Cluster
from podfence.model.doubt import Doubt
from podfence.model.selectors import LabelSelector
from podfence.policy.compile import compile_cluster
from podfence.questions.can import Asker, Can, asker_of
from podfence.questions.why import why
from podfence.render.verdicts import can_text, why_text
from tests.support.random_clusters import Size, random_cluster
from tests.support.random_tiers import NAMES

PLAIN = Size(namespaces=3, pods=6, policies=8)
TIERED = Size(namespaces=3, pods=5, policies=5, admin_policies=5)


DOUBTS = (
    Doubt("NetworkPolicy", "x", "unread", selector=LabelSelector((("app", "a"),))),
    Doubt("Namespace", name="y"),
)


def answers(asker: Asker, question: Can) -> tuple[object, ...]:
    """What ``can`` and ``why`` print, and the doubts that take the answer away."""
    answer, report = asker.can(question), why(asker, question)
    texts = can_text(answer, lambda *_: None), why_text(report, lambda *_: None)
    return answer.allowed, answer.doubts, *texts


def outcome(cluster: Cluster, question: Can, *, alone: bool) -> tuple[object, ...]:
    """The answers, or the error, of a question asked alone or of the whole index."""
    try:
        if alone:
            return answers(asker_of(cluster, NAMES, question), question)
        return answers(Asker(compile_cluster(cluster, NAMES)), question)
    except PodfenceError as error:
        return error.code, error.message


@pytest.mark.parametrize("size", [PLAIN, TIERED], ids=["plain", "tiered"])
@pytest.mark.parametrize("seed", range(40))
def test_alone_as_among_all(seed: int, size: Size) -> None:
    rng = Random(seed)
    cluster = replace(random_cluster(rng, size), doubts=rng.choice(((), (), DOUBTS)))
    pods = [f"{pod.namespace}/{pod.name}" for pod in cluster.pods]
    addresses = [str(address) for pod in cluster.pods for address in pod.addresses]
    ends = [*pods, *addresses, "192.0.2.9", "x/nobody"]
    for source, destination in rng.sample(list(product(ends, ends)), 8):
        question = Can(source, destination, rng.choice((53, 80, 81, 8080)))
        whole = outcome(cluster, question, alone=False)
        assert outcome(cluster, question, alone=True) == whole


def test_policies_of_other_namespaces_are_not_compiled() -> None:
    cluster = random_cluster(Random(3), Size(namespaces=4, pods=12, policies=20))
    first, *_ = (pod for pod in cluster.pods if not pod.host_network and not pod.finished)
    name = f"{first.namespace}/{first.name}"
    asked = asker_of(cluster, NAMES, Can(name, name, 80)).index.cluster
    assert {policy.ref.namespace for policy in asked.policies} == {first.namespace}
    assert len({policy.ref.namespace for policy in cluster.policies}) > 1
