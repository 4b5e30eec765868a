"""What the lab answers, as JSON data.

Rule: one function a reply; what it returns is valid for the schema of its name under docs/schemas.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from podfence.errors import Locate
from podfence.lab.replies import ApplyReply, FollowedServer, NotSent, StatusReply, WhyReply
from podfence.lab.testbed.livetraffic import TrafficLosses
from podfence.lab.testbed.probeplan import PartyKind, ProbeParty
from podfence.lab.testbed.report import LabReport, PacketCheck, PairResult, PortSeen, SentProbe
from podfence.model.objects import Service
from podfence.questions.connectivity import ports_words
from podfence.questions.diff import VerdictChange
from podfence.render.verdicts import VerdictEncoder
from podfence.sets.ports import OTHER

Data = dict[str, object]


def report_data(report: LabReport, locate: Locate) -> Data:
    """lab-report: ``lab run`` and ``lab test``."""
    encoder = VerdictEncoder(locate)
    t = report.timings
    return {
        "schema": "podfence.lab-report/v1",
        "clean": report.clean,
        "probes": report.probes,
        "agreements": report.agreements,
        "disagreements": [_check(check, encoder) for check in report.disagreements],
        "withoutControl": [_packet(check.packet) for check in report.without_control],
        "controls": "live" if report.live_control else "open-network",
        "parties": [_party(party, report) for party in report.parties],
        "pairs": [_pair(pair) for pair in report.pairs],
        "held": [
            {
                "name": held.party.name,
                "family": f"IPv{held.family}",
                "protocol": held.protocol,
                "port": held.port,
                "probed": held.probed,
            }
            for held in report.held
        ],
        "repeated": report.repeated,
        "notes": report.notes,
        "rootless": report.rootless,
        "seconds": {
            "build": t.build,
            "control": t.control,
            "enforce": t.enforce,
            "probe": t.probe,
            "teardown": t.teardown,
        },
    }


def _check(check: PacketCheck, encoder: VerdictEncoder) -> Data:
    return {
        **_packet(check.packet),
        "allowed": check.verdict.allowed,
        "egress": encoder.decision(check.verdict.egress),
        "ingress": encoder.decision(check.verdict.ingress),
    }


def _packet(packet: SentProbe) -> Data:
    return {
        "from": packet.source.name,
        "to": packet.target.name,
        "family": f"IPv{packet.family}",
        "protocol": packet.protocol,
        "port": packet.port,
        "outcome": packet.outcome.words,
    }


def _party(party: ProbeParty, report: LabReport) -> Data:
    data: Data = {**_end(party), "kind": party.side.value}
    if party.side is PartyKind.POD:
        data |= {"node": party.node, "workload": report.workloads.get(party.name, party.name)}
    return data


def _end(party: ProbeParty) -> Data:
    return {"name": party.name, "addresses": [str(a) for a in party.addresses]}


def _pair(pair: PairResult) -> Data:
    families = sorted({seen.family for seen in pair.ports})
    return {
        "from": pair.source.name,
        "to": pair.target.name,
        "results": [
            {
                "family": f"IPv{family}",
                "open": list(_ports(pair.ports, family, is_open=True)),
                "closed": list(_ports(pair.ports, family, is_open=False)),
            }
            for family in families
        ],
    }


def _ports(ports: Iterable[PortSeen], family: int, *, is_open: bool) -> Iterator[str]:
    """``TCP/80``; ``OTHER`` for the echo that stands for protocols without ports."""
    for seen in ports:
        if seen.family == family and seen.open is is_open:
            yield OTHER if seen.protocol == OTHER else f"{seen.protocol}/{seen.port}"


def applied_data(applied: ApplyReply) -> Data:
    """lab-apply."""
    data: Data = {
        "schema": "podfence.lab-apply/v1",
        "newPods": [{**_end(party), "node": party.node} for party in applied.came],
        "gonePods": [{**_end(party), "node": party.node} for party in applied.gone],
        "changes": [_change(change) for change in applied.changes],
        "nodes": applied.nodes,
        "nodesChanged": applied.changed,
        "nodesJudgedAgain": applied.judged,
        "seconds": applied.seconds,
        "notes": applied.notes,
    }
    if applied.traffic is not None:
        data["traffic"] = _traffic(applied.traffic)
    return data


def _change(change: VerdictChange) -> Data:
    return {
        "from": change.source,
        "to": change.destination,
        "opened": ports_words(change.opened).split(" ") if change.opened else [],
        "closed": ports_words(change.closed).split(" ") if change.closed else [],
        "families": [f"IPv{family}" for family in change.families],
        "pairs": change.pairs,
        "ofPairs": change.of,
    }


def _traffic(seen: TrafficLosses) -> Data:
    return {
        "revoked": seen.revoked_flows,
        "messagesWhileRevoked": seen.refused,
        "leaked": seen.leaked,
        "kept": seen.kept_flows,
        "messagesOfKept": seen.kept,
        "lost": seen.lost,
    }


def explained_data(explained: WhyReply) -> Data:
    """lab-why: the answer of ``why``, and the packet."""
    data: Data = {
        "schema": "podfence.lab-why/v1",
        "why": VerdictEncoder(explained.positions.locate).why(explained.answer),
    }
    match explained.packet:
        case NotSent(reason):
            data["notSent"] = reason
        case SentProbe() as packet:
            data |= {"packet": _packet(packet), "agrees": explained.agrees}
            data |= {"held": explained.held}
    if explained.control is not None:
        data["control"] = _packet(explained.control)
    return data


def stated_data(stated: StatusReply) -> Data:
    """lab-status: ``lab up`` and ``lab status``."""
    return {
        "schema": "podfence.lab-status/v1",
        **_counts(stated),
        "nodes": [
            {
                "name": state.node.name,
                "addresses": [str(address) for address in state.node.addresses],
                **({} if state.epoch is None else {"epoch": state.epoch}),
                "pods": [_end(pod) for pod in state.pods],
            }
            for state in stated.nodes
        ],
        "outside": stated.outside,
        "services": [_service(service) for service in stated.services],
        "notes": stated.notes,
        **({} if stated.api is None else {"api": _api(stated.api)}),
    }


def _api(served: FollowedServer) -> Data:
    return {
        "url": served.url,
        "version": served.version,
        "kubeconfig": served.kubeconfig,
        "agents": dict(served.agents),
    }


def _counts(stated: StatusReply) -> Data:
    return {
        "name": stated.name,
        "since": stated.since.isoformat(timespec="seconds"),
        "rootless": stated.rootless,
        "pods": stated.pods,
        "policies": stated.policies,
    }


def _service(service: Service) -> Data:
    return {
        "name": str(service.ref),
        "addresses": [str(address) for address in service.cluster_ips],
        "ports": [f"{port.protocol.value}/{port.port}" for port in service.ports],
    }


def list_data(labs: Iterable[StatusReply]) -> Data:
    """lab-list."""
    return {
        "schema": "podfence.lab-list/v1",
        "labs": [{**_counts(stated), "nodes": len(stated.nodes)} for stated in labs],
    }


def down_data(ended: Iterable[str], crashed: Iterable[str]) -> Data:
    """lab-down."""
    return {"schema": "podfence.lab-down/v1", "ended": list(ended), "crashed": list(crashed)}
