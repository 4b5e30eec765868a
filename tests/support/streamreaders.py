"""Readers of what comes over connections and in streams: requests, watches, frames, names, flows.

Rule: as in ``readers``. What serves is fed through a pair of sockets, as a connection feeds it.
"""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

from podfence.agent import endpoint, web
from podfence.agent.listening import RequestHandler
from podfence.agent.reviews import ReviewOutcome
from podfence.dns.cache import Cache
from podfence.dns.reader import CopiedPacket
from podfence.dns.reader import DnsReader as NameReader
from podfence.kube.watchlines import WatchEvent, read_line
from podfence.live.frames import Frame, Identities, frame_of, identity_of, line_of, row_of
from podfence.live.wire import read
from podfence.manifests.flowfiles import read_flows
from podfence.mirror.requests import parse
from podfence.model.facts import PodFacts
from tests.support.dnsmessages import (
    BACK,
    POD,
    POD6,
    RESOLVER,
    RESOLVER6,
    THERE,
    answer,
    at,
    question,
    tcp,
    udp,
)

LARGEST = 4096
"""Bytes that go through a pair of sockets."""
KINDS = ("Pod", "Namespace", "Node", "NetworkPolicy", "ClusterNetworkPolicy")

# -- requests to what serves


class _Shaken(socket.socket):
    """A connection on which TLS has nothing to do."""

    def do_handshake(self) -> None:
        """Hands are shaken."""


def _served(handler: type[RequestHandler], server: object, data: bytes) -> None:
    ours, theirs = socket.socketpair()
    with _Shaken(fileno=ours.detach()) as connection, theirs:
        theirs.sendall(data[:LARGEST])
        theirs.shutdown(socket.SHUT_WR)
        stand_in: Any = server
        handler(connection, ("127.0.0.1", 1), stand_in)


def _page(path: str) -> web.HttpResponse:
    return web.HttpResponse(HTTPStatus.NOT_FOUND, path)


def _words(words: Mapping[str, str]) -> Iterator[bytes]:
    yield json.dumps(dict(words)).encode()


_PAGES = SimpleNamespace(pages=SimpleNamespace(page=_page))
_ENDPOINT = SimpleNamespace(
    routes={"/a": endpoint.Route("a", _words, of_namespace=True)},
    reviewer=SimpleNamespace(
        review=lambda token, _: list(ReviewOutcome)[len(token) % len(ReviewOutcome)]
    ),
    admit=lambda _: True,
)


def requests(data: bytes) -> None:
    """What the agent serves everybody, and what it serves who has a token."""
    _served(web._WebHandler, _PAGES, data)
    _served(endpoint._EndpointHandler, _ENDPOINT, data)


def request_seeds() -> Iterator[bytes]:
    """Of a scraper, and of ``podfence status``."""
    yield b"GET /metrics HTTP/1.1\r\nHost: a:9740\r\nAccept: text/plain\r\n\r\n"
    yield b"GET /a?namespace=x&since=3 HTTP/1.1\r\nHost: a\r\nX-Podfence-Token: abcd\r\n\r\n"
    yield b"POST / HTTP/1.0\r\nContent-Length: 4\r\n\r\nabcd"


def mirror_requests(data: bytes) -> None:
    """The head that a mirror is sent. Raises Refused."""
    parse(data)


def mirror_request_seeds() -> Iterator[bytes]:
    """From the start, and from a version on."""
    rest = b" HTTP/1.1\r\nHost: m\r\nAuthorization: Bearer t\r\nAccept-Encoding: gzip\r\n\r\n"
    yield b"GET /mirror/v1/pods?watch=true&resourceVersion=17" + rest
    yield b"GET /mirror/v1/pods?watch=true&sendInitialEvents=true" + rest


# -- watches


def watches(data: bytes) -> None:
    """Lines of a watch, and the objects in them. The first byte says of which kind."""
    kind = KINDS[data[0] % len(KINDS)] if data else KINDS[0]
    for line in data[1:].splitlines():
        told = read_line(line)
        if isinstance(told, WatchEvent):
            read(kind, told.object)


def watch_seeds() -> Iterator[bytes]:
    """An event of each kind, a bookmark, and an error."""
    meta = b'"metadata":{"name":"a","namespace":"x","resourceVersion":"7","labels":{"app":"a"}}'
    rest = (
        b'"spec":{"nodeName":"n","containers":[{"ports":[{"name":"p","containerPort":80}]}]}',
        b'"spec":{}',
        b'"status":{"addresses":[{"type":"InternalIP","address":"10.9.0.1"}]}',
        b'"spec":{"podSelector":{},"ingress":[{"from":[{"ipBlock":{"cidr":"10.0.0.0/8"}}]}]}',
        b'"spec":{"tier":"Admin","priority":1,"subject":{"namespaces":{}}}',
    )
    status = b'{"podIP":"10.0.0.1","podIPs":[{"ip":"10.0.0.1"},{"ip":"fd00::1"}]}'
    yield b'\0{"type":"MODIFIED","object":{' + meta + b',"status":' + status + b"}}\n"
    for number, fields in enumerate(rest):
        yield bytes([number]) + b'{"type":"ADDED","object":{' + meta + b"," + fields + b"}}\n"
    mark = b'"annotations":{"k8s.io/initial-events-end":"true"}'
    yield b'\0{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9",' + mark + b"}}}\n"
    yield (
        b'\0{"type":"ERROR","object":{"code":504,"message":"Too large","details":'
        b'{"causes":[{"reason":"ResourceVersionTooLarge"}],"retryAfterSeconds":1}}}\n'
    )


