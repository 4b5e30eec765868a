"""notes_for(index, policy): what in a policy does not do what its name or shape suggests.

Rule: a note is given only for what is certain from the input. Each check is one function from a
Case to notes; their order here is the order in which people read them.
"""

from __future__ import annotations

from collections.abc import Mapping

from podfence.model.networkpolicy import NetworkPolicy
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
from podfence.questions.lint.findings import Finding
from podfence.questions.lint.note import Case, Note, Raw, Written
from podfence.questions.phrases.matched import Matched

_CHECKS = (
    note_names.says_deny,
    note_names.reversed_direction,
    note_shape.empty_egress,
    note_shape.egress_closes_ingress,
    note_shape.dead_rules,
    note_shape.null_items,
    note_shape.allows_everything,
    note_shape.pointless,
    note_neighbours.undone_rule,
    note_neighbours.undone_peers,
    note_neighbours.stray_dash,
    note_elsewhere.label_of_workload,
    note_who.on_the_host,
    note_labels.misspelt_subject,
    note_labels.misspelt_peers,
    note_elsewhere.of_another_namespace,
    note_elsewhere.misspelt_namespace,
    note_elsewhere.changing_label,
    note_elsewhere.strangers,
    note_peers.selects_nothing,
    note_peers.lost_or,
    note_peers.lost_and,
    note_peers.means_nobody,
    note_peers.inside_block,
    note_peers.one_family,
    note_ports.unknown_name,
    note_ports.service_port,
    note_ports.other_end,
    note_numbers.other_protocol,
    note_numbers.name_of_some,
    note_numbers.range_of_all,
    note_ports.dns_over_tcp,
    note_outside.dns_anywhere,
    note_outside.internet,
    note_outside.metadata,
    note_outside.everything_outside,
    note_who.open_store,
    note_who.open_outside,
)

_SAY_SURER: Mapping[str, frozenset[str]] = {
    "PF306": frozenset({"PF320", "PF321", "PF322", "PF325", "PF360"}),
    "PF307": frozenset({"PF320", "PF321", "PF322", "PF360"}),
    "PF320": frozenset({"PF322"}),
    "PF325": frozenset({"PF320", "PF322"}),
    "PF309": frozenset({"PF329"}),
    "PF352": frozenset({"PF356"}),
    "PF354": frozenset({"PF341", "PF353"}),
}
"""What is not said of a place where one of these was said: the cause says more."""


def notes_for(
    index: PolicyIndex,
    policy: NetworkPolicy,
    raw: Raw | None = None,
    matched: Matched | None = None,
    written: Written | None = None,
) -> tuple[Finding, ...]:
    """Findings about one policy of the index.

    ``raw``: the object as it was read, for what decoding loses (empty or absent, null items,
    annotations); without it PF302 and PF305 are never given. ``matched``: of this index, shared
    by many policies. ``written``: how any object was written.
    """
    case = Case(index, policy, raw, matched or Matched(index), written or _not_known(index))
    notes = [note for check in _CHECKS for note in check(case)]
    if not notes:
        return ()
    return tuple(
        Finding(note.code, policy.ref, policy.source, note.path, note.text, note.severity)
        for note in notes
        if not any(_is_surer(other, note) for other in notes)
    )


def _not_known(index: PolicyIndex) -> Written:
    return Written(index, lambda _: None)


def _is_surer(other: Note, note: Note) -> bool:
    return other.code in _SAY_SURER.get(note.code, ()) and other.path.startswith(note.path)
