"""Names that programs in a pod may look up, as the text of a hosts file. Pure.

Rule: a name means what the cluster's DNS would say in that pod's namespace, with two liberties: a
pod has its plain name too, and every Service has names for its pods, as a headless one has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from podfence.lab.testbed.probeplan import PartyKind, ProbePlan
from podfence.lab.testbed.services import selected_pods
from podfence.policy.index import PolicyIndex
from podfence.sets.addresses import IPAddress

DOMAIN = "cluster.local"
RESOLVER = (
    "# Names are in /etc/hosts; there is no server.\n"
    "nameserver 127.0.0.1\n"
    "options timeout:1 attempts:1\n"
)
"""The content of /etc/resolv.conf: an unknown name fails at once."""
_LOCAL = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")

HostsEntry = tuple[str, Sequence[IPAddress]]


def hosts_text(index: PolicyIndex, plan: ProbePlan, namespace: str) -> str:
    """The hosts file of a pod in a namespace; ``""``: of a node."""
    found: dict[str, Sequence[IPAddress]] = {}
    for name, addresses in _entries(index, plan, namespace):
        if _NAME.fullmatch(name):
            found.setdefault(name, addresses)
    lines = (f"{address} {name}\n" for name, addresses in found.items() for address in addresses)
    return _LOCAL + "".join(lines)


def _entries(index: PolicyIndex, plan: ProbePlan, namespace: str) -> Iterator[HostsEntry]:
    """Of two entries of one name, the first counts: a Service comes before a pod."""
    pods = {party.name: party.addresses for party in plan.parties if party.side is PartyKind.POD}
    for service in index.cluster.services:
        of, name = service.ref.namespace, service.ref.name
        for each in _forms(name, of, namespace):
            yield each, service.cluster_ips
        for pod in selected_pods(index, service, pods.keys()):
            for each in _forms(f"{pod.name}.{name}", of, namespace):
                yield each, pods[f"{pod.namespace}/{pod.name}"]
    for whole, addresses in pods.items():
        of, _, name = whole.partition("/")
        yield f"{name}.{of}", addresses
        if of == namespace:
            yield name, addresses
        for address in addresses:
            dashed = re.sub(r"[.:]", "-", str(address))
            for suffix in ("pod", f"pod.{DOMAIN}"):
                yield f"{dashed}.{of}.{suffix}", (address,)
    for party in plan.parties:
        if party.side is PartyKind.NODE:
            yield party.name, party.addresses


def _forms(name: str, of: str, namespace: str) -> Iterator[str]:
    """``db``, ``db.shop``, ``db.shop.svc``, ``db.shop.svc.cluster.local``."""
    yield from (f"{name}.{of}.svc.{DOMAIN}", f"{name}.{of}.svc", f"{name}.{of}")
    if of == namespace:
        yield name
