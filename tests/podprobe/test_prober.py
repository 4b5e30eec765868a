"""The program that runs inside a pod: what it prints of real connections."""

from __future__ import annotations

import ast
import inspect
import json
import socket
import subprocess
import sys
from typing import Any

from podfence.podprobe import prober


def printed(attempts: list[list[Any]], seconds: float = 20, longest: int = 60) -> dict[int, str]:
    """What it says of attempts, run as in a container: from its text alone."""
    asked = {"seconds": seconds, "atOnce": 2, "longest": longest, "attempts": attempts}
    command = [sys.executable, "-I", "-c", inspect.getsource(prober), json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    *lines, last = map(json.loads, done.stdout.splitlines())
    assert last == {"done": len(attempts)}
    return {line["at"]: line["got"] for line in lines}


def test_it_tells_what_answers_from_what_refuses() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_server(("127.0.0.1", 0)) as gone,
    ):
        there, free = listening.getsockname()[1], gone.getsockname()[1]
        gone.close()
        assert printed(
            [["TCP", "127.0.0.1", there], ["TCP", "127.0.0.1", free], ["UDP", "127.0.0.1", free]]
        ) == {0: "open", 1: "refused", 2: "refused"}


def test_a_datagram_is_answered_or_not() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        assert printed([["UDP", "127.0.0.1", silent.getsockname()[1]]], 0.2) == {0: "timeout"}
        assert silent.recv(64) == b"\n"


def test_an_error_is_a_word() -> None:
    assert prober.outcome(97) == "error EAFNOSUPPORT"
    assert prober.outcome(113) == "unreachable"


def test_it_needs_nothing_but_the_standard_library() -> None:
    tree = ast.parse(inspect.getsource(prober))
    imported = {
        name.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
        if not (isinstance(node, ast.ImportFrom) and node.module == "__future__")
    }
    assert imported <= sys.stdlib_module_names


def test_a_lost_datagram_is_sent_again() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
        late.bind(("127.0.0.1", 0))
        asked: dict[str, Any] = {"seconds": 60, "atOnce": 2, "longest": 90}
        asked["attempts"] = [["UDP", "127.0.0.1", late.getsockname()[1]]]
        command = [sys.executable, "-I", "-c", inspect.getsource(prober), json.dumps(asked)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            try:
                assert late.recv(64) == b"\n"  # as if it were lost
                again, sender = late.recvfrom(64)
                late.sendto(again, sender)
                said = process.communicate(timeout=90)[0]
            finally:
                process.kill()
    assert json.loads(said.splitlines()[0]) == {"at": 0, "got": "open"}


def test_a_signal_ends_it_even_as_the_first_process() -> None:
    """A container's first process has no default action for signals, so it has its own."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.settimeout(60)
        asked: dict[str, Any] = {"seconds": 600, "atOnce": 2, "longest": 600}
        asked["attempts"] = [["UDP", "127.0.0.1", silent.getsockname()[1]]]
        command = [sys.executable, "-I", "-c", inspect.getsource(prober), json.dumps(asked)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            try:
                silent.recv(64)
                process.terminate()
                said = process.communicate(timeout=60)[1]
            finally:
                process.kill()
    assert (process.returncode, said) == (1, "ended by signal 15\n")
