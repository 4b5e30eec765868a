"""What people ask an agent. The connection is TLS and needs a token, since answers name objects of
the cluster.

Rule: nothing is answered before the API server has said who asks, and that they may. A request is a
GET of a path with a few words. An answer is a stream of pieces that ends with the connection.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from msgspec import Struct

from podfence.agent.listening import BoundedServer, Listen, RequestHandler
from podfence.agent.log import EventLog
from podfence.agent.reviews import ResourceAttributes, Reviewer, ReviewOutcome
from podfence.kube.agents import HEADER

PORT = 9741
LONGEST = 2048
"""Characters of a path with its words."""
_WORDS = 16
_REFUSED = {
    ReviewOutcome.UNKNOWN: (
        HTTPStatus.UNAUTHORIZED,
        f"a token of the API server for the audience podfence.io is needed in the header {HEADER}",
    ),
    ReviewOutcome.FORBIDDEN: (HTTPStatus.FORBIDDEN, ""),
    ReviewOutcome.BUSY: (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "many clients ask at present; ask again in a second",
    ),
    ReviewOutcome.UNASKED: (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "the API server cannot be asked who you are, so nothing is answered",
    ),
}


class BadRequest(Exception):
    """A request that no answer can be made for; the message says what would be right."""


class Route(Struct, frozen=True):
    """What a path answers. ``resource``: the right to ``get`` this resource in the group
    ``podfence.io`` is needed. ``answer`` makes pieces of JSON while they are sent, in any thread;
    it raises BadRequest before the first piece. ``of_namespace``: a request may name a namespace;
    then the answer and the right are about that namespace alone, and otherwise about all of
    them."""

    resource: str
    answer: Callable[[Mapping[str, str]], Iterator[bytes]]
    of_namespace: bool = False

    def wish(self, query: Mapping[str, str]) -> ResourceAttributes:
        """What somebody must be allowed to read."""
        return ResourceAttributes(
            self.resource, query.get("namespace", "") if self.of_namespace else ""
        )


class _EndpointHandler(RequestHandler):
    """One request; the end of the connection ends the answer."""

    server: HttpsServer
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        """The TLS handshake runs in the thread of the connection: a slow client delays no other."""
        self.request.settimeout(self.timeout)
        self.request.do_handshake()
        super().setup()

    def do_GET(self) -> None:
        self.close_connection = True
        path, _, words = self.path.partition("?")
        route = self.server.routes.get(path)
        query = _query(words) if len(self.path) <= LONGEST else None
        if query is None:
            self._say(HTTPStatus.BAD_REQUEST, "the query of the path cannot be read")
            return
        # Who may nothing does not learn which paths there are.
        wish = route.wish(query) if route else ResourceAttributes("status")
        outcome = self.server.reviewer.review(self.headers.get(HEADER, ""), wish)
        if outcome is not ReviewOutcome.ALLOWED:
            status, text = _REFUSED[outcome]
            scope = f"namespace {wish.namespace}" if wish.namespace else "all namespaces"
            text = text or f"no right to get {wish.resource}.podfence.io in {scope}"
            self._say(status, text)
        elif route is None:
            self._say(HTTPStatus.NOT_FOUND, f"there are {', '.join(self.server.routes)}")
        elif not self.server.admit(self.request):
            self._say(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "many requests are being answered; ask again in a second",
            )
        else:
            self._answer(route, query)

    def _answer(self, route: Route, query: Mapping[str, str]) -> None:
        pieces = route.answer(query)
        try:
            first = next(pieces, b"")
        except BadRequest as error:
            self._say(HTTPStatus.BAD_REQUEST, str(error))
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Connection", "close")
        self.end_headers()
        for piece in _with_first(first, pieces):
            if piece:  # an empty one would be the end
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def _say(self, status: HTTPStatus, text: str) -> None:
        data = f"{text}\n".encode("utf-8", "replace")
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)


def _query(words: str) -> dict[str, str] | None:
    try:
        return dict(
            parse_qsl(words, keep_blank_values=True, max_num_fields=_WORDS, errors="strict")
        )
    except ValueError:
        return None


def _with_first(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


class HttpsServer(BoundedServer):
    """``routes`` are by path. ``context`` is that of TLS."""

    def __init__(
        self,
        listen: Listen,
        context: ssl.SSLContext,
        reviewer: Reviewer,
        routes: Mapping[str, Route],
        log: EventLog,
    ) -> None:
        """Raises HostError."""
        self.routes = routes
        self.reviewer = reviewer
        self._context = context
        super().__init__(listen, _EndpointHandler, log, ("--https-address", "--https-port"))

    def get_request(self) -> tuple[socket.socket, Any]:
        """A connection that is yet to shake hands."""
        found, address = super().get_request()
        wrapped = self._context.wrap_socket(
            found, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=True
        )
        return wrapped, address
