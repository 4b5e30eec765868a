"""Every reader of what others write, as a function of bytes.

Rule: a reader answers, or raises what its docstring says; anything else is a fault. A seed is a
valid input, made here by the code that writes such bytes, so that nothing has to be kept.
"""

from __future__ import annotations

import io
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address

import msgspec

from podfence.agent import ttrpc
from podfence.agent.nri import sandbox
from podfence.drops.attempt import attempt_of
from podfence.errors import UNREADABLE, ClusterError, NftError, PodfenceError
from podfence.kernel.ctlook import ConnectionTable
from podfence.kernel.netlink import attribute, decode_answers, message, nested, text
from podfence.kernel.nflog import read_copies
from podfence.kernel.nftables import nf_tables as nf
from podfence.kernel.nftables.decode import Dump, read
from podfence.kernel.nftables.decode_elements import read_items, read_keys
from podfence.kernel.nftables.decode_rules import ForeignExpression, read_parts
from podfence.kernel.nftables.encode_rules import expressions
from podfence.kernel.nftables.members import read_members
from podfence.kube.listing import decode_page
from podfence.kube.narrow import KEPT, page_decoder, plain
from podfence.manifests.domaintable import read_name_table
from podfence.manifests.testfiles import read_test_files
from podfence.manifests.yamledit import CannotEdit
from podfence.mirror.requests import BadMirrorRequest
from podfence.nft.objects import DROP, Compare, DataType, Field, Rule
from podfence.podprobe.container import Unusable
from tests.support import plainreaders as files
from tests.support import streamreaders as streams
from tests.support.fuzzing import exercise
from tests.support.mutations import ROOT, case, seeds

Refusals = tuple[type[Exception], ...]


@dataclass(frozen=True)
class Reader:
    """``read``: puts bytes through it. ``refuses``: what it may raise. ``seeds``: valid inputs."""

    name: str
    read: Callable[[bytes], object]
    refuses: Refusals
    seeds: Callable[[], Iterator[bytes]]


def answers(reader: Reader, data: bytes) -> bool:
    """Whether the reader took the bytes, rather than refusing them. Raises what is a fault."""
    with suppress(*reader.refuses):
        reader.read(data)
        return True
    return False


# -- files


def _manifest_seeds() -> Iterator[bytes]:
    for file in sorted(ROOT.glob("examples/**/*.yaml")):
        yield file.read_bytes()[:4096]
    yield from (case(seeds(), 0, number) for number in range(20))


def _tests(data: bytes) -> None:
    for problem in read_test_files(["-"], io.BytesIO(data)).problems:
        problem.message.encode("utf-8", "surrogatepass")


def _test_seeds() -> Iterator[bytes]:
    yield b"""apiVersion: podfence.io/v1alpha1
kind: PolicyTests
metadata: {name: a}
tests:
- {name: one, from: shop/web, to: "shop/db:5432/TCP", expect: allow}
- {name: two, to: shop/db, only: [{from: "shop/*", ports: [80, 53/UDP, http], optional: true}]}
- {name: three, newcomers: {namespace: shop}, isolated: [ingress]}
"""


def _names(data: bytes) -> None:
    read_name_table("-", io.BytesIO(data))


def _name_seeds() -> Iterator[bytes]:
    yield b"# names\n10.0.0.1 api.example.com *.example.com\n2001:db8::1 six.example.com.\n"
    yield b'{"api.example.com": ["10.0.0.1", "2001:db8::1"]}'


# -- an API server


def _objects(data: bytes) -> None:
    """The first byte says of which kind."""
    kinds = sorted(KEPT)
    kind = kinds[data[0] % len(kinds)] if data else kinds[0]
    page = decode_page(page_decoder(kind).decode, data[1:], "/api")
    for item in page.items or ():
        msgspec.json.encode(plain(kind, "v1", item))


def _object_seeds() -> Iterator[bytes]:
    kinds = sorted(KEPT)
    item = (
        b'{"metadata":{"name":"a","namespace":"x","labels":{"app":"a"}},"spec":{"podSelector":{},'
        b'"policyTypes":["Ingress"],"ingress":[{"from":[{"ipBlock":{"cidr":"10.0.0.0/8"}}]}]},'
        b'"status":{"podIPs":[{"ip":"10.0.0.1"}]}}'
    )
    for number in range(len(kinds)):
        yield bytes([number]) + b'{"metadata":{"resourceVersion":"1"},"items":[' + item + b"]}"


