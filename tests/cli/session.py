"""Runs commands in this process, as ``podfence`` itself would, and compares output with files.

``PODFENCE_UPDATE_GOLDEN=1`` writes the files instead; review the difference.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from podfence.cli.main import run

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "cli"
UPDATE = bool(os.environ.get("PODFENCE_UPDATE_GOLDEN"))


@dataclass(frozen=True, slots=True)
class Done:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str

    def transcript(self, command: str) -> str:
        """All of it as one text, for golden files."""
        parts = [f"$ {command}\n", self.out, f"--- exit status {self.status}\n"]
        if self.err:
            parts.append(f"--- standard error\n{self.err}")
        return "".join(parts)


def podfence(
    arguments: Sequence[str],
    *,
    stdin: bytes = b"",
    directory: Path = ROOT,
    program: str = "podfence",
    kubeconfig: str = "no-kubeconfig",
) -> Done:
    """Run ``podfence ARGUMENTS`` in ``directory``, on a terminal of 80 columns.

    ``kubeconfig``: the value of ``$KUBECONFIG``; by default there is no such file.
    """
    environment = {"KUBECONFIG": kubeconfig}
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2)]
    status = 0
    with (
        mock.patch.object(sys, "argv", [program, *arguments]),
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8")),
        mock.patch.dict(os.environ, {"COLUMNS": "80", "FORCE_COLOR": "", **environment}),
        contextlib.redirect_stdout(streams[0]),
        contextlib.redirect_stderr(streams[1]),
        contextlib.chdir(directory),
    ):
        try:
            run()
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 1
    out, err = (_text(stream) for stream in streams)
    return Done(status, out, err)


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode()


def compare(name: str, text: str) -> None:
    """Fail unless the golden file ``name`` holds exactly ``text``."""
    path = GOLDEN / name
    if UPDATE:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
