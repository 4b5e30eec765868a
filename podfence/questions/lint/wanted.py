"""Findings about connections that someone needs or forbids: ways in from outside, calls of and to
the API server, and tenants.

Rule: the need comes from objects other than policies. Where one of these was not read, or policies
of another API may decide, there is no finding.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from pyroaring import BitMap

from podfence.engine.allpairs import all_pairs
from podfence.engine.connections import allowed_ports
from podfence.errors import Severity, Source
from podfence.model.entries import BoundAccount, Callback, EntryPoint
from podfence.model.meta import METADATA_NAME_LABEL, ObjectRef
from podfence.model.networkpolicy import NetworkPolicy, NetworkPolicyPeer
from podfence.model.objects import Service
from podfence.policy.flow import Direction
from podfence.policy.index import Endpoint
from podfence.policy.networkpolicies import rule_ports
from podfence.questions.entries import judge_entries
from podfence.questions.entryrows import EntryRow, EntryState
from podfence.questions.lint.findings import LintFinding
from podfence.questions.lint.note import pod_spec
from podfence.questions.lint.reach import LintIndex
from podfence.questions.lint.surroundings import Surroundings
from podfence.questions.phrases.matched import grouped
from podfence.sets import PortSet
from podfence.sets.addresses import IPAddress

_SHOWN = 3
_SYSTEM = {METADATA_NAME_LABEL: "kube-system"}
_API_SERVICE = ObjectRef("Service", "default", "kubernetes")
_API_PORTS = PortSet.port("TCP", 443) | PortSet.port("TCP", 6443)


def wanted(reach: LintIndex, around: Surroundings) -> Iterator[LintFinding]:
    """PF337, PF338, PF339 and PF355."""
    yield from _closed_entries(reach, around)
    for callback in around.entries.callbacks:
        yield from _closed_callback(reach, around, callback)
    if around.entries.accounts:
        yield from _closed_api(reach, around)
    if around.tenants.label:
        yield from _tenants(reach, around)


# -- PF337


def _closed_entries(reach: LintIndex, around: Surroundings) -> Iterator[LintFinding]:
    if not around.entries.entries:
        return
    ways: dict[tuple[EntryPoint, tuple[str, ...], str], list[EntryRow]] = defaultdict(list)
    for row in judge_entries(reach.index, around.entries, around.controllers):
        ways[row.entry, row.pods, row.port].append(row)
    said: dict[tuple[Source | None, ObjectRef | None, str, str], EntryRow] = {}
    for rows in ways.values():
        row = rows[0]
        # There may be several controllers: no request arrives only where none of them may connect.
        if all(each.state is EntryState.CLOSED for each in rows) and not around.touched.any(
            row.pods
        ):
            # A Service may be an entry in two ways.
            ref = row.entry.ref if row.entry.source is None else None
            said.setdefault((row.entry.source, ref, row.to, row.port), row)
    for row in said.values():
        entry = row.entry
        asked = f" {entry.asked}" if entry.asked else ""
        who = f"{row.controller}, which serves it," if row.controller else "Its controller"
        text = (
            f"This {entry.ref.kind} leads{asked} to {row.to} on port "
            f"{row.port.partition('/')[2]}. {who} may not connect there: {row.because}. No "
            "request arrives this way."
        )
        about = f"{row.to} {row.port}"
        yield LintFinding("PF337", entry.ref, entry.source, entry.path, text, about=about)


# -- PF338


def _closed_callback(
    reach: LintIndex, around: Surroundings, call: Callback
) -> Iterator[LintFinding]:
    service = next((s for s in reach.index.cluster.services if s.ref == call.service), None)
    if service is None or not service.selector:
        return
    for end, number in _behind(reach, service, call.port):
        policy = reach.index.policies[end.endpoint_class].ingress
        if not policy.isolates or around.touched.any([_name(end)]):
            continue
        port = PortSet.port("TCP", number)
        servers = around.api_server or _api_addresses(reach)
        if servers:
            passing = [_lets_in(reach, end, port, address) for address in servers]
            if any(passing):
                continue
            weight = Severity.ERROR
            who = f"the API server ({', '.join(map(str, servers[:_SHOWN]))})"
        else:
            some, every = _lets_in_outside(reach, end, port)
            if every:
                continue
            may_be = some or _may_mean_system(reach, end, port)
            weight = Severity.NOTE if may_be else Severity.ERROR
            who = "the API server, unless it has one of the addresses or pods that rules name"
            who = who if may_be else "the API server, nor any other address outside"
        names = reach.matched.names([end], _SHOWN)
        text = (
            f"The API server calls {call.what} at Service {call.service}, whose pods ({names}) do "
            f"not let in {who} on port {number}. Calls fail, or wait until they time out. The API "
            "server has the address of its node: allow an ipBlock of its addresses."
        )
        yield LintFinding("PF338", call.ref, call.source, call.path, text, weight)
        return


def _behind(reach: LintIndex, service: Service, port: int) -> Iterator[tuple[Endpoint, int]]:
    selector = set(service.selector)
    for end in reach.matched.pods_of(service.ref.namespace):
        if selector <= set(end.pod.labels) and end.addresses:
            for each in service.ports:
                number = each.on(end.pod)
                if each.port == port and number is not None:
                    yield end, number


def _name(end: Endpoint) -> str:
    return f"{end.pod.namespace}/{end.pod.name}"


def _api_addresses(reach: LintIndex) -> tuple[IPAddress, ...]:
    """Where Service ``default/kubernetes`` leads to, if its endpoints were read."""
    return tuple(
        address
        for each in reach.index.cluster.endpoint_slices
        if (each.ref.namespace, each.service) == (_API_SERVICE.namespace, _API_SERVICE.name)
        for subset in each.subsets
        for address in subset.addresses
    )


def _lets_in(reach: LintIndex, end: Endpoint, port: PortSet, address: IPAddress) -> bool:
    policy = reach.index.policies[end.endpoint_class].ingress
    remote = reach.index.class_of(address)
    return bool(allowed_ports(policy, remote, address.version) & port)


def _lets_in_outside(reach: LintIndex, end: Endpoint, port: PortSet) -> tuple[bool, bool]:
    """Whether some addresses outside are let in, and whether all of some IP version are."""
    return _outside(reach, end, port, Direction.INGRESS)


def _outside(
    reach: LintIndex, end: Endpoint, port: PortSet, direction: Direction
) -> tuple[bool, bool]:
    policy = reach.index.policies[end.endpoint_class].of(direction)
    wanted_ports = reach.table.number(port)
    some = every = False
    for family in {address.version for address in end.addresses}:
        partitions = reach.partitions.get(family)
        if partitions is None:
            continue
        passing = BitMap.union(
            BitMap(),
            *(
                who
                for ports, who in reach.blocks(policy, family).items()
                if reach.table.intersection(ports, wanted_ports)
            ),
        )
        outside = BitMap(partitions.outside)
        some = some or bool(passing & outside)
        every = every or bool(outside and outside <= passing)
    return some, every


def _may_mean_system(reach: LintIndex, end: Endpoint, port: PortSet) -> bool:
    """Whether a rule lets in pods of ``kube-system``: some clusters send the calls of the API
    server through pods there."""
    for policy in reach.index.cluster.policies:
        if end.endpoint_class not in reach.index.selected.get(policy.ref, ()):
            continue
        for rule in policy.ingress:
            numbers, names = rule_ports(rule.ports)
            if (numbers & port or names) and any(map(_means_system, rule.peers)):
                return True
    return False


def _means_system(peer: NetworkPolicyPeer) -> bool:
    spaces = peer.namespace_selector
    return spaces is not None and spaces.matches(_SYSTEM)


# -- PF339


def _closed_api(reach: LintIndex, around: Surroundings) -> Iterator[LintFinding]:
    servers = around.api_server or _api_addresses(reach)
    policies = {policy.ref: policy for policy in reach.index.cluster.policies}
    said: dict[ObjectRef, list[Endpoint]] = defaultdict(list)
    for policy, subjects in reach.holders[Direction.EGRESS].values():
        writers = [
            policies[origin.policy]
            for tier in policy.tiers
            for origin in tier.isolated_by
            if origin.policy in policies
        ]
        if not writers:
            continue
        writer: NetworkPolicy = next((each for each in writers if each.egress), writers[0])
        for number in subjects:
            for end in reach.index.members[number]:
                if _uses_api(reach, around, end) and not _reaches_api(reach, end, servers):
                    said[writer.ref].append(end)
    for ref, ends in said.items():
        names = reach.matched.names(ends, _SHOWN)
        text = (
            f"These pods run under a ServiceAccount that has rights in the API ({names}), but may "
            "not connect to the API server. The Service kubernetes has port 443, but policies are "
            "evaluated after its address is replaced: allow egress to an ipBlock of the API "
            "server's addresses on its own port, usually 6443."
        )
        who = tuple(group.full_name for group in grouped(ends))
        yield LintFinding("PF339", ref, policies[ref].source, "spec.egress", text, names=who)


def _uses_api(reach: LintIndex, around: Surroundings, end: Endpoint) -> bool:
    spec = pod_spec(reach.written.raw(end.pod.source))
    name = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if not isinstance(name, str) or name == "default" or not end.addresses:
        return False
    if spec.get("automountServiceAccountToken") is False or around.touched.any([_name(end)]):
        return False
    return BoundAccount(end.pod.namespace, name) in around.entries.accounts


def _reaches_api(reach: LintIndex, end: Endpoint, servers: tuple[IPAddress, ...]) -> bool:
    policy = reach.index.policies[end.endpoint_class].egress
    if servers:
        return any(
            allowed_ports(policy, reach.index.class_of(address), address.version) & _API_PORTS
            for address in servers
        )
    some, _ = _outside(reach, end, _API_PORTS, Direction.EGRESS)
    return some


# -- PF355


def _tenants(reach: LintIndex, around: Surroundings) -> Iterator[LintFinding]:
    """Connections between pods of namespaces with different values of the label."""
    tenants: dict[str, BitMap] = defaultdict(BitMap)
    by_namespace = around.tenants.of(reach.index.cluster.namespaces)
    for each in reach.index.classes:
        if each.outside is None and each.namespace in by_namespace:
            tenants[by_namespace[each.namespace]].add(each.number)
    tenant_of = {number: tenant for tenant, members in tenants.items() for number in members}
    met: dict[tuple[str, str], dict[tuple[int, int], PortSet]] = defaultdict(dict)
    for family in reach.partitions:
        for destination, row in all_pairs(reach.index, family).rows.items():
            own = tenant_of.get(destination)
            if own is None:
                continue
            for tenant, members in tenants.items():
                if tenant != own:
                    _note_meeting(met[tenant, own], destination, row.items(), members)
    for (source, own), pairs in sorted(met.items()):
        if pairs:
            yield _meeting(reach, around, source, own, pairs)


def _note_meeting(
    pairs: dict[tuple[int, int], PortSet],
    destination: int,
    row: Iterable[tuple[PortSet, BitMap]],
    members: BitMap,
) -> None:
    for ports, classes in row:
        for number in classes & members:
            known = pairs.get((number, destination))
            pairs[number, destination] = ports if known is None else known | ports


def _meeting(
    reach: LintIndex,
    around: Surroundings,
    source: str,
    own: str,
    pairs: dict[tuple[int, int], PortSet],
) -> LintFinding:
    shown = [
        f"{reach.names([near])} to {reach.names([far])} on {ports}"
        for (near, far), ports in list(pairs.items())[:_SHOWN]
    ]
    more = f" and {len(pairs) - _SHOWN} more" if len(pairs) > _SHOWN else ""
    far = next(iter(pairs))[1]
    namespace = reach.index.cluster.namespaces[reach.index.classes[far].namespace]
    label = around.tenants.label
    text = (
        f"Pods of tenant {source!r} may connect to pods of tenant {own!r} "
        f"({label} of their namespaces differs): {', '.join(shown)}{more}."
    )
    ref = ObjectRef("Namespace", "", namespace.name)
    spaces = [[reach.index.classes[number].namespace for number in pair] for pair in pairs]
    return LintFinding(
        "PF355",
        ref,
        namespace.source,
        "metadata.labels",
        text,
        about=f"{source} to {own}",
        names=tuple(sorted({f"{near} to {far}" for near, far in spaces})),
    )
