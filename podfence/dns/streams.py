"""Segments of TCP -> the DNS messages in them.

Rule: streams are bounded in number, bytes and time. A stream is read from its first segment on, in
order. A segment that comes too early, or one that was not copied, ends the reading of its stream. A
message that is not read opens nothing.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from podfence.dns.packets import DnsPacket

MOST_STREAMS = 1024
MOST_BYTES = 16384
"""Of one stream that wait for the end of their message."""
SILENCE = 15.0
"""Seconds after which a stream is forgotten."""
_HALF = 1 << 31


class _TCPStream:
    __slots__ = ("at", "expected", "waiting")

    def __init__(self, expected: int, at: float) -> None:
        self.expected = expected
        self.at = at
        self.waiting = b""


class Streams:
    """Half connections. Times are monotonic seconds, and never go back."""

    def __init__(self) -> None:
        self._streams: dict[Hashable, _TCPStream] = {}
        """In the order in which they were last heard of."""

    def __len__(self) -> int:
        """How many are followed."""
        return len(self._streams)

    def take(self, packet: DnsPacket, where: Hashable, now: float) -> Iterator[bytes]:
        """A segment: the messages that are whole with it. ``where``: what else tells streams
        apart."""
        ends = packet.source, packet.source_port, packet.destination, packet.destination_port
        key = where, packet.family, ends
        stream = self._streams.pop(key, None)
        if packet.begins:
            stream = _TCPStream(packet.sequence, now)
        if stream is None or not _continue(stream, packet):
            return
        stream.at = now
        yield from _messages(stream)
        if len(stream.waiting) <= MOST_BYTES and not packet.ends:
            self._streams[key] = stream
        self._forget(now)

    def _forget(self, now: float) -> None:
        while self._streams:
            key = next(iter(self._streams))
            is_old = self._streams[key].at < now - SILENCE
            if not is_old and len(self._streams) <= MOST_STREAMS:
                return
            del self._streams[key]


def _continue(stream: _TCPStream, packet: DnsPacket) -> bool:
    """Whether a segment follows on what was read, or repeats some of it."""
    known = (stream.expected - packet.sequence) & 0xFFFFFFFF
    if known >= _HALF:
        return False  # there is a gap before it
    new = packet.payload[known:]
    stream.waiting += new
    stream.expected = (stream.expected + len(new)) & 0xFFFFFFFF
    return True


def _messages(stream: _TCPStream) -> Iterator[bytes]:
    data, at = stream.waiting, 0
    while at + 2 <= len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if end > len(data):
            break
        yield data[at + 2 : end]
        at = end
    stream.waiting = data[at:]
