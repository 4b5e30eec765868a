"""notes_for(index, policy): what in a policy does not do what its name or shape suggests.

Rule: a note is given only for what is certain from the input. Each check is one function from a
Case to notes; their order here is the order in which people read them.
"""

from __future__ import annotations

from podfence.model.networkpolicy import NetworkPolicy
from podfence.policy.index import PolicyIndex
from podfence.questions.lint import (
    note_labels,
    note_names,
    note_neighbours,
    note_peers,
    note_ports,
    note_shape,
)
from podfence.questions.lint.findings import Finding
from podfence.questions.lint.note import Case, Raw
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
    note_labels.misspelt_subject,
    note_labels.misspelt_peers,
    note_peers.selects_nothing,
    note_peers.lost_or,
    note_peers.lost_and,
    note_peers.means_nobody,
    note_peers.inside_block,
    note_peers.one_family,
    note_ports.unknown_name,
    note_ports.service_port,
    note_ports.other_end,
    note_ports.dns_over_tcp,
)

_SAY_NOBODY = frozenset({"PF306", "PF307"})
_SAY_WHY_NOBODY = frozenset({"PF320", "PF321"})
"""They stand in the place of the others: the cause says more."""


def notes_for(
    index: PolicyIndex,
    policy: NetworkPolicy,
    raw: Raw | None = None,
    matched: Matched | None = None,
) -> tuple[Finding, ...]:
    """Findings about one policy of the index.

    ``raw``: the object as it was read, for what decoding loses (empty or absent, null items,
    annotations); without it PF302 and PF305 are never given. ``matched``: of this index, shared
    by many policies.
    """
    case = Case(index, policy, raw, matched or Matched(index))
    notes = [note for check in _CHECKS for note in check(case)]
    explained = [note.path for note in notes if note.code in _SAY_WHY_NOBODY]
    return tuple(
        Finding(note.code, policy.ref, policy.source, note.path, note.text)
        for note in notes
        if note.code not in _SAY_NOBODY or not any(p.startswith(note.path) for p in explained)
    )
