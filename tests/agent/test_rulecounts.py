"""The thread that looks, the thread that enforces, and the file between two lives."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest

from podfence.agent.log import Log
from podfence.agent.rulecounts import RuleCounts
from podfence.drops.record import ISOLATED, RULE, Cause, Place
from podfence.errors import NftError
from podfence.kernel.ctlook import Look, Tracked
from podfence.model.meta import ObjectRef, Revision
from podfence.usage.credit import Credit, Kind, Rule

DB = ObjectRef("NetworkPolicy", "shop", "db")
CNP = ObjectRef("ClusterNetworkPolicy", "", "no-mail")
REVISIONS = {DB: Revision("u", 1), CNP: Revision("c", 1)}


class Table:
    """What the kernel would tell; ``end`` is set with the last look."""

    def __init__(self, *looks: Look | NftError) -> None:
        self.looks = list(looks)
        self.end = threading.Event()

    def look(self) -> Look:
        found = self.looks.pop(0)
        if not self.looks:
            self.end.set()
        if isinstance(found, NftError):
            raise found
        return found


class Always(Credit):
    """One rule, whatever is asked."""

    def __init__(self) -> None:
        self.asked: list[Kind] = []

    def rules(self, kind: Kind) -> tuple[Rule, ...]:
        self.asked.append(kind)
        return ((DB, "spec.ingress[0]"),)

    def written(self) -> dict[ObjectRef, tuple[str, ...]]:
        return {DB: ("spec.ingress[0]",), CNP: ("spec.egress[0]",)}


def uses(counts: RuleCounts) -> dict[str, int]:
    return {f"{p.policy} {r.path}": r.uses for p in counts.rules().policies for r in p.rules}


def counts(folder: Path, table: Table, log: io.StringIO | None = None) -> RuleCounts:
    return RuleCounts("n1", table, folder / "rules.json", Log(log or io.StringIO()), lambda: 1000.0)


def test_what_is_looked_at_is_named_and_outlives_the_agent(tmp_path: Path) -> None:
    kinds = (Tracked(4, 1, 2, 6, 80), Tracked(4, 1, 2, 1), Tracked(6, 1, 2, 136, 9))
    look = Look(dict.fromkeys(kinds, 1), 3)
    table = Table(look)
    made, asker = counts(tmp_path, table), Always()
    made.name(asker, REVISIONS)
    made.run(table.end)
    made.name(asker, REVISIONS)
    assert [(k.protocol, k.port) for k in asker.asked] == [("TCP", 80), ("OTHER", 0), ("OTHER", 0)]
    assert uses(made) == {"no-mail spec.egress[0]": 0, "shop/db spec.ingress[0]": 3}
    table.looks.append(Look({}, 0))
    table.end.clear()
    made.run(table.end)
    assert uses(counts(tmp_path, Table())) == uses(made)
    assert (tmp_path / "rules.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ["", "{", "[]", '{"since": "x"}', '{"since": 1, "looked": -1}'])
def test_a_file_that_cannot_be_used_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "rules.json").write_text(content)
    assert counts(tmp_path, Table()).rules().since == "1970-01-01T00:16:40.000Z"


def test_a_rule_that_denies_is_used_by_what_it_denies(tmp_path: Path) -> None:
    made = counts(tmp_path, Table())
    made.name(Always(), REVISIONS)
    place = Place("ClusterNetworkPolicy", "no-mail", "spec.egress[0]")
    isolation = Place("NetworkPolicy", "shop/db", "spec.podSelector")
    made.denied([Cause(RULE, "Admin", (place,)), Cause(ISOLATED, "", (isolation,)), Cause(RULE)])
    assert uses(made) == {"no-mail spec.egress[0]": 1, "shop/db spec.ingress[0]": 0}


def test_connections_that_cannot_be_listed_are_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("podfence.agent.rulecounts.AGAIN", 0.0)
    log = io.StringIO()
    table = Table(NftError("no"), NftError("no"))
    counts(tmp_path, table, log).run(table.end)
    assert log.getvalue().count("rules are not counted") == 1
