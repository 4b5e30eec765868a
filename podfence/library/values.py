"""What the library answers: plain values, their addresses, ports and positions as text.

Rule: names are text of the API and may hold anything; print them with ``podfence.text.printable``.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct


class Rule(Struct, frozen=True):
    """A rule, or a policy that isolates, and ``place``: ``file:line:column``, "" for none."""

    policy: str
    path: str
    place: str


class Way(Struct, frozen=True):
    """One pair of ends of a question, in one IP version. ``rules``: what decided."""

    source: str
    destination: str
    source_address: str
    destination_address: str
    protocol: str
    port: int
    allowed: bool
    rules: tuple[Rule, ...]


class Answer(Struct, frozen=True):
    """Yes or no. ``note``: what a yes or no alone would hide. ``text``: of ``why`` alone."""

    allowed: bool
    ways: tuple[Way, ...]
    note: str = ""
    text: str = ""

    def __bool__(self) -> bool:
        return self.allowed


class Connection(Struct, frozen=True):
    """A row of the map. ``family``: 4 or 6 where it holds for that IP version only."""

    source: str
    destination: str
    ports: str
    family: int | None


class Finding(Struct, frozen=True):
    """What ``check`` says. ``severity``: error, warning or note."""

    code: str
    severity: str
    object: str
    message: str
    place: str


class Change(Struct, frozen=True):
    """What opens and closes from all sources to all destinations. ``to_come``: an end is a pod that
    does not exist yet."""

    sources: tuple[str, ...]
    destinations: tuple[str, ...]
    opens: str
    closes: str
    family: int | None
    to_come: bool


class Use(Struct, frozen=True):
    """A connection that was seen and that a change cuts or lets through. ``port``: ``TCP/5432``, or
    ``ICMP`` for all protocols without ports. ``count``: flows, ``last``: the last one's time, ""
    where no record tells it. ``denied``: whether it was denied when it was seen."""

    source: str
    destination: str
    port: str
    count: int
    last: str
    denied: bool


class Traffic(Struct, frozen=True):
    """What of the flows that were seen a change cuts and newly lets through. ``kept``: how many
    others passed and still do; ``refused``: how many were denied and still are. ``gaps``: why the
    records say too little to rely on a cut that is not there, "" where nothing speaks against it.
    """

    cut: tuple[Use, ...]
    opened: tuple[Use, ...]
    kept: int
    refused: int
    gaps: str


class Planned(Struct, frozen=True):
    """What a change opens and closes; false where no verdict changes. ``traffic``: of the flows
    that were given, None without any."""

    changes: tuple[Change, ...]
    traffic: Traffic | None = None

    def __bool__(self) -> bool:
        return bool(self.changes)

    def __iter__(self) -> Iterator[Change]:
        return iter(self.changes)

    def __len__(self) -> int:
        return len(self.changes)


class TestResult(Struct, frozen=True):
    """One test. ``status``: passed, failed, vacuous, skipped, or undecided: about an entry of which
    the answer is unknown. ``because``: why it did not pass."""

    __test__ = False

    name: str
    status: str
    because: tuple[str, ...]
    place: str

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return self.status in ("passed", "skipped")


# -- of find


class Reach(Struct, frozen=True):
    """All of ``sources`` reach all of ``destinations`` on ``ports``. ``rules``: what lets them
    through at the end that was asked about; ``no_policy``: for some of it no policy has a say
    there. ``family``, ``to_come``: as in ``Connection`` and ``Change``."""

    sources: tuple[str, ...]
    destinations: tuple[str, ...]
    ports: str
    rules: tuple[Rule, ...]
    no_policy: bool
    family: int | None
    to_come: bool


class Reached(Struct, frozen=True):
    """Connections, and who has none: so many workloads, and these blocks of addresses outside.
    False where nobody has any."""

    connections: tuple[Reach, ...]
    workloads_without: int
    outside_without: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.connections)

    def __iter__(self) -> Iterator[Reach]:
        return iter(self.connections)

    def __len__(self) -> int:
        return len(self.connections)


class Entry(Struct, frozen=True):
    """A way in from outside: an Ingress, a route, a Service or a port of a node. ``state``: open,
    closed or unknown; ``because``: why it is not simply open."""

    name: str
    source: str
    destination: str
    port: str
    state: str
    because: str
    rules: tuple[Rule, ...]


class Purpose(Struct, frozen=True):
    """What a policy is for. ``selects``: workloads; ``directions``: in which it isolates or has
    rules; ``without``: what changes if it is deleted. ``audited``: it enforces nothing; ``selects``
    and ``directions`` are what they would be if it were enforced."""

    policy: str
    place: str
    selects: tuple[str, ...]
    directions: tuple[str, ...]
    without: tuple[Change, ...]
    audited: bool = False


class Hop(Struct, frozen=True):
    """One connection of a way over several pods. ``family``: 4 or 6."""

    source: str
    destination: str
    ports: str
    family: int


class Open(Struct, frozen=True):
    """Pods of a workload, and the directions in which no policy closes them."""

    name: str
    pods: tuple[str, ...]
    directions: tuple[str, ...]


class Unused(Struct, frozen=True):
    """A selector that fits no pod. ``asks``: for what, in words; "" for the subject of a
    ClusterNetworkPolicy."""

    rule: Rule
    asks: str
