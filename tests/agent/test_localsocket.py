"""What an agent tells on its own node, and whom."""

from __future__ import annotations

import http.client
import io
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from podfence.agent.localsocket import LocalServer, ask_drops, ask_rules, socket_name
from podfence.agent.log import EventLog
from podfence.drops.record import Cause, Drop, Drops, FlowEnd
from podfence.errors import HostError
from podfence.usage.record import NodeUsage, PolicyUse, RuleUse

DROP = Drop(
    "n1", 7, "a", "b", 1, "ingress", FlowEnd("::1"), FlowEnd("::2"), "TCP", Cause("unknown")
)
USE = PolicyUse("NetworkPolicy", "shop/db", "u", 1, "a", (RuleUse("spec.ingress[0]", 2, "b"),))
RULES = NodeUsage("n1", "a", policies=(USE,))
TOLD = Drops("n1", 7, 1, 0, 0, (DROP,))


class Server:
    def __init__(self, folder: Path) -> None:
        self.asked: list[int] = []
        self.server = LocalServer(folder, 42, self._tell, lambda: RULES, EventLog(io.StringIO()))
        threading.Thread(target=self.server.run, daemon=True).start()

    def _tell(self, since: int) -> Drops:
        self.asked.append(since)
        return TOLD if since < 7 else replace(TOLD, drops=())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Deeper than the address of a socket is long."""
    made = tmp_path.joinpath(*("deep" * 8 for _ in range(5)))
    made.mkdir(parents=True)
    return made


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    made = Server(folder)
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_what_is_told_is_what_is_read(server: Server, folder: Path) -> None:
    assert ask_drops(folder, 42) == TOLD
    assert ask_drops(folder, 42, 7).drops == ()
    assert server.asked == [0, 7]


def test_uses_of_rules_are_told(server: Server, folder: Path) -> None:
    assert ask_rules(folder, 42) == RULES


def test_only_root_can_open_it(server: Server, folder: Path) -> None:
    assert (folder / socket_name(42)).stat().st_mode & 0o777 == 0o600


def test_a_socket_that_was_left_behind_is_replaced(folder: Path) -> None:
    first = Server(folder)
    first.server.shutdown()
    first.server.server_close()
    with pytest.raises(HostError, match="no agent runs in this network namespace"):
        ask_drops(folder, 42)
    second = Server(folder)
    assert ask_drops(folder, 42) == TOLD
    second.server.shutdown()
    second.server.server_close()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="--run-dir"):
        Server(tmp_path / "none")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/drops?since=x", 400),
        ("/drops?since=-1", 400),
        (f"/drops?since={'9' * 30}", 400),
        ("/drops?since=%C2%B2", 400),
        ("/drops?other=1", 200),
        ("/", 404),
        ("/metrics", 404),
    ],
)
def test_each_path_has_its_status(server: Server, folder: Path, path: str, status: int) -> None:
    here = os.open(folder, os.O_PATH)
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(f"/proc/self/fd/{here}/{socket_name(42)}")
    os.close(here)
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    assert answer.status == status
    connection.close()
