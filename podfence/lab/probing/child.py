"""Executes requests to the lab, one after the other. Process: the lab process.

Rule: it has one thread, and has left the host's network for good. Between two requests it answers
the connections that come to pods.
"""

from __future__ import annotations

import gc
import shutil
from collections.abc import Sequence
from itertools import count
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from select import EPOLLIN, epoll
from time import monotonic
from typing import Any, TypeVar

from podfence.errors import HostError, LabError, PodfenceError
from podfence.kernel.bindnotice import BindNotices
from podfence.kernel.nftcli import NOT_INSTALLED
from podfence.lab.probing.connections import ReadyCallback
from podfence.lab.probing.enforcer import EnforcerProcess
from podfence.lab.probing.livetraffic import LiveTraffic
from podfence.lab.probing.prober import Prober
from podfence.lab.probing.requests import (
    Build,
    ChildResult,
    DialServices,
    Enforce,
    Grow,
    HeldPorts,
    NamespaceOf,
    Request,
    Send,
    Settle,
    StartTraffic,
    StopTraffic,
    TakeLogged,
    Try,
    YieldPorts,
)
from podfence.lab.probing.responder import Responders
from podfence.lab.probing.sockets import reserve
from podfence.lab.probing.topology import Topology
from podfence.lab.testbed.livetraffic import SentTraffic
from podfence.lab.testbed.probeplan import ProbePlan
from podfence.lab.testbed.probes import Probe, Probes, around, kinds_of

_EVENTS = 256
T = TypeVar("T")


def serve(connection: Connection, plan: ProbePlan) -> None:
    """Do what comes through ``connection`` until its other end is closed.

    Raises LabError or NftError when the plan cannot be built; later refusals are answers.
    """
    lab = _Lab(plan)
    poll = epoll()
    poll.register(connection.fileno(), EPOLLIN)
    poll.register(lab.poll.fileno(), EPOLLIN)
    while True:
        for descriptor, _ in poll.poll(lab.patience):
            if descriptor == connection.fileno():
                try:
                    request: Request[Any] = connection.recv()
                    if isinstance(request, YieldPorts):
                        lab.programs.append(recv_handle(connection))
                except EOFError:
                    return
                connection.send(_answer(lab, request))
                gc.collect()  # the process may live for days; a round's parts know each other
            else:
                lab.listen()
        lab.attend()


def _answer(lab: _Lab, request: Request[Any]) -> ChildResult[object] | PodfenceError:
    start = monotonic()
    try:
        value = lab.do(request)
    except PodfenceError as error:
        if isinstance(request, Build):
            raise
        return error
    return ChildResult(value, monotonic() - start)


