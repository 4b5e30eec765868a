"""Policies of one kind -> tiers: what the two kinds of policies have in common.

Rule: ``networkpolicies`` and ``admin`` say which policies apply, in which order, and what a rule
means. Here port names are resolved on pods (NP-32, CNP-23), and work is done once for each distinct
policy, resolution and list of policies. Every rule and every tier gets its number here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, count

from msgspec import Struct, field
from msgspec.structs import replace
from pyroaring import FrozenBitMap

from podfence.model.meta import ObjectRef
from podfence.policy.flow import Action, Direction
from podfence.policy.index import EVERYONE, CompiledRule, CompiledTier, EndpointClass, Match, Peers
from podfence.policy.namedports import NamedPorts, PortName, named_number
from podfence.policy.origin import Origin
from podfence.policy.select import PeerSelector
from podfence.sets import PortSet

Rules = tuple[CompiledRule, ...]
_Resolved = tuple[PortSet, ...]
"""The numbers of the port names of a policy's ingress rules on one class, in order of first use."""


class ReadRule(Struct, frozen=True):
    """One rule of a policy before its port names are resolved."""

    action: Action
    origin: Origin
    peers: tuple[tuple[Peers, str], ...]
    """The alternatives of ``from`` or ``to``, each with its field path."""
    ports: PortSet
    """The ports given by number."""
    names: tuple[PortName, ...] = ()
    """The ports given by name."""


class PolicyRules(Struct, frozen=True, eq=False):
    """What one policy says in one direction."""

    ref: ObjectRef
    tier: str
    """``Admin``, ``Baseline`` or NETWORK_POLICY_TIER."""
    direction: Direction
    order: tuple[int, str, str]
    """Policies of one tier are asked in this order."""
    selected: FrozenBitMap
    """The classes that it applies to."""
    read: Callable[[PeerSelector], Iterable[ReadRule]]
    """Its rules. Called once, and only if the policy applies to a class."""
    isolation: Origin | None = None
    """Set for a policy that isolates (NP-5)."""
    audited: bool = False
    """Whether it enforces nothing (AUD-2)."""


class Numbers(Struct):
    """Numbers for what memos hang on, none given twice: indexes that share parts share one of
    these."""

    rules: Iterator[int] = field(default_factory=count)
    policies: Iterator[int] = field(default_factory=count)
    tiers: Iterator[int] = field(default_factory=count)
    directions: Iterator[int] = field(default_factory=count)


class RuleCompiler:
    """Compiles rules of all tiers for one table of classes."""

    def __init__(self, select: PeerSelector, named: NamedPorts, numbers: Numbers) -> None:
        self.select = select
        self.numbers = numbers
        self._named = named

    def ingress(self, rule: ReadRule, resolved: Mapping[PortName, PortSet]) -> CompiledRule:
        """NP-32: port names of ingress rules are resolved on the selected pod."""
        ports = PortSet.union((rule.ports, *(resolved[name] for name in rule.names)))
        return self._rule(rule, (Match(p, ports, path) for p, path in rule.peers if ports))

    def egress(self, rule: ReadRule) -> CompiledRule:
        """NP-32, NP-36: port names of egress rules are resolved on each destination pod."""
        return self._rule(rule, self._egress_matches(rule))

    def _egress_matches(self, rule: ReadRule) -> Iterator[Match]:
        for peers, path in rule.peers:
            if rule.ports:  # NP-35: nothing left of the port part: the rule matches nothing
                yield Match(peers, rule.ports, path)
            for name in rule.names:
                found = self._named.narrow(peers, name, denies=rule.action is Action.DENY)
                yield from (replace(m, path=path) for m in found)

    def _rule(self, rule: ReadRule, matches: Iterable[Match]) -> CompiledRule:
        return CompiledRule(next(self.numbers.rules), rule.action, tuple(matches), rule.origin)


class PolicyCompiler:
    """Compiles one policy in one direction, once for each resolution of its port names.

    The rules that it is given must know the peers of the policy as the ones before did: a policy
    whose peers have changed gets a compiler of its own.
    """

    def __init__(self, policy: PolicyRules, numbers: Numbers) -> None:
        self.policy = policy
        self.number = next(numbers.policies)
        """Tells it from every other of all indexes that share parts."""
        self._read: tuple[ReadRule, ...] | None = None
        self._names: tuple[PortName, ...] | None = None
        self._peers: frozenset[str] | None = None
        self._compiled: dict[_Resolved, Rules] = {}

    def resolved(self, subject: EndpointClass, rules: RuleCompiler) -> _Resolved:
        """The numbers of its port names on a subject."""
        names = self._names_of(rules)
        return tuple(named_number(subject.named_ports, name) for name in names)

    def rules(self, resolved: _Resolved, rules: RuleCompiler) -> Rules:
        """Its rules with these numbers."""
        found = self._compiled.get(resolved)
        if found is None:
            found = self._compiled[resolved] = tuple(self._compile(resolved, rules))
        return found

    def words(self, resolved: _Resolved, rules: RuleCompiler) -> tuple[object, ...]:
        """The policy in a tier's key. As a value whose ``repr`` tells all apart: names may hold any
        text."""
        ref = self.policy.ref
        ports = zip(self._names_of(rules), resolved, strict=True)
        return (ref.kind, ref.namespace, ref.name, *(f"{name}={found}" for name, found in ports))

    @property
    def peers(self) -> frozenset[str]:
        """Keys of the peers that its rules were compiled with; none before they are read. Everyone
        is always everyone, but has other port names from time to time."""
        if self._read is None:
            return frozenset()
        if self._peers is None:
            names = self.policy.direction is Direction.EGRESS
            self._peers = frozenset(
                peers.key
                for rule in self._read
                for peers, _ in rule.peers
                if peers is not EVERYONE or (names and rule.names)
            )
        return self._peers

    def read(self, rules: RuleCompiler) -> tuple[ReadRule, ...]:
        """Its rules as they are written."""
        if self._read is None:
            self._read = tuple(self.policy.read(rules.select))
        return self._read

    def _names_of(self, rules: RuleCompiler) -> tuple[PortName, ...]:
        """The port names that are resolved on the subject."""
        if self.policy.direction is Direction.EGRESS:
            return ()
        if self._names is None:
            names = (name for rule in self.read(rules) for name in rule.names)
            self._names = tuple(dict.fromkeys(names))
        return self._names

    def _compile(self, resolved: _Resolved, rules: RuleCompiler) -> Iterator[CompiledRule]:
        numbers = dict(zip(self._names_of(rules), resolved, strict=True))
        for rule in self.read(rules):
            if self.policy.direction is Direction.INGRESS:
                yield rules.ingress(rule, numbers)
            else:
                yield rules.egress(rule)


Parts = tuple[tuple[int, _Resolved], ...]
"""The policies of a tier, by number, with the numbers of their port names."""


class TierCompiler:
    """Compiles one tier in one direction for any class. ``default``: what it says when no rule
    fits. ``applying``: for each class that a policy of the tier selects, those that do, in order.
    """

    def __init__(
        self,
        name: str,
        default: Action,
        applying: Mapping[int, Sequence[PolicyCompiler]],
        tiers: dict[Parts, CompiledTier],
    ) -> None:
        self._name = name
        self._default = default
        self._applying = applying
        self.tiers = tiers
        """What was compiled, by its parts."""

    @classmethod
    def of(
        cls, name: str, default: Action, policies: Iterable[PolicyRules], numbers: Numbers
    ) -> TierCompiler:
        """The tier of these policies."""
        applying: dict[int, list[PolicyCompiler]] = defaultdict(list)
        for policy in sorted(policies, key=lambda policy: policy.order):
            compiler = PolicyCompiler(policy, numbers)
            for endpoint_class in policy.selected:
                applying[endpoint_class].append(compiler)
        return cls(name, default, applying, {})

    def tier(self, subject: EndpointClass, rules: RuleCompiler) -> CompiledTier | None:
        """What the policies that select a class say together; None: no policy does."""
        applying = self._applying.get(subject.number)
        if not applying:
            return None
        parts = _parts(applying, subject, rules)
        found = self.tiers.get(parts)
        if found is None:
            resolved = [(policy, part[1]) for policy, part in zip(applying, parts, strict=True)]
            found = self.tiers[parts] = self._tier(resolved, rules)
        return found

    def pruned(self, classes: Sequence[EndpointClass], rules: RuleCompiler) -> TierCompiler:
        """The same without what no class has any more."""
        each = (_parts(found, classes[n], rules) for n, found in self._applying.items())
        used = {parts: self.tiers[parts] for parts in each if parts in self.tiers}
        return TierCompiler(self._name, self._default, self._applying, used)

    def _tier(
        self, parts: Sequence[tuple[PolicyCompiler, _Resolved]], rules: RuleCompiler
    ) -> CompiledTier:
        isolations = (policy.policy.isolation for policy, _ in parts)
        return CompiledTier(
            next(rules.numbers.tiers),
            self._name,
            repr((self._name, [policy.words(resolved, rules) for policy, resolved in parts])),
            tuple(chain.from_iterable(policy.rules(resolved, rules) for policy, resolved in parts)),
            self._default,
            tuple(origin for origin in isolations if origin is not None),
        )


def _parts(
    applying: Iterable[PolicyCompiler], subject: EndpointClass, rules: RuleCompiler
) -> Parts:
    return tuple((policy.number, policy.resolved(subject, rules)) for policy in applying)
