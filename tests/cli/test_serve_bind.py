"""``podfence serve --bind``: other addresses than this machine's own, and who may ask by them."""

from __future__ import annotations

import socket
import subprocess

import pytest

from podfence.web.guard import Guard
from podfence.web.listening import bind_address, host_names
from tests.cli.session import podfence
from tests.support.serving import Serving

pytestmark = pytest.mark.timeout(300)

SERVE = ("serve", "-f", "examples/shop")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--bind", "host.example"), "host.example is not an address"),
        (("--bind", "a\x1b[2J"), "is not an address such as 192.0.2.7"),
        (("--bind", "0.0.0.0", "--i-know"), "0.0.0.0 stands for every address"),
        (("--bind", "::", "--i-know"), ":: stands for every address"),
        (("--bind", "fe80::1%eth0", "--i-know"), "no address with a zone"),
        (("--bind", "ff02::1", "--i-know"), "is a multicast address"),
        (("--bind", "192.0.2.9"), "add --i-know if that is meant"),
        (("--bind", "::ffff:192.0.2.9"), "--bind 192.0.2.9 lets others reach the page"),
        (("--i-know",), "--i-know goes with --bind"),
        (("--bind", "192.0.2.9", "--i-know"), "--bind takes an address of this machine"),
    ],
)
def test_what_cannot_be_listened_on_is_said(given: tuple[str, ...], words: str) -> None:
    done = podfence([*SERVE, *given])
    assert done.status == 2
    assert words in done.err
    assert "\x1b" not in done.err
    assert done.out == ""


def test_an_address_of_this_machine_alone_needs_no_more_words() -> None:
    with Serving("-f", "examples/shop", "--bind", "127.0.0.1") as server:
        assert server.ask("/api/v1/state").status == 200
        assert server.ask("/api/v1/state", Host=f"localhost:{server.port}").status == 421
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("::1", server.port))
        assert server.stop() == (0, "")


def own_address() -> str:
    """An address of this machine that others know, "" where it has none."""
    found = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=False)
    return next((each for each in found.stdout.split() if "." in each), "")


def test_another_address_is_warned_about_and_is_the_only_one_to_ask_by() -> None:
    address = own_address()
    if not address:
        pytest.skip("this machine has no address but its own")
    with Serving("-f", "examples/shop", "--bind", address, "--i-know") as server:
        assert server.line.startswith(f"The page is at http://{address}:{server.port}/#token=")
        host = f"{address}:{server.port}"
        assert server.ask("/api/v1/state").status == 200
        assert server.ask("/api/v1/state", Origin=f"http://{host}").status == 200
        assert server.ask("/api/v1/state", Origin="http://other.example").status == 403
        for other in ("localhost", "127.0.0.1", "rebound.example"):
            assert server.ask("/api/v1/state", Host=f"{other}:{server.port}").status == 421
        assert server.ask("/api/v1/state", Authorization="").status == 401
        status, said = server.stop()
    assert status == 0
    assert said.startswith("warning: the page goes over the network in plain text")


@pytest.mark.parametrize(
    ("address", "port", "hosts"),
    [
        (None, 8080, {"127.0.0.1:8080", "localhost:8080", "[::1]:8080"}),
        ("192.0.2.9", 8080, {"192.0.2.9:8080"}),
        ("2001:DB8:0::9", 8080, {"[2001:db8::9]:8080"}),
        ("192.0.2.9", 80, {"192.0.2.9:80", "192.0.2.9"}),
        (None, 80, {f"{each}{port}" for each in ("127.0.0.1", "localhost", "[::1]")
                    for port in ("", ":80")}),
    ],
)  # fmt: skip
def test_a_request_names_the_address_as_browsers_write_it(
    address: str | None, port: int, hosts: set[str]
) -> None:
    names = host_names(port, None if address is None else bind_address(address))
    assert set(names) == hosts
    guard = Guard(frozenset(names), "token")
    for name in names:
        assert guard.refusal("/", {"Host": name, "Origin": f"http://{name}"}) is None
