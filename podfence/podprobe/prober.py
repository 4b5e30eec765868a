"""Runs inside a pod of a cluster: tries connections, prints what became of each, and ends.

Rule: its text is the command of a container, so that an image needs only Python 3.8 and nobody has
to trust one for what it does. It imports the standard library alone, needs no capability, listens
nowhere, writes no file and ends after a bounded time, whatever happens.

The argument is JSON: ``{"seconds": 3, "atOnce": 64, "longest": 60, "attempts": [["TCP", "10.0.0.1",
80], ...]}``. Each attempt becomes a line ``{"at": NUMBER, "got": WORD}``, in any order; the last
line is ``{"done": HOW MANY}``.
"""

from __future__ import annotations

import errno
import json
import selectors
import signal
import socket
import sys
import time

_WORDS = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.ETIMEDOUT: "timeout",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.EACCES: "prohibited",
    errno.EPERM: "prohibited",
}
_UNDER_WAY = (0, errno.EINPROGRESS, errno.EAGAIN)
# A lost datagram is sent again after so many seconds; TCP does that by itself.
_AGAIN = 1.0
# A DNS server answers a question only: the name servers of the root.
_QUESTION = b"pf\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01"
_DNS = 53


def outcome(number: int) -> str:
    """The word for an error of a socket."""
    return _WORDS.get(number) or "error " + errno.errorcode.get(number, str(number))


class Attempts:
    """Attempts under way, a bounded number at once."""

    def __init__(self, wanted: list[list[object]], seconds: float) -> None:
        self._wanted = wanted
        self._seconds = seconds
        self._poll = selectors.DefaultSelector()
        self._until: dict[socket.socket, tuple[int, float]] = {}
        self._again: dict[socket.socket, tuple[bytes, float]] = {}

    def run(self, at_once: int) -> None:
        """Try all of them."""
        waiting = list(range(len(self._wanted) - 1, -1, -1))
        while waiting or self._until:
            while waiting and len(self._until) < at_once:
                self._start(waiting.pop())
            for key, _ in self._poll.select(self._pause()):
                self._ready(key.fileobj)  # type: ignore[arg-type]
            now = time.monotonic()
            for made, (_, until) in list(self._until.items()):
                if until <= now:
                    self._end(made, "timeout")
            for made, (packet, when) in list(self._again.items()):
                if when <= now:
                    self._send(made, packet)

    def _pause(self) -> float:
        ends = [until for _, until in self._until.values()]
        first = min([*ends, *(when for _, when in self._again.values())], default=0.0)
        return max(0.0, first - time.monotonic())

    def _start(self, at: int) -> None:
        protocol, address, port = self._wanted[at]
        family = socket.AF_INET6 if ":" in str(address) else socket.AF_INET
        kind = socket.SOCK_DGRAM if protocol == "UDP" else socket.SOCK_STREAM
        try:
            made = socket.socket(family, kind)
        except OSError as error:
            tell(at, outcome(error.errno or 0))
            return
        made.setblocking(False)
        self._until[made] = at, time.monotonic() + self._seconds
        failed = made.connect_ex((str(address), int(str(port))))
        if failed not in _UNDER_WAY:
            self._end(made, outcome(failed))
            return
        wanted = selectors.EVENT_READ if protocol == "UDP" else selectors.EVENT_WRITE
        self._poll.register(made, wanted)
        if protocol == "UDP":
            self._send(made, _QUESTION if port == _DNS else b"\n")

    def _send(self, made: socket.socket, packet: bytes) -> None:
        self._again[made] = packet, time.monotonic() + _AGAIN
        try:
            made.send(packet)
        except OSError as error:
            self._end(made, outcome(error.errno or 0))

    def _ready(self, made: socket.socket) -> None:
        failed = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if not failed and made.type == socket.SOCK_DGRAM:
            try:
                made.recv(1)
            except BlockingIOError:
                return
            except OSError as error:
                failed = error.errno or 0
        self._end(made, outcome(failed) if failed else "open")

    def _end(self, made: socket.socket, word: str) -> None:
        at, _ = self._until.pop(made)
        self._again.pop(made, None)
        if made in self._poll.get_map():
            self._poll.unregister(made)
        made.close()
        tell(at, word)


def tell(at: int, word: str) -> None:
    """Print what became of an attempt."""
    print(json.dumps({"at": at, "got": word}))


def stop(number: int, frame: object) -> None:
    """End at a signal. The first process of a container has no default action for one."""
    raise SystemExit(f"ended by signal {number}")


def main(argument: str) -> None:
    """Try what the argument says."""
    asked = json.loads(argument)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGALRM, stop)
    signal.alarm(int(asked["longest"]))
    Attempts(asked["attempts"], asked["seconds"]).run(asked["atOnce"])
    print(json.dumps({"done": len(asked["attempts"])}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
