"""What is counted of rules outlives the agent and the machine's run; what cannot be used is not."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from podfence.agent.keptfiles import LATEST, RATE, SOONEST, RuleFile
from podfence.agent.log import EventLog
from podfence.agent.rulecounts import RuleCounts
from podfence.model.meta import ObjectRef, Revision
from podfence.usage.kept import KeptPolicyUse, KeptRuleUse, KeptUsage, saved
from podfence.usage.ledger import GAP, ROOM
from tests.agent.test_rulecounts import Table

DB = ObjectRef("NetworkPolicy", "shop", "db")
NOW = 5_000_000.0
MONTH = 30 * 86400.0


def kept(
    since: float = NOW - MONTH, looked: float = NOW - 60, last: float = NOW - 100, **more: Any
) -> KeptUsage:
    entry = KeptPolicyUse(
        Revision("u", 1),
        since,
        {"spec.ingress[0]": KeptRuleUse(3, last), "spec.ingress[1]": KeptRuleUse()},
    )
    return KeptUsage(since, looked, policies=[(DB, entry)], **more)


def counts(folder: Path, log: io.StringIO, node: str = "n1", now: float = NOW) -> RuleCounts:
    """An agent that starts at a time."""
    out = EventLog(log)
    made = RuleCounts(node, Table(), RuleFile(folder, node, out), out, lambda: now)
    made.read()
    return made


def path_of(folder: Path, node: str = "n1") -> Path:
    return folder / node / "rules.json"


@pytest.fixture
def log() -> io.StringIO:
    return io.StringIO()


def goes_on(made: RuleCounts) -> bool:
    """Whether a rule is known to be unused for a month."""
    found = [policy for policy in made.rules().policies if policy.policy == "shop/db"]
    return bool(found) and found[0].since < "1970-02-01" and not found[0].rules[1].uses


def test_a_node_that_was_booted_anew_goes_on(tmp_path: Path, log: io.StringIO) -> None:
    """Nothing in it is of one run of the machine; and how long nobody looked is told."""
    file = RuleFile(tmp_path / "made" / "at need", "n1", EventLog(log))
    file.save(kept())
    again = counts(tmp_path / "made" / "at need", log)
    assert goes_on(again)
    assert again.rules().away == 60
    assert log.getvalue() == ""
    assert (tmp_path / "made" / "at need" / "n1").stat().st_mode & 0o777 == 0o700
    assert path_of(tmp_path / "made" / "at need").stat().st_mode & 0o777 == 0o600


def test_nodes_that_share_a_folder_do_not_meet(tmp_path: Path, log: io.StringIO) -> None:
    """As in a lab, where all agents have the file system of one machine."""
    for node in ("n1", "n2"):
        RuleFile(tmp_path, node, EventLog(log)).save(kept())
    RuleFile(tmp_path, "n2", EventLog(log)).save(KeptUsage(NOW - 9, NOW - 9))
    assert goes_on(counts(tmp_path, log))
    assert not goes_on(counts(tmp_path, log, "n2"))
    assert log.getvalue() == ""


def test_a_node_that_is_new_has_nothing_to_go_on_with(tmp_path: Path, log: io.StringIO) -> None:
    assert not goes_on(counts(tmp_path, log))
    assert log.getvalue() == ""


OTHERS: dict[str, tuple[bytes | KeptUsage, str]] = {
    "nothing": (b"", "broken"),
    "torn": (saved("n1", kept())[:-40], "broken"),
    "no text": (b'{"version":1,"node":"\xff"}', "broken"),
    "deep": (b'{"version":' + b"[" * 100_000, "broken"),
    "another form": (b'{"version":1,"node":"n1","kept":[]}', "broken"),
    "of before there were versions": (msgspec.json.encode(kept()), "broken"),
    "of a later version": (b'{"version":2,"node":"n1","kept":7}', "another version"),
    "a version without end": (b'{"version":%b}' % (b"9" * 5000), "broken"),
    "of a disk that was copied": (saved("n2", kept()), "another node"),
    "less than no uses": (
        saved("n1", kept()).replace(b'"uses":3', b'"uses":-3'),
        "broken",
    ),
    "more uses than a counter holds": (
        saved("n1", kept()).replace(b'"uses":3', b'"uses":18446744073709551615'),
        "broken",
    ),
    "a time without end": (
        saved("n1", kept()).replace(b'"since":2408000.0', b'"since":1e999'),
        "broken",
    ),
    "an hour ago": (kept(looked=NOW - GAP - 1), "for an hour"),
    "the clock was set back by days": (kept(looked=NOW + 86400), "the clock was set"),
    "a use in a time to come": (kept(last=NOW + GAP + 1), "the clock was set"),
    "times out of order": (kept(since=NOW - 60, looked=NOW - MONTH), "broken"),
    "before there was time": (kept(since=-1.0), "broken"),
    "away for longer than ever": (kept(away=2 * NOW), "broken"),
    "more rules than there is room for": (
        KeptUsage(
            NOW - 9,
            NOW - 9,
            policies=[
                (
                    DB,
                    KeptPolicyUse(
                        Revision("u", 1), NOW - 9, {f"r{n}": KeptRuleUse() for n in range(ROOM)}
                    ),
                )
            ],
        ),
        "room",
    ),
}


@pytest.mark.parametrize(("content", "said"), OTHERS.values(), ids=OTHERS)
def test_what_cannot_be_used_is_said_and_counted_anew(
    tmp_path: Path, log: io.StringIO, content: bytes | KeptUsage, said: str
) -> None:
    data = content if isinstance(content, bytes) else saved("n1", content)
    path_of(tmp_path).parent.mkdir()
    path_of(tmp_path).write_bytes(data)
    made = counts(tmp_path, log)
    assert made.rules().since == "1970-02-27T20:53:20.000Z"
    assert not made.rules().policies
    (line,) = log.getvalue().splitlines()
    assert "counted from zero" in line
    assert said in line


def test_a_clock_that_was_set_by_less_than_an_hour_costs_nothing(
    tmp_path: Path, log: io.StringIO
) -> None:
    """It may be set by as much while an agent runs. Nothing is away for less than no time, and a
    use in a time to come is one."""
    RuleFile(tmp_path, "n1", EventLog(log)).save(kept())
    made = counts(tmp_path, log, now=NOW - 1800)
    assert goes_on(made)
    assert made.rules().away == 0
    assert log.getvalue() == ""


def test_what_is_no_file_holds_nobody_up(tmp_path: Path, log: io.StringIO) -> None:
    """A pipe would never end; a link may lead anywhere."""
    (tmp_path / "secret").write_bytes(saved("n1", kept()))
    path = path_of(tmp_path)
    path.parent.mkdir()
    for make in (
        lambda path: os.mkfifo(path),
        lambda path: path.symlink_to(tmp_path / "secret"),
        lambda path: path.mkdir(),
    ):
        make(path)
        assert not goes_on(counts(tmp_path, log))
        path.rmdir() if path.is_dir() else path.unlink()
    assert log.getvalue().count("counted from zero") == 3


def test_what_lies_where_it_is_written_is_put_away(tmp_path: Path, log: io.StringIO) -> None:
    """A pipe would wait for a reader; both kinds of links lead to a file of somebody else."""
    other, new = tmp_path / "other", path_of(tmp_path).with_suffix(".new")
    new.parent.mkdir()
    other.write_text("theirs")
    makes: tuple[Callable[[], None], ...] = (
        lambda: os.mkfifo(new),
        lambda: new.symlink_to(other),
        lambda: new.hardlink_to(other),
    )
    for make in makes:
        make()
        RuleFile(tmp_path, "n1", EventLog(log)).save(kept())
        assert other.read_text() == "theirs"
        assert not new.exists()
        assert goes_on(counts(tmp_path, log))
        path_of(tmp_path).unlink()
    assert log.getvalue() == ""


def test_a_disk_that_is_full_is_said_once_and_keeps_what_was_there(
    tmp_path: Path, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = RuleFile(tmp_path, "n1", EventLog(log))
    file.save(kept())

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    for _ in range(3):
        assert file.save(KeptUsage(1.0, 2.0)) == SOONEST
    monkeypatch.undo()
    (line,) = log.getvalue().splitlines()
    assert "cannot be saved" in line
    assert "No space left on device" in line
    assert [each.name for each in tmp_path.rglob("*.*")] == ["rules.json"]
    assert goes_on(counts(tmp_path, log))
    file.save(kept())
    monkeypatch.setattr(os, "fsync", full)
    file.save(kept())
    assert len(log.getvalue().splitlines()) == 2


@pytest.mark.parametrize("folder", ["", "below"])
def test_a_folder_that_is_none_ends_nothing(tmp_path: Path, log: io.StringIO, folder: str) -> None:
    (tmp_path / "file").touch()
    RuleFile(tmp_path / "file" / folder, "n1", EventLog(log)).save(kept())
    assert "cannot be saved" in log.getvalue()


def test_the_more_there_is_the_more_seldom_it_is_written(tmp_path: Path, log: io.StringIO) -> None:
    file = RuleFile(tmp_path, "n1", EventLog(log))
    assert file.save(kept()) == SOONEST
    rules = {f"spec.ingress[{n}]": KeptRuleUse(n, NOW) for n in range(10_000)}
    pause = file.save(
        KeptUsage(1.0, 2.0, policies=[(DB, KeptPolicyUse(Revision("u", 1), 1.0, rules))])
    )
    size = path_of(tmp_path).stat().st_size
    assert SOONEST < pause <= LATEST < GAP
    assert size / pause <= RATE + 1
    rules = {f"spec.ingress[{n}]": KeptRuleUse(n, NOW) for n in range(ROOM)}
    assert (
        file.save(KeptUsage(1.0, 2.0, policies=[(DB, KeptPolicyUse(Revision("u", 1), 1.0, rules))]))
        == LATEST
    )
