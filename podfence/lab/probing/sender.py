"""Sends the probes of one round and reads what comes back. Process: a sender, for one round.

Rule: it reports what happened and knows nothing of what is allowed. The sockets of a source are
opened while the process is in the source's namespace, and they keep that namespace.
"""

from __future__ import annotations

import errno
import socket
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from select import EPOLLIN, EPOLLOUT, epoll
from struct import pack
from time import monotonic

from podfence.kernel import netns
from podfence.lab.probing import sockets
from podfence.lab.probing.round import NONCE, Board, Round
from podfence.lab.probing.sockets import DONT_WAIT, FAMILY, NONBLOCK
from podfence.lab.testbed.packets import (
    ECHO_BODY,
    ICMP,
    SCTP,
    TCP,
    UDP,
    SynProber,
    echo_reply,
    echo_request,
    init,
    syn_answer,
)
from podfence.lab.testbed.probes import Pair, ProbeKind, ProbeOutcome

_BURST = 64
"""Packets after which the sender waits for what they led to: few enough for the queues of the CPU
(net.core.netdev_max_backlog, 1000) and of every socket, so that the lab itself loses no packet."""
_EVENTS = 1024
_LONGEST = 512
_NAP = 0.01
_QUESTION = b"\n"
_ABORT = pack("=ii", 1, 0)
"""Close by a reset: neither side keeps anything of the connection."""
_CONNECT = int(ProbeKind.CONNECT)
SOURCE_PORTS = range(20_000, 32_000)
"""Connections take theirs above these, as the kernel likes."""
_MEANINGS = {
    errno.ECONNREFUSED: ProbeOutcome.REFUSED,
    errno.ECONNRESET: ProbeOutcome.RESET,
    errno.EPIPE: ProbeOutcome.RESET,
    errno.ENETUNREACH: ProbeOutcome.UNREACHABLE,
    errno.EHOSTUNREACH: ProbeOutcome.UNREACHABLE,
    errno.EADDRNOTAVAIL: ProbeOutcome.UNREACHABLE,
    errno.EPERM: ProbeOutcome.PROHIBITED,
    errno.EACCES: ProbeOutcome.PROHIBITED,
}


def outcome_of(error: OSError) -> ProbeOutcome:
    """What a socket error means. Raises the error itself when it is about this machine's limits."""
    if error.errno in _MEANINGS:
        return _MEANINGS[error.errno]
    if isinstance(error, TimeoutError):
        return ProbeOutcome.TIMEOUT
    raise error


