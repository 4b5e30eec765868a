"""A plain HTTP client for the tests: another one than podfence's, so that it can judge that one.

Rule: an answer is a value; no status raises. One connection is kept, and made anew when it is gone.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any

from msgspec import Struct

Json = dict[str, Any]
_WARNING = re.compile(r'299 - "((?:[^"\\]|\\.)*)"')
TIMEOUT = 60


class Answer(Struct, frozen=True):
    """Status, body, and the texts of the ``Warning`` headers."""

    status: int
    body: Json
    warnings: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """What the server says; ``""`` for an object."""
        return str(self.body.get("message", ""))


class Client:
    """Requests of one identity; to be closed, as with ``with``."""

    def __init__(self, port: int, ca: Path, token: str, host: str = "127.0.0.1") -> None:
        self._address = (host, port)
        self._ca = ca
        self._token = token
        self._connection: HTTPSConnection | None = None

    def _open(self) -> HTTPSConnection:
        context = ssl.create_default_context(cafile=str(self._ca))
        return HTTPSConnection(*self._address, timeout=TIMEOUT, context=context)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """The connection is closed; the next request opens one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _headers(self, content: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}", "Content-Type": content}

    def request(
        self, method: str, path: str, body: Any = None, content: str = "application/json"
    ) -> Answer:
        """One request. Raises OSError or HTTPException when there is no answer."""
        return self.send(method, path, None if body is None else json.dumps(body).encode(), content)

    def send(
        self, method: str, path: str, data: bytes | None, content: str = "application/json"
    ) -> Answer:
        """The same with a body as it is."""
        for is_last in (self._connection is None, True):
            self._connection = self._connection or self._open()
            try:
                self._connection.request(method, path, data, self._headers(content))
                return _answer(self._connection.getresponse())
            except (OSError, HTTPException):
                self.close()
                if is_last:
                    raise
        raise AssertionError("the loop returns or raises")

    def create(self, path: str, body: Mapping[str, Any]) -> Json:
        """An object that must be accepted."""
        answer = self.request("POST", path, body)
        assert answer.status in (200, 201), answer
        return answer.body

    @contextmanager
    def watch(self, path: str) -> Iterator[Iterator[Json]]:
        """The events of a watch, on a connection of its own; they end when the server ends."""
        connection = self._open()
        try:
            connection.request("GET", path, headers=self._headers(""))
            response = connection.getresponse()
            assert response.status == 200, _answer(response)
            yield (json.loads(line) for line in response)
        finally:
            connection.close()


def _answer(response: HTTPResponse) -> Answer:
    data = response.read()
    said = [text for header in response.headers.get_all("Warning", []) for text in _texts(header)]
    try:
        body = json.loads(data)
    except ValueError:
        body = {"message": data.decode("utf-8", "replace")}
    return Answer(response.status, body, tuple(said))


def _texts(header: str) -> list[str]:
    return [re.sub(r"\\(.)", r"\1", text) for text in _WARNING.findall(header)]
