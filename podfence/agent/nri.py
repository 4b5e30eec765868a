"""The gate at the start of pods: a plugin for the container runtime's Node Resource Interface
(NRI).

Rule: the runtime waits for our answer after it has made the pod's network and before it runs a
container. An answer always comes in time; a pod for which it comes late is closed by its range. A
runtime that is missing, or speaks another protocol, is tried again later. Source: NRI's api.proto,
version v1alpha1. Both of its forms of the event are understood: ``StateChange``, and a call of its
own.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

from msgspec import Struct

from podfence._version import __version__
from podfence.agent.log import EventLog
from podfence.agent.ttrpc import (
    REQUEST,
    Malformed,
    Mux,
    TtrpcMessage,
    TtrpcRequest,
    field,
    fields,
    nested,
    read_call,
    read_error,
    request,
    response,
    text,
)
from podfence.sets.addresses import IPAddress

SOCKET = Path("/var/run/nri/nri.sock")
NAME, INDEX = "podfence", "90"
"""As the runtime names the plugin; plugins are asked in the order of their two digits."""
AGAIN = 10.0
"""Seconds until a runtime that is not there is looked for again."""
_PLUGIN, _RUNTIME = 1, 2
"""The connections over one socket: calls of the runtime, and ours."""
_SERVICE = "nri.pkg.api.v1alpha1.Plugin"
_RUN_POD_SANDBOX = 1
_EVENTS = 1 << (_RUN_POD_SANDBOX - 1)
_UNIMPLEMENTED, _INVALID = 12, 3


class Sandbox(Struct, frozen=True):
    """A pod whose network is there. ``addresses``: as far as this runtime tells them."""

    namespace: str
    name: str
    addresses: tuple[IPAddress, ...] = ()


class NriSession:
    """One connection to a runtime. ``gate`` returns when a pod may start. ``runtime``: its name and
    version, "" until it has told them."""

    def __init__(self, opened: socket.socket, gate: Callable[[Sandbox], None]) -> None:
        self._trunk = Mux(opened)
        self._gate = gate
        self.runtime = ""

    def run(self) -> None:
        """Until the runtime ends it. Raises Malformed, OSError."""
        plugin = field(1, NAME) + field(2, INDEX) + field(3, f"podfence {__version__}")
        call = TtrpcRequest("nri.pkg.api.v1alpha1.Runtime", "RegisterPlugin", plugin)
        self._trunk.send(_RUNTIME, request(1, call))
        for connection, message in self._trunk.messages():
            if connection == _PLUGIN:
                self._trunk.send(_PLUGIN, self._answer(message))
            elif words := read_error(message.data):
                raise Malformed(f"the runtime does not take the plugin: {words}")

    def _answer(self, message: TtrpcMessage) -> bytes:
        if message.kind != REQUEST:
            raise Malformed(f"a message of kind {message.kind}")
        call = read_call(message.data)
        if call.service != _SERVICE:
            return response(message.stream, b"", _UNIMPLEMENTED, f"no service {call.service}")
        try:
            payload = self._called(call.method, call.payload)
        except Malformed as error:
            return response(message.stream, b"", _INVALID, str(error))
        if payload is None:
            return response(message.stream, b"", _UNIMPLEMENTED, f"no method {call.method}")
        return response(message.stream, payload)

    def _called(self, method: str, payload: bytes) -> bytes | None:
        """The answer, None for what we never asked to be called for."""
        found = dict(fields(payload))
        match method:
            case "Configure":
                self.runtime = f"{text(found.get(2, b''))} {text(found.get(3, b''))}"
                return field(2, _EVENTS)
            case "Synchronize":  # pods that run already: the API tells of these
                return field(2, 1) if found.get(3) else b""
            case "Shutdown":
                return b""
            case "StateChange" if found.get(1) == _RUN_POD_SANDBOX:
                self._gate(sandbox(nested(found.get(2, b""))))
                return b""
            case "StateChange":
                return b""
            case "RunPodSandbox":
                self._gate(sandbox(nested(found.get(1, b""))))
                return b""
        return None


def sandbox(data: bytes) -> Sandbox:
    """The pod that a runtime tells of. Raises Malformed."""
    namespace = name = ""
    addresses: list[IPAddress] = []
    for number, value in fields(data):
        if number == 2:
            name = text(value)
        elif number == 4:
            namespace = text(value)
        elif number == 10:
            try:
                addresses.append(ip_address(text(value)))
            except ValueError as error:
                raise Malformed(f"an address: {error}") from error
    if not name or not namespace:
        raise Malformed("a pod without a name")
    return Sandbox(namespace, name, tuple(addresses))


class Gate:
    """Keeps a session with the runtime of this node. ``runtime``: who it is, "" while there is
    none."""

    def __init__(self, path: Path, gate: Callable[[Sandbox], None], log: EventLog) -> None:
        self._path = path
        self._gate = gate
        self._log = log
        self._session: NriSession | None = None
        self._told = ""

    @property
    def runtime(self) -> str:
        """For any thread."""
        session = self._session
        return session.runtime if session is not None else ""

    def run(self, stopped: threading.Event) -> None:
        """Until it is to stop; what fails is tried again."""
        while not stopped.is_set():
            reason = self._once(stopped)
            if reason != self._told and not stopped.is_set():
                self._told = reason
                self._log.info("no gate at the start of pods", reason=reason)
            stopped.wait(AGAIN)

    def _once(self, stopped: threading.Event) -> str:
        """One session; why there is none any more."""
        with socket.socket(socket.AF_UNIX) as opened:
            try:
                opened.connect(str(self._path))
                self._session = NriSession(opened, self._gate)
                self._log.info("gate at the start of pods", socket=str(self._path))
                self._session.run()
            except (OSError, Malformed) as error:
                return f"{self._path}: {getattr(error, 'strerror', None) or error}"
            finally:
                self._session = None
        return f"{self._path}: the runtime ended it"
