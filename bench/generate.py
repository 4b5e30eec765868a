"""Made-up clusters of any size, for benchmarks and for trying things out.

    python -m bench.generate OUT --namespaces 20 --pods 500 --policies 300 --seed 1

Rule: the same arguments give the same bytes, on every machine and in every later run of the same
version. Pods carry addresses and named ports, policies come in every shape that people write.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path
from random import Random
from typing import Any, Final

from msgspec import Struct

Manifest = dict[str, Any]

_ROLES: Final = {
    "web": ("http", "https", "metrics"),
    "api": ("http", "grpc", "metrics"),
    "store": ("sql", "metrics"),
    "queue": ("sql", "syslog"),
    "probe": ("metrics", "syslog", "diameter"),
}
"""Role of a workload -> the names of its ports."""
_PORTS: Final[dict[str, tuple[str, tuple[int, ...]]]] = {
    "http": ("TCP", (80, 3000, 8080)),
    "https": ("TCP", (443, 8443)),
    "grpc": ("TCP", (50051, 50052)),
    "metrics": ("TCP", (9090, 9100)),
    "sql": ("TCP", (3306, 5432, 6379)),
    "syslog": ("UDP", (514, 1514)),
    "diameter": ("SCTP", (3868,)),
}
"""Port name -> protocol, and the numbers it may stand for: NP-32 makes that matter."""
_TEAMS: Final = ("atlas", "basil", "cedar", "delta", "ember", "flint")
_STAGES: Final = ("prod", "staging", "dev")
_BLOCKS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("0.0.0.0/0", ("10.0.0.0/8", "192.168.0.0/16")),
    ("198.51.100.0/24", ()),
    ("203.0.113.0/24", ("203.0.113.128/25",)),
    ("192.0.2.16/28", ()),
    ("10.64.0.0/12", ()),
)
_V6_BLOCKS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("::/0", ("fd00::/8",)),
    ("2001:db8::/32", ("2001:db8:1::/48",)),
)
_V4_PODS: Final = int(ip_address("10.64.0.0"))
_V6_PODS: Final = int(ip_address("fd64::"))
_V4_NODES: Final = int(ip_address("172.20.0.0"))
_PODS_A_NODE: Final = 100

_KINDS: Final = {
    "same-namespace": 24,
    "namespace": 12,
    "namespace-and-pod": 14,
    "namespace-or-pod": 8,
    "expressions": 12,
    "block": 8,
    "named-port": 8,
    "port-range": 5,
    "several-rules": 5,
    "everything": 2,
    "nobody": 2,
}
"""Shape of a policy -> how often it is drawn, after the policies that isolate whole namespaces."""


class Shape(Struct, frozen=True):
    """What to make. ``replicas``: pods of one workload, which differ in their addresses alone."""

    namespaces: int = 5
    pods: int = 50
    policies: int = 20
    replicas: int = 1
    seed: int = 1
    dual_stack: bool = False


def generate(shape: Shape) -> tuple[list[Manifest], list[Manifest]]:
    """Namespaces, nodes and pods; and the policies.

    Raises ValueError when a number is below what can be made.
    """
    if min(shape.namespaces, shape.pods, shape.replicas) < 1 or shape.policies < 0:
        raise ValueError("namespaces, pods and replicas are at least 1, policies at least 0")
    maker = _Maker(shape)
    return [*maker.namespaces, *maker.nodes(), *maker.pods], list(maker.policies())


class _Maker:
    """Draws everything from one random source, in one order."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._random = Random(shape.seed)
        self._names = [f"ns-{number:03d}" for number in range(shape.namespaces)]
        self._blocks = _BLOCKS + (_V6_BLOCKS if shape.dual_stack else ())
        self.namespaces = [self._namespace(name) for name in self._names]
        self.pods: list[Manifest] = []
        self._labels: dict[str, list[dict[str, str]]] = {name: [] for name in self._names}
        for number in range(-(-shape.pods // shape.replicas)):
            self._workload(number, min(shape.replicas, shape.pods - len(self.pods)))

    # -- the cluster

    def _namespace(self, name: str) -> Manifest:
        labels = {
            "kubernetes.io/metadata.name": name,
            "team": self._random.choice(_TEAMS),
            "stage": self._random.choice(_STAGES),
        }
        return {"apiVersion": "v1", "kind": "Namespace", "metadata": _named(name, labels=labels)}

    def nodes(self) -> Iterator[Manifest]:
        """As many as the pods need."""
        for number in range(-(-len(self.pods) // _PODS_A_NODE)):
            yield {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": _named(f"node-{number}"),
                "status": {"addresses": [{"type": "InternalIP", "address": _host(number)}]},
            }

    def _workload(self, number: int, replicas: int) -> None:
        namespace = self._random.choice(self._names)
        role = self._random.choice(list(_ROLES))
        labels = {
            "app": f"{role}-{self._random.randrange(4)}",
            "role": role,
            "stage": self._random.choice(_STAGES),
            "version": f"v{self._random.randrange(1, 4)}",
        }
        if self._random.random() < 0.1:
            labels["canary"] = "true"
        ports = [self._container_port(name) for name in _ROLES[role]]
        self._labels[namespace].append(labels)
        for replica in range(replicas):
            metadata = _named(f"{role}-{number}-{replica}", namespace, labels)
            if self._shape.replicas > 1:
                metadata["ownerReferences"] = [_owner(f"{role}-{number}", number)]
            self.pods.append(self._pod(metadata, ports))

    def _container_port(self, name: str) -> Manifest:
        protocol, numbers = _PORTS[name]
        number = self._random.choice(numbers)
        return {"name": name, "containerPort": number, "protocol": protocol}

    def _pod(self, metadata: Manifest, ports: list[Manifest]) -> Manifest:
        number = len(self.pods)
        addresses = [str(ip_address(_V4_PODS + 1 + number))]
        if self._shape.dual_stack:
            addresses.append(str(ip_address(_V6_PODS + 1 + number)))
        node = number // _PODS_A_NODE
        container = {"name": "main", "image": "registry.example/app:1", "ports": ports}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": {"nodeName": f"node-{node}", "containers": [container]},
            "status": {
                "phase": "Running",
                "hostIP": _host(node),
                "podIP": addresses[0],
                "podIPs": [{"ip": address} for address in addresses],
            },
        }

    # -- policies

    def policies(self) -> Iterator[Manifest]:
        """First those that isolate whole namespaces, then a mixture."""
        kinds, weights = list(_KINDS), list(_KINDS.values())
        for number in range(self._shape.policies):
            if number < len(self._names):
                types = (["Ingress"], ["Egress"], ["Ingress", "Egress"])[number % 3]
                spec = {"podSelector": {}, "policyTypes": types}
                yield _policy(f"isolate-{number}", self._names[number], spec)
            else:
                kind = self._random.choices(kinds, weights)[0]
                namespace = self._random.choice(self._names)
                yield _policy(f"{kind}-{number}", namespace, self._spec(kind, namespace))

    def _spec(self, kind: str, namespace: str) -> Manifest:
        subject = self._subject(kind, namespace)
        directions = ["ingress", "egress"]
        if kind != "several-rules":
            directions = [self._random.choice(("ingress", "ingress", "egress"))]
        spec: Manifest = {
            "podSelector": subject,
            "policyTypes": [direction.capitalize() for direction in directions],
        }
        for direction in directions:
            count = 1 if kind != "several-rules" else self._random.randint(1, 3)
            spec[direction] = [self._rule(kind, namespace, direction) for _ in range(count)]
        return spec

    def _subject(self, kind: str, namespace: str) -> Manifest:
        if kind == "nobody":
            return {"matchLabels": {"app": "retired"}}
        return {} if self._random.random() < 0.15 else self._pods_of(namespace)

    def _rule(self, kind: str, namespace: str, direction: str) -> Manifest:
        if kind == "everything":
            return {}
        peers = self._peers(kind, namespace)
        return {"from" if direction == "ingress" else "to": peers, "ports": self._ports(kind)}

    def _peers(self, kind: str, namespace: str) -> list[Manifest]:
        if kind in ("namespace", "named-port"):
            return [{"namespaceSelector": self._namespaces()}]
        if kind == "namespace-and-pod":
            pods = self._pods_of(self._random.choice(self._names))
            return [{"namespaceSelector": self._namespaces(), "podSelector": pods}]
        if kind in ("namespace-or-pod", "several-rules"):
            pods = self._pods_of(namespace)
            return [{"namespaceSelector": self._namespaces()}, {"podSelector": pods}]
        if kind == "expressions":
            return [{"namespaceSelector": {}, "podSelector": self._expressions()}]
        if kind == "block":
            cidr, excepted = self._random.choice(self._blocks)
            block: Manifest = {"cidr": cidr}
            return [{"ipBlock": block | ({"except": list(excepted)} if excepted else {})}]
        return [{"podSelector": self._pods_of(namespace)}]

    def _pods_of(self, namespace: str) -> Manifest:
        """Labels that some pod of the namespace has, where it has any pod."""
        known = self._labels[namespace] or [{"app": "web-0", "role": "web"}]
        labels = self._random.choice(known)
        keys = self._random.sample(sorted(labels), 1 if self._random.random() < 0.7 else 2)
        return {"matchLabels": {key: labels[key] for key in sorted(keys)}}

    def _namespaces(self) -> Manifest:
        labels = self._random.choice(self.namespaces)["metadata"]["labels"]
        key = self._random.choice(sorted(labels))
        return {"matchLabels": {key: labels[key]}}

    def _expressions(self) -> Manifest:
        roles = sorted(self._random.sample(sorted(_ROLES), 2))
        choices: tuple[list[Manifest], ...] = (
            [{"key": "role", "operator": "In", "values": roles}],
            [{"key": "role", "operator": "NotIn", "values": roles}],
            [{"key": "canary", "operator": "Exists"}],
            [
                {"key": "canary", "operator": "DoesNotExist"},
                {"key": "version", "operator": "In", "values": ["v1", "v2"]},
            ],
        )
        return {"matchExpressions": self._random.choice(choices)}

    def _ports(self, kind: str) -> list[Manifest]:
        if kind == "port-range":
            low = self._random.choice((1024, 8000, 30000))
            high = low + self._random.choice((10, 99, 2000))
            return [{"protocol": "TCP", "port": low, "endPort": high}]
        names = self._random.sample(sorted(_PORTS), self._random.choice((1, 1, 2)))
        if kind == "named-port":
            return [{"protocol": _PORTS[name][0], "port": name} for name in names]
        return [
            {"protocol": _PORTS[name][0], "port": self._random.choice(_PORTS[name][1])}
            for name in names
        ]


def _named(name: str, namespace: str = "", labels: dict[str, str] | None = None) -> Manifest:
    fields: Manifest = {"name": name, "namespace": namespace, "labels": labels}
    return {key: value for key, value in fields.items() if value}


def _owner(name: str, number: int) -> Manifest:
    uid = f"00000000-0000-4000-8000-{number:012d}"
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": name,
        "uid": uid,
        "controller": True,
    }


def _host(node: int) -> str:
    return str(ip_address(_V4_NODES + 1 + node))


def _policy(name: str, namespace: str, spec: Manifest) -> Manifest:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _named(name, namespace),
        "spec": spec,
    }


# -- files


def yaml_text(documents: Iterable[Manifest]) -> str:
    """Documents in the plain block style of ``kubectl get -o yaml``."""
    return "".join("---\n" + "\n".join(_lines(document, "")) + "\n" for document in documents)


def json_text(documents: Sequence[Manifest]) -> str:
    """One ``List`` of all documents."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": documents}, indent=1) + "\n"


def _lines(value: Manifest | list[Any], indent: str) -> Iterator[str]:
    entries: Iterable[tuple[str, Any]] = (
        ((f"{_scalar(key)}:", item) for key, item in value.items())
        if isinstance(value, dict)
        else (("-", item) for item in value)
    )
    for head, item in entries:
        if not isinstance(item, dict | list) or not item:
            yield f"{indent}{head} {_scalar(item)}"
        elif head == "-":
            below = list(_lines(item, indent + "  "))
            yield f"{indent}- {below[0].lstrip(' ')}"
            yield from below[1:]
        else:
            yield indent + head
            yield from _lines(item, indent + ("  " if isinstance(item, dict) else ""))


_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]+")
_WORDS: Final = frozenset(("true", "false", "null", "yes", "no", "on", "off"))


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value)


FORMS: Final = ("yaml", "json", "list")
"""Documents in YAML; one JSON ``List`` a file; one JSON ``List`` of everything, as kubectl get
writes it."""


def write(shape: Shape, directory: Path, form: str = "yaml") -> list[Path]:
    """Write ``cluster`` and ``policies`` files, or ``everything`` for the form ``list``; the
    directory is made when it is missing."""
    directory.mkdir(parents=True, exist_ok=True)
    cluster, policies = generate(shape)
    files = {"cluster": cluster, "policies": policies}
    if form == "list":
        files = {"everything": cluster + policies}
    written = []
    for name, documents in files.items():
        path = directory / f"{name}.{'yaml' if form == 'yaml' else 'json'}"
        text = yaml_text(documents) if form == "yaml" else json_text(documents)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.generate",
        description="Write the manifests of a made-up cluster.",
    )
    parser.add_argument("out", type=Path, help="directory to write to")
    for name, number in (("namespaces", 5), ("pods", 50), ("policies", 20)):
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--replicas", type=int, default=1, help="pods of one workload")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dual-stack", action="store_true", help="IPv6 addresses as well")
    parser.add_argument("--format", choices=FORMS, default="yaml")
    given = vars(parser.parse_args(arguments))
    out, form = given.pop("out"), given.pop("format")
    try:
        written = write(Shape(**given), out, form)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    print("\n".join(map(str, written)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
