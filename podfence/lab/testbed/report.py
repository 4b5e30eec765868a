"""What the lab found, as values. Pure; nothing here knows how it is printed."""

from __future__ import annotations

from dataclasses import dataclass

from podfence.lab.testbed.outcome import Outcome
from podfence.lab.testbed.probeplan import Party
from podfence.policy.flow import Flow, Verdict


@dataclass(frozen=True, slots=True)
class Check:
    """One probe beside the engine's answer."""

    source: Party
    target: Party
    flow: Flow
    verdict: Verdict
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class PortSeen:
    """One port of a pair as packets showed it. ``agrees``: the engine says the same."""

    family: int
    protocol: str
    port: int
    open: bool
    agrees: bool


@dataclass(frozen=True, slots=True)
class PairResult:
    """Everything that was probed from one party to another, in the order of the plan."""

    source: Party
    target: Party
    ports: tuple[PortSeen, ...]

    @property
    def agrees(self) -> bool:
        """Whether every probe of the pair went as the engine says."""
        return all(port.agrees for port in self.ports)


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds that each step took; ``probe`` includes repeated probes."""

    build: float
    control: float
    enforce: float
    probe: float
    teardown: float


@dataclass(frozen=True, slots=True)
class LabReport:
    """The whole result.

    ``probes``: how many were compared; ``agreements`` of them went as the engine says, the others
    are ``disagreements``. ``without_control``: probes that nobody answered even before the policies
    were enforced, so that they prove nothing; not among ``probes``. ``live_control``: there was no
    such time, so it was their ports that were asked, by somebody whom no policy keeps out
    (``lab.control``). ``repeated``: probes that were lost at first and answered when sent again.
    ``notes``: what was not done. ``rootless``: run in a user namespace.
    """

    parties: tuple[Party, ...]
    probes: int
    agreements: int
    disagreements: tuple[Check, ...]
    without_control: tuple[Check, ...]
    live_control: bool
    pairs: tuple[PairResult, ...]
    repeated: int
    notes: tuple[str, ...]
    rootless: bool
    timings: Timings

    @property
    def clean(self) -> bool:
        """Whether the kernel did what the engine says, in every probe, each with its control."""
        return not (self.disagreements or self.without_control)
