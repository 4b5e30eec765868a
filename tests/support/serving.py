"""``podfence serve`` as a process, and requests to it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

from msgspec import Struct

ROOT = Path(__file__).parents[2]


class Answer(Struct, frozen=True):
    """Status, headers and body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def data(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Serving:
    """A server on a free port; a context manager."""

    def __init__(self, *arguments: str, directory: Path = ROOT) -> None:
        self._arguments = arguments
        self._directory = directory

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "podfence", "serve", *self._arguments],
            cwd=self._directory,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        found = re.fullmatch(r"The page is at (http://([\d.]+):(\d+)/#token=([\w-]+))\n", self.line)
        if found is None:
            self.process.kill()
            raise AssertionError(self.process.communicate())
        self.address, self.host, port, self.token = found.groups()
        self.port = int(port)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> tuple[int, str]:
        """Ctrl+C; the exit status and standard error."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said

    def ask(
        self,
        path: str,
        method: str = "GET",
        *,
        body: bytes | None = None,
        token: str | None = "",
        also: Mapping[str, str] = MappingProxyType({}),
        **headers: str,
    ) -> Answer:
        """One request. ``token``: "" for the right one, None for none. ``headers``, ``also``: with
        ``_`` for ``-``."""
        sent = {name.replace("_", "-"): value for name, value in {**also, **headers}.items()}
        if token is not None:
            sent.setdefault("Authorization", f"Bearer {token or self.token}")
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        try:
            connection.request(method, path, body=body, headers=sent)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        """What the API says to somebody who may ask."""
        answer = self.ask(f"/api/v1/{path}")
        assert answer.status == 200, answer
        return answer.data
