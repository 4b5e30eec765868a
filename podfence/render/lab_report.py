"""A report of probes as text: what packets did, beside the engine's answer.

Rule: every probe is in the table or counted in the summary; a disagreement is never folded away.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from podfence.errors import Locate
from podfence.lab.testbed.probeplan import PartyKind, ProbeParty
from podfence.lab.testbed.report import LabReport, PacketCheck, PairResult, PortSeen, SentProbe
from podfence.render.tables import table
from podfence.render.verdicts import origin_text
from podfence.sets.ports import OTHER
from podfence.text import printable

_SHOWN = 10


def report_text(report: LabReport, locate: Locate) -> str:
    """Table, disagreements, summary."""
    return (
        table(("TO", "PACKETS GOT THROUGH ON", "ENGINE SAYS", "FROM"), _lines(report))
        + "\n"
        + "".join(f"{line}\n" for line in _findings(report, locate))
        + "".join(f"{line}\n" for line in _summary(report))
    )


# -- the table


def _lines(report: LabReport) -> Iterator[tuple[str, str, str, str]]:
    """One line for each target and each answer; targets that read the same are one."""
    by_target: dict[str, list[PairResult]] = defaultdict(list)
    for pair in report.pairs:
        if pair.source is not pair.target:
            by_target[pair.target.name].append(pair)
    names = _PartyNames(report.parties, report.workloads)
    seen: dict[tuple[str, tuple[tuple[str, str, str], ...]], list[ProbeParty]] = {}
    for party in report.parties:
        rows = tuple(_rows(by_target.get(party.name, []), party, names))
        if rows:
            seen.setdefault((names.family(party), rows), []).append(party)
    for (_, rows), targets in seen.items():
        name = _party(targets[0], ", ".join(names.short(targets)))
        for at, row in enumerate(rows):
            yield (name if at == 0 else "", *row)


class _PartyNames:
    """Says "shop/web", "all pods" or "all outside addresses" where a list would say no more."""

    def __init__(self, parties: Iterable[ProbeParty], workloads: Mapping[str, str]) -> None:
        self._workloads = workloads
        self._members: dict[str, list[ProbeParty]] = defaultdict(list)
        self._sides: dict[PartyKind, list[ProbeParty]] = defaultdict(list)
        for party in parties:
            self._sides[party.side].append(party)
            self._members[self.family(party)].append(party)

    def family(self, party: ProbeParty) -> str:
        """What a party may share a line with: pods of its workload, others of its kind."""
        if party.side is PartyKind.POD:
            return self._workloads.get(party.name, party.name)
        return str(party.side.value)

    def short(
        self, parties: Iterable[ProbeParty], target: ProbeParty | None = None
    ) -> Iterator[str]:
        """The fewest names, made printable; with what they are when they are sources of a
        ``target``. The target itself is never missed among them."""
        left = {party.name: party for party in parties}
        for side, word in (
            (PartyKind.POD, "all pods"),
            (PartyKind.OUTSIDE, "all outside addresses"),
        ):
            wanted = self._wanted(self._sides[side], target)
            if target is not None and len(wanted) > 1 and wanted <= left.keys():
                yield word
                left = {name: party for name, party in left.items() if name not in wanted}
        words: dict[str, None] = {}
        for party in left.values():
            family = self.family(party)
            whole = party.side is PartyKind.POD and (
                self._wanted(self._members[family], target) <= left.keys()
            )
            shown = printable(family if whole else party.name)
            words[_party(party, shown) if target is not None else shown] = None
        yield from words

    @staticmethod
    def _wanted(parties: Iterable[ProbeParty], target: ProbeParty | None) -> set[str]:
        return {party.name for party in parties if party is not target}


def _rows(
    pairs: Sequence[PairResult], target: ProbeParty, names: _PartyNames
) -> Iterator[tuple[str, str, str]]:
    """Sources with the same answer share a line: most open first."""
    groups: dict[tuple[str, str], list[ProbeParty]] = defaultdict(list)
    for pair in pairs:
        kernel = _words(pair.ports, [p for p in pair.ports if p.open])
        engine = _words(pair.ports, [p for p in pair.ports if p.open is p.agrees])
        groups[kernel, engine].append(pair.source)
    for (kernel, engine), sources in sorted(
        groups.items(), key=lambda item: item[0][0] == "nothing"
    ):
        mark = "same" if kernel == engine else f"{engine}  <-- DIFFERS"
        yield kernel, mark, ", ".join(names.short(sources, target))


def _party(party: ProbeParty, shown: str) -> str:
    """A printable name, or several, with what kind of end it is unless it is a pod."""
    kind = {PartyKind.NODE: "node ", PartyKind.OUTSIDE: "outside "}.get(party.side, "")
    return kind + shown


def _words(probed: Sequence[PortSeen], open_ports: Sequence[PortSeen]) -> str:
    """``nothing``, ``every probed port``, or the ports; families only where they differ."""
    if not open_ports:
        return "nothing"
    if len(open_ports) == len(probed):
        return "every probed port"
    families = {p.family for p in probed}
    found: dict[tuple[str, int], set[int]] = defaultdict(set)
    for port in open_ports:
        found[port.protocol, port.port].add(port.family)
    words: dict[tuple[str, str], list[str]] = defaultdict(list)
    for (protocol, number), seen in sorted(found.items()):
        suffix = "" if seen == families else f" (IPv{min(seen)} only)"
        words[protocol, suffix].append(str(number))
    return " ".join(
        f"{'ICMP' if protocol == OTHER else f'{protocol}/' + ','.join(n)}{suffix}"
        for (protocol, suffix), n in words.items()
    )


# -- below the table


def _findings(report: LabReport, locate: Locate) -> Iterator[str]:
    for check in report.disagreements[:_SHOWN]:
        first, *rules = disagreement_lines(check, locate)
        yield f"DIFFERENT: {first}"
        yield from (f"    {rule}" for rule in rules)
    if len(report.disagreements) > _SHOWN:
        yield f"... and {len(report.disagreements) - _SHOWN} more differences"
    where = "from the node" if report.live_control else "on the open network"
    for check in report.without_control[:_SHOWN]:
        yield f"NO CONTROL: {packet_text(check.packet)} {where}, so the probe proves nothing"
    if len(report.without_control) > _SHOWN:
        yield f"... and {len(report.without_control) - _SHOWN} more without control"


def disagreement_lines(check: PacketCheck, locate: Locate) -> Iterator[str]:
    """The outcome of a packet and the engine's answer, then the rules behind that answer."""
    yield f"{packet_text(check.packet)}; the engine says {_said(check)}"
    for decision in (check.verdict.egress, check.verdict.ingress):
        yield from (origin_text(origin, locate) for origin in decision.origins)


