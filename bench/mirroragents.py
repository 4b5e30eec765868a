"""Many agents of a mirror in one process: their connections, and what comes over them.

    python -m bench.mirroragents FOLDER PORT --agents 2000

Rule: each is a connection of its own, with TLS and a token of its own; what it gets is counted and
unpacked by a few only. It writes ``FOLDER/agents`` when all follow, counts from ``FOLDER/count``
on, and ends with ``FOLDER/counted``. Who loses its mirror goes on at the port in ``FOLDER/next``,
from the version that the ones that unpack have come to.
"""

from __future__ import annotations

import argparse
import selectors
import socket
import ssl
import time
import zlib
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

import msgspec

from podfence.live.frames import FRAME, PATH, Identities, frame_of

READERS: Final = 4
"""Agents that unpack and know what they are told."""
ASKING: Final = 200
"""Agents that ask at one time."""
_PIECE: Final = 1 << 16


class Reader:
    """One that knows the pods."""

    def __init__(self) -> None:
        self.pods: dict[str, str] = {}
        self.version = ""
        self._identities = Identities("none")
        self.began = False

    def begin(self) -> None:
        """An answer begins."""
        self._unpack = zlib.decompressobj(31)
        self._rest = b""

    def feed(self, body: bytes) -> None:
        """A part of the body."""
        *lines, self._rest = (self._rest + self._unpack.decompress(body)).split(b"\n")
        for line in lines:
            event = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
            if bytes(event["type"]) == f'"{FRAME}"'.encode():
                frame = frame_of(event["object"])
                pods, gone = self._identities.take(frame)
                for namespace, name in gone:
                    self.pods.pop(f"{namespace}/{name}", None)
                for pod in pods:
                    self.pods[f"{pod.namespace}/{pod.name}"] = str(IPv4Address(pod.v4))
                self.version = frame.version
            else:
                self.began = True


class Agent:
    """A connection. ``reader``: None for those that only count."""

    def __init__(self, number: int, reader: Reader | None) -> None:
        self.number = number
        self.reader = reader
        self.bytes = self.reads = self.resumed = 0
        self.status = b""
        self._request = b""
        self._head = b""
        self._chunks = b""

    def connect(self, context: ssl.SSLContext, port: int, version: str) -> None:
        """Ask, once hands are shaken."""
        plain = socket.create_connection(("127.0.0.1", port), 60)
        self.socket = context.wrap_socket(
            plain, server_hostname="localhost", do_handshake_on_connect=False
        )
        words = f"resourceVersion={version}" if version else "sendInitialEvents=true"
        token = f"token-{self.number}"
        self._request = (
            f"GET {PATH}?watch=true&{words} HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n"
            f"Authorization: Bearer {token}\r\n\r\n".encode()
        )
        self.socket.setblocking(False)
        self.status, self._head, self._chunks = b"", b"", b""
        if self.reader is not None:
            self.reader.begin()
        self.read()

    def read(self) -> bool:
        """What has come; False where it ended."""
        while True:
            try:
                if self._request:
                    self.socket.do_handshake()
                    self.socket.sendall(self._request)
                    self._request = b""
                data = self.socket.recv(_PIECE)
            except (ssl.SSLWantReadError, BlockingIOError):
                return True
            except OSError:
                return False
            if not data:
                return False
            self.bytes += len(data)
            self.reads += 1
            if not self.status:
                self._head += data
                if b"\r\n\r\n" not in self._head:
                    continue
                head, _, data = self._head.partition(b"\r\n\r\n")
                self.status = head.split()[1]
                self.resumed += 1
            if self.reader is not None and self.status == b"200":
                self._unchunk(data)

    def _unchunk(self, data: bytes) -> None:
        self._chunks += data
        assert self.reader is not None
        while b"\r\n" in self._chunks:
            size, _, rest = self._chunks.partition(b"\r\n")
            length = int(size, 16)
            if len(rest) < length + 2:
                return
            self.reader.feed(rest[:length])
            self._chunks = rest[length + 2 :]


