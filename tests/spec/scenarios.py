"""Spec files -> scenarios: a cluster, and flows with the expected answer.

Rule: a file that says less or more than it means is an error (an unknown key, a denied case without
its direction, a pod that nobody defined), so that no case is ever passed over.

A clause file (``np-24.yaml``; variants ``np-24-name.yaml``) has ``clause``, ``title``,
``manifests`` (plain Kubernetes YAML) and ``cases``. A case:

=============  =====================================================================================
``from, to``   ``namespace/name`` of a pod, or an address; one or a list
``port``       destination port, one or a list; 80 unless given
``protocol``   TCP unless given, UDP, SCTP or ICMP; one or a list
``family``     4 or 6; both families that the two ends share unless given
``allowed``    the expected answer
``denied_by``  for ``allowed: false``: ``egress``, ``ingress`` or ``both``
=============  =====================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from io import BytesIO
from ipaddress import ip_address
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from podfence.edge.load import load
from podfence.model.cluster import Cluster
from podfence.model.objects import IPAddress
from podfence.policy.flow import Flow
from podfence.sets.ports import OTHER

SPEC = Path(__file__).parent
E2E = SPEC / "e2e.yaml"
CASE_KEYS = {"from", "to", "port", "protocol", "family", "allowed", "denied_by"}
DENIED_BY = {"egress": (False, True), "ingress": (True, False), "both": (False, False)}


@dataclass(frozen=True)
class Expectation:
    """``egress``/``ingress`` None: the file states the conjunction only. ``text``: as written."""

    flow: Flow
    allowed: bool
    egress: bool | None
    ingress: bool | None
    text: str


@dataclass(frozen=True)
class Scenario:
    """One cluster and everything that is expected of it; ``clause`` is an NP or E number."""

    name: str
    clause: str
    title: str
    cluster: Cluster
    expectations: tuple[Expectation, ...]


def clause_files() -> list[Path]:
    """Every file that shows one clause."""
    return sorted(SPEC.glob("np-*.yaml"))


@cache
def clause_scenario(path: Path) -> Scenario:
    """The scenario of one clause file."""
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    _only(data, {"clause", "title", "manifests", "cases"}, path.name)
    cluster = cluster_from(data["manifests"], path.name)
    expectations = [e for case in data["cases"] for e in _expand(cluster, case, path.name)]
    return Scenario(path.name, data["clause"], data["title"], cluster, tuple(expectations))


@cache
def e2e_tests() -> Mapping[str, Any]:
    """The end-to-end file as it is written."""
    data = yaml.safe_load(E2E.read_text(encoding="utf-8"))
    _only(data, {"manifests", "tests"}, E2E.name)
    for test in data["tests"]:
        _only(test, {"number", "title", "stages"}, E2E.name)
    return dict(data)


def e2e_stages() -> list[str]:
    """``E20.2``: the second stage of test E20."""
    return [
        f"{test['number']}.{number}"
        for test in e2e_tests()["tests"]
        for number in range(1, len(test["stages"]) + 1)
    ]


@cache
def e2e_scenario(name: str) -> Scenario:
    """The scenario of one stage of one end-to-end test."""
    number, _, stage = name.partition(".")
    data = e2e_tests()
    test = next(test for test in data["tests"] if test["number"] == number)
    return _stage(data["manifests"], test, name, test["stages"][int(stage) - 1])


def cluster_from(text: str, name: str) -> Cluster:
    """The cluster that manifests describe; raises ValueError when any of them has an error."""
    loaded = load(["-"], stdin=BytesIO(text.encode()))
    if loaded.errors:
        raise ValueError(f"{name}: " + "; ".join(problem.message for problem in loaded.errors))
    return loaded.cluster


def _stage(base: str, test: Mapping[str, Any], name: str, stage: Mapping[str, Any]) -> Scenario:
    _only(stage, {"manifests", "blocked"}, name)
    cluster = cluster_from(f"{base}\n---\n{stage['manifests']}", name)
    expectations = [
        expectation
        for port, patterns in stage["blocked"].items()
        for expectation in _matrix(cluster, port, patterns)
    ]
    return Scenario(name, test["number"], test["title"], cluster, tuple(expectations))


def _matrix(cluster: Cluster, port: str, patterns: Sequence[str]) -> Iterator[Expectation]:
    """Every pod to every other pod in each family; blocked is what some pattern matches."""
    number, _, protocol = port.partition("/")
    pods = [f"{pod.namespace}/{pod.name}" for pod in cluster.pods]
    for source, destination in product(pods, pods):
        if source == destination:
            continue
        blocked = any(_blocks(pattern, source, destination) for pattern in patterns)
        for a, b in _pairs(_ends(cluster, source), _ends(cluster, destination), None):
            text = f"{source} ({a}) -> {destination} ({b}) {port}"
            yield Expectation(Flow(a, b, protocol, int(number)), not blocked, None, None, text)


def _blocks(pattern: str, source: str, destination: str) -> bool:
    sources, arrow, destinations = pattern.partition(" -> ")
    if not arrow:
        raise ValueError(f"{pattern!r} is not of the form 'from -> to'")
    return _one_of(sources, source) and _one_of(destinations, destination)


def _one_of(words: str, pod: str) -> bool:
    """``x/* y/a !x/c``: some word matches and no word after ``!`` does."""
    wanted = [word for word in words.split() if not word.startswith("!")]
    unwanted = [word[1:] for word in words.split() if word.startswith("!")]
    return any(fnmatchcase(pod, w) for w in wanted) and not any(
        fnmatchcase(pod, w) for w in unwanted
    )


def _expand(cluster: Cluster, case: Mapping[str, Any], name: str) -> Iterator[Expectation]:
    _only(case, CASE_KEYS, name)
    egress, ingress = (True, True) if case["allowed"] else DENIED_BY[case["denied_by"]]
    if case["allowed"] and "denied_by" in case:
        raise ValueError(f"{name}: {case} is allowed, so nothing denies it")
    for source, destination, protocol, port in product(
        _list(case["from"]),
        _list(case["to"]),
        _list(case.get("protocol", "TCP")),
        _list(case.get("port", 80)),
    ):
        pairs = list(
            _pairs(_ends(cluster, source), _ends(cluster, destination), case.get("family"))
        )
        if not pairs:
            raise ValueError(f"{name}: {source} and {destination} share no address family")
        for a, b in pairs:
            flow = Flow(a, b, OTHER, 0) if protocol == "ICMP" else Flow(a, b, protocol, port)
            text = f"{source} ({a}) -> {destination} ({b}) {protocol}/{port}"
            yield Expectation(flow, case["allowed"], egress, ingress, text)


def _pairs(
    sources: Sequence[IPAddress], destinations: Sequence[IPAddress], family: int | None
) -> Iterator[tuple[IPAddress, IPAddress]]:
    for a, b in product(sources, destinations):
        if a.version == b.version and family in (None, a.version):
            yield a, b


def _ends(cluster: Cluster, text: str) -> tuple[IPAddress, ...]:
    """The addresses of a pod, or one literal address; raises ValueError for an unknown pod."""
    if "/" not in text:
        return (ip_address(text),)
    for pod in cluster.pods:
        if f"{pod.namespace}/{pod.name}" == text:
            return pod.addresses
    raise ValueError(f"no pod {text}")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _only(data: Mapping[str, Any], keys: set[str], name: str) -> None:
    unknown = sorted(set(data) - keys)
    if unknown:
        raise ValueError(f"{name}: unknown keys {unknown}; known are {sorted(keys)}")