def packet_text(packet: SentProbe) -> str:
    """``shop/web -> shop/db TCP/5432 over IPv4: open``."""
    source, target = packet.source, packet.target
    protocol = "ICMP" if packet.protocol == OTHER else f"{packet.protocol}/{packet.port}"
    return (
        f"{_party(source, printable(source.name))} -> {_party(target, printable(target.name))} "
        f"{protocol} over IPv{packet.family}: {packet.outcome.words}"
    )


def _said(check: PacketCheck) -> str:
    return "allowed" if check.verdict.allowed else "denied"


def _summary(report: LabReport) -> Iterator[str]:
    parties = Counter(party.side for party in report.parties)
    services = f", {parties[PartyKind.SERVICE]} Services" if parties[PartyKind.SERVICE] else ""
    outside = f"{parties[PartyKind.OUTSIDE]} outside addresses"
    answered = (
        "each denied probe goes to a port that answers its own node"
        if report.live_control
        else "each denied probe was answered before the policies were loaded"
    )
    yield (
        f"{parties[PartyKind.POD]} pods, {parties[PartyKind.NODE]} node(s), {outside}{services}; "
        f"{report.probes} probes with real packets; {answered}"
    )
    for held in report.held:
        how = "probed with a lone SYN" if held.probed else "not probed"
        yield (
            f"held: {held.protocol}/{held.port} of {printable(held.party.name)} over "
            f"IPv{held.family} belongs to a program in the pod; {how}"
        )
    if report.repeated:
        yield f"{report.repeated} probes were lost at first and answered when sent again"
    yield from (f"note: {printable(note)}" for note in report.notes)
    t = report.timings
    yield (
        f"built in {t.build:.2f} s, control {t.control:.2f} s, enforced in {t.enforce:.2f} s, "
        f"probed in {t.probe:.2f} s, gone in {t.teardown:.2f} s"
        + (" (rootless)" if report.rootless else "")
    )
    if report.clean:
        yield f"kernel and engine agree on all {report.probes} probes"
    else:
        yield (
            f"{len(report.disagreements)} of {report.probes} probes DIFFER; "
            f"{len(report.without_control)} have no control"
        )
