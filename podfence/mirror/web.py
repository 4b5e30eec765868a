"""A mirror's plain HTTP: liveness, readiness and metrics.

Rule: no answer names an object of the cluster.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from podfence._version import __version__
from podfence.agent.metrics import CONTENT_TYPE, counter, exposed, gauge
from podfence.agent.web import HttpResponse
from podfence.mirror.server import MirrorServer


def metrics(server: MirrorServer) -> str:
    """The metrics in Prometheus' text format."""
    history, counts = server.history, server.counts
    sent = counts.sent + sum(stream.sent for stream in [*server.streams])
    age = max(server.age, 0.0)
    known = history.identities
    return exposed(
        (
            gauge("mirror_build_info", "The version; always 1.", [({"version": __version__}, 1)]),
            gauge("mirror_agents", "Agents that follow.", len(server.streams)),
            gauge("mirror_pods", "Pods that are known.", len(history)),
            gauge(
                "mirror_identities", "Identities (namespace, labels, ports) that pods have.", known
            ),
            gauge("mirror_age_seconds", "Age of the last word of the API server.", age),
            gauge("mirror_ready", "Whether agents are answered.", server.is_ready),
            counter("mirror_admitted_total", "Streams that began.", counts.admitted),
            counter("mirror_resumed_total", "Streams that went on from a version.", counts.resumed),
            counter(
                "mirror_snapshots_total", "Streams that began with all pods.", counts.snapshots
            ),
            counter("mirror_refused_total", "Requests that were refused.", counts.refused),
            counter("mirror_frames_total", "Frames that were made.", counts.frames),
            counter("mirror_sent_bytes_total", "Bytes that were sent to agents, before TLS.", sent),
        )
    )


class MirrorResponses:
    """The answer of each path, in any thread. ``is_alive``: whether the loop runs."""

    def __init__(self, mirror: MirrorServer, is_alive: Callable[[], bool]) -> None:
        self._mirror = mirror
        self._is_alive = is_alive

    def page(self, path: str) -> HttpResponse:
        """The answer to a GET."""
        return HttpResponse(*self._answer(path.partition("?")[0]), CONTENT_TYPE)

    def _answer(self, path: str) -> tuple[HTTPStatus, str]:
        match path:
            case "/healthz":
                if self._is_alive():
                    return HTTPStatus.OK, "ok\n"
                return HTTPStatus.SERVICE_UNAVAILABLE, "the loop is stuck\n"
            case "/readyz":
                if self._mirror.is_ready:
                    return HTTPStatus.OK, "ok\n"
                return HTTPStatus.SERVICE_UNAVAILABLE, "pods are unknown\n"
            case "/metrics":
                return HTTPStatus.OK, metrics(self._mirror)
        return HTTPStatus.NOT_FOUND, "there are /healthz, /readyz and /metrics\n"
