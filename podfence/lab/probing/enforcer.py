"""Enforces the rules of one node. Process: an enforcer, one a node; the class is its handle.

Rule: nodes share nothing but the transactions that each is sent. A process keeps no descriptor but
its pipe, so it holds no pod's namespace or socket alive, and it ends with the lab process.
"""

from __future__ import annotations

import os
import resource
import signal
from functools import partial
from multiprocessing.connection import Connection
from typing import NoReturn

from podfence.errors import LabError, PodfenceError
from podfence.kernel import netns
from podfence.kernel.nftables.nftsocket import NftSocket
from podfence.kernel.nftables.table import NetlinkNft
from podfence.kernel.nftcli import run_nft
from podfence.lab.probing.denied import DenialBatch, DeniedLog
from podfence.lab.probing.forking import fork_with_pipe
from podfence.nft.lowering.lower import LOG_GROUP
from podfence.nft.protocol import Nft
from podfence.nft.transaction import Transaction

_SHORT_MEMORY = (
    ("net/netfilter/nf_conntrack_tcp_timeout_close", "2"),
    ("net/netfilter/nf_conntrack_udp_timeout", "5"),
    ("net/netfilter/nf_conntrack_udp_timeout_stream", "10"),
)
"""Finished probes leave the node's connection table soon, so that it never fills."""


class EnforcerProcess:
    """The lab process's handle of one node's enforcement process."""

    def __init__(self, node: str, namespace: int) -> None:
        """Start it in a network namespace, given as a descriptor."""
        self._node = node
        self.pid, self._connection = fork_with_pipe(partial(_live, namespace))

    def enforce(self, rules: Transaction | str) -> None:
        """One transaction, of ours or as text for nft; all or nothing. Raises NftError with the
        kernel's refusal."""
        refused = self._ask(rules)
        if isinstance(refused, PodfenceError):
            raise refused

    def denied(self) -> DenialBatch:
        """Copies of denied packets since the last time. Raises LabError."""
        found = self._ask(None)
        assert isinstance(found, DenialBatch)
        return found

    def _ask(self, what: Transaction | str | None) -> object:
        """Raises LabError."""
        try:
            self._connection.send(what)
            return self._connection.recv()
        except (EOFError, ConnectionError) as error:
            raise LabError(f"the enforcement process of node {self._node} has ended") from error


def _live(namespace: int, connection: Connection, parent: int) -> NoReturn:
    """The whole life of the process. Never returns into the lab's code."""
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        netns.die_with_parent(parent)
        netns.join(namespace)
        _keep_only(connection.fileno())
        _serve(connection)
        status = 0
    except OSError as error:
        connection.send(LabError(f"no enforcement process in the node's network: {error}"))
    finally:
        os._exit(status)


def _keep_only(descriptor: int) -> None:
    """Close what was inherited: other nodes, pods, sockets."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    os.closerange(3, descriptor)
    os.closerange(descriptor + 1, most)


def _serve(connection: Connection) -> None:
    log: DeniedLog | None = None
    while True:
        try:
            rules: Transaction | str | None = connection.recv()
        except EOFError:
            return
        if rules is None:
            connection.send(log.take() if log else DenialBatch())
            continue
        if log is None and not isinstance(rules, str):
            # Not before: where an agent enforces, it is the agent that listens.
            log = DeniedLog(LOG_GROUP)
        try:
            _enforce(rules)
        except PodfenceError as error:
            connection.send(error)
        else:
            connection.send(None)


def _enforce(rules: Transaction | str) -> None:
    if isinstance(rules, str):
        run_nft(rules)
    else:
        with NftSocket() as opened:
            nft: Nft = NetlinkNft(opened)
            nft.run(rules)
    for name, value in _SHORT_MEMORY:
        if netns.read_sysctl(name) is not None:  # none without connection tracking
            netns.write_sysctl(name, value)