# -- the kernel


def _acknowledgements(data: bytes) -> None:
    for each in decode_answers(data):
        each.reason.encode()


def _acknowledgement_seeds() -> Iterator[bytes]:
    refused = (-2).to_bytes(4, "little", signed=True) + message(16, 0, 1, b"")
    yield message(2, 0x200, 1, refused + text(1, "no such table"))
    yield message(2, 0, 2, bytes(4) + message(16, 0, 2, b""))


def _copies(data: bytes) -> None:
    """NFLOG, its prefix, and the head of the packet in it."""
    for _, copy in read_copies(data):
        attempt = attempt_of(copy.prefix, copy.family, copy.data)
        if attempt is not None:
            _ = attempt.direction, attempt.shown.encode()


def _copy_seeds() -> Iterator[bytes]:
    v4 = bytes.fromhex("4500003c000040004006000a0a0000010a000002 9c40 1538".replace(" ", ""))
    v6 = bytes.fromhex("6000000000142c40") + bytes(32) + bytes([6, 0, 0, 0, 0, 0, 0, 1]) + v4[-4:]
    for family, packet in ((b"\x08\x00", v4), (b"\x86\xdd", v6)):
        for prefix in ("podfence: a0-x", "podfence: out of turn", "other"):
            said = attribute(1, family + b"\0\0") + text(10, prefix) + attribute(9, packet)
            head = b"\x02\x00\x00\x05"
            yield message(0x400, 0, 1, head + said + attribute(12, b"\0\0\0\1"))


class _Fed(ConnectionTable):
    """A table of connections that is listed from these bytes."""

    def __init__(self, data: bytes) -> None:
        super().__init__(0xFFFF0000)
        self._data = data

    def _datagrams(self) -> Iterator[bytes]:
        yield self._data


def _connections(data: bytes) -> None:
    _Fed(data).look()


def _connection_seeds() -> Iterator[bytes]:
    for family, kinds, ends in (
        (2, (1, 2), (bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2]))),
        (10, (3, 4), (bytes(15) + b"\1", bytes(15) + b"\2")),
    ):
        ways = []
        for way, (one, other) in enumerate((ends, ends[::-1]), 1):
            addresses = attribute(kinds[0], one) + attribute(kinds[1], other)
            ports = attribute(1, b"\x11") + attribute(2, b"\0\x35") + attribute(3, b"\x9c\x40")
            ways.append(nested(way, nested(1, addresses), nested(2, ports)))
        mark = attribute(8, (5 << 16).to_bytes(4, "big"))
        yield message(1 << 8, 0, 1, bytes([family, 0, 0, 0]) + b"".join(ways) + mark)


def _rules(data: bytes) -> None:
    read_parts(data)


def _rule_seeds() -> Iterator[bytes]:
    address = int(ip_address("10.0.0.1"))
    yield expressions(Rule((Compare(Field.IP_SADDR, address), DROP)))


def _elements(data: bytes) -> None:
    """The first byte says of which sort of set."""
    sort, body = (data[0], data[1:]) if data else (0, b"")
    if sort % 4 == 0:
        read_members(4, [body])
    elif sort % 4 == 1:
        read_members(6, [body])
    elif sort % 4 == 2:
        list(read_items((DataType.IPV4_ADDR, DataType.INET_SERVICE), [body]))
    else:
        list(read_keys((DataType.IPV6_ADDR, DataType.INET_SERVICE), [body]))


def _element_seeds() -> Iterator[bytes]:
    for sort, size in ((0, 4), (1, 16), (2, 8), (3, 20)):
        value = nested(nf.NFTA_SET_ELEM_KEY, attribute(nf.NFTA_DATA_VALUE, bytes(size)))
        element = nested(nf.NFTA_LIST_ELEM, value)
        yield bytes([sort]) + nested(nf.NFTA_SET_ELEM_LIST_ELEMENTS, element, element)


