"""What frames say and cost, one after the other, with nobody who could be late.

    python -m bench.mirrorframes [--pods 150000] [--rate 25] [--seconds 100]

Rule: all in one process and without a clock: the history of a mirror, its packing, and what an
agent does with it.
"""

from __future__ import annotations

import argparse
import time
import zlib
from collections import deque

import msgspec

from bench.mirrorfeed import Feed, Pod
from podfence.agent.mirrored import _MirrorStream
from podfence.agent.sources import read
from podfence.kube.follow import Follow, ObjectChange
from podfence.kube.resource import pods_anywhere
from podfence.live.frames import Identities, line_of
from podfence.live.wire import ReadObject
from podfence.mirror import packing
from podfence.mirror.history import History
from podfence.mirror.server import FRAME


def change(pod: Pod, *, gone: bool = False) -> ObjectChange[ReadObject]:
    """What the watch of a mirror tells of a pod."""
    item = read(pods_anywhere()[0], msgspec.Raw(msgspec.json.encode(pod.document())))
    return ObjectChange("Pod", item.namespace, item.name, None if gone else item.data, item.version)


def frames(feed: Feed, history: History, count: int, lives: int) -> list[bytes]:
    """The lines of so many frames, with so many lives in each; every second end comes in the frame
    of its mark."""
    order, found = deque(feed.pods), []
    for number in range(count):
        for life in range(lives):
            old, new = feed.pods[order.popleft()], feed._add()
            order.append(f"{new.namespace}/{new.name}")
            feed.version += 6
            version = str(feed.version)
            old.deleting = True
            history.take([change(new)], version)
            if life % 2:
                history.take([change(old)], version)
            history.take([change(old, gone=True)], version)
            del feed.pods[f"{old.namespace}/{old.name}"]
        frame = history.cut(number * FRAME)
        assert frame is not None
        found.append(line_of(frame))
    return found


class Reader:
    """An agent that reads pieces."""

    def __init__(self) -> None:
        follow = Follow[ReadObject](pods_anywhere())
        self._stream = _MirrorStream(follow, Identities("none"), "")
        self._unpack = zlib.decompressobj(31)

    def read(self, piece: bytes) -> None:
        """One chunk."""
        body = piece.partition(b"\r\n")[2][:-2]
        for line in self._unpack.decompress(body).splitlines():
            self._stream.line(line)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=150_000)
    parser.add_argument("--rate", type=int, default=25)
    parser.add_argument("--seconds", type=int, default=100)
    options = parser.parse_args()
    feed, history = Feed(options.pods, 5000), History()
    history.take([change(pod) for pod in feed.pods.values()], str(feed.version))
    history.cut(0.0)
    print(f"{len(history)} pods, {history.identities} identities")
    begin = time.process_time()
    snapshot = [*packing.snapshot(history.snapshot(), history.version)]
    megabytes, spent = sum(map(len, snapshot)) / 1e6, time.process_time() - begin
    print(f"a snapshot: {megabytes:.2f} MB, {spent:.2f} s of CPU")
    count = round(options.seconds / FRAME)
    lines = frames(feed, history, count, round(options.rate * FRAME))
    packed = [packing.packed(line) for line in lines]
    plain, sent = (sum(map(len, each)) / options.seconds for each in (lines, packed))
    print(f"frames: {sent:.0f} bytes/s, {plain:.0f} before packing")
    reader = Reader()
    for what, pieces in (
        ("the snapshot", [packing.chunk(packing._HEADER), *snapshot]),
        (f"{options.seconds} s of frames", packed),
    ):
        begin = time.process_time()
        for piece in pieces:
            reader.read(piece)
        print(f"an agent reads {what}: {time.process_time() - begin:.3f} s of CPU")


if __name__ == "__main__":
    main()
