"""``plan --flows``: the gate, what cannot be read, and our own records."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.session import ROOT, podfence

SHOP = ["examples/shop/policies", "examples/plan", "-f", "examples/shop", "--exclude", "policies/"]
SAME = ["examples/shop", "examples/shop"]
CSV = "examples/flows/shop.csv"


def drop(**changes: object) -> str:
    """A record of ``podfence drops --follow -o json``."""
    found = {
        "source": {"address": "10.244.1.7", "pods": ["shop/cron-1"]},
        "destination": {"address": "10.244.2.9", "pods": ["shop/db-0"]},
        "protocol": "TCP",
        "port": 5432,
        "first": "2026-11-29T22:40:12Z",
        "last": "2026-11-29T22:40:12Z",
        "count": 2,
    } | changes
    return json.dumps({"schema": "podfence.drops/v1", "drop": found}) + "\n"


@pytest.mark.parametrize(
    ("plan", "flows", "status"), [(SHOP, CSV, 1), (SAME, CSV, 0), (SHOP, "one.csv", 0)]
)
def test_the_gate_is_shut_where_something_in_use_closes(
    plan: list[str], flows: str, status: int, tmp_path: Path
) -> None:
    one = "source,destination,protocol,port\nshop/backend,shop/db,TCP,5432\n"
    (tmp_path / "one.csv").write_text(one)
    path = flows if flows == CSV else str(tmp_path / flows)
    assert podfence(["plan", *plan, "--flows", path, "--fail-on", "used"]).status == status


def test_enforcing_a_policy_cuts_what_its_audit_would_have_denied(tmp_path: Path) -> None:
    audited = (ROOT / "examples/audit/shop.yaml").read_text()
    enforced = audited.replace("  annotations: {podfence.io/mode: audit}\n", "")
    assert enforced != audited
    (tmp_path / "old.yaml").write_text(audited)
    (tmp_path / "new.yaml").write_text(enforced)
    (tmp_path / "audit.json").write_text(drop(audit=True))
    (tmp_path / "denied.json").write_text(drop())
    plan = ["plan", str(tmp_path / "old.yaml"), str(tmp_path / "new.yaml"), "-o", "json"]

    found = json.loads(podfence([*plan, "--flows", str(tmp_path / "audit.json")]).out)
    (cut,) = found["flows"]["cut"]
    assert (cut["from"], cut["to"], cut["port"]) == ("shop/cron-1", "shop/db-0", 5432)
    assert cut["count"] == 2
    (blame,) = cut["blame"]
    assert [found["edits"][n]["name"] for n in blame["edits"]] == ["db"]

    denied = json.loads(podfence([*plan, "--flows", str(tmp_path / "denied.json")]).out)["flows"]
    assert (denied["cut"], denied["refused"]) == ([], 1)


def test_a_record_that_cannot_be_read_makes_the_plan_uncertain(tmp_path: Path) -> None:
    torn = "source,destination,protocol,port\nshop/backend,shop/db,TCP,many\n"
    (tmp_path / "torn.csv").write_text(torn)
    words = ["plan", *SAME, "--flows", str(tmp_path / "torn.csv")]
    done = podfence(words)
    assert (done.status, "torn.csv:2: error[PF011]" in done.err) == (2, True)
    assert podfence([*words, "--keep-going"]).status == 0


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("shop/nobody,shop/db,TCP,5432", "1 with an unknown end, no connection of"),
        ("", "no connection of workloads at all"),
        ("shop/backend,shop/db,TCP,5432\nshop/nobody,shop/db,TCP,1", "1 with an unknown end"),
    ],
    ids=["nobody is known", "empty", "one is not known"],
)
def test_the_gate_is_not_opened_by_records_that_say_too_little(
    row: str, why: str, tmp_path: Path
) -> None:
    (tmp_path / "few.csv").write_text(f"source,destination,protocol,port\n{row}\n")
    words = ["plan", *SHOP, "--flows", str(tmp_path / "few.csv"), "--fail-on", "used"]
    done = podfence(words)
    assert done.status == 2
    assert f"error[PF011]: --fail-on used: the flows are not sufficient: {why}" in done.err
    going = podfence([*words, "--keep-going"])
    assert (going.status, "warning[PF011]" in going.err) == (0, True)
    assert "PF011" not in podfence([*words[:-1], "any"]).err


def test_the_gate_is_not_opened_by_an_end_whose_address_decides(tmp_path: Path) -> None:
    policy = (
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
        "metadata: {name: near, namespace: shop}\n"
        "spec: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 198.51.100.0/24}}]}]}\n"
    )
    pod = (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop, labels: {app: web}}\n"
        "spec: {containers: [{name: c}]}\n"
    )
    (tmp_path / "old.yaml").write_text(pod)
    (tmp_path / "new.yaml").write_text(f"{pod}---\n{policy}")
    header = "source,destination,protocol,port\n"
    (tmp_path / "outside.csv").write_text(f"{header}outside,shop/web,TCP,8080\n")
    plan = ["plan", str(tmp_path / "old.yaml"), str(tmp_path / "new.yaml"), "--fail-on", "used"]
    done = podfence([*plan, "--flows", str(tmp_path / "outside.csv")])
    assert (done.status, "1 not judged" in done.err) == (2, True)


def test_standard_input_can_be_read_once() -> None:
    records = (ROOT / CSV).read_bytes()
    piped = podfence(["plan", *SHOP, "--flows", "-"], stdin=records)
    assert piped.out == podfence(["plan", *SHOP, "--flows", CSV]).out
    assert podfence(["plan", "-", "examples/shop", "--flows", "-"], stdin=records).status == 2


def test_however_much_was_seen_the_text_says_by_number_what_it_leaves_out(tmp_path: Path) -> None:
    ports = "".join(f"monitoring/prometheus,shop/db,TCP,{9100 + n}\n" for n in range(11))
    (tmp_path / "many.csv").write_text(f"source,destination,protocol,port\n{ports}")
    words = ["plan", *SHOP, "--flows", str(tmp_path / "many.csv")]
    short, wide = podfence(words).out, podfence([*words, "-o", "wide"]).out
    assert "      and 7 connections more (-o wide)\n" in short
    assert "more (-o wide)" not in wide
    assert wide.count("-> shop/db TCP/91") == 11
