"""Talking to a lab that is up."""

from __future__ import annotations

import time
from multiprocessing.connection import Client, Connection
from pathlib import Path

from podfence._version import __version__
from podfence.errors import LabError, PodfenceError
from podfence.lab.messages import Down, Message, Namespace, Reply
from podfence.lab.whereabouts import known_names, socket_path

_PATIENCE = 5.0
"""Seconds that a lab may take to end."""


def ask(name: str, message: Message) -> Reply:
    """Send a message to a lab and wait for what it says. Raises LabError when there is none of this
    name, or what the lab raised."""
    reply = _ask(name, message)
    assert isinstance(reply, Reply)
    return reply


def namespace(name: str, message: Message) -> Namespace:
    """The same for a message whose reply is a namespace."""
    reply = _ask(name, message)
    assert isinstance(reply, Namespace)
    return reply


def is_up(name: str) -> bool:
    """Whether a lab of this name runs; the socket of one that does not is removed."""
    path = socket_path(name)
    try:
        _connect(path).close()
    except OSError:
        path.unlink(missing_ok=True)
        return False
    return True


def take_down(name: str) -> bool:
    """End a lab and wait until it is gone; False when there was none, but maybe its socket."""
    if not is_up(name):
        return False
    ask(name, Down())
    path = socket_path(name)
    end = time.monotonic() + _PATIENCE
    while path.exists():
        if time.monotonic() > end:
            raise LabError(f"the lab {name} does not end")
        time.sleep(0.01)
    return True


def _connect(path: Path) -> Connection:
    return Client(str(path), family="AF_UNIX")


def _ask(name: str, message: Message) -> object:
    try:
        connection = _connect(socket_path(name))
    except OSError:
        others = [other for other in known_names() if is_up(other)]
        hint = f"up are: {', '.join(others)}" if others else "start one: podfence lab up -f DIR"
        raise LabError(f"no lab named {name} is up; {hint}") from None
    with connection:
        try:
            connection.send((__version__, message))
            reply: object = connection.recv()
        except (EOFError, ConnectionError):
            raise LabError(f"the lab {name} ended before it answered") from None
    if isinstance(reply, PodfenceError):
        raise reply
    return reply
