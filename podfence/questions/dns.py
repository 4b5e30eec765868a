"""Answers that depend on DNS: rules with domain names whose addresses are unknown.

Rule: an answer depends on such a rule only if the rule would decide before the rule or policy that
did, and with the opposite result. Only Accept rules have domain names (CNP-19).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from podfence.engine.evaluate import asked, fits
from podfence.model.meta import ObjectRef
from podfence.policy.flow import Direction
from podfence.policy.index import Endpoint, PolicyIndex
from podfence.policy.origin import Origin
from podfence.questions.phrases.tierwords import (
    numbered_ports,
    origin_name,
    unknown_names,
    written_rules,
)
from podfence.sets import PortSet
from podfence.sets.addresses import IPAddress


class OpenRule(Struct, frozen=True):
    """An Accept rule with domain names that no table holds, on ``ports``."""

    origin: Origin
    names: tuple[str, ...]
    ports: PortSet

    @property
    def listed(self) -> str:
        """The names as a phrase."""
        return " or ".join(self.names)


def open_rules(index: PolicyIndex) -> Mapping[tuple[ObjectRef, str], OpenRule]:
    """Every such rule of policies that select a pod now, by policy and field path."""
    sources = {policy.ref: policy.source for policy in index.cluster.admin_policies}
    return {
        (ref, path): OpenRule(Origin(ref, path, sources[ref]), asked, numbered_ports(rule))
        for (ref, path), rule in written_rules(index).items()
        if (asked := unknown_names(rule, index.names)) and index.selected[ref]
    }


def map_notes(index: PolicyIndex) -> Iterator[str]:
    """What a map of the cluster leaves open, a sentence a rule."""
    for rule in open_rules(index).values():
        yield (
            f"the map depends on DNS: {origin_name(rule.origin)} accepts {rule.listed}, whose "
            "addresses are unknown; give a table with --resolve"
        )


class DnsNotes:
    """Says of denied connections whether DNS could turn the answer."""

    def __init__(self, index: PolicyIndex) -> None:
        self._index = index
        self._open = open_rules(index)

    def __bool__(self) -> bool:
        """Whether any answer can depend on DNS."""
        return bool(self._open)

    def about(
        self, subject: Endpoint, address: IPAddress, protocol: str, port: int
    ) -> Iterator[str]:
        """Sentences about a connection that ``subject`` may not open to ``address``."""
        for rule in self._deciders(subject, address, protocol, port) if self._open else ():
            yield (
                f"depends on DNS: {origin_name(rule.origin)} accepts this if {rule.listed} stands "
                f"for {address}; give a table of names with --resolve"
            )

    def _deciders(
        self, subject: Endpoint, address: IPAddress, protocol: str, port: int
    ) -> Iterator[OpenRule]:
        """The rules that would accept it before a tier denies it."""
        remote = self._index.class_of(address)
        policy = self._index.policies[subject.endpoint_class].of(Direction.EGRESS)
        for tier, _, said_by in asked(
            policy, lambda rule: fits(rule, remote, address.version, protocol, port)
        ):
            for rule in tier.rules:
                found = self._open.get((rule.origin.policy, rule.origin.path))
                if found is not None and (protocol, port) in found.ports:
                    yield found
                if rule in said_by:
                    break
