"""Messages of rtnetlink as bytes; that the kernel takes them is shown by the lab itself."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from podfence.errors import HostError
from podfence.kernel import netns
from podfence.kernel.rtnetlink import (
    Rtnetlink,
    RtnetlinkRequest,
    host_address,
    host_route,
    link_up,
    neighbour,
)


@pytest.mark.parametrize(
    ("request_", "about"),
    [
        (link_up(2), "link 2"),
        (host_address(ip_address("fd00::1"), 2), "address fd00::1"),
        (host_route(ip_address("10.0.0.1"), 2), "route to 10.0.0.1"),
        (neighbour(ip_address("10.0.0.1"), bytes(6), 2), "neighbour 10.0.0.1"),
    ],
)
def test_a_request_says_what_it_is_about(request_: RtnetlinkRequest, about: str) -> None:
    assert request_.about == about
    assert len(request_.body) % 4 == 0


@pytest.mark.kernel
def test_a_refusal_names_the_object_and_the_reason(private_network: None) -> None:
    requests = [link_up(1), host_address(ip_address("10.0.0.1"), 99), link_up(1)]
    with Rtnetlink() as socket, pytest.raises(HostError) as refused:
        socket.apply(requests, of="pod shop/web")
    assert str(refused.value).startswith(
        "pod shop/web: the kernel refused the address 10.0.0.1: No such device"
    )


@pytest.mark.kernel
def test_more_requests_than_a_batch(private_network: None) -> None:
    start = ip_address("10.0.0.0")
    with Rtnetlink() as socket:
        socket.apply([link_up(1), *(host_address(start + n, 1) for n in range(1000))])
        with pytest.raises(HostError, match=r"10\.0\.3\.231: File exists"):
            socket.apply([host_address(start + 999, 1)])


@pytest.mark.kernel
def test_a_namespace_is_entered_and_left(private_network: None) -> None:
    home = netns.identity()
    namespace = netns.create()
    assert netns.identity() == home
    with netns.inside(namespace):
        assert netns.identity() != home
    assert netns.identity() == home
