"""The gate at the start of pods, with a runtime that speaks NRI, and with one that does not."""

from __future__ import annotations

import io
import random
import socket
import threading
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from podfence.agent import nri
from podfence.agent.log import EventLog
from podfence.agent.nri import Gate, NriSession, Sandbox, sandbox
from podfence.agent.ttrpc import (
    MOST,
    Malformed,
    Mux,
    TtrpcRequest,
    field,
    fields,
    read_call,
    read_error,
    request,
    response,
)
from tests.agent.cluster import Cluster
from tests.agent.network import Node
from tests.agent.runtime import PLUGIN, Runtime, listening, pod

# --- the wire ------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 2**32, 2**63, 2**64 - 1])
def test_a_number_is_read_as_it_was_written(value: int) -> None:
    assert [*fields(field(1, value) + field(2, "x"))] == [(1, value), (2, b"x")]


@pytest.mark.parametrize(
    ("data", "value"),
    [("089601", 150), ("08ffffffffffffffffff01", 2**64 - 1)],
)
def test_numbers_of_the_specification(data: str, value: int) -> None:
    assert dict(fields(bytes.fromhex(data))) == {1: value}


def test_other_types_are_passed_over() -> None:
    data = bytes.fromhex("0d01020304") + bytes.fromhex("110102030405060708") + field(3, "x")
    assert [number for number, _ in fields(data)] == [1, 2, 3]


@pytest.mark.parametrize(
    "data",
    [
        "08",  # a number that is missing
        "0880",  # cut
        "08ffffffffffffffffffff01",  # too long
        "0a05616263",  # a text that is cut
        "0affffffffffffffffff01",  # one of 2**64 bytes
        "0b",  # a group
        "0f",  # no type
        "00",  # field 0
        "0d010203",
    ],
)
def test_what_is_no_message_is_refused(data: str) -> None:
    with pytest.raises(Malformed):
        [*fields(bytes.fromhex(data))]


def test_a_call_is_read_as_it_was_written() -> None:
    call = TtrpcRequest("a.B", "C", b"\0\xff")
    assert read_call(request(1, call)[10:]) == call
    assert read_error(response(1, b"x", 12, "no")[10:]) == "no"
    assert read_error(response(1, b"x")[10:]) == ""


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_messages_may_come_in_pieces(size: int) -> None:
    here, there = socket.socketpair()
    data = request(1, TtrpcRequest("s", "m", bytes(9000))) + request(3, TtrpcRequest("s", "n", b""))
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    there.sendall(b"".join(b"\0\0\0\1" + len(p).to_bytes(4, "big") + p for p in pieces))
    there.close()
    with here:
        found = [(c, m.stream, read_call(m.data).method) for c, m in Mux(here).messages()]
    assert found == [(1, 1, "m"), (1, 3, "n")]


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0\1" + (MOST + 11).to_bytes(4, "big"),  # a piece that is too long
        b"\0\0\0\7" + bytes(4),  # a connection that nobody opened
        b"\0\0\0\1\0\0\0\x0a" + (MOST + 1).to_bytes(4, "big") + bytes(6),  # a message too long
        b"\0\0\0\1\0\0\0\x0aabc",  # cut
        b"\0\0\0",
    ],
)
def test_lengths_are_bounded_before_anything_is_kept(data: bytes) -> None:
    here, there = socket.socketpair()
    there.sendall(data)
    there.close()
    with here, pytest.raises(Malformed):
        [*Mux(here).messages()]


def test_random_bytes_are_malformed_or_nothing() -> None:
    draw = random.Random(1)
    for _ in range(3000):
        data = draw.randbytes(draw.randint(0, 40))
        try:
            sandbox(data)
            read_call(data)
        except Malformed:
            pass


# --- the plugin ----------------------------------------------------------------------------------


class Plugin:
    """A session with a runtime of the tests; ``started``: pods that went through the gate."""

    def __init__(self) -> None:
        here, there = socket.socketpair()
        self.started: list[Sandbox] = []
        self.runtime = Runtime(there)
        self.session = NriSession(here, self.started.append)
        self.error: Exception | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        self._sockets = here, there

    def _run(self) -> None:
        try:
            self.session.run()
        except (Malformed, OSError) as error:
            self.error = error

    def close(self) -> None:
        self._sockets[1].close()
        self.thread.join(20)
        self._sockets[0].close()


@pytest.fixture
def plugin() -> Iterator[Plugin]:
    made = Plugin()
    yield made
    made.close()


