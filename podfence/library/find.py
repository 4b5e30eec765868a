"""``Input.find``: the questions of ``podfence find``, one method each.

Rule: an answer is about everything that was read, so an object that could not be read forbids it
(PF007); ``policies`` is about some pods, and those that may select them.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from podfence.cli.beside import entry_rows
from podfence.cli.common import asking, without_verdict
from podfence.cli.ends import end_of, found_end, hop_ports, ports_of, target_of
from podfence.cli.inputs import Inputs
from podfence.cli.policynames import no_policy, wanted_policies
from podfence.cli.reaching import reached
from podfence.cli.targets import qualified
from podfence.errors import Locate, PodfenceError, Position, QuestionError
from podfence.library.values import Change, Entry, Hop, Open, Purpose, Reach, Reached, Rule, Unused
from podfence.manifests.load import Loaded
from podfence.model.doubt import Doubt
from podfence.model.meta import DEFAULT_NAMESPACE
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import AS_WRITTEN, Direction
from podfence.policy.index import PolicyIndex
from podfence.policy.origin import Origin
from podfence.questions.certainty import Certainty
from podfence.questions.entrynames import entry_name
from podfence.questions.find import removal
from podfence.questions.find.openness import Openness, newcomers, unprotected
from podfence.questions.find.path import shortest
from podfence.questions.find.reach import OUTSIDE, ReachRow
from podfence.questions.find.selectors import unused_selectors
from podfence.questions.parties import PartyLookup
from podfence.questions.phrases.tierwords import origin_name, policy_name
from podfence.questions.plan.newcomers import with_newcomers
from podfence.questions.plan.outcomes import Outcome
from podfence.questions.selecting import selecting
from podfence.questions.tests.ends import Resolver
from podfence.questions.tests.form import ALL_PORTS, PortSpec, TargetEnd
from podfence.questions.tests.words import read_end
from podfence.questions.tests.world import ClusterWorld

FILES = Inputs(("-",))
"""Questions are about files."""


class Find:
    """Queries over who reaches whom. Ends are written as in test files: ``shop/db``, ``shop/*``,
    ``shop/app=web``, ``service/shop/db``, ``10.0.0.0/8``, ``outside``, ``internet``, ``+/+``.

    Every method raises UnknownObject or QuestionError for words that mean nothing, and
    PodfenceError (PF007) where an object that could not be read may turn the answer.
    """

    def __init__(self, loaded: Loaded, index: PolicyIndex) -> None:
        self._loaded = loaded
        self._index = index

    @cached_property
    def _world(self) -> ClusterWorld:
        """The compiled cluster, with a pod to come in each namespace and in a new one."""
        cluster = self._loaded.cluster
        coming = with_newcomers(cluster, cluster.namespaces.keys())
        return ClusterWorld(compile_cluster(coming, self._index.names))

    # -- connections

    def to(self, end: str, port: str | None = None, *, namespace: str | None = None) -> Reached:
        """Who can reach ``END[:PORT]``, and by which rule; nobody else can."""
        space = namespace or DEFAULT_NAMESPACE
        with asking(self._loaded, FILES):
            return self._reached(None, [target_of(end, port, space)], Direction.INGRESS)

    def from_(self, end: str, port: str | None = None, *, namespace: str | None = None) -> Reached:
        """What an end can reach, and by which rule."""
        with asking(self._loaded, FILES):
            source = TargetEnd(end_of(end, namespace or DEFAULT_NAMESPACE))
            ports = ports_of(port) if port is not None else ALL_PORTS
            return self._reached([source], None, Direction.EGRESS, ports)

    def exposed(self, *, to_internet: bool = False) -> Reached:
        """Pods that addresses outside the cluster reach; with ``to_internet`` those that reach
        addresses of the internet."""
        pods = TargetEnd(read_end("*", DEFAULT_NAMESPACE))
        if to_internet:
            internet = TargetEnd(read_end("internet", DEFAULT_NAMESPACE))
            return self._reached([pods], [internet], Direction.EGRESS)
        return self._reached([TargetEnd(OUTSIDE)], [pods], Direction.INGRESS)

    def entries(self) -> tuple[Entry, ...]:
        """Every Ingress, route, Service and port of a node that leads in from outside, and who can
        come in through it."""
        self._require_all()
        return tuple(
            Entry(
                entry_name(row.entry),
                row.sources,
                row.to,
                row.port,
                row.state.value,
                row.because,
                tuple(rule_of(origin, self._loaded.locate) for origin in row.by),
            )
            for row in entry_rows(self._loaded, self._index)
        )

    def _reached(
        self,
        sources: list[TargetEnd] | None,
        targets: list[TargetEnd] | None,
        near: Direction,
        ports: PortSpec = ALL_PORTS,
    ) -> Reached:
        """None: everybody."""
        self._require_all()
        answer, _ = reached(self._world, self._loaded, sources, targets, near, ports)
        return Reached(
            tuple(map(self._row, answer.rows)),
            answer.rest.workloads,
            tuple(str(network) for network in answer.rest.outside.networks()),
        )

    def _row(self, row: ReachRow) -> Reach:
        rules = tuple(rule_of(origin, self._loaded.locate) for origin in row.by.rules)
        ends = row.sources.names, row.destinations.names
        return Reach(*ends, str(row.ports), rules, row.by.free, row.family, row.is_to_come)

    # -- policies

    def policies(self, name: str, *, namespace: str | None = None) -> tuple[Purpose, ...]:
        """The policies that select a pod or workload; ``without``: which of its connections hang
        on each alone."""
        index, space = self._index, namespace or DEFAULT_NAMESPACE
        with asking(self._loaded, FILES):
            selection = selecting(index, PartyLookup(index).find(qualified(name, space), space))
        if doubts := Certainty(index).about(selection.pods):
            raise self._open(doubts)
        owners = removal.owners_of(index, selection)
        policies = removal.selecting_policies(index, selection)
        found = [removal.purpose(index, policy) for policy in policies]
        return tuple(self._purpose(each, removal.about(each.without, owners)) for each in found)

    def pods(self, policy: str, *, namespace: str | None = None) -> Purpose:
        """Whom a policy selects, and what would close and open without it."""
        self._require_all()
        with asking(self._loaded, FILES):
            found = wanted_policies(self._loaded, policy, namespace or DEFAULT_NAMESPACE)
            if not found:
                raise no_policy(self._loaded, policy)
        answer = removal.purpose(self._index, found[0])
        return self._purpose(answer, answer.without)

    def _purpose(self, purpose: removal.PolicyPurpose, without: Iterable[Outcome]) -> Purpose:
        policy = purpose.policy
        return Purpose(
            policy_name(policy.ref),
            shown(self._loaded.locate(policy.source, "")),
            tuple(group.name for group in purpose.selects),
            tuple(each.value for each in AS_WRITTEN if each in purpose.directions),
            tuple(map(change_of, without)),
            purpose.audited,
        )

    def unused_selectors(self) -> tuple[Unused, ...]:
        """Selectors of policies and of their peers that fit no pod now."""
        self._require_all()
        locate = self._loaded.locate
        found = unused_selectors(self._index)
        return tuple(Unused(rule_of(each.origin, locate), each.words) for each in found)

    # -- ways and what stands open

    def path(
        self,
        source: str,
        target: str,
        *,
        hops: int = 3,
        port: str = "any",
        namespace: str | None = None,
    ) -> tuple[Hop, ...]:
        """A shortest way over pods that connect onward, of at most ``hops`` connections; () where
        there is none. ``port``: those that each of them may use, with commas between."""
        self._require_all()
        world, space = self._world, namespace or DEFAULT_NAMESPACE
        with asking(self._loaded, FILES):
            allowed = hop_ports([port])
            resolver = Resolver(world)
            near, far = (found_end(resolver, word, space).pods for word in (source, target))
        if not near or not far:
            raise QuestionError("a way leads from pods to pods; to and from_ take addresses")
        way = shortest(world, near, far, allowed, hops)
        return tuple(Hop(h.source, h.destination, str(h.ports), h.family) for h in way)

    def unprotected(self) -> tuple[Open, ...]:
        """Pods that no policy closes in some direction."""
        self._require_all()
        return _open(unprotected(self._world))

    def newcomers(self) -> tuple[Open, ...]:
        """The next pod without labels of each namespace, and of a new one (``+/+``), and in which
        directions it would be open: in none if ``directions`` is empty."""
        self._require_all()
        return _open(newcomers(self._world))

    # -- what could not be read

    def _require_all(self) -> None:
        if self._loaded.doubts:
            raise self._open(self._loaded.doubts)

    def _open(self, doubts: Iterable[Doubt]) -> PodfenceError:
        said = without_verdict(self._loaded, tuple(doubts))
        return PodfenceError(f"no answer: {said}", code="PF007")


def _open(found: Iterable[Openness]) -> tuple[Open, ...]:
    return tuple(
        Open(each.name, each.pods, tuple(d.value for d in AS_WRITTEN if d in each.open))
        for each in found
    )


# -- Origins and positions as the library's values


def shown(position: Position | None) -> str:
    """``file:line:column``, "" for none."""
    return str(position) if position else ""


def rule_of(origin: Origin, locate: Locate) -> Rule:
    """A rule with its position."""
    position = shown(locate(origin.source, origin.path))
    return Rule(origin_name(origin).partition(" spec")[0], origin.path, position)


def change_of(outcome: Outcome) -> Change:
    """What opens and closes."""
    opens, closes = (str(ports) if ports else "" for ports in (outcome.opened, outcome.closed))
    ends = outcome.sources.names, outcome.destinations.names
    return Change(*ends, opens, closes, outcome.family, outcome.newcomers)
