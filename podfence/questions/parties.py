"""What a question names -> the ends of flows: pods, workloads, literal addresses.

Rule: a name that means nothing, or more than one thing, is an error that says what there is.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property
from ipaddress import ip_address

from msgspec import Struct
from msgspec.structs import replace

from podfence.errors import QuestionError, UnknownObject, UnreadObject
from podfence.likeness import similar
from podfence.model.doubt import Doubt
from podfence.model.kindnames import kind_called
from podfence.model.meta import DEFAULT_NAMESPACE, ObjectRef
from podfence.model.objects import Pod
from podfence.policy.index import Endpoint, PolicyIndex
from podfence.questions.entrynames import entry_meant
from podfence.questions.phrases.known import ObjectLookup
from podfence.sets.addresses import IPAddress, unmapped

IS_LOOPBACK = (
    "is a loopback address, and every pod and node has it: what is sent there never leaves it, and "
    "no policy denies it; name a pod or another address"
)
"""Why no question is about such an address (NP-57)."""
NODE = "a node"
"""``PartyEnd.what`` of a node that was named."""


class PartyEnd(Struct, frozen=True):
    """One possible end of a flow. ``endpoint`` None: a node, an outside address or one that
    several pods may have; ``what`` then says which. ``addresses`` empty: a pod without an
    address yet (NP-58). ``is_address``: the question names the address, so the end is the pod
    that has it now."""

    name: str
    endpoint: Endpoint | None
    addresses: tuple[IPAddress, ...]
    what: str = ""
    is_address: bool = False

    def address(self, family: int) -> IPAddress | None:
        """Its address of one IP version, if it has one."""
        for address in self.addresses:
            if address.version == family:
                return address
        return None


class Party(Struct, frozen=True):
    """Everything that one word of a question may mean: one end, or every pod of a workload."""

    name: str
    ends: tuple[PartyEnd, ...]
    workload: ObjectRef | None = None


class PartyLookup:
    """Looks names up in one index; remembers what it found."""

    def __init__(self, index: PolicyIndex) -> None:
        self._index = index
        self._parties: dict[tuple[str, str], Party] = {}
        self._pods = {f"{p.namespace}/{p.name}": p for p in index.cluster.pods}
        self._workloads: dict[str, list[Pod]] = defaultdict(list)
        for pod in index.cluster.pods:
            if pod.owner is not None:
                owner = pod.owner
                self._workloads[f"{owner.namespace}/{owner.kind.lower()}/{owner.name}"].append(pod)

    def find(self, name: str, namespace: str = DEFAULT_NAMESPACE) -> Party:
        """``namespace/pod``, ``namespace/workload``, ``namespace/kind/workload``, ``kind/name`` in
        ``namespace``, ``node/name`` or a literal address. ``kind``: any of kubectl's words for it.

        Raises UnknownObject when nothing has this name, QuestionError when it cannot be an end of a
        connection or means several things.
        """
        party = self._parties.get((name, namespace))
        if party is None:
            party = self._parties[name, namespace] = self._find(name, namespace)
        return party

    def _find(self, name: str, namespace: str) -> Party:
        address = literal(name)
        if address is not None:
            if address.is_loopback:
                raise QuestionError(f"{name} {IS_LOOPBACK}")
            end = PartyEnd(name, self._index.by_address.get(address), (address,), "not a pod", True)
            return Party(name, (end,))
        if "/" not in name:
            if service := self._dns_name(name):
                raise UnknownObject(service)
            raise QuestionError(
                f"{name!r} is neither namespace/pod nor an IP address; "
                "write for example shop/web or 192.0.2.7"
            )
        party = self._party(name)
        first, _, rest = name.partition("/")
        kind = kind_called(first)
        if party is None and kind and "/" not in rest:  # a namespace may be called like a kind
            is_node = kind == "Node"
            party = self._node(rest) if is_node else self._party(f"{namespace}/{first}/{rest}")
        if party is None:
            doubt = self._doubt(name) or (self._doubt(f"{namespace}/{name}") if kind else None)
            if doubt is not None:
                raise unread(doubt)
            raise UnknownObject(self._unknown(name))
        return replace(party, name=name)

    def has_pods(self, name: str) -> bool:
        """Whether ``namespace/name`` or ``namespace/kind/name`` is a pod or a workload."""
        return self._pod(name) is not None or bool(self._workload(name))

    def _party(self, name: str) -> Party | None:
        """The pods of ``namespace/name`` or ``namespace/kind/name``, None when nothing is called
        so."""
        pod = self._pod(name)
        if pod is not None:
            return Party(name, (self._end(pod),))
        pods = self._workload(name)
        ends = tuple(self._end(pod) for pod in pods if not pod.finished)
        if pods and not ends:
            raise QuestionError(f"every pod of {name} is finished; a finished pod has no network")
        return Party(name, ends, pods[0].owner) if ends else None

    def _pod(self, name: str) -> Pod | None:
        words = name.split("/")
        if len(words) == 3 and kind_called(words[1]) == "Pod":
            name = f"{words[0]}/{words[2]}"
        return self._pods.get(name)

    def _end(self, pod: Pod) -> PartyEnd:
        name = f"{pod.namespace}/{pod.name}"
        if pod.finished:
            raise QuestionError(f"pod {name} is finished; a finished pod has no network (NP-60)")
        if not pod.host_network:
            return PartyEnd(name, self._index.endpoints[name], pod.addresses)
        addresses = self._host_addresses(pod)
        if not addresses:
            raise QuestionError(
                f"pod {name} uses the host network and its node's address is not in the input; "
                "add the Node object, or the pod's status with podIP or hostIP"
            )
        return PartyEnd(name, None, addresses, "on the network of its node")

    def _host_addresses(self, pod: Pod) -> tuple[IPAddress, ...]:
        """Addresses of a pod on the host network (NP-50, NP-51): its own, which are its node's; for
        a family that it does not tell, its host's, or else all of its node."""
        found: dict[int, list[IPAddress]] = {}
        for known in (pod.addresses, pod.host_addresses, self._nodes.get(pod.node, ())):
            here: dict[int, list[IPAddress]] = defaultdict(list)
            for address in known:
                here[address.version].append(address)
            for version, addresses in here.items():
                found.setdefault(version, addresses)
        return tuple(address for addresses in found.values() for address in addresses)

    def _node(self, name: str) -> Party | None:
        """The node of a name; None when the input has none."""
        addresses = self._nodes.get(name)
        if addresses == ():
            raise QuestionError(
                f"node {name} has no address in the input; add its status.addresses, or ask for "
                "the address"
            )
        return (
            Party(name, (PartyEnd(f"node/{name}", None, addresses, NODE),)) if addresses else None
        )

    @cached_property
    def _nodes(self) -> Mapping[str, tuple[IPAddress, ...]]:
        """Addresses by node: of its Node object first, then what its pods say of their host."""
        found = {name: list(node.addresses) for name, node in self._index.cluster.nodes.items()}
        for address, name in self._index.by_node_address.items():
            known = found.setdefault(name, [])
            if address not in known:
                known.append(address)
        return {name: tuple(addresses) for name, addresses in found.items()}

    def _workload(self, name: str) -> list[Pod]:
        words = name.split("/")
        if len(words) == 3:
            kind = kind_called(words[1]) or words[1]
            key = f"{words[0]}/{kind.lower()}/{words[2]}"
            found = [key] if key in self._workloads else []
        else:
            found = [k for k in self._workloads if _short(k) == name]
        if len(found) > 1:
            raise QuestionError(f"{name} is ambiguous: {', '.join(sorted(found))}; name the kind")
        return self._workloads[found[0]] if found else []

    def _unknown(self, name: str) -> str:
        if service := ObjectLookup(self._index.cluster).name(name) or self._dns_name(name):
            return service
        if idle := [ref for ref in self._index.cluster.idle if _is_called(ref, name)]:
            return f"{idle[0].kind} {idle[0]} runs no pod now: it is scaled to zero, or done"
        if entry := entry_meant(name):
            return f"no pod or workload is called {name!r}; did you mean {entry}?"
        nodes = {f"node/{node}" for node in self._nodes}
        if (node := f"node/{name.rpartition('/')[2]}") in nodes:
            return f"no pod or workload is called {name!r}; for the node write {node}"
        known = sorted({*self._pods, *map(_short, self._workloads), *nodes})
        if (ported := name.rpartition(":")[0]) in known:
            return f"no pod or workload is called {name!r}; the source has no port, write {ported}"
        close = [n for n in known if n.rpartition("/")[2] == name.rpartition("/")[2]][:3]
        close = close or similar(name, known[:20_000], 3)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        if not hint and not known:
            hint = "; the input has no pods at all"
        hint += self._unlisted(name.partition("/")[0])
        return f"no pod or workload is called {name!r}{hint}"

    def _unlisted(self, namespace: str) -> str:
        """Which kinds of a cluster may hide what has a name."""
        kinds = ("Pod", "Service")
        hidden = [
            str(doubt)
            for doubt in self._index.cluster.doubts
            if doubt.listed_in is not None and doubt.kind in kinds and doubt.may_be_in(namespace)
        ]
        return f"; {' and '.join(hidden)} may be called so, and cannot be listed" if hidden else ""

    def _doubt(self, name: str) -> Doubt | None:
        """The object of this name that could not be read, or a pod of the workload of this name;
        None when there is none."""
        namespace, *kind, last = name.split("/")
        wanted = kind_called(kind[0]) or kind[0] if kind else ""

        def is_called(ref: ObjectRef) -> bool:
            fits = ref.kind == wanted if wanted else not ref.kind.endswith("NetworkPolicy")
            return fits and (ref.namespace, ref.name) == (namespace, last)

        return next(
            (
                doubt
                for doubt in self._index.cluster.doubts
                if is_called(ObjectRef(doubt.kind, doubt.namespace, doubt.name))
                or (doubt.owner is not None and is_called(doubt.owner))
            ),
            None,
        )

    def _dns_name(self, name: str) -> str:
        """What to write instead of a name of the cluster's DNS, ``""`` for any other name."""
        found = re.fullmatch(_DNS_NAME, name)
        if found is None:
            return ""
        namespace, pod, service = found.group("namespace", "pod", "service")
        if pod:
            return f"{found['name']} is a DNS name: write {namespace}/{pod}"
        if known := ObjectLookup(self._index.cluster).name(f"{namespace}/{service}"):
            return known
        return (
            f"{found['name']} is the name of a Service, which was not read; policies see its pods: "
            f"write {namespace}/POD or {namespace}/WORKLOAD"
        )


