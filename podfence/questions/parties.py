"""What a question names -> the ends of flows: pods, workloads, literal addresses.

Rule: a name that means nothing, or more than one thing, is an error that says what there is.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import ip_address

from podfence.errors import QuestionError, UnknownObject
from podfence.model.objects import IPAddress, Pod
from podfence.policy.index import Endpoint, PolicyIndex
from podfence.questions.phrases.known import Known


@dataclass(frozen=True, slots=True)
class End:
    """One possible end of a flow. ``endpoint`` None: a node or outside address. ``addresses``
    empty: a pod that has none yet (NP-58)."""

    name: str
    endpoint: Endpoint | None
    addresses: tuple[IPAddress, ...]

    def address(self, family: int) -> IPAddress | None:
        """Its address of one IP version, if it has one."""
        for address in self.addresses:
            if address.version == family:
                return address
        return None


@dataclass(frozen=True, slots=True)
class Party:
    """Everything that one word of a question stands for: one end, or every pod of a workload."""

    name: str
    ends: tuple[End, ...]


class Directory:
    """Looks names up in one index; remembers what it found."""

    def __init__(self, index: PolicyIndex) -> None:
        self._index = index
        self._parties: dict[str, Party] = {}
        self._pods = {f"{p.namespace}/{p.name}": p for p in index.cluster.pods}
        self._workloads: dict[str, list[Pod]] = defaultdict(list)
        for pod in index.cluster.pods:
            if pod.owner is not None:
                owner = pod.owner
                self._workloads[f"{owner.namespace}/{owner.kind.lower()}/{owner.name}"].append(pod)

    def find(self, name: str) -> Party:
        """``namespace/pod``, ``namespace/workload``, ``namespace/kind/workload`` or a literal
        address.

        Raises UnknownObject when nothing has this name, QuestionError when it cannot be an end of a
        connection or means several things.
        """
        party = self._parties.get(name)
        if party is None:
            party = self._parties[name] = self._find(name)
        return party

    def _find(self, name: str) -> Party:
        address = _literal(name)
        if address is not None:
            return Party(name, (End(name, self._index.by_address.get(address), (address,)),))
        if "/" not in name:
            if service := self._dns_name(name):
                raise UnknownObject(service)
            raise QuestionError(
                f"{name!r} is neither namespace/pod nor an IP address; "
                "write for example shop/web or 192.0.2.7"
            )
        pod = self._pods.get(name) or self._pods.get(_POD_KIND.sub("/", name, count=1))
        if pod is not None:
            return Party(name, (self._end(pod),))
        pods = self._workload(name)
        ends = tuple(self._end(pod) for pod in pods if not pod.finished)
        if not ends:
            raise QuestionError(f"every pod of {name} is finished; a finished pod has no network")
        return Party(name, ends)

    def _end(self, pod: Pod) -> End:
        name = f"{pod.namespace}/{pod.name}"
        if pod.finished:
            raise QuestionError(f"pod {name} is finished; a finished pod has no network (NP-60)")
        if not pod.host_network:
            return End(name, self._index.endpoints[name], pod.addresses)
        addresses = pod.host_addresses or self._node_addresses(pod)  # NP-50, NP-51
        if not addresses:
            raise QuestionError(
                f"pod {name} uses the host network and its node's address is not in the input; "
                "add the Node object or the pod's status.hostIP"
            )
        return End(name, None, addresses)

    def _node_addresses(self, pod: Pod) -> tuple[IPAddress, ...]:
        node = self._index.cluster.nodes.get(pod.node)
        return node.addresses if node else ()

    def _workload(self, name: str) -> list[Pod]:
        words = name.split("/")
        if len(words) == 3:
            key = f"{words[0]}/{words[1].lower()}/{words[2]}"
            found = [key] if key in self._workloads else []
        else:
            found = [k for k in self._workloads if _short(k) == name]
        if len(found) > 1:
            raise QuestionError(f"{name} is ambiguous: {', '.join(sorted(found))}; name the kind")
        if not found:
            raise UnknownObject(self._unknown(name))
        return self._workloads[found[0]]

    def _unknown(self, name: str) -> str:
        if service := Known(self._index.cluster).name(name) or self._dns_name(name):
            return service
        known = sorted({*self._pods, *map(_short, self._workloads)})
        if (ported := name.rpartition(":")[0]) in known:
            return f"no pod or workload is called {name!r}; the source has no port, write {ported}"
        close = [n for n in known if n.rpartition("/")[2] == name.rpartition("/")[2]][:3]
        close = close or get_close_matches(name, known[:20_000], n=3, cutoff=0.6)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        if not hint and not known:
            hint = "; the input has no pods at all"
        return f"no pod or workload is called {name!r}{hint}"

    def _dns_name(self, name: str) -> str:
        """What to write instead of a name of the cluster's DNS, ``""`` for any other name."""
        found = _DNS_NAME.fullmatch(name)
        if found is None:
            return ""
        namespace, pod, service = found.group("namespace", "pod", "service")
        if pod:
            return f"{found['name']} is a name of DNS: write {namespace}/{pod}"
        if known := Known(self._index.cluster).name(f"{namespace}/{service}"):
            return known
        return (
            f"{found['name']} is the name of a Service, which was not read; policies see its pods: "
            f"write {namespace}/POD or {namespace}/WORKLOAD"
        )


_DNS_NAME = re.compile(
    r"(?:[^/]*/)?(?P<name>(?:(?P<pod>[^./]+)\.)?(?P<service>[^./]+)\.(?P<namespace>[^./]+)"
    r"\.svc(?:\.[^/]*)?)"
)
"""``SERVICE.NAMESPACE.svc``, ``POD.SERVICE.NAMESPACE.svc``, with any domain, in any namespace."""
_POD_KIND = re.compile("/pods?/", re.IGNORECASE)


def _short(workload: str) -> str:
    namespace, _, name = workload.split("/")
    return f"{namespace}/{name}"


def _literal(text: str) -> IPAddress | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
