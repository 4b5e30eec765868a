"""Ephemeral containers in the pods of a cluster: put there, awaited, and their logs read.

Rule: each pod gets one container in a run. Nothing else of a pod is touched, nothing is asked
twice, and a container ends by itself after a bounded time, also when nobody waits for it any more.
A pod that cannot take part becomes a reason; it does not end the run.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from inspect import getsource
from typing import Final

import msgspec
from msgspec import Struct, field

from podfence.errors import ClusterError
from podfence.kube.client import Client, ServerRefusal
from podfence.kube.discovery import decode_as
from podfence.lab.testbed.probes import ProbeOutcome
from podfence.podprobe.attempts import Dial, Outcomes
from podfence.podprobe.container import (
    MOST,
    PREFIX,
    Unusable,
    container_of,
    longest,
    read_outcomes,
)

_MERGE: Final = "application/strategic-merge-patch+json"
_LARGEST_LOG: Final = 1 << 20
_PAUSE: Final = 0.5
_HOPELESS: Final = frozenset(
    (
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    )
)
"""Why a container waits for what will not come by itself."""
RULE: Final = (
    '{apiGroups: [""], resources: [pods/ephemeralcontainers], verbs: [patch]}, and '
    '{apiGroups: [""], resources: [pods, pods/log], verbs: [get]}'
)
"""The rules of RBAC that a run needs beside those for reading a cluster."""


class ProbeOptions(Struct, frozen=True):
    """``image``: has python3; ``seconds``: after which an attempt has failed; ``start``: how long
    a container may take to start, its image included."""

    image: str
    seconds: float = 3.0
    start: float = 60.0


class _StateReason(Struct):
    reason: str = ""
    message: str = ""


class _ContainerState(Struct):
    waiting: _StateReason | None = None
    terminated: _StateReason | None = None


class _ContainerStatus(Struct):
    name: str
    state: _ContainerState = field(default_factory=_ContainerState)


class _ProbedStatus(Struct, rename="camel"):
    phase: str = ""
    ephemeral_container_statuses: tuple[_ContainerStatus, ...] = ()


class _ProbedMetadata(Struct, rename="camel"):
    deletion_timestamp: str = ""


class _ProbedPod(Struct):
    metadata: _ProbedMetadata = field(default_factory=_ProbedMetadata)
    status: _ProbedStatus = field(default_factory=_ProbedStatus)


class _CannotTry(Exception):
    """A pod cannot take part; the text says why."""


class ProbeRun:
    """One run. ``name``: of its container in every pod."""

    def __init__(
        self,
        client: Client,
        dials: Mapping[str, Sequence[Dial]],
        options: ProbeOptions,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name = f"{PREFIX}{secrets.token_hex(4)}"
        self._client = client
        self._dials = {pod: tuple(some[:MOST]) for pod, some in dials.items()}
        self._options = options
        self._clock = clock
        self._sleep = sleep
        self._failures: dict[str, str] = {}
        self._started: dict[str, float] = {}

    @property
    def started(self) -> Sequence[str]:
        """The pods that have got a container."""
        return tuple(self._started)

    @property
    def longest(self) -> int:
        """Seconds after which every container of the run has ended by itself."""
        most = max(map(len, self._dials.values()), default=0)
        return longest(most, self._options.seconds)

    def outcomes(self) -> Outcomes:
        """Try everything. Raises ClusterError where no pod could try anything, or the cluster does
        not answer."""
        source = getsource(import_module("podfence.podprobe.prober"))
        for pod in self._dials:
            try:
                self._start(pod, source)
            except _CannotTry as error:
                self._failures[pod] = str(error)
        got: dict[Dial, ProbeOutcome] = {}
        waiting = list(self._started)
        while waiting:
            for pod in list(waiting):
                try:
                    ended = self._ended(pod)
                    if ended is not None:
                        waiting.remove(pod)
                        got |= self._read(pod, ended)
                except _CannotTry as error:
                    waiting = [each for each in waiting if each != pod]
                    self._failures[pod] = str(error)
            if waiting:
                self._sleep(_PAUSE)
        if self._dials and len(self._failures) == len(self._dials):
            reasons = list(dict.fromkeys(self._failures.values()))
            more = f" (and {len(reasons) - 1} other reasons)" if len(reasons) > 1 else ""
            pod = next(iter(self._failures))
            raise ClusterError(f"no pod could try anything; {pod}: {reasons[0]}{more}")
        return Outcomes(got, self._failures)

    # -- one pod

    def _start(self, pod: str, source: str) -> None:
        found = self._pod(pod)
        if found.metadata.deletion_timestamp:
            raise _CannotTry("the pod is being deleted")
        if found.status.phase != "Running":
            raise _CannotTry(f"the pod is not running but {found.status.phase or 'new'}")
        made = container_of(
            self.name, self._options.image, source, self._dials[pod], self._options.seconds
        )
        body = msgspec.json.encode({"spec": {"ephemeralContainers": [made]}})
        try:
            self._client.write("PATCH", f"{_path(pod)}/ephemeralcontainers", body, _MERGE)
        except ServerRefusal as refusal:
            raise _CannotTry(_refused(refusal)) from refusal
        self._started[pod] = self._clock()

    def _ended(self, pod: str) -> _StateReason | None:
        """How its container has ended, None before that."""
        found = self._pod(pod)
        mine = (s for s in found.status.ephemeral_container_statuses if s.name == self.name)
        state = next((each.state for each in mine), _ContainerState())
        if state.terminated is not None:
            return state.terminated
        waits = state.waiting
        if waits is not None and waits.reason in _HOPELESS:
            raise _CannotTry(
                f"its container does not start ({waits.reason}): {waits.message[:300]}; "
                "--probe-image names another image"
            )
        patience = self._options.start + self.longest
        if self._clock() - self._started[pod] > patience:
            why = f" ({waits.reason})" if waits is not None and waits.reason else ""
            raise _CannotTry(f"its container has not ended after {patience:.0f} s{why}")
        return None

    def _read(self, pod: str, ended: _StateReason) -> dict[Dial, ProbeOutcome]:
        query = {"container": self.name, "limitBytes": str(_LARGEST_LOG)}
        try:
            text = self._client.get(f"{_path(pod)}/log", query, accept="*/*")
        except ServerRefusal as refusal:
            raise _CannotTry(_refused(refusal)) from refusal
        try:
            return read_outcomes(text, self._dials[pod])
        except Unusable as error:
            how = f"; it ended with {ended.reason} {ended.message[:300]}".rstrip()
            raise _CannotTry(
                f"{error}{how}" if ended.reason != "Completed" else str(error)
            ) from error

    def _pod(self, pod: str) -> _ProbedPod:
        path = _path(pod)
        try:
            return decode_as(_ProbedPod, self._client.get(path), path)
        except ServerRefusal as refusal:
            raise _CannotTry(_refused(refusal)) from refusal


def _path(pod: str) -> str:
    namespace, _, name = pod.partition("/")
    return f"/api/v1/namespaces/{namespace}/pods/{name}"


def _refused(refusal: ServerRefusal) -> str:
    if refusal.status == 404:
        return "the pod is gone"
    if refusal.status == 403 and "PodSecurity" not in refusal.said:
        return f"{refusal.message}; a role with these rules lets it: {RULE}"
    return refusal.message