class Sender:
    """Sends the probes of some sources. A probe's ``at`` is its number.

    ``everything_answered``: waits until all that has come to the answering process so far is
    answered. So what is not read yet is never more than a burst, and an answer that a busy machine
    gives late is never taken for none.
    """

    def __init__(
        self,
        this: Round,
        board: Board,
        namespaces: Mapping[int, int],
        everything_answered: Callable[[], None],
    ) -> None:
        self._everything_answered = everything_answered
        self._round = this
        self._outcomes = board.outcomes
        self._answered = board.answered
        self._namespaces = namespaces
        self._poll = epoll()
        self._readers: dict[int, Callable[[], None]] = {}
        self._kept: list[socket.socket] = []
        self._connecting: dict[int, tuple[socket.socket, int]] = {}  # by descriptor
        self._deadlines: deque[tuple[float, int, int]] = deque()  # when, descriptor, at
        self._inits: list[int] = []  # without an outcome so far
        self._awaited = 0
        self._unread = 0

    def run(self, pairs: Sequence[Pair]) -> None:
        """Send every probe of these pairs, which come source by source, and wait the round's
        timeout, or longer, for each. Raises OSError on this machine's limits."""
        here: tuple[int, int] | None = None
        for pair in pairs:
            if here != (pair.source, pair.family):
                here = pair.source, pair.family
                netns.join(self._namespaces[pair.source])
                line = _FamilySender(self._round, self, pair)
            line.send(pair)
        self._finish()

    # -- sending

    def keep(self, made: socket.socket, read: Callable[[], None] | None) -> socket.socket:
        """Take a socket that many probes share. ``read``: reads all that has come to it."""
        self._kept.append(made)
        if read is not None:
            self._readers[made.fileno()] = read
            self._poll.register(made.fileno(), EPOLLIN)
        return made

    def sent(self, packets: int, inits: Sequence[int] = ()) -> None:
        """Count packets that were sent and whose answers this process receives. ``inits``: numbers
        of probes whose arrival the receiver notes on the board. From time to time the results are
        read."""
        self._awaited += packets
        self._inits.extend(inits)
        self._unread += packets + len(inits)
        if self._unread >= _BURST:
            self._read_answers()

    def _read_answers(self) -> None:
        """All that has been answered so far is read."""
        self._unread = 0
        self._everything_answered()
        while self._serve(0.0):
            pass

    def failed(self, at: int, error: OSError) -> None:
        """A probe that this machine would not send."""
        self._outcomes[at] = outcome_of(error)

    def connect(self, at: int, source: str | None, pair: Pair, address: str, port: int) -> None:
        """Begin a connection, once there is room for one more."""
        self._make_room()
        made = socket.socket(FAMILY[pair.family], socket.SOCK_STREAM | NONBLOCK)
        try:
            if source is not None:
                made.bind((source, 0))
            made.connect((address, port))
        except BlockingIOError:  # under way
            pass
        except OSError as error:
            made.close()
            self.failed(at, error)
            return
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        self._connecting[made.fileno()] = made, at
        self._poll.register(made.fileno(), EPOLLOUT)
        self._deadlines.append((monotonic() + self._round.timeout, made.fileno(), at))
        self.sent(1)

    def _make_room(self) -> None:
        while len(self._connecting) >= self._round.window:
            self._serve(_NAP)
            now = monotonic()
            if self._deadlines and self._deadlines[0][0] <= now:
                self._read_answers()
            while self._deadlines and self._deadlines[0][0] <= now:
                _, descriptor, at = self._deadlines.popleft()
                made, its = self._connecting.get(descriptor, (None, -1))
                if made is not None and its == at:
                    del self._connecting[descriptor]
                    made.close()
                    self._awaited -= 1

    # -- receiving

    def settle(self, at: int, outcome: ProbeOutcome) -> None:
        """The first that comes back for a probe is its outcome."""
        if self._outcomes[at] == ProbeOutcome.TIMEOUT:
            self._outcomes[at] = outcome
            self._awaited -= 1

    def named(self, at: int, target: int, name: bytes) -> None:
        """A name has come back."""
        if self._outcomes[at] == ProbeOutcome.TIMEOUT:
            found = self._answered[at] = self._round.names.get(name, -1)
            self.settle(
                at, ProbeOutcome.OPEN if found >= 0 and found == target else ProbeOutcome.WRONG_PEER
            )

    def _serve(self, patience: float) -> int:
        """Handle what has come; returns how many sockets had something."""
        events = self._poll.poll(patience, _EVENTS)
        for descriptor, what in events:
            reader = self._readers.get(descriptor)
            if reader is not None:
                reader()
            elif descriptor in self._connecting:
                self._connected(descriptor, what)
        return len(events)

    def _connected(self, descriptor: int, events: int) -> None:
        made, at = self._connecting[descriptor]
        try:
            if events == EPOLLOUT:  # established: ask who is there
                made.send(_QUESTION)
                self._poll.modify(descriptor, EPOLLIN)
                return
            name = made.recv(_LONGEST)
        except BlockingIOError:  # the kernel woke us for nothing
            return
        except OSError as error:
            self.settle(at, outcome_of(error))
        else:
            if name:
                self.named(at, self._round.probes[at].target, name)
            else:
                self.settle(at, ProbeOutcome.RESET)
        del self._connecting[descriptor]
        made.close()

    # -- the end

    def _finish(self) -> None:
        """Wait until everything is answered, or its time is up."""
        end = monotonic() + self._round.timeout
        while self._is_awaiting() and monotonic() < end:
            self._serve(_NAP)
        if self._is_awaiting():
            self._read_answers()
            self._serve(_NAP)
            self._read_answers()

    def _is_awaiting(self) -> bool:
        self._inits = [at for at in self._inits if self._outcomes[at] == ProbeOutcome.TIMEOUT]
        return bool(self._awaited or self._inits)