def test_it_registers_and_asks_for_one_event(plugin: Plugin) -> None:
    said = plugin.runtime.registration()
    assert (said[1], said[2]) == (b"podfence", b"90")
    answer, _ = plugin.runtime.call("Configure", field(2, "cri-o") + field(3, "1.33"))
    assert dict(fields(answer)) == {2: 1}
    assert plugin.session.runtime == "cri-o 1.33"


@pytest.mark.parametrize("method", ["StateChange", "RunPodSandbox"])
def test_a_pod_goes_through_the_gate(plugin: Plugin, method: str) -> None:
    plugin.runtime.greet()
    found = pod("shop", "web", "10.1.0.1", "fd00::1")
    payload = field(1, 1) + field(2, found) if method == "StateChange" else field(1, found)
    assert plugin.runtime.call(method, payload) == (b"", "")
    addresses = (ip_address("10.1.0.1"), ip_address("fd00::1"))
    assert plugin.started == [Sandbox("shop", "web", addresses)]


def test_other_events_and_more_of_the_same_are_answered(plugin: Plugin) -> None:
    plugin.runtime.greet()
    assert plugin.runtime.call("StateChange", field(1, 3) + field(2, pod("a", "b"))) == (b"", "")
    assert plugin.runtime.call("Synchronize", field(3, 1)) == (field(2, 1), "")
    assert plugin.runtime.call("Shutdown") == (b"", "")
    assert plugin.started == []


@pytest.mark.parametrize(
    ("method", "payload", "service", "words"),
    [
        ("CreateContainer", b"", "nri.pkg.api.v1alpha1.Plugin", "no method CreateContainer"),
        ("Configure", b"", "other", "no service other"),
        ("RunPodSandbox", field(1, b""), "nri.pkg.api.v1alpha1.Plugin", "a pod without a name"),
        (
            "RunPodSandbox",
            field(1, pod("a", "b", "10.0.0")),
            "nri.pkg.api.v1alpha1.Plugin",
            "'10.0.0' does not appear to be an IPv4 or IPv6 address",
        ),
        ("StateChange", b"\xff", "nri.pkg.api.v1alpha1.Plugin", "no number"),
    ],
)
def test_what_is_not_understood_is_an_error_and_not_the_end(
    plugin: Plugin, method: str, payload: bytes, service: str, words: str
) -> None:
    plugin.runtime.greet()
    assert words in plugin.runtime.call(method, payload, service)[1]
    plugin.runtime.starts(pod("shop", "web"))
    assert len(plugin.started) == 1


def test_a_runtime_that_speaks_otherwise_ends_the_session_alone(plugin: Plugin) -> None:
    plugin.runtime.greet()
    plugin.runtime.trunk.send(PLUGIN, b"HTTP/1.1 400 Bad Request\r\n\r\n")
    plugin.thread.join(20)
    assert isinstance(plugin.error, Malformed)


def test_a_runtime_is_looked_for_until_it_is_there_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nri, "AGAIN", 0.01)
    path, stopped, logged = tmp_path / "s", threading.Event(), io.StringIO()
    started: list[Sandbox] = []
    gate = Gate(path, started.append, EventLog(logged))
    thread = threading.Thread(target=gate.run, args=(stopped,), daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while "No such file or directory" not in logged.getvalue():
        assert time.monotonic() < until
        time.sleep(0.01)
    for name in ("web", "db"):
        with listening(path) as server:
            opened, _ = server.accept()
            with opened:
                runtime = Runtime(opened)
                runtime.greet()
                assert gate.runtime == "containerd v2.2.9"
                runtime.starts(pod("shop", name))
        path.unlink()
    stopped.set()
    thread.join(20)
    assert [each.name for each in started] == ["web", "db"]
    assert gate.runtime == ""


@pytest.mark.kernel
@pytest.mark.apiserver
@pytest.mark.timeout(240)
def test_a_pod_passes_and_is_isolated_from_its_first_packet(
    here: Node, cluster: Cluster, tmp_path: Path
) -> None:
    """Its address is known to the runtime alone; the API is told of it later."""
    path = tmp_path / "nri.sock"
    with listening(path) as server:
        cluster.policy("new", {"app": "new"}, {"app": "web"})
        here.agent("--nri", str(path))
        opened, _ = server.accept()
        with opened:
            runtime = Runtime(opened)
            runtime.greet()
            for number in range(20):
                name, address = f"new-{number}", f"{here.prefix}.0.{100 + number}"
                here.add(name, address)
                cluster.pod(name, here.name, labels={"app": "new"})
                runtime.starts(pod(cluster.namespace, name, address))
                assert here.passes("web", name)
                assert not here.passes("far", name)
                cluster.address(name, address)
            here.becomes(True, "web", "new-19")
            assert not here.passes("far", "new-19")