def unread(doubt: Doubt) -> UnreadObject:
    """The error where a question names an object that could not be read."""
    text = f"{doubt} is in the input, but it could not be read; fix it"
    return UnreadObject(text, doubt.source, doubt.path)


_DNS_NAME = (
    r"(?:[^/]*/)?(?P<name>(?:(?P<pod>[^./]+)\.)?(?P<service>[^./]+)\.(?P<namespace>[^./]+)"
    r"\.svc(?:\.[^/]*)?)"
)
"""``SERVICE.NAMESPACE.svc``, ``POD.SERVICE.NAMESPACE.svc``, with any domain, in any namespace."""


def _short(workload: str) -> str:
    namespace, _, name = workload.split("/")
    return f"{namespace}/{name}"


def literal(text: str) -> IPAddress | None:
    """The address that a word is, None for any other word. A socket of both families writes an IPv4
    address as ``::ffff:…``, and so do logs; what it sends is IPv4.
    """
    try:
        return unmapped(ip_address(text))
    except ValueError:
        return None


def _is_called(workload: ObjectRef, name: str) -> bool:
    """Whether a name means a workload, with its kind or without it."""
    namespace, _, rest = name.partition("/")
    kind, slash, own = rest.rpartition("/")
    meant = not slash or kind_called(kind) == workload.kind
    return meant and (namespace, own) == (workload.namespace, workload.name)
