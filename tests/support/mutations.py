"""Manifests, bent: what a fuzzer feeds to podfence.

Rule: a case is a function of (seed, number) and the seed files alone. A structural mutation changes
values and keeps the text well formed; a textual one changes characters and cares for nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
SEEDS = ("examples/**/*.yaml", "tests/spec/np-*.yaml")

_BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)
)
HOSTILE_TEXTS = (
    "",
    " ",
    "null",
    "~",
    "yes",
    "0x1F",
    "1e999",
    "-1",
    "65536",
    "2001-01-01",
    "a" * 253,
    "a" * 254,
    "b" * 100_000,
    'quo"te',
    "it's",
    "new\nline",
    "semi;colon",
    "{brace}",
    "back\\slash",
    "tab\t",
    "nul\0",
    "\x1b[31mred\x1b[0m",
    "\u202eright-to-left",
    "\u2028line",
    "\ufeffmark",
    "\ud800",
    "\U0001f600",
    "{{ .Values.name }}",
    "10.0.0.0/8",
    "10.0.0.1/8",
    "0.0.0.0/0",
    "::/0",
    "::ffff:1.2.3.4/120",
    "1.2.3.4/33",
    "fe80::1%eth0/64",
    "010.0.0.0/8",
    "NetworkPolicy",
    "Ingress",
    "tcp",
)
HOSTILE_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    65535,
    65536,
    2**31,
    2**63,
    10**400,
    1.5,
    1e308,
    [],
    {},
    [None],
    [[]],
    [{}],
    {"": ""},
    {"a": None},
    *HOSTILE_TEXTS,
)
KEYS = (
    "metadata name namespace labels spec podSelector matchLabels matchExpressions key operator "
    "values policyTypes ingress egress from to ports port endPort protocol ipBlock cidr except "
    "namespaceSelector kind apiVersion items status podIP podIPs ip phase hostNetwork replicas "
    "template containers initContainers containerPort nodeName clusterIP selector targetPort "
    "generateName annotations ownerReferences deletionTimestamp form Spec"
).split()
SNIPPETS = (
    "&a ",
    "*a",
    "!!binary ",
    "!!set ",
    "!custom ",
    "? ",
    "- ",
    "-",
    ": ",
    "{",
    "}",
    "[",
    "]",
    "\t",
    "|\n",
    ">-\n",
    "<<: *a",
    "<<: {a: b}\n",
    "%YAML 1.1\n",
    "%TAG ! tag:x:\n",
    "---\n",
    "...\n",
    "--- ",
    "\0",
    "\r",
    "\r\n",
    "\x85",
    "\u2028",
    "\x1b[2J",
    "\ud83d",
    "'",
    '"',
    '"\\x',
    '\\"',
    "#",
    ",",
    "0o17",
    "1_000",
    ".nan",
    "-.inf",
    "~",
    "=",
    "  " * 40,
    "[" * 200,
    "{a: " * 150,
    "- " * 150,
    "x" * 5000,
    _BOMB,
)

Path_ = tuple[Any, Any]
"""A container and the key or index of one of its values."""


@cache
def seeds() -> list[list[dict[str, Any]]]:
    """The documents of every seed file, sorted by name; only what is a mapping."""
    files = sorted(path for pattern in SEEDS for path in ROOT.glob(pattern))
    found = [_documents(path) for path in files]
    return [documents for documents in found if documents]


def _documents(path: Path) -> list[dict[str, Any]]:
    return list(_objects(_read(path.read_text(encoding="utf-8"))))


def _read(text: str) -> list[Any]:
    """Nothing for a text that is an example of what YAML cannot be."""
    try:
        return list(yaml.load_all(text, Loader=yaml.CSafeLoader))
    except yaml.YAMLError:
        return []


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """API objects at any depth, also those that a test case holds as a text."""
    if isinstance(value, dict) and "kind" in value:
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _objects(each)
    elif isinstance(value, str) and "kind:" in value:
        yield from _objects(_read(value))


def case(corpus: Sequence[list[dict[str, Any]]], seed: int, number: int) -> bytes:
    """The text of one case: a few documents of a seed file, with one to six mutations."""
    random = Random(f"{seed}/{number}")
    source = random.choice(corpus)
    documents = json.loads(json.dumps(random.sample(source, min(len(source), 6)), default=str))
    if random.random() < 0.7:
        for _ in range(random.randint(1, 4)):
            _mutate_values(random, documents)
    text = _written(random, documents)
    if random.random() < 0.45:
        for _ in range(random.randint(1, 4)):
            text = _mutate_text(random, text)
    data = text.encode("utf-8", "surrogatepass" if random.random() < 0.5 else "replace")
    return _mutate_bytes(random, data) if random.random() < 0.1 else data


def _written(random: Random, documents: list[Any]) -> str:
    """As JSON or YAML, as documents or as one List."""
    if random.random() < 0.2:
        documents = [{"apiVersion": "v1", "kind": "List", "items": documents}]
    if random.random() < 0.4:
        try:
            return "\n".join(
                json.dumps(each, indent=random.choice((None, 1))) for each in documents
            )
        except (ValueError, RecursionError, MemoryError):
            pass  # a cycle, or shared parts that JSON would write out: only YAML can say that
    style = random.choice((None, False, True))
    try:
        return yaml.dump_all(documents, Dumper=yaml.CSafeDumper, default_flow_style=style)
    except (yaml.YAMLError, UnicodeEncodeError, RecursionError) as error:
        # Half a surrogate pair, say: JSON can write it, and mutated bytes have it as well.
        return f"# {type(error).__name__} while this was written\n"


# -- values


def _paths(value: Any, seen: set[int]) -> Iterator[Path_]:
    if id(value) in seen:
        return
    if isinstance(value, dict | list):
        seen.add(id(value))
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        for key in keys:
            yield value, key
            yield from _paths(value[key], seen)


def _hostile(random: Random) -> Any:
    """A copy: mutations change values in place, and a case must not depend on those before it."""
    return deepcopy(random.choice(HOSTILE_VALUES))


def _mutate_values(random: Random, documents: list[Any]) -> None:
    paths = list(_paths(documents, set()))
    if not paths:
        documents.append({"kind": _hostile(random)})
        return
    container, key = random.choice(paths)
    random.choice(_VALUE_MUTATIONS)(random, container, key, paths)


def _delete(_: Random, container: Any, key: Any, __: list[Path_]) -> None:
    del container[key]


def _replace(random: Random, container: Any, key: Any, _: list[Path_]) -> None:
    container[key] = _hostile(random)


def _transplant(random: Random, container: Any, key: Any, paths: list[Path_]) -> None:
    """Another value of the same text: shared, so YAML writes an alias, or even a cycle."""
    other, at = random.choice(paths)
    container[key] = other[at]


def _double(random: Random, container: Any, key: Any, _: list[Path_]) -> None:
    if isinstance(container, list):
        container[key:key] = [container[key]] * random.choice((1, 2, 300))
    else:
        container[str(key).swapcase()] = container[key]


def _rename(random: Random, container: Any, key: Any, _: list[Path_]) -> None:
    if isinstance(container, dict):
        container[random.choice((*KEYS, *HOSTILE_TEXTS))] = container.pop(key)
    else:
        random.shuffle(container)


def _add(random: Random, container: Any, key: Any, _: list[Path_]) -> None:
    target = container[key]
    if isinstance(target, dict):
        target[random.choice(KEYS)] = _hostile(random)
    elif isinstance(target, list):
        target.append(_hostile(random))
    else:
        container[key] = [target]


def _wrap(random: Random, container: Any, key: Any, __: list[Path_]) -> None:
    value = container[key]
    for _ in range(random.choice((1, 2, 50, 120))):
        value = {random.choice(KEYS): value} if random.random() < 0.5 else [value]
    container[key] = value


_VALUE_MUTATIONS: tuple[Callable[[Random, Any, Any, list[Path_]], None], ...] = (
    _delete,
    _delete,
    _replace,
    _replace,
    _replace,
    _replace,
    _transplant,
    _double,
    _rename,
    _add,
    _wrap,
)


# -- text


def _span(random: Random, length: int) -> tuple[int, int]:
    start = random.randrange(length + 1)
    return start, min(length, start + random.choice((0, 1, 1, 2, 8, 60)))


def _mutate_text(random: Random, text: str) -> str:
    start, end = _span(random, len(text))
    match random.randrange(6):
        case 0:
            return text[:start] + text[end:]
        case 1:
            return text[:end] + text[start:end] * random.choice((1, 2, 20)) + text[end:]
        case 2:
            return text[:start]
        case 3:
            other, to = _span(random, len(text))
            return text[:start] + text[other:to] + text[end:]
        case _:
            return text[:start] + random.choice(SNIPPETS) + text[end:]


def _mutate_bytes(random: Random, data: bytes) -> bytes:
    changed = bytearray(data or b"\0")
    for _ in range(random.randint(1, 8)):
        changed[random.randrange(len(changed))] = random.randrange(256)
    if random.random() < 0.1:
        return data.decode("utf-8", "replace").encode(random.choice(("utf-16", "utf-32-be")))
    return bytes(changed)
