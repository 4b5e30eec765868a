"""Requests to the lab process and their results: values that travel through a pipe.

Rule: every request names the type of its answer, so that callers check no types.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from podfence.lab.probing.denied import DenialBatch
from podfence.lab.testbed.livetraffic import SentTraffic
from podfence.lab.testbed.probeplan import ProbePlan
from podfence.lab.testbed.probes import Listener, Probe
from podfence.lab.testbed.services import ServiceProbe
from podfence.nft.transaction import Transaction

A_co = TypeVar("A_co", covariant=True)


class Request(Generic[A_co]):
    """Something to do in the lab process; the answer is an ``A_co``."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class ChildResult(Generic[A_co]):
    """What a request led to."""

    value: A_co
    seconds: float
    """How long it took."""


@dataclass(frozen=True, slots=True)
class Build(Request[None]):
    """Make the namespaces of the plan and listen everywhere."""


@dataclass(frozen=True, slots=True)
class Grow(Request[None]):
    """Make what a plan has and the lab has not; what the plan has not stays for now, unless it is
    in the way of something new."""

    plan: ProbePlan


@dataclass(frozen=True, slots=True)
class Settle(Request[None]):
    """Change to a plan: make what is missing, remove what the plan lacks, listen on its ports.
    Rules are not part of it."""

    plan: ProbePlan


@dataclass(frozen=True, slots=True)
class Send(Request[bytes]):
    """Send probes of the plan. The answer has one :class:`Outcome` for each probe, sent or not."""

    kinds: bytes
    """One :class:`ProbeKind` a probe."""
    timeout: float
    """Seconds to wait for each."""
    arrivals: bool = False
    """Note too what came and was not answered."""


@dataclass(frozen=True, slots=True)
class Try(Request[bytes]):
    """Send probes that need not be in the plan; their targets listen from now on. The answer has
    one :class:`Outcome` a probe."""

    probes: Sequence[Probe]
    timeout: float


@dataclass(frozen=True, slots=True)
class DialServices(Request[Sequence[int]]):
    """Dial cluster addresses, with the targets of ``listeners`` listening. The answer has the index
    of the party that answered each, -1: none did."""

    probes: Sequence[ServiceProbe]
    listeners: Sequence[Probe]
    timeout: float


@dataclass(frozen=True, slots=True)
class StartTraffic(Request[None]):
    """Connect the flows of these probes and send in both directions, until :class:`StopTraffic`."""

    flows: Sequence[Probe]


@dataclass(frozen=True, slots=True)
class StopTraffic(Request[SentTraffic]):
    """End the live connections; the answer says what became of every message."""


@dataclass(frozen=True, slots=True)
class Enforce(Request[None]):
    """Change rules on a node: ours, or what a text for nft says."""

    node: str
    rules: Transaction | str


@dataclass(frozen=True, slots=True)
class TakeLogged(Request[Mapping[str, DenialBatch]]):
    """Copies of denied packets since the previous request of this kind, by node."""


@dataclass(frozen=True, slots=True)
class HeldPorts(Request[frozenset[Listener]]):
    """Which ports programs in the pods have, so that the lab does not listen there."""


@dataclass(frozen=True, slots=True)
class YieldPorts(Request[None]):
    """Leave every port to the programs of a pod or node that ask for it, as long as they run. The
    descriptor of their bind notices follows the request (:class:`BindNotices`)."""

    name: str


@dataclass(frozen=True, slots=True)
class NamespaceOf(Request[int]):
    """Which descriptor of the lab process holds the namespace of a party, by its name."""

    name: str
