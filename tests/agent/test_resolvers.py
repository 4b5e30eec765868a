"""Whose answers about names are believed, where nobody gave resolvers: those of ``resolv.conf``."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from podfence.agent.inbox import Inbox
from podfence.agent.resolvers import OwnNameservers, Resolvers
from podfence.model.facts import NO_ADDRESS, PodFacts, Put
from podfence.policy.domains import At


class File:
    """A ``resolv.conf`` that is replaced, as time passes."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "resolv.conf"
        self.now = 0.0
        self.own = OwnNameservers(self.path, lambda: self.now)

    def becomes(self, text: str | None) -> None:
        self.path.unlink(missing_ok=True)
        if text is not None:
            self.path.write_text(text, "utf-8")
        self.now += 2


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path)


def at(text: str) -> At:
    address = ip_address(text)
    return address.version, int(address)


@pytest.mark.parametrize(
    ("text", "known"),
    [
        pytest.param("nameserver 192.0.2.2\n", {"192.0.2.2"}, id="another one"),
        pytest.param(
            "nameserver 2001:db8::2\nnameserver 192.0.2.1\n",
            {"2001:db8::2", "192.0.2.1"},
            id="one more",
        ),
        pytest.param("nameserver 127.0.0.53\n", set(), id="one that no pod can reach"),
        pytest.param(
            "nameserver fe80::1%eth0\nnameserver x\n", {"fe80::1"}, id="a scope, and none"
        ),
        pytest.param("search example.com\n", set(), id="none any more"),
        pytest.param(None, {"192.0.2.1"}, id="the file is away for a moment"),
    ],
)
def test_a_change_of_the_file_is_followed(file: File, text: str | None, known: set[str]) -> None:
    file.becomes("nameserver 192.0.2.1\n")
    assert file.own() == {at("192.0.2.1")}
    file.becomes(text)
    assert file.own() == set(map(at, known))


def test_a_flood_of_answers_reads_it_once(file: File) -> None:
    file.becomes("nameserver 192.0.2.1\n")
    first = file.own()
    file.path.write_text("nameserver 192.0.2.2\n", "utf-8")
    assert {file.own() for _ in range(100)} == {first}


def test_those_of_the_cluster_stay_beside_them(file: File) -> None:
    file.becomes("nameserver 192.0.2.1\n")
    resolvers = Resolvers(Inbox("n1", [("Pod", "")]), file.own)
    labels = b'{"k8s-app":"kube-dns"}'
    pod = PodFacts("kube-system", "dns", labels, v4=at("10.0.0.53")[1], v6=NO_ADDRESS)
    resolvers.tell([(Put(pod), "")], 0.0)
    assert resolvers.addresses == {at("192.0.2.1"), at("10.0.0.53")}
    file.becomes("nameserver 192.0.2.2\n")
    assert resolvers.addresses == {at("192.0.2.2"), at("10.0.0.53")}