def _table(data: bytes) -> None:
    """Cut by the first bytes into a table, a chain, a rule, a set and elements."""
    cuts, body = data[:4], data[4:]
    parts = []
    for cut in cuts:
        parts.append(body[:cut])
        body = body[cut:]
    table, chain, rule, holder, *_ = (*parts, b"", b"", b"", b"")
    read(Dump(table, [chain] * bool(chain), [rule] * bool(rule), [holder] * bool(holder)))


def _table_seeds() -> Iterator[bytes]:
    table = text(nf.NFTA_TABLE_NAME, "podfence")
    yield bytes([len(table), 0, 0, 0]) + table


# -- a container runtime


def _runtime(data: bytes) -> None:
    """A connection: pieces, messages, calls, and the pod in one."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(data[:4096])
        theirs.shutdown(socket.SHUT_WR)
        for _, found in ttrpc.Mux(ours).messages():
            with suppress(ttrpc.Malformed):
                ttrpc.read_error(found.data)
            sandbox(ttrpc.read_call(found.data).payload)


def _runtime_seeds() -> Iterator[bytes]:
    pod = ttrpc.field(2, "a") + ttrpc.field(4, "x") + ttrpc.field(10, "10.0.0.1")
    call = ttrpc.request(1, ttrpc.TtrpcRequest("nri.pkg.api.v1alpha1.Plugin", "StateChange", pod))
    yield (1).to_bytes(4, "big") + len(call).to_bytes(4, "big") + call


READERS = (
    Reader("manifests", exercise, (), _manifest_seeds),
    Reader("tests", _tests, (), _test_seeds),
    Reader("names", _names, (), _name_seeds),
    Reader("objects", _objects, (ClusterError,), _object_seeds),
    Reader("acknowledgements", _acknowledgements, (), _acknowledgement_seeds),
    Reader("copies", _copies, (), _copy_seeds),
    Reader("connections", _connections, (), _connection_seeds),
    Reader("rules", _rules, (ForeignExpression, NftError), _rule_seeds),
    Reader("elements", _elements, (NftError,), _element_seeds),
    Reader("table", _table, (NftError,), _table_seeds),
    Reader("runtime", _runtime, (ttrpc.Malformed,), _runtime_seeds),
    Reader("requests", streams.requests, (OSError,), streams.request_seeds),
    Reader(
        "mirror-requests",
        streams.mirror_requests,
        (BadMirrorRequest,),
        streams.mirror_request_seeds,
    ),
    Reader("watches", streams.watches, (), streams.watch_seeds),
    Reader("frames", streams.frames, (ClusterError,), streams.frame_seeds),
    Reader("dns", streams.names, (), streams.name_seeds),
    Reader("flows", streams.flows, (PodfenceError,), streams.flow_seeds),
    Reader("hubble", files.hubble, (), streams.flow_seeds),
    Reader("calico", files.calico, UNREADABLE, streams.flow_seeds),
    Reader("conntrack", files.conntrack, (), streams.flow_seeds),
    Reader("csv", files.csv, (), streams.flow_seeds),
    Reader("settings", files.settings, (PodfenceError,), files.setting_seeds),
    Reader("baselines", files.baselines, (PodfenceError,), files.baseline_seeds),
    Reader("questions", files.questions, (PodfenceError,), files.question_seeds),
    Reader("kubeconfigs", files.kubeconfigs, (ClusterError,), files.kubeconfig_seeds),
    Reader("resolv-confs", files.resolv_confs, (), files.resolv_conf_seeds),
    Reader("kept-uses", files.kept_uses, (ValueError,), files.kept_use_seeds),
    Reader("kept-names", files.kept_names, (), files.kept_name_seeds),
    Reader("reports", files.reports, (), files.report_seeds),
    Reader("usages", files.usages, (), files.usage_seeds),
    Reader("denials", files.denials, (), files.denial_seeds),
    Reader("completions", files.completions, (), files.completion_seeds),
    Reader("probes", files.probes, (Unusable,), files.probe_seeds),
    Reader("edits", files.edits, (CannotEdit,), files.edit_seeds),
)
