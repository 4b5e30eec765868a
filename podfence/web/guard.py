"""Admission of requests to a server on this machine, and limits for browsers on its answers.

Rule: any page in the same browser can send requests here, and any program of this machine can
connect. So a request has to name an address that this server has (a name that somebody else points
here will not do: DNS rebinding), must not come from another site, and for anything but the empty
page carries the token that only the printed address holds.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from msgspec import Struct

HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Server": "podfence",
}
"""Headers of every answer."""


class Refusal(Struct, frozen=True):
    """Why a request is not answered."""

    status: int
    text: str


class Guard(Struct, frozen=True):
    """``hosts``: the accepted values of ``Host``, with ports. ``token``: gives access to data."""

    hosts: frozenset[str]
    token: str

    def refusal(self, path: str, headers: Mapping[str, str]) -> Refusal | None:
        """Why a request is refused; None if it is answered. ``headers``: a mapping that ignores the
        case of names."""
        host = headers.get("Host", "")
        if host not in self.hosts:
            return Refusal(421, "this server answers only to the address that it printed")
        origin = headers.get("Origin")
        if origin is not None and origin != f"http://{host}":
            return Refusal(403, "another site may not ask this server")
        if headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none") and not (
            path == "/" and headers.get("Sec-Fetch-Dest") == "document"
        ):
            return Refusal(403, "another site may not ask this server")
        if path.startswith("/api/") and not self._knows(headers.get("Authorization", "")):
            return Refusal(
                401, "open the address that podfence serve has printed: it holds a token"
            )
        return None

    def _knows(self, authorization: str) -> bool:
        given = authorization.encode("utf-8", "replace")
        return hmac.compare_digest(given, f"Bearer {self.token}".encode())


def policy(nonce: str) -> str:
    """The content security policy of the page. ``nonce``: of the styles that the editor creates."""
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            f"style-src 'self' 'nonce-{nonce}'",
            "connect-src 'self'",
            "img-src 'self' data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )
