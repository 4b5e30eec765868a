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
from podfence.policy.index import CompiledRule, CompiledTier, EndpointClass, Match, Peers
from podfence.policy.namedports import NamedPorts, PortName, named_number
from podfence.policy.origin import Origin
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


class PolicyRules(Struct, frozen=True):
    """What one policy says in one direction."""

    ref: ObjectRef
    selected: FrozenBitMap
    """The classes that it applies to."""
    read: Callable[[], Iterable[ReadRule]]
    """Its rules. Called once, and only if the policy applies to a class."""
    isolation: Origin | None = None
    """Set for a policy that isolates (NP-5)."""


class RuleCompiler:
    """Compiles rules of all tiers of one index, and numbers rules and tiers."""

    def __init__(self, named: NamedPorts) -> None:
        self._named = named
        self._rule_numbers = count()
        self._tier_numbers = count()

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

    def tier(
        self,
        name: str,
        key: str,
        rules: Rules,
        default: Action,
        isolated_by: tuple[Origin, ...],
    ) -> CompiledTier:
        """A tier with the next number."""
        return CompiledTier(next(self._tier_numbers), name, key, rules, default, isolated_by)

    def _rule(self, rule: ReadRule, matches: Iterable[Match]) -> CompiledRule:
        return CompiledRule(next(self._rule_numbers), rule.action, tuple(matches), rule.origin)


class TierCompiler(Struct):
    """Compiles one tier in one direction for any class. ``policies``: in the order in which they
    are asked."""

    name: str
    default: Action
    direction: Direction
    policies: Sequence[PolicyRules]
    rules: RuleCompiler
    _by_class: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    _read: dict[int, tuple[ReadRule, ...]] = field(default_factory=dict)
    _names: dict[int, tuple[PortName, ...]] = field(default_factory=dict)
    _compiled: dict[tuple[int, _Resolved], Rules] = field(default_factory=dict)
    _tiers: dict[tuple[tuple[int, _Resolved], ...], CompiledTier] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for at, policy in enumerate(self.policies):
            for endpoint_class in policy.selected:
                self._by_class[endpoint_class].append(at)

    def tier(self, subject: EndpointClass) -> CompiledTier | None:
        """What the policies that select a class say together; None: no policy does."""
        applying = self._by_class.get(subject.number)
        if applying is None:
            return None
        parts = tuple((at, self._resolved(at, subject)) for at in applying)
        found = self._tiers.get(parts)
        if found is None:
            found = self._tiers[parts] = self._tier(parts)
        return found

    def _tier(self, parts: Sequence[tuple[int, _Resolved]]) -> CompiledTier:
        policies = [self.policies[at] for at, _ in parts]
        return self.rules.tier(
            self.name,
            repr((self.name, [self._words(*part) for part in parts])),
            tuple(chain.from_iterable(self._rules(*part) for part in parts)),
            self.default,
            tuple(policy.isolation for policy in policies if policy.isolation is not None),
        )

    def _words(self, at: int, resolved: _Resolved) -> tuple[object, ...]:
        """A policy in a tier's key. As a value whose ``repr`` tells all apart: names may hold any
        text."""
        ref = self.policies[at].ref
        ports = zip(self._names_of(at), resolved, strict=True)
        return (ref.kind, ref.namespace, ref.name, *(f"{name}={found}" for name, found in ports))

    def _rules_of(self, at: int) -> tuple[ReadRule, ...]:
        found = self._read.get(at)
        if found is None:
            found = self._read[at] = tuple(self.policies[at].read())
        return found

    def _names_of(self, at: int) -> tuple[PortName, ...]:
        """The port names that are resolved on the subject."""
        if self.direction is Direction.EGRESS:
            return ()
        found = self._names.get(at)
        if found is None:
            names = (name for rule in self._rules_of(at) for name in rule.names)
            found = self._names[at] = tuple(dict.fromkeys(names))
        return found

    def _resolved(self, at: int, subject: EndpointClass) -> _Resolved:
        return tuple(named_number(subject.named_ports, name) for name in self._names_of(at))

    def _rules(self, at: int, resolved: _Resolved) -> Rules:
        found = self._compiled.get((at, resolved))
        if found is None:
            found = self._compiled[at, resolved] = tuple(self._compile(at, resolved))
        return found

    def _compile(self, at: int, resolved: _Resolved) -> Iterator[CompiledRule]:
        numbers = dict(zip(self._names_of(at), resolved, strict=True))
        for rule in self._rules_of(at):
            if self.direction is Direction.INGRESS:
                yield self.rules.ingress(rule, numbers)
            else:
                yield self.rules.egress(rule)
