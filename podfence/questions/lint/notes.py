"""notes_for(index, policy): what in a policy does not do what its name or shape suggests.

Rule: a note is certain from the input. Each check is one function from a LintedPolicy to notes;
their order here is the order of the output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from podfence.model.networkpolicy import NetworkPolicy, NetworkPolicyRule
from podfence.policy.index import PolicyIndex
from podfence.questions.lint import (
    note_elsewhere,
    note_labels,
    note_names,
    note_neighbours,
    note_numbers,
    note_outside,
    note_peers,
    note_ports,
    note_shape,
    note_who,
)
from podfence.questions.lint.findings import LintFinding
from podfence.questions.lint.note import LintedPolicy, Note, Raw, WrittenObjects
from podfence.questions.lint.surroundings import UNTOLD, ClusterDns
from podfence.questions.phrases.matched import MatchedPods

_PORTS, _BLOCKS, _PEERS, _TWO_PEERS, _TWO_RULES = 1, 2, 4, 8, 16
_NO_SUBJECT, _NO_PEER, _NOBODY = 32, 64, 128
_NAMES, _NUMBERS, _DNS, _EMPTY, _SERVICES = 256, 512, 1024, 2048, 4096

CHECKS: tuple[tuple[Callable[[LintedPolicy], Iterator[Note]], int], ...] = (
    (note_names.says_deny, 0),
    (note_names.reversed_direction, _PEERS),
    (note_shape.empty_egress, 0),
    (note_shape.egress_closes_ingress, 0),
    (note_shape.dead_rules, 0),
    (note_shape.null_items, _EMPTY),
    (note_shape.allows_everything, 0),
    (note_shape.pointless, 0),
    (note_neighbours.undone_rule, _TWO_RULES),
    (note_neighbours.undone_peers, _TWO_PEERS),
    (note_neighbours.stray_dash, _TWO_RULES),
    (note_elsewhere.label_of_workload, _NOBODY),
    (note_who.on_the_host, _NOBODY),
    (note_labels.misspelt_subject, _NO_SUBJECT),
    (note_labels.misspelt_peers, _NO_PEER),
    (note_elsewhere.of_another_namespace, _NO_SUBJECT),
    (note_elsewhere.misspelt_namespace, _NO_SUBJECT),
    (note_elsewhere.changing_label, 0),
    (note_elsewhere.strangers, _PEERS),
    (note_peers.selects_nothing, _NO_SUBJECT),
    (note_peers.lost_or, _NO_PEER),
    (note_peers.lost_and, _NO_PEER),
    (note_peers.means_nobody, _NO_PEER),
    (note_peers.inside_block, _BLOCKS),
    (note_peers.one_family, _BLOCKS),
    (note_ports.unknown_name, _NAMES),
    (note_ports.service_port, _NUMBERS | _SERVICES),
    (note_ports.other_end, _NUMBERS),
    (note_numbers.other_protocol, _NUMBERS),
    (note_numbers.name_of_some, _NAMES),
    (note_numbers.range_of_all, _NUMBERS),
    (note_ports.dns_over_tcp, _DNS),
    (note_outside.dns_anywhere, _DNS),
    (note_outside.internet, _BLOCKS),
    (note_outside.metadata, _BLOCKS),
    (note_outside.everything_outside, _BLOCKS),
    (note_who.open_store, 0),
    (note_who.open_outside, _PORTS),
)
"""Each check with the ``traits`` that a policy needs for it. Most policies lack most traits, and a
check that is skipped costs nothing."""


def traits(case: LintedPolicy) -> int:
    """What checks can be about: port items, those with a name, with a number, with that of DNS;
    rules and port items that say nothing; blocks, peers, a rule with two of them, two rules; whom
    nobody is: a policy without pods, a peer without any, either of the two; and Services."""
    found = _SERVICES if case.index.cluster.services else 0
    if any(map(_says_nothing, (*case.policy.ingress, *case.policy.egress))):
        found |= _EMPTY
    for each in case.ports:
        found |= _PORTS
        if isinstance(each.port.port, str):
            found |= _NAMES
        elif each.port.port is not None:
            found |= _NUMBERS | _DNS if each.port.port == 53 else _NUMBERS
    if not case.subjects:
        found |= _NO_SUBJECT | _NOBODY
    if len(case.rules) > 1:
        found |= _TWO_RULES
    for item in case.peers:
        found |= _PEERS
        if item.at:
            found |= _TWO_PEERS
        if item.peer.ip_block is not None:
            found |= _BLOCKS
        if not item.ends:
            found |= _NO_PEER | _NOBODY
    return found


def _says_nothing(rule: NetworkPolicyRule) -> bool:
    """Whether a rule or one of its ports may have been written as null."""
    nothing = not rule.peers and not rule.ports
    return nothing or any(port.port is None for port in rule.ports)


_SAY_SURER: Mapping[str, frozenset[str]] = {
    "PF306": frozenset({"PF320", "PF321", "PF322", "PF325", "PF360"}),
    "PF307": frozenset({"PF320", "PF321", "PF322", "PF360"}),
    "PF320": frozenset({"PF322"}),
    "PF325": frozenset({"PF320", "PF322"}),
    "PF309": frozenset({"PF329"}),
    "PF352": frozenset({"PF356"}),
    "PF354": frozenset({"PF341", "PF353"}),
}
"""Codes that are left out where one of these codes was given for the same position, because that
one names the cause."""


def notes_for(
    index: PolicyIndex,
    policy: NetworkPolicy,
    raw: Raw | None = None,
    matched: MatchedPods | None = None,
    written: WrittenObjects | None = None,
    dns: ClusterDns = UNTOLD,
) -> tuple[LintFinding, ...]:
    """Findings about one policy of the index.

    ``raw``: the object as it was read, for what decoding drops (empty or absent, null items,
    annotations); without it PF302 and PF305 are never given. ``matched``: of this index, shared by
    many policies. ``written``: how objects were written. ``dns``: where names are resolved.
    """
    known = matched or MatchedPods(index)
    case = LintedPolicy.of(index, policy, raw, known, written or _not_known(index), dns)
    has = traits(case)
    notes = [note for check, needs in CHECKS if not needs & ~has for note in check(case)]
    if not notes:
        return ()
    return tuple(
        LintFinding(
            note.code,
            policy.ref,
            policy.source,
            note.path,
            note.text,
            note.severity,
            names=note.names,
        )
        for note in notes
        if not any(_is_surer(other, note) for other in notes)
    )


def _not_known(index: PolicyIndex) -> WrittenObjects:
    return WrittenObjects(index, lambda _: None)


def _is_surer(other: Note, note: Note) -> bool:
    return other.code in _SAY_SURER.get(note.code, ()) and other.path.startswith(note.path)
