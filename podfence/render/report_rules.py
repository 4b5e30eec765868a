"""The compiled rules of a report as data, with the lines that they come from.

Rule: exactly what the engine reads, with classes numbered as on the map; a reader that evaluates it
as ``engine.evaluate`` does gets the engine's answer. Texts are those of documents with a policy.
The schema is docs/schemas/report.schema.json.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from podfence.errors import Locate, Source
from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import NetworkPolicy
from podfence.policy.flow import AS_WRITTEN, Action
from podfence.policy.index import (
    CompiledRule,
    CompiledTier,
    DirectionPolicy,
    Everyone,
    Match,
    Peers,
)
from podfence.policy.origin import Origin
from podfence.questions.phrases.tierwords import priority_of, written_rules
from podfence.questions.report import Report
from podfence.render.report_map import PortSetTable, differences, steps
from podfence.render.report_names import AsWritten

RULES_SCHEMA = "podfence.report-rules/v1"
Excerpt = Callable[[Source], tuple[int, str]]
"""The number of the first line of the document that an object is in, and its text."""
_ACTIONS = {Action.ACCEPT: 0, Action.DENY: 1, Action.PASS: 2}


def rules_data(
    report: Report, names: AsWritten, locate: Locate, excerpt: Excerpt | None
) -> dict[str, object]:
    """Everything that the reason of a verdict needs. ``excerpt`` None: without the texts."""
    return _Rules(report, names, locate, excerpt).data()


class _Rules:
    """Tables that grow as rules are added; each entry is stored once."""

    def __init__(
        self, report: Report, names: AsWritten, locate: Locate, excerpt: Excerpt | None
    ) -> None:
        self._report, self._index = report, report.index
        self._names, self._locate, self._excerpt = names, locate, excerpt
        self._classes = report.classes()
        self._written = written_rules(report.index)
        self._ports = PortSetTable()
        self._paths: dict[str, int] = {}
        self._peer_numbers: dict[tuple[str, int | None], int] = {}
        self._peers: list[object] = []
        self._rule_numbers: dict[int, int] = {}
        self._rules: list[object] = []
        self._isolation_numbers: dict[tuple[ObjectRef, str], int] = {}
        self._isolations: list[object] = []
        self._tier_numbers: dict[int, int] = {}
        self._tiers: list[object] = []
        self._direction_numbers: dict[int, int] = {}
        self._directions: list[object] = []
        self._documents: dict[tuple[str, int], int] = {}
        self._texts: list[object] = []
        cluster = report.index.cluster
        self._all: tuple[NetworkPolicy | ClusterNetworkPolicy, ...] = (
            *cluster.policies,
            *cluster.admin_policies,
        )
        self._policy_numbers: Mapping[ObjectRef, int] = {
            policy.ref: number for number, policy in enumerate(self._all)
        }

    def data(self) -> dict[str, object]:
        """All tables."""
        classes = [
            None
            if self._index.classes[number].outside is not None
            else [
                self._direction(self._index.policies[number].ingress),
                self._direction(self._index.policies[number].egress),
            ]
            for number in self._classes
        ]
        policies = list(self._policies())
        return {
            "schema": RULES_SCHEMA,
            "classes": classes,
            "directions": self._directions,
            "tiers": self._tiers,
            "isolations": self._isolations,
            "rules": self._rules,
            "peers": self._peers,
            "ports": self._ports.data(),
            "policies": policies,
            "paths": list(self._paths),
            "documents": self._texts,
        }

    # -- compiled

    def _direction(self, policy: DirectionPolicy) -> int:
        found = self._direction_numbers.get(policy.number)
        if found is None:
            found = self._direction_numbers[policy.number] = len(self._directions)
            self._directions.append([self._tier(tier) for tier in policy.tiers])
        return found

    def _tier(self, tier: CompiledTier) -> int:
        found = self._tier_numbers.get(tier.number)
        if found is None:
            found = self._tier_numbers[tier.number] = len(self._tiers)
            self._tiers.append(
                {
                    "name": tier.name,
                    "default": _ACTIONS[tier.default],
                    "rules": steps(self._rule(rule) for rule in tier.rules),
                    "isolatedBy": steps(self._isolation(each) for each in tier.isolated_by),
                }
            )
        return found

    def _isolation(self, origin: Origin) -> int:
        key = origin.policy, origin.path
        found = self._isolation_numbers.get(key)
        if found is None:
            found = self._isolation_numbers[key] = len(self._isolations)
            self._isolations.append(self._origin(origin))
        return found

    def _rule(self, rule: CompiledRule) -> int:
        found = self._rule_numbers.get(rule.number)
        if found is None:
            found = self._rule_numbers[rule.number] = len(self._rules)
            written = self._written.get((rule.origin.policy, rule.origin.path))
            self._rules.append(
                [
                    *self._origin(rule.origin),
                    _ACTIONS[rule.action],
                    [self._match(rule.origin, match) for match in rule.matches],
                    self._names.rule(written.name) if written else "",
                ]
            )
        return found

    def _match(self, origin: Origin, match: Match) -> list[object]:
        return [
            self._peer(match.peers),
            self._ports.number(match.ports),
            *self._position(origin.source, match.path),
        ]

    def _peer(self, peers: Peers) -> int:
        key = peers.key, peers.family
        found = self._peer_numbers.get(key)
        if found is None:
            found = self._peer_numbers[key] = len(self._peers)
            if isinstance(peers, Everyone):
                self._peers.append(None)
            else:
                held = (new for old, new in self._classes.items() if old in peers.classes)
                self._peers.append([peers.family or 0, differences(held)])
        return found

    # -- where it is written

    def _origin(self, origin: Origin) -> list[object]:
        number = self._policy_numbers[origin.policy]
        return [number, *self._position(origin.source, origin.path)]

    def _position(self, source: Source | None, path: str) -> tuple[int, int, int]:
        """The number of a field path, its line and its column; 0 and 0 where there is no line."""
        number = self._paths.setdefault(path, len(self._paths))
        position = self._locate(source, path)
        return (number, 0, 0) if position is None else (number, position.line, position.column)

    def _document(self, source: Source | None, located: bool) -> int:
        """The number of the document that holds a policy; -1 where there is no file to open."""
        if source is None or not located:
            return -1
        key = source.file, source.document
        found = self._documents.get(key)
        if found is None:
            found = self._documents[key] = len(self._texts)
            entry: dict[str, object] = {"file": self._names.file(source.file)}
            if self._excerpt is not None and not self._names.hides:
                entry["line"], entry["text"] = self._excerpt(source)
            self._texts.append(entry)
        return found

    # -- policies

    def _policies(self) -> Iterator[dict[str, object]]:
        by_class: dict[int, list[int]] = {}
        for group in self._report.map.groups:
            by_class.setdefault(group.endpoint_class, []).append(group.number)
        shown = frozenset(by_class)
        for policy in self._all:
            selected = self._index.selected[policy.ref]
            _, line, column = self._position(policy.source, "")
            common: dict[str, object] = {
                "namespace": self._names.namespace(policy.ref.namespace),
                "name": self._names.policy(policy.ref.namespace, policy.ref.name),
                "kind": policy.ref.kind,
                "document": self._document(policy.source, line > 0),
                "line": line,
                "column": column,
                "selected": differences(
                    number for each in shown if each in selected for number in by_class[each]
                ),
                "rules": [len(policy.rules_of(each.policy_type)) for each in AS_WRITTEN],
            }
            yield common | (
                self._tiered(policy)
                if isinstance(policy, ClusterNetworkPolicy)
                else self._plain(policy)
            )

    def _plain(self, policy: NetworkPolicy) -> dict[str, object]:
        """``types``: the directions that it isolates in, ingress first. ``inactive``: positions of
        rules of a direction that it does not have (NP-15)."""
        types = [each.policy_type in policy.policy_types for each in AS_WRITTEN]
        inactive = [
            [at, *self._position(policy.source, f"spec.{each.value}")]
            for at, each in enumerate(AS_WRITTEN)
            if policy.rules_of(each.policy_type) and not types[at]
        ]
        return {"types": types} | ({"inactive": inactive} if inactive else {})

    def _tiered(self, policy: ClusterNetworkPolicy) -> dict[str, object]:
        types = [bool(policy.rules_of(each.policy_type)) for each in AS_WRITTEN]
        return {"types": types, "tier": policy.tier.value, "priority": priority_of(policy)}
