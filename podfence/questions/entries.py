"""Entries from outside: who can really come in through an Ingress, a route, a Service or a port.

Rule: an entry grants nothing; the policies of both ends decide. An unknown is never reported as
open. A controller that was not read may be any pod, so its entry is open only if every pod may
connect, and closed only if no rule could match any.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Set
from functools import cached_property

from msgspec.structs import replace
from pyroaring import BitMap

from podfence.engine.connections import connections
from podfence.engine.partition import Partitions
from podfence.engine.permitted import is_one_pod
from podfence.engine.porttable import PortTable
from podfence.model.entries import Controllers, Entries, EntryPath, EntryPoint
from podfence.model.objects import Pod, Service
from podfence.policy.flow import Direction
from podfence.policy.index import Endpoint, PolicyIndex
from podfence.policy.namedports import PortName
from podfence.policy.networkpolicies import rule_ports
from podfence.policy.origin import Origin
from podfence.questions.certainty import Certainty
from podfence.questions.controllers import Finder
from podfence.questions.entryrows import (
    SHOWN,
    EntryRow,
    EntryState,
    nowhere,
    policies_named,
    row_of,
)
from podfence.questions.entrytargets import (
    EntryTarget,
    emptiness,
    example_of,
    numbers_of,
    pods_of,
    refusal,
    shared_families,
)
from podfence.questions.find.deciding import deciding
from podfence.questions.phrases.matched import grouped, names_by_pod
from podfence.questions.phrases.outside import name_outside
from podfence.questions.phrases.words import some
from podfence.sets import AddressSet, PortSet
from podfence.sets.addresses import EVERY_ADDRESS_OF

_UNREAD = "an object that could not be read could change it"


def judge_entries(
    index: PolicyIndex, entries: Entries, known: Controllers | None = None
) -> tuple[EntryRow, ...]:
    """Every entry with its state. ``known``: who serves which class, as the configuration says."""
    judge = _Judge(index, entries, known or Controllers())
    found: list[EntryRow] = []
    for entry in entries.entries:
        refused = refusal(entry, entries, index.cluster.namespaces)
        for row in judge.rows(entry):
            unknown = refused and row.state is EntryState.OPEN
            found.append(
                replace(row, state=EntryState.UNKNOWN, because=refused, by=()) if unknown else row
            )
    return tuple(found)


class _Judge:
    def __init__(self, index: PolicyIndex, entries: Entries, known: Controllers) -> None:
        self._index = index
        self._finder = Finder(index, entries, known)
        self._services = {service.ref: service for service in index.cluster.services}
        self._table = PortTable()
        self._certainty = Certainty(index)
        self._uncertain = self._certainty.open_pods()
        self._admitted: dict[tuple[int, int, PortSet], BitMap] = {}

    @cached_property
    def _partitions(self) -> dict[int, Partitions]:
        made = {family: Partitions(self._index, family, self._table) for family in (4, 6)}
        return {family: each for family, each in made.items() if each.pods}

    @cached_property
    def _by_namespace(self) -> dict[str, list[Endpoint]]:
        found: dict[str, list[Endpoint]] = defaultdict(list)
        for end in self._index.endpoints.values():
            found[end.pod.namespace].append(end)
        return found

    @cached_property
    def _names(self) -> dict[str, str]:
        return names_by_pod([end.pod for end in self._index.endpoints.values()])

    def _called(self, pods: Iterable[str]) -> str:
        """The workloads of pods, by names that a question takes."""
        return some(sorted({self._names[pod] for pod in pods}), SHOWN, ", ")

    def rows(self, entry: EntryPoint) -> Iterator[EntryRow]:
        """What comes of one entry."""
        service = None if entry.service is None else self._services.get(entry.service)
        if entry.service is not None and service is None:
            yield nowhere(entry, f"Service {entry.service} is not in the input")
            return
        found = list(self._targets(entry, service))
        unread = () if service is None else self._certainty.behind(service)
        if unread:
            yield nowhere(entry, f"{unread[0]} could not be read and may be behind it")
        elif not found:
            has_pods = any(True for _ in self._behind(entry, service))
            yield nowhere(entry, emptiness(entry, service, has_pods=has_pods))
        for target in found:
            if not self._uncertain.isdisjoint(target.pods):
                yield row_of(entry, target, "", EntryState.UNKNOWN, because=_UNREAD)
            elif entry.way is EntryPath.CONTROLLER:
                yield from self._through_controller(entry, target)
            else:
                yield self._from_clients(entry, target)

    # -- what is behind it

    def _targets(self, entry: EntryPoint, service: Service | None) -> Iterator[EntryTarget]:
        found: dict[tuple[int, int], list[Endpoint]] = defaultdict(list)
        for end in self._behind(entry, service):
            for number in numbers_of(entry, service, end.pod):
                found[end.endpoint_class, number].append(end)
        for (number, port), ends in found.items():
            pods = pods_of(ends)
            yield EntryTarget(
                self._called(pods),
                number,
                port,
                PortSet.port(entry.protocol.value, port),
                pods,
                tuple(sorted({a.version for end in ends for a in end.addresses})),
            )

    def _behind(self, entry: EntryPoint, service: Service | None) -> Iterator[Endpoint]:
        if entry.pods_of is not None:
            for end in self._by_namespace.get(entry.pods_of.namespace, ()):
                if (end.pod.owner or end.pod.ref) == entry.pods_of and end.addresses:
                    yield end
        elif service is not None and service.selector:
            wanted = set(service.selector)
            for end in self._by_namespace.get(service.ref.namespace, ()):
                if wanted <= set(end.pod.labels) and end.addresses:
                    yield end

    # -- through a controller

    def _through_controller(self, entry: EntryPoint, target: EntryTarget) -> Iterator[EntryRow]:
        rows = list(self._from_pods(entry, target, self._finder.pods(entry)))
        if rows:
            yield from rows
            yield from self._from_doubtful(entry, target, {row.state for row in rows})
        else:
            row = self._from_anybody(entry, target)
            yield self._with_doubts(row, self._finder.doubtful(entry))

    def _from_pods(
        self, entry: EntryPoint, target: EntryTarget, pods: Collection[Pod]
    ) -> Iterator[EntryRow]:
        """One row for pods that may connect, one for those that may not, one for those on nodes."""
        verdicts: dict[EntryState, list[Endpoint]] = defaultdict(list)
        for end in self._ends(pods):
            verdicts[self._state(end, target)].append(end)
        for state in EntryState:
            if not (ends := verdicts[state]):
                continue
            first, senders = ends[0], pods_of(ends)
            names = self._called(senders)
            rules: tuple[Origin, ...] = ()
            said = _UNREAD
            if state is EntryState.OPEN:
                rules, said = self._rules(target, first.endpoint_class, first), ""
            elif state is EntryState.CLOSED:
                said = self._closed_by(first, target)
            who = names, senders[0], senders
            yield row_of(entry, target, names, state, rules, said, *who)
        if hosted := [pod for pod in pods if pod.host_network]:
            yield self._from_nodes(entry, target, hosted)

    def _ends(self, pods: Iterable[Pod]) -> list[Endpoint]:
        """Those of pods that policies judge and that have an address."""
        found = (self._index.endpoints.get(f"{pod.namespace}/{pod.name}") for pod in pods)
        return [end for end in found if end is not None and end.addresses]

    def _from_doubtful(
        self, entry: EntryPoint, target: EntryTarget, believed: Set[EntryState]
    ) -> Iterator[EntryRow]:
        """Other pods with the labels of the controller: a doubt if the answer would change with
        them as the controller. ``believed``: the answers without them."""
        pods = self._finder.elsewhere(entry)
        for row in self._from_pods(entry, target, pods):
            if believed == {row.state}:
                continue
            said = f"{row.state.value} if this is its controller"
            if row.because:
                said = row.because if row.state is EntryState.UNKNOWN else f"{said}: {row.because}"
            doubted = replace(row, state=EntryState.UNKNOWN, because=said, controller="")
            yield self._with_doubts(doubted, {pod.namespace for pod in pods})

    def _with_doubts(self, row: EntryRow, namespaces: Collection[str]) -> EntryRow:
        """Names where the controller may be, if its labels alone do not tell."""
        if row.state is not EntryState.UNKNOWN or not namespaces:
            return row
        where = some(sorted(namespaces), SHOWN, ", ")
        said = f"pods with labels of its controller are in {where}"
        said = f"{row.because}; {said}: name them in ingress-controllers if they are it"
        return replace(row, because=said)

    def _state(self, end: Endpoint, target: EntryTarget) -> EntryState:
        """Of one pod as the sender. What its own policies say may hang on something unread."""
        passes = self._passes(end, target)
        unread = f"{end.pod.namespace}/{end.pod.name}" in self._uncertain
        if unread and (passes or self._is_let_in(end, target)):
            return EntryState.UNKNOWN
        return EntryState.OPEN if passes else EntryState.CLOSED

    def _passes(self, end: Endpoint, target: EntryTarget) -> bool:
        """Over some IP version."""
        if f"{end.pod.namespace}/{end.pod.name}" in target.pods and is_one_pod(target.pods):
            return True
        return any(
            connections(self._index, end.endpoint_class, target.endpoint_class, family)
            & target.wanted
            for family in shared_families(end, target)
        )

    def _rules(self, target: EntryTarget, remote: int, end: Endpoint | None) -> tuple[Origin, ...]:
        """The ingress rules that let a class in."""
        policy = self._index.policies[target.endpoint_class].ingress
        families = target.families if end is None else shared_families(end, target)
        found = (deciding(policy, remote, family, target.wanted) for family in families)
        return tuple(dict.fromkeys(rule for each in found for rule in each.rules))

    def _closed_by(self, end: Endpoint, target: EntryTarget) -> str:
        """Which end denies."""
        if not shared_families(end, target):
            return f"it and {target.name} share no IP version"
        if not self._is_let_in(end, target):
            names = policies_named(self._index.policies[target.endpoint_class].ingress.tiers)
            return f"the ingress policies of {target.name} do not let it in ({names})"
        names = policies_named(self._index.policies[end.endpoint_class].egress.tiers)
        return f"its own egress policies do not let it out ({names})"

    def _is_let_in(self, end: Endpoint, target: EntryTarget) -> bool:
        """Over some IP version, by the policies of the pods behind an entry."""
        families = shared_families(end, target)
        return any(end.endpoint_class in self._who(target, family) for family in families)

    def _who(self, target: EntryTarget, family: int) -> BitMap:
        """The classes, outside included, that the ingress policies behind an entry let in."""
        partitions = self._partitions.get(family)
        if partitions is None:
            return BitMap()
        policy = self._index.policies[target.endpoint_class].ingress
        key = policy.number, family, target.wanted
        if key not in self._admitted:
            wanted = self._table.number(target.wanted)
            blocks = partitions.of(policy)
            self._admitted[key] = BitMap.union(
                BitMap(),
                *(who for ports, who in blocks.items() if self._table.intersection(ports, wanted)),
            )
        return self._admitted[key]

    def _from_anybody(self, entry: EntryPoint, target: EntryTarget) -> EntryRow:
        """A controller that is not known."""
        known = {f: self._who(target, f) for f in target.families if f in self._partitions}
        itself = is_one_pod(self._index.members[target.endpoint_class])  # it does not serve itself
        own = BitMap([target.endpoint_class] if itself else [])
        if any(self._partitions[f].everyone <= who | own for f, who in known.items()):
            outside = min(self._partitions[target.families[0]].outside, default=None)
            rules = () if outside is None else self._rules(target, outside, None)
            return row_of(entry, target, "any controller", EntryState.OPEN, rules)
        name = "controller unknown"
        rules = tuple(self._possible(target))
        members = [
            end
            for number in BitMap.union(BitMap(), *known.values())
            for end in self._index.members[number]
        ]
        if not rules and not members and not self._index.cluster.admin_policies:
            policies = policies_named(self._index.policies[target.endpoint_class].ingress.tiers)
            said = f"no rule lets anybody in on this port ({policies})"
            return row_of(entry, target, name, EntryState.CLOSED, because=said)
        said = "open if this rule matches the controller"
        if members and not rules:
            said = "open if the controller is one of"
        if members:
            names = some([str(group) for group in grouped(members)], SHOWN, ", ")
            said += f": {names}" if not rules else f", for example {names}"
        return row_of(entry, target, name, EntryState.UNKNOWN, rules, said)

    def _possible(self, target: EntryTarget) -> Iterator[Origin]:
        """Rules that may let a source in on the port, even if no such source exists now."""
        for policy in self._index.cluster.policies:
            if target.endpoint_class not in self._index.selected.get(policy.ref, ()):
                continue
            if Direction.INGRESS.policy_type not in policy.policy_types:
                continue
            for number, rule in enumerate(policy.ingress):
                numbers, names = rule_ports(rule.ports)
                if not rule.ports or numbers & target.wanted or self._declares(target, names):
                    yield Origin(policy.ref, f"spec.ingress[{number}]", policy.source)

    def _declares(self, target: EntryTarget, names: tuple[PortName, ...]) -> bool:
        """Whether one of the names is that of the port behind an entry."""
        wanted = {(name.name, name.protocol) for name in names}
        return any(
            (port.name, port.protocol.value) in wanted and port.port == target.port
            for pod in target.pods
            for port in self._index.endpoints[pod].pod.ports
        )

    # -- from addresses

    def _from_nodes(self, entry: EntryPoint, target: EntryTarget, hosted: list[Pod]) -> EntryRow:
        """A controller on the network of its node: its packets come from the node (NP-51)."""
        names = {f"{pod.namespace}/{pod.owner.name if pod.owner else pod.name}" for pod in hosted}
        who = some(sorted(names), SHOWN, ", ")
        nodes = {pod.node for pod in hosted}
        known = self._index.cluster.nodes
        addresses = {address for pod in hosted for address in pod.host_addresses} | {
            address for name in nodes if name in known for address in known[name].addresses
        }
        from_node = f"nodes of {who}"
        if addresses:
            passing = [
                address
                for address in addresses
                if address.version in target.families
                and self._index.class_of(address) in self._who(target, address.version)
            ]
            if passing:
                sender = min(passing, key=str)
                rules = self._rules(target, self._index.class_of(sender), None)
                opened = EntryState.OPEN, rules, "", who, str(sender)
                return row_of(entry, target, from_node, *opened)
            said = "no rule lets the addresses of these nodes in; a pod on the same node is reached"
            closed = EntryState.CLOSED, (), said, who, str(min(addresses, key=str))
            return row_of(entry, target, from_node, *closed)
        said = "the addresses of these nodes are unknown"
        found = self._clients(entry, target)
        if found and found == self._clients(entry, target, everyone=True):
            return row_of(entry, target, from_node, EntryState.OPEN, controller=who)
        return row_of(entry, target, from_node, EntryState.UNKNOWN, because=said, controller=who)

    def _from_clients(self, entry: EntryPoint, target: EntryTarget) -> EntryRow:
        """The clients themselves, or whatever their packets pass through (NP-48)."""
        found = self._clients(entry, target)
        name = f"outside {name_outside(found)}" if found else "outside"
        every = self._clients(entry, target, everyone=True)
        sender = example_of(found or every)
        if not found:
            names = policies_named(self._index.policies[target.endpoint_class].ingress.tiers)
            said = f"no rule lets addresses outside in on this port ({names})"
            return row_of(entry, target, name, EntryState.CLOSED, because=said, sender=sender)
        rules = self._rules_for(target, found)
        whole = any(
            found & EVERY_ADDRESS_OF[f] == every & EVERY_ADDRESS_OF[f]
            and bool(found & EVERY_ADDRESS_OF[f])
            for f in target.families
        )
        if not whole and entry.way is EntryPath.NODE:
            said = "packets may come from the address of a node or a load balancer in place of the "
            said += "client's (externalTrafficPolicy: Cluster)"
            return row_of(entry, target, name, EntryState.UNKNOWN, rules, said, sender=sender)
        return row_of(entry, target, name, EntryState.OPEN, rules, sender=sender)

    def _clients(
        self, entry: EntryPoint, target: EntryTarget, *, everyone: bool = False
    ) -> AddressSet:
        """Outside addresses that are allowed, among those that the entry accepts; ``everyone``: all
        that it accepts."""
        parts = []
        for family in target.families:
            if family not in self._partitions:
                continue
            outside = BitMap(self._partitions[family].outside)
            who = outside if everyone else outside & self._who(target, family)
            parts += [
                (self._index.classes[number].outside or AddressSet()) & EVERY_ADDRESS_OF[family]
                for number in who
            ]
        found = AddressSet.union(parts)
        return found & AddressSet.of(entry.ranges) if entry.ranges else found

    def _rules_for(self, target: EntryTarget, addresses: AddressSet) -> tuple[Origin, ...]:
        found: dict[Origin, None] = {}
        for family in target.families:
            for number in self._partitions[family].outside if family in self._partitions else ():
                if (self._index.classes[number].outside or AddressSet()) & addresses:
                    found |= dict.fromkeys(self._rules(target, number, None))
        return tuple(found)
