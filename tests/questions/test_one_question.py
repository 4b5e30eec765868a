"""A single question is answered from the policies that can concern it, as from all of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from random import Random

import pytest
from msgspec.structs import replace

from podfence.errors import PodfenceError
from podfence.model.doubt import Doubt
from podfence.model.selectors import LabelSelector
from podfence.policy.compile import compile_cluster
from podfence.questions.can import Can, QueryEvaluator, asker_of
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


Answer = tuple[object, ...]


def answered(asker: QueryEvaluator, question: Can) -> Answer:
    """What ``can`` prints, and the doubts that take the answer away."""
    answer = asker.can(question)
    return answer.allowed, answer.doubts, can_text(answer, lambda *_: None)


def explained(asker: QueryEvaluator, question: Can) -> Answer:
    """What ``why`` prints."""
    return (why_text(why(asker, question), lambda *_: None),)


def outcome(
    ask: Callable[[QueryEvaluator, Can], Answer], asker: Callable[[], QueryEvaluator], asked: Can
) -> Answer:
    """The answer, or the error."""
    try:
        return ask(asker(), asked)
    except PodfenceError as error:
        return error.code, error.message


@pytest.mark.parametrize("size", [PLAIN, TIERED], ids=["plain", "tiered"])
@pytest.mark.parametrize("seed", range(40))
def test_one_question_has_the_answer_of_the_whole_index(seed: int, size: Size) -> None:
    rng = Random(seed)
    cluster = replace(random_cluster(rng, size), doubts=rng.choice(((), (), DOUBTS)))
    pods = [f"{pod.namespace}/{pod.name}" for pod in cluster.pods]
    addresses = [str(address) for pod in cluster.pods for address in pod.addresses]
    ends = [*pods, *addresses, "192.0.2.9", "x/nobody"]
    for source, destination in rng.sample(list(product(ends, ends)), 8):
        question = Can(source, destination, rng.choice((53, 80, 81, 8080)))
        index = compile_cluster(cluster, NAMES)
        for ask, explains in ((answered, False), (explained, True)):
            alone = partial(asker_of, cluster, NAMES, question, explains=explains)
            whole = outcome(ask, lambda: QueryEvaluator(index), question)  # noqa: B023 (called here)
            assert outcome(ask, alone, question) == whole


def test_policies_and_pods_of_other_namespaces_are_not_compiled() -> None:
    cluster = random_cluster(Random(5), Size(namespaces=4, pods=12, policies=20))
    first, *_ = (pod for pod in cluster.pods if not pod.host_network and not pod.finished)
    name = f"{first.namespace}/{first.name}"
    index = asker_of(cluster, NAMES, Can(name, name, 80)).index
    assert {policy.ref.namespace for policy in index.cluster.policies} == {first.namespace}
    assert len({policy.ref.namespace for policy in cluster.policies}) > 1
    assert {end.pod.namespace for end in index.endpoints.values()} == {first.namespace}
    explaining = asker_of(cluster, NAMES, Can(name, name, 80), explains=True).index
    assert {policy.ref.namespace for policy in explaining.cluster.policies} == {first.namespace}
    assert explaining.endpoints.keys() == compile_cluster(cluster, NAMES).endpoints.keys()
