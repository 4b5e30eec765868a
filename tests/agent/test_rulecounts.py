"""The thread that looks, the thread that enforces, and the file between two lives."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest

from podfence.agent.keptfiles import RuleFile
from podfence.agent.leisure import REST, TURN
from podfence.agent.log import EventLog
from podfence.agent.rulecounts import RuleCounts
from podfence.drops.record import ISOLATED, RULE, Cause, NamedRule
from podfence.errors import NftError
from podfence.kernel.ctlook import ConntrackSample, TrackedConnection
from podfence.model.meta import ObjectRef, Revision
from podfence.usage.credit import ConnectionKind, Credit, RuleRef
from podfence.usage.kept import KeptUsage

DB = ObjectRef("NetworkPolicy", "shop", "db")
CNP = ObjectRef("ClusterNetworkPolicy", "", "no-mail")
REVISIONS = {DB: Revision("u", 1), CNP: Revision("c", 1)}


class Table:
    """What the kernel would tell; ``end`` is set with the last look."""

    def __init__(self, *looks: ConntrackSample | NftError) -> None:
        self.looks = list(looks)
        self.asked: list[bool] = []
        self.end = threading.Event()

    def look(self, *, still: bool = False) -> ConntrackSample:
        self.asked.append(still)
        found = self.looks.pop(0)
        if not self.looks:
            self.end.set()
        if isinstance(found, NftError):
            raise found
        return found


class Always(Credit):
    """One rule, whatever is asked."""

    state = 0

    def __init__(self, path: str = "spec.ingress[0]") -> None:
        self.asked: list[ConnectionKind] = []
        self.path = path

    def rules(self, kind: ConnectionKind) -> tuple[RuleRef, ...]:
        self.asked.append(kind)
        return ((DB, self.path),)

    def written(self) -> dict[ObjectRef, tuple[str, ...]]:
        return {DB: (self.path,), CNP: ("spec.egress[0]",)}


def uses(counts: RuleCounts) -> dict[str, int]:
    return {f"{p.policy} {r.path}": r.uses for p in counts.rules().policies for r in p.rules}


def counts(folder: Path, table: Table, log: io.StringIO | None = None) -> RuleCounts:
    out = EventLog(log or io.StringIO())
    made = RuleCounts("n1", table, RuleFile(folder, "n1", out), out, lambda: 1000.0)
    made.read()
    return made


def test_what_is_looked_at_is_named_and_outlives_the_agent(tmp_path: Path) -> None:
    kinds = (
        TrackedConnection(4, 1, 2, 6, 80),
        TrackedConnection(4, 1, 2, 1),
        TrackedConnection(6, 1, 2, 136, 9),
    )
    look = ConntrackSample(dict.fromkeys(kinds, 1), 3)
    table = Table(look)
    made, asker = counts(tmp_path, table), Always()
    made.name(asker, REVISIONS)
    made.run(table.end)
    made.name(asker, REVISIONS)
    assert [(k.protocol, k.port) for k in asker.asked] == [("TCP", 80), ("OTHER", 0), ("OTHER", 0)]
    assert uses(made) == {"no-mail spec.egress[0]": 0, "shop/db spec.ingress[0]": 3}
    table.looks.append(ConntrackSample({}, 0))
    table.end.clear()
    made.run(table.end)
    assert uses(counts(tmp_path, Table())) == uses(made)
    assert (tmp_path / "n1" / "rules.json").stat().st_mode & 0o777 == 0o600


def test_a_rule_that_denies_is_used_by_what_it_denies(tmp_path: Path) -> None:
    made = counts(tmp_path, Table())
    made.name(Always(), REVISIONS)
    rule = NamedRule("ClusterNetworkPolicy", "no-mail", "spec.egress[0]")
    isolation = NamedRule("NetworkPolicy", "shop/db", "spec.podSelector")
    made.denied([Cause(RULE, "Admin", (rule,)), Cause(ISOLATED, "", (isolation,)), Cause(RULE)])
    made.name(Always(), REVISIONS)
    assert uses(made) == {"no-mail spec.egress[0]": 1, "shop/db spec.ingress[0]": 0}


def test_connections_that_cannot_be_listed_are_said_once_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("podfence.agent.rulecounts.AGAIN", 0.0)
    log = io.StringIO()
    table = Table(NftError("no"), NftError("no"))
    made = counts(tmp_path, table, log)
    made.run(table.end)
    assert log.getvalue().count("rules are not counted") == 1
    assert (made.rules().fault, made.rules().looked) == ("no", "1970-01-01T00:16:40.000Z")


def test_some_looks_ask_what_is_still_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each tenth; and the first after policies have changed, or after one that failed."""
    for pause in ("AGAIN", "PERIOD", "SHARE"):
        monkeypatch.setattr(f"podfence.agent.rulecounts.{pause}", 0)
    changed = Table(*[ConntrackSample({}, 0)] * 3)
    made = counts(tmp_path, changed)
    monkeypatch.setattr(made, "take", lambda _: made.changed())
    made.run(changed.end)
    assert changed.asked == [True] * 3
    table = Table(*[ConntrackSample({}, 0)] * 3, NftError("no"), *[ConntrackSample({}, 0)] * 8)
    counts(tmp_path, table).run(table.end)
    assert [n for n, still in enumerate(table.asked) if still] == [0, 4, 11]


