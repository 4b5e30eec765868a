"""The names that programs in a pod may look up."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from podfence.lab.testbed.hostnames import RESOLVER, hosts_text
from podfence.model.cluster import ClusterObject
from podfence.model.meta import ObjectRef, labels_of
from podfence.model.networkpolicy import Protocol
from podfence.model.objects import Service, ServicePort
from podfence.testing.builders import pod
from tests.lab.clusters import plan_of, scheduled


def service(name: str, app: str) -> Service:
    port = ServicePort("", 80, 5432, Protocol.TCP)
    return Service(ObjectRef("Service", "shop", name), labels_of({"app": app}), (), (port,))


OBJECTS: tuple[ClusterObject, ...] = (
    pod("shop/db-0", {"app": "db"}, addresses=["10.0.0.1", "fd00::1"]),
    pod("shop/db-1", {"app": "db"}, addresses=["10.0.0.2"]),
    pod("shop/web", {"app": "web"}, addresses=["10.0.0.3"]),
    pod("other/web", {"app": "web"}, addresses=["10.0.0.4"]),
    service("db", "db"),
    service("web", "web"),
)


def addresses(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        address, name, *_ = line.split()
        yield name, address


def lookup(name: str, namespace: str, *objects: ClusterObject) -> set[str]:
    """What a program in a pod of a namespace finds."""
    text = hosts_text(scheduled(*objects), plan_of(*objects), namespace)
    return {address for known, address in addresses(text) if known == name}


DB = {"10.96.0.1", "fd00:10:96::1"}
WEB = {"10.96.0.2", "fd00:10:96::2"}


@pytest.mark.parametrize(
    ("name", "namespace", "found"),
    [
        pytest.param("db", "shop", DB, id="service"),
        pytest.param("db", "other", set(), id="service-of-another-namespace"),
        pytest.param("db.shop", "other", DB, id="service-with-namespace"),
        pytest.param("db.shop.svc", "other", DB, id="service-with-svc"),
        pytest.param("db.shop.svc.cluster.local", "", DB, id="whole-name-on-a-node"),
        pytest.param("web", "shop", WEB, id="a-service-comes-before-a-pod"),
        pytest.param("web", "other", {"10.0.0.4"}, id="a-pod-of-the-own-namespace"),
        pytest.param("web.other", "shop", {"10.0.0.4"}, id="a-pod-with-namespace"),
        pytest.param("db-0", "shop", {"10.0.0.1", "fd00::1"}, id="a-pod-in-both-IP-versions"),
        pytest.param("db-0.db", "shop", {"10.0.0.1", "fd00::1"}, id="a-pod-of-its-service"),
        pytest.param("db-1.db.shop.svc.cluster.local", "other", {"10.0.0.2"}, id="stateful-set"),
        pytest.param("web.db", "shop", set(), id="no-pod-of-that-service"),
        pytest.param("10-0-0-2.shop.pod.cluster.local", "other", {"10.0.0.2"}, id="pod-record"),
        pytest.param("lab-node", "other", {"192.168.255.1", "fd00:192:168:255::1"}, id="node"),
        pytest.param("localhost", "shop", {"127.0.0.1", "::1"}, id="localhost"),
        pytest.param("nobody", "shop", set(), id="unknown"),
    ],
)
def test_a_name_means_what_dns_would_say(name: str, namespace: str, found: set[str]) -> None:
    assert lookup(name, namespace, *OBJECTS) == found


def test_a_hostile_name_is_no_line() -> None:
    evil = pod("shop/x\n10.9.9.9 db.shop", {"app": "db"}, addresses=["10.0.0.9"])
    text = hosts_text(scheduled(*OBJECTS, evil), plan_of(*OBJECTS, evil), "shop")
    assert "10.9.9.9" not in text
    assert all(re.fullmatch(r"\S+ [a-z0-9.-]+( \S+)*", line) for line in text.splitlines())


def test_the_resolver_asks_nobody_outside() -> None:
    assert re.findall(r"^nameserver (.*)$", RESOLVER, re.M) == ["127.0.0.1"]