def frames(data: bytes) -> None:
    """Lines of a mirror. Raises ClusterError."""
    known = Identities("n1")
    for line in data.splitlines():
        told = read_line(line)
        if isinstance(told, WatchEvent):
            known.take(frame_of(told.object))


def frame_seeds() -> Iterator[bytes]:
    """Two pods come, and one goes."""
    pods = [PodFacts("x", f"p{n}", b'{"app":"a"}', v4=0x0A000001 + n, node="n2") for n in range(2)]
    identity = identity_of(pods[0])
    put = ((identity.key, tuple(map(row_of, pods))),)
    yield line_of(Frame("7", 0, (identity,), (), put)) + line_of(
        Frame("8", 1, (), (), (), (("x", ("p1",)),))
    )


# -- DNS


def names(data: bytes) -> None:
    """Packets of DNS: each with a byte for its way, and two for its length."""
    cache = Cache()
    cache.want(frozenset({"*.example.com", "api.example.com"}))
    reader = NameReader(cache, {at(str(RESOLVER)), at(str(RESOLVER6))}.__contains__)
    while len(data) > 3:
        sort, size = data[0], int.from_bytes(data[1:3], "big")
        packet, data = data[3 : 3 + size], data[3 + size :]
        reader.take(CopiedPacket(6 if sort & 2 else 4, packet, BACK if sort & 1 else THERE), 1.0)
    cache.take(2.0)


def name_seeds() -> Iterator[bytes]:
    """A question and its answer, by UDP and TCP, with addresses of both families."""
    asked = question("api.example.com")
    said = answer("api.example.com", [("api.example.com", 60, "A", "192.0.2.1")], flags=0)
    alias = answer(
        "api.example.com",
        [
            ("api.example.com", 60, "CNAME", "b.example.com."),
            ("b.example.com", 60, "A", "192.0.2.7"),
        ],
    )
    for told in (said, alias):
        yield _packet(0, udp(POD, 4000, RESOLVER, 53, asked)) + _packet(
            1, udp(RESOLVER, 53, POD, 4000, told)
        )
    asked6 = question("api.example.com", "AAAA")
    told6 = answer("api.example.com", [("api.example.com", 60, "AAAA", "2001:db8::1")], "AAAA")
    yield _packet(2, udp(POD6, 4000, RESOLVER6, 53, asked6)) + _packet(
        3, udp(RESOLVER6, 53, POD6, 4000, told6)
    )
    long = len(said).to_bytes(2, "big") + said
    yield _packet(0, tcp(POD, 4000, RESOLVER, 53, len(asked).to_bytes(2, "big") + asked)) + _packet(
        1, tcp(RESOLVER, 53, POD, 4000, long)
    )


def _packet(sort: int, packet: bytes) -> bytes:
    return bytes([sort]) + len(packet).to_bytes(2, "big") + packet


# -- flow records


def flows(data: bytes) -> None:
    """A file of flow records, of whichever tool. Raises PodfenceError."""
    for flow in read_flows(["-"], io.BytesIO(data)).flows():
        str(flow.source).encode("utf-8", "surrogatepass")
        str(flow.destination).encode("utf-8", "surrogatepass")


def flow_seeds() -> Iterator[bytes]:
    """A record of each format."""
    pod = {"namespace": "x", "pod_name": "a-1", "workloads": [{"name": "a"}], "labels": ["k8s:a=b"]}
    hubble = {
        "time": "2026-07-31T10:41:02.2Z",
        "verdict": "FORWARDED",
        "IP": {"source": "10.0.0.1", "destination": "10.0.0.2"},
        "l4": {"TCP": {"source_port": 40000, "destination_port": 80, "flags": {"SYN": True}}},
        "source": pod,
        "destination": {"labels": ["reserved:world"]},
        "traffic_direction": "EGRESS",
        "is_reply": False,
    }
    yield json.dumps({"flow": hubble, "node_name": "n"}).encode() + b"\n"
    yield json.dumps(hubble).encode() + b'\n{"lost_events":{"num_events_lost":"3"}}\n'
    calico = {
        "start_time": 1659621542,
        "end_time": 1659621842,
        "source_ip": "10.0.0.1",
        "source_name_aggr": "a-*",
        "source_namespace": "x",
        "source_type": "wep",
        "dest_ip": None,
        "dest_name_aggr": "pub",
        "dest_namespace": "-",
        "dest_type": "net",
        "dest_port": 80,
        "proto": "tcp",
        "action": "allow",
        "reporter": "src",
        "num_flows": 3,
    }
    yield json.dumps(calico).encode() + b"\n"
    yield json.dumps({"items": [{"Key": calico}]}, indent=1).encode()
    yield (
        b"tcp      6 431999 ESTABLISHED src=10.0.0.1 dst=10.96.0.5 sport=40000 dport=80 "
        b"src=10.0.0.2 dst=10.0.0.1 sport=8080 dport=40000 [ASSURED] mark=0 use=1\n"
        b"[1790508735.103391]\t    [NEW] ipv6     10 udp      17 25 src=fd00::7 dst=fd00::9 "
        b"sport=40000 dport=53 [UNREPLIED] src=fd00::9 dst=fd00::7 sport=53 dport=40000\n"
    )
    yield b"source,destination,protocol,port,time,count\nx/a,10.0.0.2,TCP,80,2026-07-31,7\n"
    yield b'{"schema":"podfence.drops/v1","nodes":[]}\n'
