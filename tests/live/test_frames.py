"""Pods as a mirror tells them: there and back, and bytes that are none."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import Raw
from msgspec.structs import replace

from podfence.errors import ClusterError
from podfence.live.frames import (
    FRAME,
    Frame,
    Identities,
    frame_of,
    identity_of,
    line_of,
    node_hash,
    row_of,
)
from podfence.model.facts import PodFacts
from podfence.model.networkpolicy import Protocol
from podfence.model.objects import ContainerPort

PORTS = (ContainerPort("dns", 53, Protocol.UDP), ContainerPort("http", 80, Protocol.TCP))
POD = PodFacts("shop", "web-1", b'{"app":"web"}', PORTS, 0x0A000001, node="n1")


def told(frame: Frame) -> Frame:
    """As it arrives."""
    line = line_of(frame)
    assert line.count(b"\n") == 1
    event = msgspec.json.decode(line, type=dict[str, Raw])
    assert bytes(event["type"]) == f'"{FRAME}"'.encode()
    return frame_of(event["object"])


def frame(*pods: PodFacts) -> Frame:
    began = {identity_of(pod).key: identity_of(pod) for pod in pods}
    put = tuple((identity_of(pod).key, (row_of(pod),)) for pod in pods)
    return Frame("7", 3, tuple(began.values()), (), put)


@pytest.mark.parametrize(
    "pod",
    [
        POD,
        replace(POD, labels=b""),
        replace(POD, ports=()),
        replace(POD, v6=1),
        replace(POD, v4=-1, v6=(1 << 128) - 1),
        replace(POD, v4=(1 << 32) - 1, deleting=True),
        replace(POD, labels=b'{"a":"\\n\\u2028\xe2\x80\xae"}'),
        replace(POD, name="x\n\x1b", namespace='"'),
    ],
)
def test_a_pod_comes_back_as_it_was_but_for_its_node(pod: PodFacts) -> None:
    pods, gone = Identities("n2").take(told(frame(pod)))
    assert (pods, gone) == ([replace(pod, node="")], [])


def test_pods_of_the_own_node_leave_the_frames() -> None:
    """They leave this part, as they would leave a field selector."""
    assert Identities("n1").take(told(frame(POD))) == ([], [("shop", "web-1")])


@pytest.mark.parametrize(
    "other",
    [
        replace(POD, namespace="shop2"),
        replace(POD, labels=b'{"app":"webs"}'),
        replace(POD, labels=b""),
        replace(POD, ports=PORTS[:1]),
        replace(POD, ports=(ContainerPort("dns", 54, Protocol.UDP), PORTS[1])),
    ],
)
def test_whatever_policies_can_tell_makes_another_identity(other: PodFacts) -> None:
    assert identity_of(other).key != identity_of(POD).key
    assert identity_of(replace(POD, name="y", v4=9, node="n")).key == identity_of(POD).key


def test_an_identity_that_nobody_told_of_is_an_error_and_not_a_pod_without_labels() -> None:
    unknown = replace(frame(POD), began=())
    with pytest.raises(ClusterError, match="pods whose identity it has not told"):
        Identities("n2").take(told(unknown))


def test_an_identity_may_end_with_the_frame_that_uses_it_last() -> None:
    identities = Identities("n2")
    identities.take(told(frame(POD)))
    key = identity_of(POD).key
    identities.take(told(Frame("8", ended=(key,), gone=(("shop", ("web-1",)),))))
    assert len(identities) == 0


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b'{"version":7}',
        b'{"put":[["x",[["name","node",-2]]]]}',
        b'{"put":[["x",[["name","node",4294967296]]]]}',
        b'{"put":[["x",[["name","node",1,"xyz"]]]]}',
        b'{"put":[["x",[["name","node",1,"' + b"f" * 33 + b'"]]]]}',
        b'{"put":[["x",[["name"]]]]}',
        b'{"began":[["x","ns",{},[["http",0,"TCP"]]]]}',
        b'{"began":[["x","ns",{},[["http",80,"ICMP"]]]]}',
        b'{"gone":[["ns",[1]]]}',
        b'{"version":"\xff"}',
        b"[" * 100_000,
    ],
)
def test_bytes_that_are_no_frame_are_refused(text: bytes) -> None:
    with pytest.raises(ClusterError, match="another form"):
        frame_of(text)


def test_nodes_are_told_apart() -> None:
    assert len({node_hash(f"node-{number}") for number in range(20_000)}) == 20_000
