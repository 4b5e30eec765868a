"""What is asked of a mirror by plain HTTP: whether it lives, whether it is ready, its metrics.

Rule: nothing that is answered names an object of the cluster.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from podfence._version import __version__
from podfence.agent.listening import BoundedServer, Handler, Listen
from podfence.agent.log import Log
from podfence.mirror.server import Server

_TEXT = "text/plain; version=0.0.4; charset=utf-8"
Metric = tuple[str, str, str, float]
"""Name, kind, what it is, value."""


def metrics(server: Server) -> str:
    """As Prometheus reads it."""
    history, counts = server.history, server.counts
    sent = counts.sent + sum(stream.sent for stream in [*server.streams])
    found: tuple[Metric, ...] = (
        ("agents", "gauge", "Agents that follow.", len(server.streams)),
        ("pods", "gauge", "Pods that are known.", len(history)),
        ("identities", "gauge", "Namespaces, labels and ports that they have.", history.identities),
        ("age_seconds", "gauge", "Since the API server said anything.", max(server.age, 0.0)),
        ("ready", "gauge", "Whether agents are answered.", server.is_ready),
        ("admitted_total", "counter", "Streams that began.", counts.admitted),
        ("resumed_total", "counter", "Those that went on from a version.", counts.resumed),
        ("snapshots_total", "counter", "Those that began with all pods.", counts.snapshots),
        ("refused_total", "counter", "Requests that were refused.", counts.refused),
        ("frames_total", "counter", "Frames that were made.", counts.frames),
        ("sent_bytes_total", "counter", "Bytes that were sent to agents, before TLS.", sent),
    )
    lines = [
        "# HELP podfence_mirror_build_info The version; always 1.",
        "# TYPE podfence_mirror_build_info gauge",
        f'podfence_mirror_build_info{{version="{__version__}"}} 1',
    ]
    for name, kind, text, value in found:
        lines.append(f"# HELP podfence_mirror_{name} {text}")
        lines.append(f"# TYPE podfence_mirror_{name} {kind}")
        number = int(value) if float(value).is_integer() else value
        lines.append(f"podfence_mirror_{name} {number}")
    return "".join(f"{line}\n" for line in lines)


class _Handler(Handler):
    server: WebServer

    def do_GET(self) -> None:
        self._answer(*self.server.page(self.path.partition("?")[0]))

    def _answer(self, status: HTTPStatus, text: str) -> None:
        data = text.encode("utf-8", "replace")
        self.send_response(status)
        self.send_header("Content-Type", _TEXT)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class WebServer(BoundedServer):
    """For everybody. ``is_alive``: whether the loop comes round."""

    def __init__(
        self, listen: Listen, mirror: Server, is_alive: Callable[[], bool], log: Log
    ) -> None:
        """Raises HostError."""
        self._mirror = mirror
        self._is_alive = is_alive
        super().__init__(listen, _Handler, log, ("--http-address", "--http-port"))

    def page(self, path: str) -> tuple[HTTPStatus, str]:
        """The answer to a GET."""
        match path:
            case "/healthz":
                if self._is_alive():
                    return HTTPStatus.OK, "ok\n"
                return HTTPStatus.SERVICE_UNAVAILABLE, "the loop does not come round\n"
            case "/readyz":
                if self._mirror.is_ready:
                    return HTTPStatus.OK, "ok\n"
                return HTTPStatus.SERVICE_UNAVAILABLE, "pods are not known\n"
            case "/metrics":
                return HTTPStatus.OK, metrics(self._mirror)
        return HTTPStatus.NOT_FOUND, "there are /healthz, /readyz and /metrics\n"
