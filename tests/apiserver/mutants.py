"""Random changes of sound objects, sent to a server: ``python -m tests.apiserver.mutants``.

Rule: a mutant is a function of (name of its base, seed, number) alone. Most changes put a value
where one of its sort stands, so that they reach behind the first check; the rest are blind.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from random import Random
from typing import Any

import msgspec
import yaml

from tests.apiserver.bases import BASES, SORTS, VALUES
from tests.apiserver.build import CHANNELS, assets, crd_file
from tests.apiserver.client import Client
from tests.apiserver.core import CORE
from tests.apiserver.crds import Crds
from tests.apiserver.judge import ask, differences, in_standard_channel, judge, server_said
from tests.apiserver.server import running

_BLIND = 0.25
STANDARD = "/standard"
"""How names of bases end that the standard channel is asked about."""
Mutation = Callable[[Random, Any, Any], None]


def mutant(base: str, seed: int, number: int) -> dict[str, Any]:
    """A base with one to three changes at any depth; it stays an object of its kind."""
    random = Random(f"{base}/{seed}/{number}")
    body: dict[str, Any] = deepcopy(random.choice({**BASES, **CORE}[base]))
    identity = {"apiVersion": body["apiVersion"], "kind": body["kind"]}
    for _ in range(random.choice((1, 1, 1, 2, 2, 3))):
        container, key = random.choice(list(_paths(body)))
        _mutate(random, container, key)
        body = {k: v for k, v in body.items() if k.lower() not in ("kind", "apiversion")} | identity
    return body


def _paths(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict | list):
        keys = list(value) if isinstance(value, dict) else range(len(value))
        for key in keys:
            yield value, key
            yield from _paths(value[key])


def _mutate(random: Random, container: Any, key: Any) -> None:
    if random.random() < _BLIND:
        random.choice(_BLIND_CHANGES)(random, container, key)
        return
    pool = SORTS.get(key) if isinstance(key, str) else None
    if pool is None and isinstance(container, list) and random.random() < 0.3:
        container.append(deepcopy(random.choice(container)) if container else None)
        return
    container[key] = deepcopy(random.choice(pool or VALUES))


def _drop(_: Random, container: Any, key: Any) -> None:
    del container[key]


def _add_field(random: Random, container: Any, key: Any) -> None:
    if isinstance(container, dict):
        container[random.choice((*SORTS, "colour", "a.b", 'quo"te', ""))] = _value(random)
    else:
        container.insert(key, _value(random))


def _misspell(_: Random, container: Any, key: Any) -> None:
    if isinstance(container, dict):
        container[key[:1].upper() + key[1:] if key[:1].islower() else f"{key}s"] = container.pop(
            key
        )
    else:
        container[key] = None


def _nest(_: Random, container: Any, key: Any) -> None:
    container[key] = [container[key]]


def _unnest(_: Random, container: Any, key: Any) -> None:
    value = container[key]
    if isinstance(value, list) and value:
        container[key] = value[0]
    elif isinstance(value, dict) and value:
        container[key] = next(iter(value.values()))


def _many(random: Random, container: Any, key: Any) -> None:
    if isinstance(container[key], list) and container[key]:
        container[key] = container[key] * random.choice((2, 13, 26))
    else:
        container[key] = [deepcopy(container[key])] * random.choice((2, 26))


def _swap(random: Random, container: Any, key: Any) -> None:
    if isinstance(container, dict):
        other = random.choice(list(container))
        container[key], container[other] = container[other], container[key]


def _replace(random: Random, container: Any, key: Any) -> None:
    container[key] = _value(random)


def _value(random: Random) -> Any:
    pool = random.choice((VALUES, *SORTS.values()))
    return deepcopy(random.choice(pool))


_BLIND_CHANGES: tuple[Mutation, ...] = (
    _drop,
    _add_field,
    _misspell,
    _nest,
    _unnest,
    _many,
    _swap,
    _replace,
)


# ------------------------------------------------------------------------------------- comparison


class Tally(msgspec.Struct):
    """How many mutants there were, how many the server refused, and which differ, each with what
    differs.
    """

    mutants: int = 0
    refused: int = 0
    different: list[tuple[dict[str, Any], list[str]]] = msgspec.field(default_factory=list)


def compare(client: Client, base: str, seed: int, count: int) -> Tally:
    """The server's answers to mutants of a base, beside podfence's."""
    tally = Tally()
    for number in range(count):
        body = mutant(base, seed, number)
        server, ours = server_said(ask(client, body)), judge(body)
        tally.mutants += 1
        tally.refused += not server.accepted
        ours = in_standard_channel(ours) if base.endswith(STANDARD) else ours
        if found := differences(server, ours):
            tally.different.append((body, found))
    return tally


def false_refusals(client: Client, kind: str, seed: int, count: int) -> Tally:
    """Mutants of a kind of which podfence reads a part: those that it alone refuses differ."""
    tally = Tally()
    for number in range(count):
        body = mutant(kind, seed, number)
        accepted, ours = server_said(ask(client, body)).accepted, judge(body)
        tally.mutants += 1
        tally.refused += not accepted
        if accepted and not ours.accepted:
            tally.different.append((body, sorted(ours.texts)))
    return tally


def channel_of(base: str) -> str:
    """The channel that has to be installed for a base."""
    return CHANNELS[0] if base.endswith(STANDARD) else CHANNELS[1]


def main() -> int:
    """Compares many mutants; exit status 1 where any differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.apiserver.mutants")
    parser.add_argument("--count", type=int, default=5000, help="mutants of each base")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("bases", nargs="*", help=f"of: {', '.join((*BASES, *CORE))} (all)")
    options = parser.parse_args()
    different = 0
    with running(assets()) as server, server.admin as admin:
        crds = Crds(admin, {name: yaml.safe_load(crd_file(name).read_text()) for name in CHANNELS})
        for base in options.bases or (*BASES, *CORE):
            if base in BASES:
                crds.install(channel_of(base))
            judged = compare if base in BASES else false_refusals
            tally = judged(admin, base, options.seed, options.count)
            different += len(tally.different)
            counts = f"{tally.mutants} mutants, {tally.refused} refused"
            print(f"{base}: {counts}, {len(tally.different)} different", flush=True)
            for body, found in tally.different[:10]:
                print(json.dumps(body), *found, sep="\n    ")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
