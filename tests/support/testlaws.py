"""Tests of test files judged one connection at a time, and random ones to try it on.

Rule: nothing of ``podfence.questions.tests`` but the status and the counterexample that it gives is
used: ends, ports and pairs are read here from the words of the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network
from itertools import islice
from random import Random
from typing import Any

from msgspec import Struct

from podfence.model.cluster import Cluster
from podfence.model.objects import Pod
from podfence.policy.domains import DomainTable
from podfence.questions.tests.judge import Result, ResultStatus
from podfence.sets.addresses import IPAddress
from podfence.sets.ports import OTHER
from tests.support.oracle import judge
from tests.support.random_clusters import interesting_addresses, interesting_ports
from tests.support.random_policies import NAMESPACES

Json = Mapping[str, Any]
BLOCKS = ("10.0.0.0/29", "10.0.0.0/30", "0.0.0.0/0", "fd00::/126", "192.0.2.0/24")
PORTS = ("80", "53/udp", "80-8080", "tcp", "any", "icmp", "http", "p-1/udp", "1-65535/sctp")


class End(Struct, frozen=True):
    """One end of a connection: a pod at one of its addresses, or an address of nobody."""

    address: IPAddress
    pod: Pod | None = None

    @property
    def is_coming(self) -> bool:
        return self.pod is not None and self.pod.name.startswith("+")


class Naive:
    """Reads one prepared cluster."""

    def __init__(
        self, cluster: Cluster, certain: Mapping[IPAddress, Pod], names: DomainTable
    ) -> None:
        """``certain``: the addresses that are a pod's for sure."""
        self.cluster = cluster
        self.names = names
        claimed = {a for pod in cluster.pods for a in pod.addresses if not pod.host_network}
        self.nodes = {a for node in cluster.nodes.values() for a in node.addresses}
        self.nodes |= {a for pod in cluster.pods for a in pod.host_addresses}
        self.nodes |= {a for pod in cluster.pods if pod.host_network for a in pod.addresses}
        self.ends = [End(address, pod) for address, pod in certain.items()]
        for family in (4, 6):
            others = {*interesting_addresses(cluster, family)}
            others |= {a for a in self.nodes if a.version == family}
            others |= {a for a in _in_blocks() if a.version == family}
            self.ends += [End(a) for a in sorted(others - claimed, key=int)]
        self.ports = [
            *((p, n) for p in ("TCP", "UDP", "SCTP") for n in interesting_ports(cluster)),
            (OTHER, 0),
        ]

    # -- what words mean

    def holds(self, end: Any, where: End, *, coming: bool) -> bool:
        """``coming``: whether words hold pods to come, too."""
        if isinstance(end, list):
            return any(self.holds(each, where, coming=coming) for each in end)
        if isinstance(end, Mapping):
            return (
                where.is_coming
                and where.pod is not None
                and where.pod.namespace == end["namespace"]
                and dict(where.pod.labels) == end["newcomer"]
            )
        pod = where.pod
        if end == "outside":
            return pod is None and where.address not in self.nodes
        if end[0].isdigit() or end.startswith("fd"):
            inside = where.address in ip_network(end, strict=False)
            return inside and not where.is_coming
        if pod is None or (where.is_coming and (not coming or pod.labels)):
            return False
        namespace, _, rest = end.partition("/")
        if end == "*" or (namespace == pod.namespace and rest == "*"):
            return True
        if "=" in rest:
            wanted = dict(pair.split("=") for pair in rest.split(","))
            return namespace == pod.namespace and wanted.items() <= dict(pod.labels).items()
        return not where.is_coming and end == f"{pod.namespace}/{pod.name}"

    def asks(self, words: Sequence[str] | None, protocol: str, port: int, pod: Pod | None) -> bool:
        return words is None or any(_asks(word, protocol, port, pod) for word in words)

    # -- pairs

    def pairs(self) -> Iterator[tuple[End, End]]:
        for source in self.ends:
            for destination in self.ends:
                if source.address.version != destination.address.version:
                    continue
                if source.pod is None and destination.pod is None:
                    continue
                if source.pod is not None and source.pod == destination.pod:
                    continue
                if source.pod is None and self._is_own_node(source.address, destination.pod):
                    continue
                yield source, destination

    def _is_own_node(self, address: IPAddress, pod: Pod | None) -> bool:
        if pod is None:
            return False
        node = self.cluster.nodes.get(pod.node)
        if address in pod.host_addresses or (node is not None and address in node.addresses):
            return True
        return any(
            other.node == pod.node and pod.node and address in _of_host(other)
            for other in self.cluster.pods
        )

    def allowed(
        self, source: End, destination: End, protocol: str, port: int, by: str | None
    ) -> bool:
        found = judge(self.cluster, source.address, destination.address, protocol, port, self.names)
        return {"egress": found.egress_allowed, "ingress": found.ingress_allowed}.get(
            by or "", found.allowed
        )


def _in_blocks() -> Iterator[IPAddress]:
    """The first addresses of the blocks that tests name: between those of pods, too."""
    for block in map(ip_network, BLOCKS):
        yield from islice(block, 8)


def _of_host(pod: Pod) -> tuple[IPAddress, ...]:
    return (*pod.host_addresses, *(pod.addresses if pod.host_network else ()))


def _asks(word: str, protocol: str, port: int, pod: Pod | None) -> bool:
    if word == "any":
        return True
    if word == "icmp":
        return protocol == OTHER
    if word.upper() in ("TCP", "UDP", "SCTP"):
        return protocol == word.upper()
    number, _, suffix = word.partition("/")
    if protocol != (suffix.upper() or "TCP"):
        return False
    if number[0].isdigit():
        low, _, high = number.partition("-")
        return int(low) <= port <= int(high or low)
    return pod is not None and any(
        (each.name, each.protocol.value, each.port) == (number, protocol, port)
        for each in pod.ports
    )


