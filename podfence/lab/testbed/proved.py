"""What packets say of tests, as values."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from podfence.lab.testbed.report import PacketCheck
from podfence.questions.tests.ends import Miss
from podfence.questions.tests.form import PolicyTest


class Disagreement(Struct, frozen=True):
    """One connection that was not as the test says. ``agrees``: the engine says so too."""

    source: str
    target: str
    family: int
    protocol: str
    port: int
    open: bool
    agrees: bool


class Proved(Struct, frozen=True):
    """What packets show about a test. ``status``: passed, failed, vacuous, unproved or skipped;
    ``packets``: probes of its connections, ``denials`` those that had to be denied; ``differ``:
    probes that did not do what the engine says, ``odd`` the first of them."""

    test: PolicyTest
    status: str
    packets: int = 0
    denials: int = 0
    differ: int = 0
    odd: PacketCheck | None = None
    first: Disagreement | None = None
    wrong: int = 0
    misses: tuple[Miss, ...] = ()
    text: str = ""
    others: tuple[PacketCheck, ...] = ()
    """Those beside ``odd``, where each is to be named."""
    untried: tuple[str, ...] = ()
    """What else the test is about, and no packet could try, in words."""


def counted(found: Sequence[Proved]) -> dict[str, int]:
    """How many tests there are of each status."""
    numbers: dict[str, int] = {}
    for each in found:
        numbers[each.status] = numbers.get(each.status, 0) + 1
    return numbers
