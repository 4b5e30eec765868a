"""What comes in the way after the start: told for as long as it is there."""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Iterator

import pytest

from podfence.agent.conditions import ConditionKind
from podfence.agent.log import EventLog
from podfence.agent.nodefacts import foreign_facts
from podfence.agent.outlook import RULES, Outlook
from podfence.agent.preflight import HostFacts
from podfence.errors import NftError
from podfence.kernel import netns
from podfence.kernel.links import Link
from podfence.kernel.nftables.foreign import Flowtable, ForeignChain, MarkWriter

MASK = 0xFFFF0000
CALICO = ForeignChain("ip", "filter", "cali-FORWARD")
WRITER = MarkWriter(ForeignChain("ip", "mangle", "SAVE"), 0xFF0000)


class Stage:
    """An outlook on facts that change."""

    def __init__(self, *override: str) -> None:
        self.now = 0.0
        self.devices, self.rules = HostFacts(), HostFacts()
        self.fails = False
        self.readings = 0
        self.outlook = Outlook(
            EventLog(io.StringIO()),
            tuple,
            override,
            None,
            lambda: self._read(self.devices),
            lambda: self.now,
            read_rules=self._read_rules,
            mark_mask=MASK,
        )

    def _read(self, facts: HostFacts) -> HostFacts:
        if self.fails:
            raise NftError("no netlink socket for nftables")
        return facts

    def _read_rules(self) -> HostFacts:
        self.readings += 1
        return self._read(self.rules)

    def held(self, after: float = RULES) -> list[tuple[str, str]]:
        self.now += after
        self.outlook.look()
        return sorted((each.kind.value, each.subject) for each in self.outlook.conditions)


def test_who_begins_to_write_our_bits_is_told_until_that_ends() -> None:
    stage = Stage()
    assert stage.held() == []
    stage.rules = HostFacts(mark_writers=(WRITER,), chains=(CALICO,))
    assert stage.held() == stage.held() == [("MarkInUse", "mark"), ("SecondEnforcer", "calico")]
    stage.rules = HostFacts(mark_writers=(MarkWriter(WRITER.chain, 0xFF),))
    assert stage.held() == []


def test_rules_of_others_are_read_once_a_minute_and_devices_each_time() -> None:
    stage = Stage()
    stage.held()
    stage.rules = HostFacts(mark_writers=(WRITER,))
    stage.devices = HostFacts((Link("kube-ipvs0"),), flowtables=(Flowtable("ip", "a", "b"),))
    devices = [("Bypassed", "flowtable"), ("Bypassed", "ipvs")]
    assert stage.held(RULES / 2) == devices
    assert stage.readings == 1
    assert stage.held(RULES / 2) == [*devices, ("MarkInUse", "mark")]
    assert stage.readings == 2


def test_what_cannot_be_looked_at_stays_as_it_was_known() -> None:
    stage = Stage()
    stage.rules, stage.devices = HostFacts(chains=(CALICO,)), HostFacts((Link("kube-ipvs0"),))
    before = stage.held()
    assert before == [("Bypassed", "ipvs"), ("SecondEnforcer", "calico")]
    stage.fails = True
    stage.rules = stage.devices = HostFacts()
    assert stage.held() == before
    stage.fails = False
    assert stage.held() == []


def test_who_knows_better_is_not_told() -> None:
    stage = Stage("mark", "calico")
    stage.rules = HostFacts(mark_writers=(WRITER,), chains=(CALICO,))
    assert stage.held() == []


@pytest.fixture
def node() -> Iterator[int]:
    fd = netns.create()
    yield fd
    os.close(fd)


@pytest.mark.kernel
def test_real_rules_that_come_later(node: int) -> None:
    rules = (
        "add table ip mangle; add chain ip mangle save; "
        "add rule ip mangle save ct mark set ct mark and 0xff00ffff or 0x40000; "
        "add chain ip mangle cali-x"
    )
    outlook = Outlook(
        EventLog(io.StringIO()),
        tuple,
        read=HostFacts,
        read_rules=lambda: foreign_facts(node),
        mark_mask=MASK,
    )
    nft = ["nsenter", f"--net=/proc/self/fd/{node}", "nft", rules]
    subprocess.run(nft, pass_fds=[node], check=True, timeout=30)
    outlook.look()
    kinds = {each.kind for each in outlook.conditions}
    assert kinds == {ConditionKind.MARK_IN_USE, ConditionKind.SECOND_ENFORCER}