def test_a_turn_ends_when_its_time_is_up_and_a_rest_follows(tmp_path: Path) -> None:
    """And asks about one kind at the least."""
    now = [100.0]

    class Slow(Always):
        def rules(self, kind: ConnectionKind) -> tuple[RuleRef, ...]:
            now[0] += 2 * TURN
            return super().rules(kind)

    log = EventLog(io.StringIO())
    file = RuleFile(tmp_path, "n1", log)
    made = RuleCounts("n1", Table(), file, log, lambda: 1000.0, lambda: now[0])
    made.read()
    asker = Slow()
    made.take(ConntrackSample({TrackedConnection(4, n, 2, 6, 80): 1 for n in range(3)}, 3))
    for turn in range(1, 5):
        for _ in range(3):
            made.name(asker, REVISIONS)
            assert len(asker.asked) == min(turn, 3)
        now[0] += 3 * REST * TURN
    assert uses(made)["shop/db spec.ingress[0]"] == 3


def test_after_a_change_no_answer_of_before_counts(tmp_path: Path) -> None:
    """The first rule of the policy was deleted, so the second one is the first now."""
    made, look = (
        counts(tmp_path, Table()),
        ConntrackSample({TrackedConnection(4, 1, 2, 6, 80): 1}, 1),
    )
    made.name(Always("spec.ingress[1]"), REVISIONS)
    made.take(look)
    made.name(Always("spec.ingress[1]"), REVISIONS)
    made.changed()
    made.take(look)
    made.name(Always(), {**REVISIONS, DB: Revision("u", 2)})
    assert uses(made)["shop/db spec.ingress[0]"] == 1
    assert "shop/db spec.ingress[1]" not in uses(made)


def test_after_pods_came_no_answer_of_before_counts(tmp_path: Path) -> None:
    made, asker, look = (
        counts(tmp_path, Table()),
        Always(),
        ConntrackSample({TrackedConnection(4, 1, 2, 6, 80): 1}, 1),
    )
    for state in (1, 1, 2, 2):
        asker.state = state
        made.name(asker, REVISIONS)
        made.take(look)
    made.name(asker, REVISIONS)
    assert len(asker.asked) == 2


def test_rules_of_a_pod_that_is_new_here_are_used_at_once(tmp_path: Path) -> None:
    made = counts(tmp_path, Table())
    made.name(Always("spec.ingress[1]"), REVISIONS)
    later = Always()
    later.state = 1
    made.take(ConntrackSample({TrackedConnection(4, 1, 2, 6, 80): 1}, 1))
    made.name(later, REVISIONS)
    assert uses(made)["shop/db spec.ingress[0]"] == 1


class Stuck(RuleFile):
    """On a disk that does not answer until ``answers`` is set."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "n1", EventLog(io.StringIO()))
        self.asked, self.answers = threading.Event(), threading.Event()

    def load(self) -> KeptUsage | None:
        self.asked.set()
        self.answers.wait()
        return super().load()


def test_a_disk_that_does_not_answer_holds_up_nobody_who_enforces(tmp_path: Path) -> None:
    """Nothing is counted until then, and no rule is told to be unused; what was there goes on."""
    look = ConntrackSample({TrackedConnection(4, 1, 2, 6, 80): 1}, 1)
    before = counts(tmp_path, Table(look))
    before.name(Always(), REVISIONS)
    before.take(look)
    before.name(Always(), REVISIONS)
    before.save()
    disk, table, asker = Stuck(tmp_path), Table(look), Always("spec.ingress[1]")
    made = RuleCounts("n1", table, disk, EventLog(io.StringIO()), lambda: 1000.0)
    thread = threading.Thread(target=made.run, args=[table.end], daemon=True)
    thread.start()
    disk.asked.wait()
    made.changed()
    made.name(asker, REVISIONS)
    assert (asker.asked, table.asked) == ([], [])
    assert "not read" in made.rules().fault
    disk.answers.set()
    thread.join()
    made.name(asker, REVISIONS)
    assert made.rules().fault == ""
    assert [uses(made)[f"shop/db spec.ingress[{n}]"] for n in (0, 1)] == [1, 1]
