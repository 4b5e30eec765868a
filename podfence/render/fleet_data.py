"""What agents tell, as JSON data.

Rule: one function a command; what it returns is valid for the schema of its name under
docs/schemas.
"""

from __future__ import annotations

from collections.abc import Sequence

from podfence.agent.fleet import EnforcementState, NodeReply, is_well, standing
from podfence.agent.nodereport import ConditionReport, NodeReport, PacketTally, PolicyReport
from podfence.model.meta import ObjectRef, Revision

Data = dict[str, object]


def nodes_data(told: Sequence[NodeReply[NodeReport]]) -> Data:
    """status: ``podfence status``."""
    return {
        "schema": "podfence.status/v1",
        "well": bool(told) and all(map(is_well, told)),
        "nodes": [_node(each) for each in told],
    }


def _node(told: NodeReply[NodeReport]) -> Data:
    found = told.answer
    if found is None:
        return {"node": told.node, "answers": False, "fault": told.fault}
    return {
        "node": told.node,
        "answers": True,
        "well": is_well(told),
        "version": found.version,
        "alive": found.alive,
        "inSync": found.in_sync,
        "uptimeSeconds": found.uptime,
        "epoch": found.epoch,
        "pods": found.pods,
        "pending": [{"pod": each.pod, "seconds": each.seconds} for each in found.pending],
        "closed": list(found.closed),
        "refused": list(found.refused),
        "queued": found.queued,
        "apiLagSeconds": found.lag,
        "denied": None if found.denied is None else [_tally(each) for each in found.denied],
        "conditions": [_condition(each) for each in found.conditions],
        "sources": [
            {"kind": s.kind, "part": s.part, "standing": s.standing, "seconds": s.seconds}
            for s in found.sources
        ],
    }


def _tally(tally: PacketTally) -> Data:
    return {
        "direction": tally.direction,
        "reason": tally.reason,
        "packets": tally.packets,
        "bytes": tally.bytes,
    }


def policy_data(
    policy: ObjectRef, revision: Revision, told: Sequence[NodeReply[PolicyReport]]
) -> Data:
    """policy-status: ``podfence status POLICY`` and ``podfence wait POLICY``."""
    standings = [standing(each, revision) for each in told]
    return {
        "schema": "podfence.policy-status/v1",
        "kind": policy.kind,
        "namespace": policy.namespace,
        "name": policy.name,
        "uid": revision.uid,
        "generation": revision.generation,
        "inForce": bool(told) and all(each is EnforcementState.IN_FORCE for each in standings),
        "nodes": [_policy_node(each, revision) for each in told],
    }


def _policy_node(told: NodeReply[PolicyReport], revision: Revision) -> Data:
    found = told.answer
    data: Data = {
        "node": told.node,
        "standing": standing(told, revision).value,
        "answers": found is not None,
    }
    if found is None:
        return {**data, "fault": told.fault}
    return {
        **data,
        "uid": found.uid,
        "generation": found.generation,
        "pods": found.pods,
        "closed": found.closed,
        "conditions": [_condition(each) for each in found.conditions],
    }


def _condition(held: ConditionReport) -> Data:
    return {
        "condition": held.condition,
        "subject": held.subject,
        "message": held.message,
        "seconds": held.seconds,
        "closed": list(held.closed),
    }
