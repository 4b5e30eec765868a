"""What the lab answers, as text.

Rule: every probe is in the table or counted in the summary; a disagreement is never folded away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from podfence.lab.replies import ApplyReply, NodeState, NotSent, StatusReply, WhyReply
from podfence.lab.testbed.livetraffic import TrafficLosses
from podfence.lab.testbed.probeplan import ProbeParty
from podfence.lab.testbed.report import SentProbe
from podfence.questions.diff import VerdictChange
from podfence.render.lab_report import packet_text
from podfence.render.tables import table
from podfence.render.verdicts import why_text
from podfence.text import printable


def stated_text(stated: StatusReply, *, parties: bool) -> str:
    """What a lab is made of; ``parties``: with every pod, outside address and Service."""
    return _lines(_stated(stated, parties))


def _stated(stated: StatusReply, parties: bool) -> Iterator[str]:
    how = " rootless" if stated.rootless else ""
    yield f"lab {stated.name} is up{how} since {stated.since:%Y-%m-%d %H:%M:%S}"
    if stated.api is not None:
        yield f"API server {printable(stated.api.version)} at {stated.api.url}"
        yield f"  export KUBECONFIG={printable(stated.api.kubeconfig)}"
    yield counts_text(stated)
    for state in stated.nodes:
        addresses = ", ".join(map(str, state.node.addresses))
        yield (
            f"  node {printable(state.node.name)} ({addresses}): {len(state.pods)} pods, "
            f"{_enforced(stated, state)}"
        )
        if parties:
            yield from (f"    {_with_addresses(pod)}" for pod in state.pods)
    if parties:
        if stated.outside:
            yield f"  outside: {', '.join(stated.outside)}"
        for service in stated.services:
            addresses = ", ".join(map(str, service.cluster_ips))
            ports = ", ".join(f"{p.protocol.value}/{p.port}" for p in service.ports)
            yield f"  service {printable(str(service.ref))} ({addresses}): {ports}"
    yield from _notes(stated.notes)


def _enforced(stated: StatusReply, state: NodeState) -> str:
    """The rules that are enforced, or the agent that enforces."""
    if stated.api is not None:
        return f"agent is process {stated.api.agents.get(state.node.name, 0)}"
    return f"epoch {state.epoch}"


def counts_text(stated: StatusReply) -> str:
    """``5 pods, 2 node(s), 9 policies``."""
    return f"{stated.pods} pods, {len(stated.nodes)} node(s), {stated.policies} policies"


def applied_text(applied: ApplyReply) -> str:
    """What a change led to."""
    return _lines(_applied(applied))


def _applied(applied: ApplyReply) -> Iterator[str]:
    for word, pods in (("new pod", applied.came), ("pod gone", applied.gone)):
        for pod in pods:
            yield f"{word}: {_with_addresses(pod)} on {printable(pod.node)}"
    yield from changes_text(applied.changes)
    if not applied.changes:
        yield "no verdict changed"
    judged = f", live connections are judged again on {applied.judged}" if applied.judged else ""
    yield (
        f"applied in {applied.seconds:.2f} s: {applied.changed} of {applied.nodes} node(s) got "
        f"other rules{judged}"
    )
    yield from _notes(applied.notes)
    if applied.traffic is not None:
        yield _traffic(applied.traffic)


def changes_text(changes: Iterable[VerdictChange]) -> Iterator[str]:
    """``opened`` and ``closed`` lines, in the order of the pairs."""
    for change in changes:
        for word, ports in (("opened", change.opened), ("closed", change.closed)):
            if ports:
                part = f" ({change.pairs} of {change.of} pairs)" if change.pairs < change.of else ""
                yield (
                    f"{word}  {printable(change.source)} -> {printable(change.destination)}  "
                    f"{ports}{part}"
                )


def _traffic(seen: TrafficLosses) -> str:
    return (
        f"watched: {seen.revoked_flows} connections revoked, {seen.leaked} of {seen.refused} "
        f"messages came after the commit; {seen.kept_flows} connections kept, {seen.lost} of "
        f"{seen.kept} messages lost"
    )


def explained_text(explained: WhyReply) -> str:
    """The engine's reasons, then what became of a real packet."""
    reasons = why_text(explained.answer, explained.positions.locate)
    return f"{reasons}\n{_lines(_sent(explained))}"


def _sent(explained: WhyReply) -> Iterator[str]:
    match explained.packet:
        case NotSent(reason):
            yield f"packet: none sent, for {reason}"
        case SentProbe() as packet:
            same = "as the engine says" if explained.agrees else "the engine DIFFERS"
            yield f"packet: {packet_text(packet)}: {same}"
            if explained.held:
                yield "note: the port belongs to a program in the pod, so the packet was a lone SYN"
    if explained.control is not None:
        yield f"control: {packet_text(explained.control)}"


def list_text(labs: Iterable[StatusReply]) -> str:
    """A table of labs; nothing when there is none."""
    rows = [
        (
            lab.name,
            f"{lab.since:%Y-%m-%d %H:%M:%S}",
            str(lab.pods),
            str(len(lab.nodes)),
            str(lab.policies),
            "yes" if lab.rootless else "no",
        )
        for lab in labs
    ]
    return (
        table(("NAME", "UP SINCE", "PODS", "NODES", "POLICIES", "ROOTLESS"), rows) if rows else ""
    )


def down_text(ended: Iterable[str], crashed: Iterable[str]) -> str:
    """Which labs ended, and which ones had left a socket."""
    return _lines(
        [
            *(f"lab {name} is down" for name in ended),
            *(f"lab {name} had crashed; its socket is removed" for name in crashed),
        ]
    )


def _with_addresses(party: ProbeParty) -> str:
    return f"{printable(party.name)} ({', '.join(map(str, party.addresses))})"


def _notes(notes: Iterable[str]) -> Iterator[str]:
    return (f"note: {printable(note)}" for note in notes)


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
