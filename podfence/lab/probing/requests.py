"""What the lab process is asked, and what it answers: values that travel through a pipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from podfence.lab.testbed.livetraffic import Watched
from podfence.lab.testbed.probeplan import LabPlan
from podfence.lab.testbed.probes import Probe
from podfence.lab.testbed.services import Dial
from podfence.nft.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Build:
    """Make the namespaces of the plan and listen everywhere."""


@dataclass(frozen=True, slots=True)
class Grow:
    """Make what a plan has and the lab has not; what the plan has not stays for now, unless it is
    in the way of something new."""

    plan: LabPlan


@dataclass(frozen=True, slots=True)
class Settle:
    """Become a plan: make what is missing, remove what it has not, listen on its ports. Rules are
    no part of it."""

    plan: LabPlan


@dataclass(frozen=True, slots=True)
class Send:
    """Send probes of the plan, waiting ``timeout`` seconds for each. ``efforts``: one
    :class:`Effort` a probe, as bytes. ``arrivals``: say too what came and was not answered."""

    efforts: bytes
    timeout: float
    arrivals: bool = False


@dataclass(frozen=True, slots=True)
class Try:
    """Send probes that need not be in the plan; their targets listen from now on."""

    probes: Sequence[Probe]
    timeout: float


@dataclass(frozen=True, slots=True)
class Call:
    """Dial cluster addresses, with the targets of ``listeners`` listening."""

    dials: Sequence[Dial]
    listeners: Sequence[Probe]
    timeout: float


@dataclass(frozen=True, slots=True)
class Watch:
    """Connect the flows of these probes and send in both directions, until :class:`Unwatch`."""

    flows: Sequence[Probe]


@dataclass(frozen=True, slots=True)
class Unwatch:
    """End the watch; the answer says what became of every message."""


@dataclass(frozen=True, slots=True)
class Enforce:
    """Change rules on a node: ours, or what a text for nft says."""

    node: str
    rules: Transaction | str


@dataclass(frozen=True, slots=True)
class Where:
    """Which descriptor of the lab process holds the namespace of a party, by its name."""

    name: str


Request = Build | Grow | Settle | Send | Try | Call | Watch | Unwatch | Enforce | Where


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request led to, and the seconds it took.

    ``outcomes``: one :class:`Outcome` a probe, as bytes, also for those that were not sent.
    ``answered``: of a :class:`Call`, the place of the party that answered each dial, -1: none did.
    ``number``: the descriptor that was asked for. ``watched``: of an :class:`Unwatch`.
    """

    seconds: float
    outcomes: bytes = b""
    answered: Sequence[int] = ()
    number: int = -1
    watched: Watched | None = None