class _FamilySender:
    """Sends the probes of one source over one IP version.

    Its loops run once for each of hundreds of thousands of packets, so they look up little.
    """

    def __init__(self, this: Round, sender: Sender, pair: Pair) -> None:
        self._sender = sender
        self._round = this
        self._family = pair.family
        self._source = this.sources[pair.source][pair.family]
        self._bound = self._source if pair.source in this.bound else None
        self._known: dict[int, socket.socket] = {}  # by IP protocol number
        self._asked: dict[int, str] = {}  # addresses of those that answer without a name

    def send(self, pair: Pair) -> None:
        """Send what is wanted of a pair's probes."""
        this, sender = self._round, self._sender
        address = this.targets[pair.target][self._family]
        where, serial, mark, target = (address, 0), this.serial, this.mark(0), pair.target
        syn_prober: SynProber | None = None
        sent = 0
        inits: list[int] = []
        for at, (protocol, port) in enumerate(pair.ports, pair.first):
            kind = this.kinds[at]
            if not kind:
                continue
            if sent + len(inits) >= _BURST:
                sender.sent(sent, inits)
                sent, inits = 0, []
            try:
                if protocol == "UDP":
                    packet = NONCE.pack(serial, at, target)
                    self._socket(UDP).sendto(packet, (address, port))
                elif protocol == "TCP":
                    if kind == _CONNECT:
                        sender.connect(at, self._bound, pair, address, port)
                        continue
                    syn_prober = syn_prober or SynProber(
                        self._family, self._source, this.port, address
                    )
                    self._asked[at] = address
                    self._socket(TCP).sendto(syn_prober.syn(port, mark | at), where)
                elif protocol == "SCTP":
                    self._socket(SCTP).sendto(init(this.port, port, mark | at), where)
                    inits.append(at)
                    continue
                else:
                    self._asked[at] = address
                    body = ECHO_BODY.pack(serial, at)
                    packet = echo_request(self._family, serial & 0xFFFF, body)
                    self._socket(ICMP).sendto(packet, where)
                sent += 1
            except OSError as error:
                sender.failed(at, error)
        sender.sent(sent, inits)

    def _socket(self, protocol: int) -> socket.socket:
        """Opened when it is first needed: the process is in the source's namespace."""
        found = self._known.get(protocol)
        return self._open(protocol) if found is None else found

    def _open(self, protocol: int) -> socket.socket:
        family, source, port = self._family, self._source, self._round.port
        reader: Callable[[socket.socket], None] | None
        if protocol == UDP:
            made, reader = sockets.datagrams(family, source, port), self._read_names
        elif protocol == TCP:
            made, reader = sockets.syn_probes(family, source, port), self._read_syn_answers
        elif protocol == SCTP:
            made, reader = sockets.inits(family, source), None  # who gets it says so
        else:
            made, reader = sockets.echoes(family, source), self._read_echoes
        self._sender.keep(made, None if reader is None else partial(reader, made))
        self._known[protocol] = made
        return made

    def _read_names(self, made: socket.socket) -> None:
        with suppress(BlockingIOError):
            while True:
                data = made.recv(_LONGEST, DONT_WAIT)
                if len(data) > NONCE.size:
                    serial, at, target = NONCE.unpack_from(data)
                    if serial == self._round.serial:
                        self._sender.named(at, target, data[NONCE.size :])

    def _read_syn_answers(self, made: socket.socket) -> None:
        family, mark = self._family, self._round.mark(0)
        with suppress(BlockingIOError):
            while True:
                packet, by = made.recvfrom(_LONGEST, DONT_WAIT)
                answer = syn_answer(family, packet)
                if answer is not None:
                    sequence, refused = answer
                    outcome = ProbeOutcome.REFUSED if refused else ProbeOutcome.OPEN
                    self._answered_by(sequence ^ mark, by[0], outcome)

    def _read_echoes(self, made: socket.socket) -> None:
        with suppress(BlockingIOError):
            while True:
                packet, by = made.recvfrom(_LONGEST, DONT_WAIT)
                body = echo_reply(self._family, packet)
                if body is not None and len(body) == ECHO_BODY.size:
                    serial, at = ECHO_BODY.unpack(body)
                    if serial == self._round.serial:
                        self._answered_by(at, by[0], ProbeOutcome.OPEN)

    def _answered_by(self, at: int, address: str, outcome: ProbeOutcome) -> None:
        """An answer without a name says by its address who gave it."""
        asked = self._asked.pop(at, None)
        if asked is not None:
            self._sender.settle(at, outcome if address == asked else ProbeOutcome.WRONG_PEER)