def counterexample(test: Json, naive: Naive) -> tuple[End, End, str, int] | None:
    """A connection that is not as the test says; for ``some``: None if one is."""
    by, ports = test.get("by"), test.get("ports")
    some: tuple[End, End, str, int] | None = None
    for source, destination in naive.pairs():
        for protocol, port in naive.ports:
            if not naive.asks(ports, protocol, port, destination.pod):
                continue
            must = _must(test, naive, source, destination, protocol, port)
            if must is None:
                continue
            case = source, destination, protocol, port
            allowed = naive.allowed(*case, by)
            if test.get("expect") == "some":
                if allowed:
                    return None
                some = some or case
            elif allowed is not must:
                return case
    return some


def _must(
    test: Json, naive: Naive, source: End, destination: End, protocol: str, port: int
) -> bool | None:
    """Whether a connection has to be allowed; None: the test does not look at it."""
    if "only" in test:
        return _must_of_only(test, naive, source, destination, protocol, port)
    if not naive.holds(test["from"], source, coming=False):
        return None
    if not naive.holds(test["to"], destination, coming=False):
        return None
    for each in test.get("unless", ()):
        if (
            ("from" not in each or naive.holds(each["from"], source, coming=False))
            and ("to" not in each or naive.holds(each["to"], destination, coming=False))
            and naive.asks(each.get("ports"), protocol, port, destination.pod)
        ):
            return None
    return bool(test["expect"] != "deny")


def _must_of_only(
    test: Json, naive: Naive, source: End, destination: End, protocol: str, port: int
) -> bool | None:
    key = "from" if "to" in test else "to"
    subject, other = (destination, source) if key == "from" else (source, destination)
    if not naive.holds(test["to" if key == "from" else "from"], subject, coming=False):
        return None
    covered = required = False
    for entry in test["only"]:
        if naive.asks(entry["ports"], protocol, port, destination.pod):
            covered |= naive.holds(entry[key], other, coming=True)
            required |= not entry.get("optional") and naive.holds(entry[key], other, coming=False)
    if required:
        return True
    is_of_another_test = other.is_coming and other.pod is not None and bool(other.pod.labels)
    return None if covered or is_of_another_test else False


def check(test: Json, result: Result, naive: Naive) -> None:
    """The result is that of asking one connection after the other."""
    found = counterexample(test, naive)
    if result.status is ResultStatus.PASSED:
        assert found is None, (test, found)
    elif result.status is ResultStatus.FAILED:
        witness = result.witness
        assert witness is not None, test
        by = {where.address: where for where in naive.ends}
        source = by.get(witness.source_address, End(witness.source_address))
        destination = by.get(witness.destination_address, End(witness.destination_address))
        case = source, destination, witness.protocol, witness.port
        assert naive.allowed(*case, test.get("by")) is witness.allowed, (test, witness)
        must = _must(test, naive, *case)
        assert must is (not witness.allowed), (test, witness)
        if test.get("expect") == "some":
            assert found is not None, (test, witness)


# -- random tests


def random_test(rng: Random, cluster: Cluster, name: str) -> Json:
    """A test of any sort about a cluster."""
    test: dict[str, Any] = {"name": name, "allowEmpty": True}
    if rng.random() < 0.7:
        test["ports"] = _ports(rng)
    if rng.random() < 0.25:
        test["by"] = rng.choice(("ingress", "egress"))
    if rng.random() < 0.4:
        key = rng.choice(("from", "to"))
        test["to" if key == "from" else "from"] = _end(rng, cluster)
        test["only"] = [
            {
                key: _ends(rng, cluster),
                "ports": _ports(rng),
                **({"optional": True} if rng.random() < 0.5 else {}),
            }
            for _ in range(rng.choice((1, 2, 3)))
        ]
        return test
    test |= {"from": _ends(rng, cluster), "to": _ends(rng, cluster)}
    test["expect"] = rng.choice(("allow", "deny", "deny", "some"))
    if rng.random() < 0.4:
        test["unless"] = [_exception(rng, cluster) for _ in range(rng.choice((1, 2)))]
    return test


def _exception(rng: Random, cluster: Cluster) -> Json:
    found: dict[str, Any] = {}
    while not found:
        if rng.random() < 0.6:
            found["from"] = _ends(rng, cluster)
        if rng.random() < 0.6:
            found["to"] = _ends(rng, cluster)
    if rng.random() < 0.6:
        found["ports"] = _ports(rng)
    return found


def _ports(rng: Random) -> list[str]:
    # A port that names every port means something else in an entry of only: it is left out.
    return rng.sample([word for word in PORTS if word != "any"], rng.choice((1, 1, 2)))


def _ends(rng: Random, cluster: Cluster) -> list[Any]:
    return [_end(rng, cluster) for _ in range(rng.choice((1, 1, 2)))]


def _end(rng: Random, cluster: Cluster) -> Any:
    choice = rng.random()
    pods = [pod for pod in cluster.pods if not pod.host_network]
    if choice < 0.3 and pods:
        pod = rng.choice(pods)
        return f"{pod.namespace}/{pod.name}"
    if choice < 0.45:
        return f"{rng.choice(NAMESPACES)}/*"
    if choice < 0.55:
        return "*"
    if choice < 0.7:
        return f"{rng.choice(NAMESPACES)}/app={rng.choice('ab')}"
    if choice < 0.8:
        return "outside"
    if choice < 0.92:
        return rng.choice(BLOCKS)
    labels = {"app": rng.choice("ab")} if rng.random() < 0.7 else {}
    return {"namespace": rng.choice(NAMESPACES), "newcomer": labels}
