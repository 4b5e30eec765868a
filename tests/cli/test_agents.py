"""What agents answer is not trusted: one that answers nonsense is named, the others are told."""

from __future__ import annotations

import gzip
import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import msgspec
import msgspec.inspect
import pytest
from msgspec import Struct

from podfence.agent.nodereport import NodeReport, PolicyReport
from podfence.cli.agents import _told
from podfence.drops.record import Drops
from podfence.kube import agents
from podfence.kube.access import Access, Credential, ServerAddress, StaticCredential
from podfence.kube.agents import AgentAddress
from podfence.usage.record import NodeUsage

BOMB = gzip.compress(b" " * (4 << 20), 9)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by the name of the pod that is asked."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        kind = self.path.split("https:")[1].split(":")[0]
        self.send_response(500 if kind == "deep-refusal" else 200)
        self.send_header("Transfer-Encoding", "chunked")
        if kind == "bomb":
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        with suppress(OSError):
            for piece in self._pieces(kind):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")

    def _pieces(self, kind: str) -> Iterator[bytes]:
        match kind:
            case "sound":
                yield from (b'{"node": ', b'"n1"}')
            case "no-text":
                yield b'{"node": "\xff"}'
            case "deep":
                yield b'{"x": ' + b"[" * 50_000
            case "deep-refusal":
                yield b"[" * 50_000
            case "long-number":
                yield b'{"node": "n1", "pods": %b}' % (b"9" * 4300)
            case "large-number":
                yield b'{"node": "n1", "pods": 9223372036854775808}'
            case "less-than-nothing":
                yield b'{"node": "n1", "pods": -1}'
            case "large":
                yield from (b" " * (1 << 16) for _ in range(64))
            case "bomb":
                yield BOMB
            case "slow":
                while True:  # until whoever asks has gone
                    yield b" "
                    time.sleep(0.05)


@pytest.fixture(scope="module")
def access() -> Iterator[Access]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Access(
        ServerAddress(f"http://127.0.0.1:{server.server_port}"), StaticCredential(Credential())
    )
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("sound", ""),
        ("no-text", "answer cannot be read"),
        ("deep", "answer cannot be read"),
        ("deep-refusal", "500"),
        ("long-number", "answer cannot be read"),
        ("large-number", "answer cannot be read"),
        ("less-than-nothing", "answer cannot be read"),
        ("large", "more than 1048576 bytes"),
        ("bomb", "more than 1048576 bytes"),
        ("slow", "more than 0.2 s"),
    ],
)
def test_an_agent_that_answers_nonsense_is_named(
    access: Access, monkeypatch: pytest.MonkeyPatch, kind: str, said: str
) -> None:
    monkeypatch.setattr(agents, "LARGEST", 1 << 20)
    monkeypatch.setattr(agents, "LONGEST", 0.2 if kind == "slow" else 60.0)
    agent = AgentAddress("n1", "10.0.0.1", 9741, "kube-system", kind)
    found = _told(agent, access, "token", ("/v1/status", {}), msgspec.json.Decoder(NodeReport))
    if not said:
        assert found.answer is not None
        return
    assert found.answer is None
    assert said in found.fault


@pytest.mark.parametrize("form", [NodeReport, PolicyReport, Drops, NodeUsage])
def test_no_number_of_an_agent_is_more_than_a_counter_holds(form: type[Struct]) -> None:
    """They are added and printed: python neither prints nor reads thousands of digits."""
    unbounded = [*unbounded_numbers(msgspec.inspect.type_info(form))]
    assert unbounded == []


def unbounded_numbers(form: msgspec.inspect.Type, path: str = "") -> Iterator[str]:
    """The fields of a form, and of what is in it, that hold integers of any size."""
    match form:
        case msgspec.inspect.IntType() if form.le is None or form.ge is None:
            yield path
        case msgspec.inspect.StructType():
            for field in form.fields:
                yield from unbounded_numbers(field.type, f"{path}.{field.name}")
        case msgspec.inspect.VarTupleType():
            yield from unbounded_numbers(form.item_type, f"{path}[]")
        case msgspec.inspect.UnionType():
            for each in form.types:
                yield from unbounded_numbers(each, path)
