"""bind(2) announced: what a supervisor learns, and that nothing of the call is changed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from select import POLLIN, poll

import pytest

from podfence.kernel.bindnotice import Bind, BindNotices, announce_binds

pytestmark = pytest.mark.kernel
SERVER = (
    "import socket; s = socket.socket(socket.{family}, socket.{kind}); s.bind({address}); {then}"
)
SAYS = "print(s.getsockname()[1])"


@contextmanager
def announcing(code: str) -> Iterator[tuple[BindNotices, Callable[[], str]]]:
    """A python program whose binds are announced; and what it printed, once it has ended."""
    ours, theirs = socket.socketpair()
    output, writer = os.pipe()
    child = os.fork()
    if child == 0:
        notices = announce_binds()
        if notices is None:
            os._exit(3)
        socket.send_fds(theirs, [b"."], [notices])
        os.dup2(writer, 1)
        os.execv(sys.executable, [sys.executable, "-c", code])
    theirs.close()
    os.close(writer)
    try:
        _, received, _, _ = socket.recv_fds(ours, 1, 1)
        if not received:
            pytest.skip("this kernel or user cannot announce binds")
        supervisor = BindNotices(received[0])

        def said() -> str:
            with open(output, encoding="utf-8") as file:
                return file.read().strip()

        yield supervisor, said
    finally:
        ours.close()
        os.waitpid(child, 0)


def next_bind(notices: BindNotices) -> Bind:
    waiting = poll()
    waiting.register(notices.fileno(), POLLIN)
    assert waiting.poll(60_000)
    bind = notices.receive()
    assert bind is not None
    return bind


def wait_for_the_end(notices: BindNotices) -> None:
    waiting = poll()
    waiting.register(notices.fileno(), POLLIN)
    assert waiting.poll(60_000)
    with pytest.raises(EOFError):
        notices.receive()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs CAP_SYS_ADMIN")
@pytest.mark.parametrize(
    ("family", "kind", "address", "port"),
    [
        pytest.param("AF_INET", "SOCK_STREAM", ("0.0.0.0", 45_432), 45_432, id="tcp"),
        pytest.param("AF_INET", "SOCK_DGRAM", ("127.0.0.1", 45_433), 45_433, id="udp"),
        pytest.param("AF_INET6", "SOCK_STREAM", ("::", 45_434), 45_434, id="both"),
        pytest.param("AF_INET6", "SOCK_STREAM", ("::1", 45_435), 45_435, id="ipv6"),
        pytest.param("AF_INET6", "SOCK_STREAM", ("::ffff:127.0.0.1", 45_436), 45_436, id="mapped"),
        pytest.param("AF_INET", "SOCK_STREAM", ("127.0.0.1", 0), 0, id="any-port"),
    ],
)
def test_the_supervisor_learns_what_is_asked_for(
    family: str, kind: str, address: tuple[str, int], port: int
) -> None:
    code = SERVER.format(family=family, kind=kind, address=address, then=SAYS)
    with announcing(code) as (notices, said):
        bind = next_bind(notices)
        notices.go_on(bind)
        assert bind.port == port
        bound = int(said())
        assert bound == port or not port
        wait_for_the_end(notices)
        notices.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs CAP_SYS_ADMIN")
def test_another_kind_of_socket_asks_for_no_port(tmp_path: os.PathLike[str]) -> None:
    path = os.path.join(tmp_path, "socket")
    code = SERVER.format(
        family="AF_UNIX", kind="SOCK_STREAM", address=ascii(path), then="print('ok')"
    )
    with announcing(code) as (notices, said):
        bind = next_bind(notices)
        notices.go_on(bind)
        assert bind.port == 0
        assert said() == "ok"
        notices.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs CAP_SYS_ADMIN")
def test_a_program_that_is_killed_while_it_waits_is_no_error() -> None:
    code = SERVER.format(family="AF_INET", kind="SOCK_STREAM", address=("127.0.0.1", 0), then="")
    with announcing(f"import os, signal; signal.alarm(1); {code}") as (notices, _):
        bind = next_bind(notices)
        wait_for_the_end(notices)
        notices.go_on(bind)
        notices.close()


def test_a_machine_that_is_not_known_announces_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "pdp11")
    assert announce_binds() is None
    done = subprocess.run([sys.executable, "-c", "pass"], check=False)
    assert done.returncode == 0
