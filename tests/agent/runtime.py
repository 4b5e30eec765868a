"""A container runtime as NRI's protocol describes it: the other end of the plugin's socket."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from podfence.agent.ttrpc import Mux, TtrpcRequest, field, fields, read_call, read_error, request

PLUGIN, RUNTIME = 1, 2
SERVICE = "nri.pkg.api.v1alpha1.Plugin"
WAIT = 30.0


def pod(namespace: str, name: str, *addresses: str, uid: str = "u") -> bytes:
    """A PodSandbox, with fields that nobody asks for among the others."""
    label = field(1, "app") + field(2, name)
    data = field(1, "id-1") + field(2, name) + field(3, uid) + field(4, namespace)
    data += field(5, label) + field(8, field(3, "/kubepods")) + field(9, 4242)
    return data + b"".join(field(10, each) for each in addresses)


class Runtime:
    """One plugin that has connected. ``call`` waits for its answer."""

    def __init__(self, opened: socket.socket) -> None:
        opened.settimeout(WAIT)
        self.trunk = Mux(opened)
        self.messages = self.trunk.messages()
        self._stream = 1

    def registration(self) -> dict[int, int | bytes]:
        """What the plugin says of itself; it is taken."""
        connection, message = next(self.messages)
        assert connection == RUNTIME
        call = read_call(message.data)
        assert (call.service, call.method) == ("nri.pkg.api.v1alpha1.Runtime", "RegisterPlugin")
        self.trunk.send(RUNTIME, b"\0\0\0\0" + message.stream.to_bytes(4, "big") + b"\2\0")
        return dict(fields(call.payload))

    def call(self, method: str, payload: bytes = b"", service: str = SERVICE) -> tuple[bytes, str]:
        """The payload of the answer, and what went wrong."""
        self.trunk.send(PLUGIN, request(self._stream, TtrpcRequest(service, method, payload)))
        connection, message = next(self.messages)
        assert (connection, message.stream) == (PLUGIN, self._stream)
        self._stream += 2
        said = dict(fields(message.data))
        found = said.get(2, b"")
        assert isinstance(found, bytes)
        return found, read_error(message.data)

    def greet(self) -> bytes:
        """Everything up to the first event; the plugin's answer to Configure."""
        self.registration()
        about = field(2, "containerd") + field(3, "v2.2.9") + field(5, 2000)
        events, error = self.call("Configure", about)
        assert error == ""
        assert self.call("Synchronize", field(1, pod("x", "y"))) == (b"", "")
        return events

    def starts(self, sandbox: bytes) -> None:
        """RunPodSandbox, in the form that it has had since the first version."""
        assert self.call("StateChange", field(1, 1) + field(2, sandbox)) == (b"", "")


@contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as found:
        found.bind(str(path))
        found.listen(1)
        found.settimeout(WAIT)
        yield found
