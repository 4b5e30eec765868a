"""LiveIndex: a cluster as one node has to know it, followed event by event.

Rule: the result follows from the objects that are there, never from the order of events. An event
costs what it changes. ``docs/design/live.md`` explains how.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from podfence.live.localpolicies import LocalPolicies
from podfence.live.peerwords import PeersQuestion, WordPorts, WordSelector
from podfence.live.picks import Namespaces
from podfence.live.pods import At, Holders, Pods
from podfence.live.policystore import OF_CLUSTER, PolicyStore
from podfence.live.profiles import FAMILIES, PodEntry, Profile, Profiles
from podfence.live.selections import MembershipChange, Selections
from podfence.live.unread import NETWORK_POLICY, UnreadPolicy
from podfence.model.facts import (
    NO_ADDRESS,
    Event,
    Gone,
    NameFacts,
    NamespaceFacts,
    NodeFacts,
    PodFacts,
    PolicyFacts,
    Put,
)
from podfence.model.meta import Labels, ObjectRef
from podfence.model.objects import Node
from podfence.policy.domains import NO_NAMES, DomainTable
from podfence.policy.index import AddressPeers, DirectionPolicy, EndpointPolicy, Everyone, Peers
from podfence.policy.words import Selection
from podfence.sets.addresses import IPNetwork
from podfence.sets.members import Members


class LiveIndex:
    """The compiled form of one node, in words. ``selections``: a reader of a selection's members
    holds it there. ``policies``: what applies to the pods here. ``events``: how many were taken in;
    as long as the number is the same, so is every answer."""

    def __init__(self, node: str, names: DomainTable = NO_NAMES) -> None:
        self.node = node
        self.events = 0
        self._nodes: dict[str, Node] = {}
        self._node_names: dict[At, str] | None = None
        self._profiles = Profiles(self._came, self._went)
        self._namespaces = Namespaces(self._profiles.of_namespace)
        self.selections = Selections(self._profiles, self._namespaces)
        self._pods = Pods(node, self._profiles, self)
        self._store = PolicyStore()
        self._ports = WordPorts(self._profiles, self.selections, self._pods)
        select = WordSelector(self._profiles, self.selections, self._pods)
        self.policies = LocalPolicies(self._store, self._nodes, names, select, self._ports)
        self._batch = _Batch()

    def apply(self, events: Iterable[Event]) -> LiveChange:
        """Take events in, in their order. Never raises for what they hold."""
        doubts = self._doubts()
        for event in events:
            self.events += 1
            self._take(event)
        self._ask_labels()
        self._look_again(doubts)
        verdicts = self._update()
        batch, self._batch = self._batch, _Batch()
        released, given = self._pods.take_owned()
        change = LiveChange(
            new=tuple(self.policies.new.values()),
            gone=tuple(self.policies.gone.values()),
            verdicts=verdicts,
            moved=self.selections.take(),
            pod_cidrs=batch.pod_cidrs,
            released=released,
            given=given,
            refused=tuple(self._store.refused.values()),
        )
        self.policies.new.clear()
        self.policies.gone.clear()
        return change

    # -- what is asked about addresses

    def holders(self, at: At) -> Holders:
        """The pods that an address may belong to (NP-60a)."""
        return self._pods.holders(at)

    def judging(self, at: At) -> Holders:
        """The pods of this node whose policies apply to an address (NP-60a)."""
        return self._pods.judging(at)

    def name(self, pod: PodEntry) -> str:
        """namespace/name of a pod."""
        return f"{pod.variant.namespace}/{self._pods.name(pod)}"

    def node_at(self, at: At) -> str:
        """The node that has an address; "" if none has."""
        if self._node_names is None:
            self._node_names = {
                (address.version, int(address)): node.name
                for node in self._nodes.values()
                for address in node.addresses
            }
        return self._node_names.get(at, "")

    def holds(self, peers: Peers, at: At) -> bool:
        """Whether an address is one of the peers of a rule now."""
        family, address = at
        if isinstance(peers, Everyone):
            return True
        if peers.family not in (None, family):
            return False
        if isinstance(peers, AddressPeers):
            words = Selection(names=peers.names)
            return address in peers.addresses or self.selections.names.means(words, at)
        assert peers.selection is not None
        holders = self._pods.holders(at)
        profile = holders[0].variant.profile if len(holders) == 1 else None
        return self.selections.means(peers.selection, family, address, profile)

    def selected(self, policy: ObjectRef) -> list[tuple[At, ...]]:
        """The addresses of each pod here that a policy selects."""
        return [
            tuple((f, a) for f in FAMILIES if (a := entry.address(f)) != NO_ADDRESS)
            for profile in self.policies.selected(policy)
            for entry in profile.here
        ]

    # -- events

    def _take(self, event: Event) -> None:
        match event:
            case Put(PodFacts() as pod):
                self._pods.put(pod)
            case Put(NamespaceFacts(name, labels)):
                self._relabel(name, labels)
            case Put(NodeFacts() as node):
                self._set_node(node)
            case Put(NameFacts() as name_facts):
                self.selections.named(name_facts)
            case Gone("DomainName", _, name):
                self.selections.named(NameFacts(name))
            case Put(PolicyFacts(kind, namespace, name) as policy):
                self._store.put(policy)
                self._policy_changed(ObjectRef(kind, namespace, name))
            case Gone("Pod", namespace, name):
                self._pods.gone(namespace, name)
            case Gone("Namespace", _, name):
                self._relabel(name, None)
            case Gone("Node", _, name):
                self._set_node(NodeFacts(name))
            case Gone(kind, namespace, name):
                self._store.gone(kind, namespace, name)
                self._policy_changed(ObjectRef(kind, namespace, name))

    def _relabel(self, name: str, labels: Labels | None) -> None:
        before = self._namespaces.labels(name)
        if self._namespaces.tell(name, labels):
            self.selections.relabelled(name, before)
            self._batch.relabelled = True
            here = self._profiles.of_namespace.get(name, ())
            profiles = [self._profiles.by_number[number] for number in here]
            after = self._namespaces.labels(name)
            self._batch.asked.update(self._ports.about_namespace(profiles, before, after))
            if any(self._store.of_cluster()):
                self._batch.dirty.update(profile for profile in profiles if profile.here)

    def _set_node(self, facts: NodeFacts) -> None:
        if facts.name == self.node:
            before = self._nodes.get(self.node)
            known: tuple[IPNetwork, ...] = before.pod_cidrs if before is not None else ()
            if known != facts.pod_cidrs:
                self._batch.pod_cidrs = facts.pod_cidrs
        node = Node(facts.name, facts.labels, facts.addresses, facts.pod_cidrs)
        if self._nodes.get(facts.name) != node:
            self._nodes[facts.name] = node
            self._node_names = None
            self._forget(self.policies.of_cluster(of_nodes=True))

    def _policy_changed(self, ref: ObjectRef) -> None:
        self._forget({ref})

    def _forget(self, refs: Iterable[ObjectRef]) -> None:
        """Policies have to be compiled again."""
        for ref in refs:
            self.policies.forget(ref)
            if ref.kind == NETWORK_POLICY:
                self._batch.dirty.update(self.policies.of_namespace(ref.namespace))
            else:
                self._batch.dirty.update(self.policies.of)

    # -- what the parts tell

    def moved(self, profile: Profile, family: int, address: int, *, joins: bool) -> None:
        """An address became surely a profile's, or is it no more."""
        self.selections.moved(profile, family, address, joins=joins)
        if profile.ports:
            self._batch.asked.update(self._ports.about_addresses(profile))

    def populated(self, profile: Profile) -> None:
        """A profile has pods with an address for the first time, or none any more."""
        if profile.ports:
            self._batch.asked.update(self._ports.about(profile))

    def became_local(self, profile: Profile) -> None:
        """A profile has pods on this node for the first time, or none any more."""
        self._batch.dirty.add(profile)

    def _came(self, profile: Profile) -> None:
        self._namespaces.enter(profile.namespace, profile.number)
        self.selections.came(profile)

    def _went(self, profile: Profile) -> None:
        self.selections.went(profile)
        self._namespaces.leave(profile.namespace, profile.number)

    # -- the end of a batch

    def _ask_labels(self) -> None:
        """Read the policies that pods here may have; profiles must know the labels they ask for:
        first those by which pods are selected, then those of peers."""
        here = {profile.namespace for profile in self._batch.dirty if profile.here}
        self._ask(key for scope in (*here, OF_CLUSTER) for key in self._store.look(scope))
        selected = [(p.namespace, dict(p.labels)) for p in self._batch.dirty if p.here]
        self._ask(key for pod in selected for key in self._store.read(*pod))

    def _ask(self, keys: Iterable[str]) -> None:
        moved = self._profiles.ask(keys)
        if moved:
            self._pods.follow(moved)
            self._profiles.settle(moved)

    def _doubts(self) -> dict[At, frozenset[Profile]]:
        """Who may have the addresses that are nobody's for certain."""
        return {
            at: frozenset(holder.variant.profile for holder in holders)
            for at, holders in self._pods.contested.items()
        }

    def _look_again(self, before: dict[At, frozenset[Profile]]) -> None:
        """Find the policies that mean something else because of pods, namespaces and nodes."""
        after = self._doubts()
        if before != after or (after and self._batch.relabelled):
            for profile in frozenset().union(*before.values(), *after.values()):
                self.populated(profile)
            self._forget(self.policies.of_cluster(denying=True))
        self._forget(self.policies.asking(self._batch.asked))

    def _update(self) -> dict[At, tuple[EndpointPolicy, ...]]:
        """Work out what applies to the pods here, where that may have changed."""
        changed = set(self._pods.touched)
        self._pods.touched.clear()
        for profile in self._batch.dirty:
            if not profile.here:
                self.policies.drop(profile)
            elif self.policies.update(profile):
                changed.update(_addresses(profile))
        self.policies.sweep()
        return {at: tuple(self._policies_at(at)) for at in changed}

    def _policies_at(self, at: At) -> Iterator[EndpointPolicy]:
        for pod in self._pods.judging(at):
            yield self.policies.of[pod.variant.profile]


