"""A verdict that is still given when one object of the input is spoilt is the verdict of the input.

One field of one object is spoilt, or its text cut off. What the object may have said is what it did
say, and what it says with a value from elsewhere in the input in the place of that field.
"""

from __future__ import annotations

import copy
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from podfence.errors import PodfenceError
from podfence.manifests.load import Loaded, load
from podfence.model.cluster import Cluster
from podfence.policy.compile import compile_cluster
from podfence.questions.can import Can, QueryEvaluator
from podfence.testing.manifest import to_manifest
from tests.support.random_clusters import (
    TIERS,
    Size,
    interesting_addresses,
    interesting_ports,
    random_cluster,
)
from tests.support.random_tiers import NAMES

Path = tuple[str | int, ...]
Json = dict[str, Any]

SPOILT: dict[type, tuple[object, ...]] = {
    str: (17, True, {"a": 1}, [1]),
    list: (17, "x", {"a": 1}),
    dict: ("x", [1], 5),
    int: ([1], True, 1.5, {"a": 1}),
    bool: ("x", 1),
}
REFUSED: dict[str, tuple[object, ...]] = {
    "protocol": ("tcp", "ICMP"),
    "operator": ("in",),
    "port": (0, 70000, "UPPER_x"),
    "endPort": (0, 1),
    "cidr": ("10.0.0.0", "x/33"),
}


@dataclass(frozen=True)
class Spoilt:
    """A document as text that cannot be read, and objects that it may have meant."""

    text: str
    meant: tuple[Json, ...]


@pytest.mark.parametrize("seed", [*range(40), 5027])
def test_what_is_still_said_is_right(seed: int) -> None:
    random = Random(seed)
    cluster = random_cluster(random, TIERS if seed % 2 else Size())
    documents = [each for each in map(to_manifest, _objects(cluster)) if _is_sound([each])]
    if not _is_sound(documents):
        return
    for _ in range(5):
        number = random.randrange(len(documents))
        spoilt = _spoil(random, documents, number)
        found = _read([*documents[:number], spoilt.text, *documents[number + 1 :]])
        if not found.doubts:
            continue
        asker = QueryEvaluator(compile_cluster(found.cluster, NAMES))
        wholes = [
            QueryEvaluator(compile_cluster(whole.cluster, NAMES))
            for meant in spoilt.meant
            for whole in [_read([*documents[:number], meant, *documents[number + 1 :]])]
            if not whole.errors and not any(p.code == "PF110" for p in whole.problems)
        ]
        for question in _questions(random, cluster):
            said = _verdict(asker, question)
            for whole in wholes if said is not None else ():
                assert _verdict(whole, question) in (said, None), (question, spoilt)


def test_most_verdicts_are_still_given() -> None:
    """The law above would hold of an engine that says nothing."""
    given = asked = 0
    for seed in range(20):
        random = Random(seed)
        cluster = random_cluster(random, Size())
        documents = list(map(to_manifest, _objects(cluster)))
        number = random.randrange(len(documents))
        spoilt = _spoil(random, documents, number)
        found = _read([*documents[:number], spoilt.text, *documents[number + 1 :]])
        asker = QueryEvaluator(compile_cluster(found.cluster, NAMES))
        for question in _questions(random, cluster):
            asked += 1
            given += _verdict(asker, question) is not None
    assert given > asked / 3


def _objects(cluster: Cluster) -> Iterator[Any]:
    yield from cluster.namespaces.values()
    yield from cluster.pods
    yield from cluster.policies
    yield from cluster.admin_policies


def _read(documents: list[Any]) -> Loaded:
    texts = (each if isinstance(each, str) else json.dumps(each) for each in documents)
    return load(["-"], stdin=io.BytesIO("\n---\n".join(texts).encode()))


def _is_sound(documents: list[Any]) -> bool:
    return not _read(documents).errors


def _verdict(asker: QueryEvaluator, question: Can) -> bool | None:
    try:
        answer = asker.can(question)
    except PodfenceError:  # a pod that is not there, or has no address of this family
        return None
    return None if answer.doubts else answer.allowed


def _questions(random: Random, cluster: Cluster) -> Iterator[Can]:
    names = [f"{pod.namespace}/{pod.name}" for pod in cluster.pods]
    outside = [
        str(address)
        for family in (4, 6)
        for address in random.choices(interesting_addresses(cluster, family), k=3)
    ]
    ports = interesting_ports(cluster)
    for _ in range(30):
        source, destination = (random.choice(names * 2 + outside) for _ in "ab")
        protocol = random.choice(("TCP", "TCP", "UDP", "SCTP"))
        yield Can(source, destination, random.choice(ports), protocol)


def _spoil(random: Random, documents: list[Json], number: int) -> Spoilt:
    document = documents[number]
    if random.random() < 0.2:
        return Spoilt(_cut_off(random, document), (document,))
    values = defaultdict(list)
    for each in documents:
        for path in _paths(each):
            values[_kind_of_value(each, path)].append(_get(each, path))
    paths = [path for path in _paths(document) if path[0] in ("metadata", "spec")]
    refused = [path for path in paths if path[-1] in REFUSED]
    if refused and random.random() < 0.3:
        path = random.choice(refused)
        spoilt = _with(document, path, random.choice(REFUSED[str(path[-1])]))
    else:
        path = random.choice(paths)
        spoilt = _with(document, path, random.choice(SPOILT[type(_get(document, path))]))
    if isinstance(path[-1], str) and random.random() < 0.2:
        misspelt = (*path[:-1], f"{path[-1]}x")
        spoilt = _with(_without(document, path), misspelt, _get(document, path))
    others = random.choices(values[_kind_of_value(document, path)], k=2)
    meant = (document, _without(document, path), *(_with(document, path, o) for o in others))
    return Spoilt(json.dumps(spoilt), meant)


def _cut_off(random: Random, document: Json) -> str:
    """Without a closing bracket, and perhaps without what tells the kind. All else is there."""
    text = json.dumps(document)
    return (text if random.random() < 0.5 else text.replace('"kind"', '"kimd"'))[:-1]


def _paths(value: Any, path: Path = ()) -> Iterator[Path]:
    if path:
        yield path
    items: Iterable[tuple[str | int, Any]] = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, item in items:
        yield from _paths(item, (*path, key))


def _kind_of_value(document: Json, path: Path) -> tuple[object, type]:
    """What makes two values change places: the key, or that of the list, and the type."""
    key = path[-1] if isinstance(path[-1], str) else path[-2:-1]
    return key, type(_get(document, path))


def _get(document: Any, path: Path) -> Any:
    for key in path:
        document = document[key]
    return document


def _with(document: Json, path: Path, value: object) -> Json:
    changed = copy.deepcopy(document)
    _get(changed, path[:-1])[path[-1]] = value
    return changed


def _without(document: Json, path: Path) -> Json:
    changed = copy.deepcopy(document)
    del _get(changed, path[:-1])[path[-1]]
    return changed
