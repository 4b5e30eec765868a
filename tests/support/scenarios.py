"""Spec files -> scenarios: a cluster, and flows with the expected answer.

Rule: a file that says less or more than it means is an error (an unknown key, a denied case without
its direction, a pod that nobody defined), so that no case is ever left out.

A clause file (``np-24.yaml``; variants ``np-24-name.yaml``) has ``clause``, ``title``,
``manifests`` (plain Kubernetes YAML), ``cases`` and, where domain names matter, ``names`` (name ->
addresses). A case:

=============  =====================================================================================
``from, to``   ``namespace/name`` of a pod or a pattern of them, or an address; one or a list
``port``       destination port, one or a list; 80 unless given
``protocol``   TCP unless given, UDP, SCTP or ICMP; one or a list
``family``     4 or 6; both families that the two ends share unless given
``allowed``    the expected answer
``denied_by``  for ``allowed: false``: ``egress``, ``ingress`` or ``both``
=============  =====================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from io import BytesIO
from ipaddress import ip_address
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from podfence.manifests.load import load
from podfence.model.cluster import Cluster
from podfence.policy.flow import Flow
from podfence.sets.addresses import IPAddress
from podfence.sets.ports import OTHER
from tests.support.oracle_facts import Names

SPEC = Path(__file__).parents[1] / "spec"
E2E = SPEC / "e2e.yaml"
CONFORMANCE = SPEC / "conformance.yaml"
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
    """One cluster and everything that is expected of it.

    ``clause``: an NP, CNP or E number, or the name of a conformance case. ``names``: what domain
    names stand for.
    """

    name: str
    clause: str
    title: str
    cluster: Cluster
    expectations: tuple[Expectation, ...]
    names: Names = field(default_factory=dict)


def clause_files() -> list[Path]:
    """Every file that shows one clause."""
    return sorted((*SPEC.glob("np-*.yaml"), *SPEC.glob("cnp-*.yaml")))


@cache
def clause_scenario(path: Path) -> Scenario:
    """The scenario of one clause file."""
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    _only(data, {"clause", "title", "manifests", "cases", "names"}, path.name)
    names = {
        name: frozenset(map(ip_address, addresses))
        for name, addresses in data.get("names", {}).items()
    }
    cluster = cluster_from(data["manifests"], path.name)
    expectations = [e for case in data["cases"] for e in _expand(cluster, case, path.name)]
    return Scenario(path.name, data["clause"], data["title"], cluster, tuple(expectations), names)


@cache
def staged_tests(path: Path) -> Mapping[str, Any]:
    """A file of tests with stages (end-to-end or conformance) as it is written."""
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    _only(data, {"manifests", "tests"}, path.name)
    for test in data["tests"]:
        _only(test, {"number", "title", "stages"}, path.name)
    return dict(data)


def stages(path: Path) -> list[str]:
    """``E20.2``: the second stage of test E20."""
    return [
        f"{test['number']}.{number}"
        for test in staged_tests(path)["tests"]
        for number in range(1, len(test["stages"]) + 1)
    ]


@cache
def e2e_scenario(name: str) -> Scenario:
    """The scenario of one stage of one end-to-end test: ``blocked`` is a matrix of all pods."""
    test, stage, cluster = _stage(E2E, name, "blocked")
    expectations = [
        expectation
        for port, patterns in stage["blocked"].items()
        for expectation in _matrix(cluster, port, patterns)
    ]
    return Scenario(name, test["number"], test["title"], cluster, tuple(expectations))


@cache
def conformance_scenario(name: str) -> Scenario:
    """The scenario of one stage of one conformance case: ``cases`` as in a clause file, with
    patterns of pods (``harry/*``) as ends."""
    test, stage, cluster = _stage(CONFORMANCE, name, "cases")
    expectations = [e for case in stage["cases"] for e in _expand(cluster, case, name)]
    return Scenario(name, test["number"], test["title"], cluster, tuple(expectations))


def cluster_from(text: str, name: str) -> Cluster:
    """The cluster that manifests describe; raises ValueError when any of them has an error that
    makes its meaning unclear."""
    loaded = load(["-"], stdin=BytesIO(text.encode()))
    if errors := [problem.message for problem in loaded.errors if not problem.refused_only]:
        raise ValueError(f"{name}: " + "; ".join(errors))
    return loaded.cluster


def _stage(path: Path, name: str, expected: str) -> tuple[Mapping[str, Any], Any, Cluster]:
    """The test, the stage and the cluster of ``E20.2``; the stage has the key ``expected``."""
    number, _, at = name.partition(".")
    data = staged_tests(path)
    test = next(test for test in data["tests"] if test["number"] == number)
    stage = test["stages"][int(at) - 1]
    _only(stage, {"manifests", expected}, name)
    return test, stage, cluster_from(f"{data['manifests']}\n---\n{stage['manifests']}", name)


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
        _pods_or_addresses(cluster, case["from"]),
        _pods_or_addresses(cluster, case["to"]),
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


def _pods_or_addresses(cluster: Cluster, value: Any) -> list[str]:
    """Each pattern of pods (``x/*``) becomes the pods that it matches, at least one."""
    found: list[str] = []
    for text in _list(value):
        pods = [f"{pod.namespace}/{pod.name}" for pod in cluster.pods] if "*" in text else [text]
        matching = [pod for pod in pods if fnmatchcase(pod, text)]
        if not matching:
            raise ValueError(f"no pod matches {text}")
        found += matching
    return found


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