class _Batch:
    """What events have touched since the last change. ``asked``: questions about port names whose
    answers may have changed. ``dirty``: profiles with pods here to which other policies may
    apply."""

    def __init__(self) -> None:
        self.dirty: set[Profile] = set()
        self.asked: set[PeersQuestion] = set()
        self.relabelled = False
        self.pod_cidrs: tuple[IPNetwork, ...] | None = None


def _addresses(profile: Profile) -> Iterator[At]:
    for entry in profile.here:
        for family in FAMILIES:
            if (address := entry.address(family)) != NO_ADDRESS:
                yield family, address


# -- What events change of one node's compiled form, as a value


class LiveChange(Struct, frozen=True):
    """What has changed of one node's compiled form."""

    new: tuple[DirectionPolicy, ...] = ()
    """Policies of one direction that pods here have now."""
    gone: tuple[DirectionPolicy, ...] = ()
    """Policies of one direction that no pod here has any more."""
    verdicts: Mapping[At, tuple[EndpointPolicy, ...]] = {}
    """By address, the policies of the pods here that it may belong to; none: it is no longer the
    address of a pod here."""
    moved: tuple[MembershipChange, ...] = ()
    """Members of selections that somebody looks at."""
    pod_cidrs: tuple[IPNetwork, ...] | None = None
    """The ranges of the node, if they have changed."""
    released: Mapping[int, Members] = {}
    """By IP version, addresses that a pod had and none has now."""
    given: Mapping[int, Members] = {}
    """By IP version, addresses that no pod had and one has now."""
    refused: tuple[UnreadPolicy, ...] = ()
    """The policies that cannot be read, of those that were looked at."""

    def __bool__(self) -> bool:
        """Whether the table has to change for it."""
        words = self.new or self.gone or self.verdicts or self.moved
        return bool(words) or self.pod_cidrs is not None
