"""The format is told by what stands in a file, and nothing in a file breaks the reader."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pytest

from podfence.errors import PodfenceError
from podfence.flows import seen as bounds
from podfence.flows.formats import UnknownFormat
from podfence.flows.seen import EndKind, FlowRecords, RecordedEnd, RecordedVerdict, SkipReason
from podfence.manifests.flowfiles import read_flows
from tests.flows.samples import CALICO, DROPS, GOLDMANE, WHISKER, flows, hubble, jsonpb, lines, one
from tests.flows.samples import read as read_one
from tests.flows.test_conntrack import EVENT, EXTENDED, V6

CSV = b"source,destination,protocol,port\nshop/web,shop/db,TCP,5432\n"


@pytest.mark.parametrize(
    "data",
    [
        lines(DROPS),
        json.dumps(DROPS, indent=2).encode(),
        lines({"schema": "podfence.drops/v1", "drop": DROPS["nodes"][0]["drops"][0]}),  # type: ignore[index]
    ],
    ids=["a line", "a document", "--follow"],
)
def test_our_own_drops(data: bytes) -> None:
    flow = one(data)
    assert (flow.source, flow.destination) == (
        RecordedEnd("shop", "web-1"),
        RecordedEnd("shop", "db-0"),
    )
    assert (flow.port, flow.count, flow.verdict) == (5432, 3, RecordedVerdict.DENIED)


def test_what_an_audit_alone_would_have_denied_has_passed() -> None:
    drop = DROPS["nodes"][0]["drops"][0] | {"audit": True}  # type: ignore[index]
    assert (
        one(lines({"schema": "podfence.drops/v1", "drop": drop})).verdict is RecordedVerdict.ALLOWED
    )


@pytest.mark.parametrize(
    "text",
    [b"hello\n", b"[1]\n", b"{}\n", b'{"kind": "Pod"}\n', b"a,b\n1,2\n", b"{\n}\n", b"{\n\n"],
)
def test_what_is_no_format_is_refused(text: bytes) -> None:
    with pytest.raises(UnknownFormat):
        read_one(text)


@pytest.mark.parametrize("text", [b"", b"\n\n"])
def test_an_empty_file_holds_nothing(text: bytes) -> None:
    assert flows(text) == []


def test_blank_lines_and_a_byte_order_mark_are_passed_over() -> None:
    assert len(flows(b"\xef\xbb\xbf\n" + jsonpb(hubble()) + b"\n")) == 1
    assert len(flows(b"\xef\xbb\xbf" + CSV)) == 1


def test_files_are_read_in_pieces_packed_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("podfence.manifests.flowfiles._PIECE", 100)
    (tmp_path / "a").write_bytes(jsonpb(*[hubble()] * 7))
    (tmp_path / "b").write_bytes(gzip.compress(lines(*[CALICO] * 5)))
    (tmp_path / "c").write_bytes(CSV + b"shop/web,shop/db,TCP,x")
    seen = read_flows([str(tmp_path / name) for name in "abc"], None)

    assert seen.records == 7 + 5 + 2
    assert [(Path(p.file).name, p.line) for p in seen.unread_at] == [("c", 3)]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(CSV * 50)[:-20])
    for path in (tmp_path / "none", tmp_path, cut):
        with pytest.raises(PodfenceError) as caught:
            read_flows([str(path)], None)
        assert caught.value.code == "PF011"


def test_memory_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_FLOWS", 3)
    monkeypatch.setattr(bounds, "MAX_OUTSIDE", 2)
    world = {"identity": 2}
    several = [
        hubble(source=world, IP={"source": f"203.0.113.{n}", "destination": "10.0.0.21"})
        for n in range(9)
    ]
    seen = read_one(jsonpb(*several, hubble()))

    assert seen.left == {SkipReason.TOO_MANY: 1}
    found = {flow.source: flow.count for flow in seen.flows()}
    assert found[RecordedEnd(sort=EndKind.OUTSIDE)] == 7


SAMPLES = {
    "hubble": jsonpb(hubble(), hubble(verdict="DROPPED")),
    "calico": lines(CALICO),
    "whisker": lines(WHISKER),
    "goldmane": lines(GOLDMANE),
    "drops": lines(DROPS),
    "conntrack": "\n".join((EXTENDED, V6, EVENT)).encode(),
    "csv": CSV,
}
NASTY = (b"\0", b"\xff", b"\x1b[2J", b"{" * 3000, b"[" * 3000, b'"', b"\n", b"9" * 400, b"-1", b",")


@pytest.mark.parametrize("name", SAMPLES)
def test_hostile_bytes_are_counted_or_refused(name: str) -> None:
    rng = random.Random(name)
    for _ in range(300):
        data = bytearray(SAMPLES[name])
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data) + 1)
            data[at : at + rng.choice((0, 1, 5, 50))] = rng.choice(NASTY)
        try:
            seen = read_one(bytes(data))
        except UnknownFormat:
            continue
        assert isinstance(seen, FlowRecords)
        for flow in seen.flows():
            assert flow.count > 0
            assert 0 <= flow.port <= 65535