class Agents:
    """All of them, in one loop."""

    def __init__(self, folder: Path, port: int, count: int) -> None:
        self.folder, self.port = folder, port
        self.context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        self.all = [Agent(n, Reader() if n < READERS else None) for n in range(count)]
        self.selector = selectors.DefaultSelector()
        self.lost: list[Agent] = []

    def join(self, agents: list[Agent], version: str) -> None:
        """Connect, and read what comes meanwhile."""
        waiting = list(agents)
        while waiting or any(not each.status for each in agents):
            asked = sum(not each.status for each in agents) - len(waiting)
            for agent in waiting[: max(ASKING - asked, 0)]:
                try:
                    agent.connect(self.context, self.port, version)
                except OSError:
                    continue
                waiting.remove(agent)
                self.selector.register(agent.socket, selectors.EVENT_READ, agent)
            self.turn(0.02)
            waiting += self.lost
            self.lost.clear()
            for agent in [a for a in agents if a.status not in (b"", b"200")]:
                with suppress(KeyError):
                    self.selector.unregister(agent.socket)
                agent.socket.close()
                agent.status = b""
                waiting.append(agent)

    def turn(self, seconds: float) -> None:
        """Read what is there."""
        for key, _ in self.selector.select(seconds):
            if not key.data.read():
                self.selector.unregister(key.data.socket)
                key.data.socket.close()
                key.data.status = b""
                self.lost.append(key.data)

    def until(self, name: str) -> None:
        """Read until a file is there."""
        until = time.monotonic() + 600
        while not (self.folder / name).exists():
            assert time.monotonic() < until, name
            self.turn(0.1)


def main() -> None:
    """Follow, count, change the mirror, and say what was known in the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("--agents", type=int, default=2000)
    options = parser.parse_args()
    found = Agents(options.folder, options.port, options.agents)
    readers, others = found.all[:READERS], found.all[READERS:]
    found.join(readers, "")
    begin = time.monotonic()
    while not all(agent.reader and agent.reader.began for agent in readers):
        found.turn(0.1)
        assert time.monotonic() - begin < 300
    first = sum(agent.bytes for agent in readers) / READERS
    found.join(others, readers[0].reader.version if readers[0].reader else "")
    (options.folder / "agents").write_text(f"{first:.0f}")
    found.until("count")
    before, reads = [a.bytes for a in found.all], sum(a.reads for a in found.all)
    begin = time.monotonic()
    found.until("counted")
    took = time.monotonic() - begin
    got = sorted((agent.bytes - old) / took for agent, old in zip(found.all, before, strict=True))
    pieces = (sum(a.reads for a in found.all) - reads) / len(found.all) / took
    words = (took, got[0], got[len(got) // 2], got[-1], pieces)
    (options.folder / "bytes").write_bytes(msgspec.json.encode(words))
    found.until("next")
    found.port = int((options.folder / "next").read_text())
    begin = time.monotonic()
    resumed = [agent.resumed for agent in found.all]
    while any(agent.resumed == old for agent, old in zip(found.all, resumed, strict=True)):
        found.turn(0.05)
        lost, found.lost = found.lost, []
        if lost:
            readers_of = [a.reader for a in readers if a.reader]
            found.join(lost, min(readers_of, key=lambda r: int(r.version)).version)
        assert time.monotonic() - begin < 300
    (options.folder / "resumed").write_text(f"{time.monotonic() - begin:.1f}")
    found.until("pods")
    _, there = msgspec.json.decode(
        (options.folder / "pods").read_bytes(), type=tuple[float, dict[str, str]]
    )
    begin = time.monotonic()
    equal = False
    while not equal and time.monotonic() - begin < 60:
        found.turn(0.2)
        equal = all(a.reader is not None and a.reader.pods == there for a in readers)
    (options.folder / "equal").write_text(str(equal))


if __name__ == "__main__":
    main()
