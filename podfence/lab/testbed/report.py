"""What the lab found, as values. Pure; nothing here knows how it is printed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from podfence.lab.testbed.probeplan import ProbeParty, ProbePlan
from podfence.lab.testbed.probes import Probe, ProbeOutcome
from podfence.policy.flow import Verdict
from podfence.policy.origin import Origin


class SentProbe(Struct, frozen=True):
    """One probe that was sent, and its outcome."""

    source: ProbeParty
    target: ProbeParty
    family: int
    """The IP version."""
    protocol: str
    port: int
    """0 for protocols without ports."""
    outcome: ProbeOutcome

    @classmethod
    def of(cls, plan: ProbePlan, probe: Probe, outcome: ProbeOutcome) -> SentProbe:
        """A probe between two parties of a plan."""
        ends = plan.parties[probe.source], plan.parties[probe.target]
        return cls(*ends, probe.family, probe.protocol, probe.port, outcome)


class PacketCheck(Struct, frozen=True):
    """One packet beside the engine's answer."""

    packet: SentProbe
    verdict: Verdict


class PortSeen(Struct, frozen=True):
    """One port of a pair as packets showed it."""

    family: int
    protocol: str
    port: int
    open: bool
    agrees: bool
    """The engine says the same."""


class PairResult(Struct, frozen=True):
    """Everything that was probed from one party to another, in the order of the plan."""

    source: ProbeParty
    target: ProbeParty
    ports: tuple[PortSeen, ...]

    @property
    def agrees(self) -> bool:
        """Whether every probe of the pair went as the engine says."""
        return all(port.agrees for port in self.ports)


class Timings(Struct, frozen=True):
    """Seconds that each step took; 0 for a step that was not made."""

    build: float
    control: float
    enforce: float
    probe: float
    """With repeated probes."""
    teardown: float


class HeldPort(Struct, frozen=True):
    """A port that a program in the pod has, so that the lab cannot listen on it."""

    party: ProbeParty
    family: int
    """The IP version."""
    protocol: str
    port: int
    probed: bool
    """With a lone SYN; False: not at all, for nothing that came back would prove anything."""


class LabReport(Struct, frozen=True):
    """The whole result."""

    parties: tuple[ProbeParty, ...]
    workloads: Mapping[str, str]
    """Name of a pod -> name of its workload, or its own."""
    probes: int
    """How many were compared with the engine."""
    agreements: int
    """How many probes agree with the engine."""
    disagreements: tuple[PacketCheck, ...]
    """The others."""
    without_control: tuple[PacketCheck, ...]
    """Probes that prove nothing, because their control failed; not among ``probes``."""
    live_control: bool
    """The controls were sent with the policies enforced, from ends that no policy keeps out. False:
    before the policies were loaded."""
    pairs: tuple[PairResult, ...]
    repeated: int
    """Probes that were lost at first and answered when sent again."""
    notes: tuple[str, ...]
    """What was left out, one sentence each."""
    rootless: bool
    """The lab runs in a user namespace."""
    timings: Timings
    held: tuple[HeldPort, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether the kernel did what the engine says, in every probe, each with its control."""
        return not (self.disagreements or self.without_control)

    def origins(self) -> Iterator[Origin]:
        """The rules and policies that the disagreements are about."""
        for check in self.disagreements:
            yield from check.verdict.egress.origins
            yield from check.verdict.ingress.origins