class _Lab:
    """The namespaces, and all sockets in them."""

    def __init__(self, plan: ProbePlan) -> None:
        self.poll = epoll()
        self.programs: list[int] = []
        """Descriptors of bind notices that came with a request."""
        self._handlers: dict[int, ReadyCallback] = {}
        self._plan = plan
        self._topology: Topology
        self._enforcers: dict[str, EnforcerProcess] = {}
        self._answerers: Responders | None = None
        self._prober: Prober | None = None
        self._lost_pods = False
        """A change is under way that removes pods of the plan, and no party listens in them."""
        self._traffic: LiveTraffic | None = None
        self._serials = count(1)

    def do(self, request: Request[Any]) -> object:
        """Raises LabError or NftError."""
        match request:
            case Build():
                self._build()
            case Grow(plan):
                reserve(plan)
                self._lost_pods |= self._topology.grow(plan)
            case Settle(plan):
                self._settle(plan)
            case Send() | Try() | DialServices():
                return self._probe(request)
            case HeldPorts():
                return _there(self._answerers).held
            case YieldPorts(name):
                self._step_aside(name)
            case StartTraffic(flows):
                self._start_traffic(flows)
            case StopTraffic():
                return self._stop_traffic()
            case Enforce(node, rules):
                self._enforcers[node].enforce(rules)
            case TakeLogged():
                return {node: each.denied() for node, each in self._enforcers.items()}
            case NamespaceOf(name):
                return self._topology.namespace_of(name)
        return None

    def _probe(self, request: Send | Try | DialServices) -> object:
        match request:
            case Send(wanted, timeout, arrivals):
                answerers = _there(self._answerers)
                if arrivals:
                    answerers.see_arrivals()
                wanted = around(self._plan.probes, wanted, answerers.held)
                return self._ready.run(self._plan.probes, wanted, timeout)
            case Try(probes, timeout):
                self._listen(probes)
                answerers = _there(self._answerers)
                answerers.see_arrivals()
                wanted = kinds_of(len(probes), range(len(probes)))
                wanted = around(probes, wanted, answerers.held)
                return self._ready.run(Probes.of(probes), wanted, timeout)
            case DialServices(probes, listeners, timeout):
                self._listen(listeners)
                return self._ready.dial(probes, timeout)

    @property
    def patience(self) -> float | None:
        """Seconds until a connection has to be served; None: there is none."""
        return self._answerers.patience if self._answerers else None

    def attend(self) -> None:
        """Do what is due, whether or not anybody has come."""
        if self._answerers:
            self._answerers.attend()

    def listen(self) -> None:
        """Serve connections that came between requests."""
        for descriptor, _ in self.poll.poll(0, _EVENTS):
            if answer := self._handlers.get(descriptor):
                answer()

    def _build(self) -> None:
        if shutil.which("nft") is None:
            raise HostError(NOT_INSTALLED)  # now, not after a minute of control probes
        reserve(self._plan)
        self._topology = Topology(self._plan)
        self._enforcers = {
            node: EnforcerProcess(node, namespace)
            for node, namespace in self._topology.nodes.items()
        }
        self._settle(self._plan)

    def _settle(self, plan: ProbePlan) -> None:
        same = self._prober is not None and _who(plan) == _who(self._plan)
        if same and not self._lost_pods:
            self._topology.settle(plan)
            self._plan = plan
            return
        reserve(plan)
        if self._answerers is not None:
            self._answerers.close()
            self._answerers = self._prober = None
        self._topology.settle(plan)
        self._lost_pods = False
        self._answerers = Responders(plan, self._topology, self.poll, self._handlers)
        self._prober = Prober(plan, self._topology, self._answerers, self._serials)
        self._plan = plan
        gc.freeze()  # plans are large, and in no cycle

    def _step_aside(self, name: str) -> None:
        notices = BindNotices(self.programs.pop())
        self.poll.register(notices.fileno(), EPOLLIN)
        self._handlers[notices.fileno()] = lambda: self._bind(name, notices)

    def _bind(self, name: str, notices: BindNotices) -> None:
        """A program in a pod asks for a port, or all programs of one command have ended."""
        try:
            bind = notices.receive()
        except EOFError:
            self.poll.unregister(notices.fileno())
            del self._handlers[notices.fileno()]
            notices.close()
            if self._answerers is not None:
                self._answerers.take_back(ended=name)
            return
        if bind is None:
            return
        if bind.port and self._answerers is not None:
            self._answerers.step_aside(name, bind.port)
        notices.go_on(bind)

    @property
    def _ready(self) -> Prober:
        return _there(self._prober)

    def _start_traffic(self, flows: Sequence[Probe]) -> None:
        answerers = _there(self._answerers)
        for flow in flows:
            answerers.release(flow)
        try:
            self._traffic = LiveTraffic(self._plan, self._topology, flows)
        except PodfenceError:
            answerers.complete()
            raise

    def _stop_traffic(self) -> SentTraffic:
        assert self._traffic is not None
        traffic, self._traffic = self._traffic, None
        try:
            return traffic.stop()
        finally:
            if self._answerers is not None:
                self._answerers.complete()

    def _listen(self, probes: Sequence[Probe]) -> None:
        answerers = _there(self._answerers)
        for probe in probes:
            answerers.ensure(probe)


def _who(plan: ProbePlan) -> tuple[object, ...]:
    """Who answers on what."""
    return plan.parties, plan.ports, plan.sctp


def _there(part: T | None) -> T:
    """A part of the lab that a change which failed may have taken away. Raises LabError."""
    if part is None:
        raise LabError("the last change failed, so no pod answers; apply again")
    return part
