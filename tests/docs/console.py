"""Console blocks of the documentation: found, run, compared, and rewritten on demand.

A block is fenced as ``console`` and holds commands (``$ podfence ...``), each followed by all
that it prints, standard error included. A block fenced as ``console not-run`` is left alone, and
so is one without a podfence command. Timings are masked: no two machines agree on them.

``python -m tests.docs.console`` writes the present output into every block; review the difference.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROMPT = "$ "
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SECONDS = re.compile(r"\b\d+\.\d+ s\b")
_REPEATED = re.compile(r"^\d+ probes were lost at first.*\n", re.MULTILINE)
_TIMEOUT = 120  # seconds; the lab is the slowest
_SHIM = '#!/bin/sh\nexec "{python}" -c "from podfence.cli.main import main; main()" "$@"\n'


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a page with the output printed below it."""

    page: Path
    line: int
    command: str
    output: str

    @property
    def kernel(self) -> bool:
        """Whether it needs network namespaces."""
        return "podfence lab" in self.command

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def pages() -> list[Path]:
    """Every page that is checked."""
    return [
        path for path in [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))] if path.exists()
    ]


def commands(page: Path) -> Iterator[Command]:
    """The commands of a page that are to be run, in order."""
    text = page.read_text()
    for block in _BLOCK.finditer(text):
        line = text.count("\n", 0, block.start(1)) + 1
        yield from _split(page, line, block[1])


def _split(page: Path, line: int, block: str) -> Iterator[Command]:
    parts = re.split(r"^(?=\$ )", block, flags=re.MULTILINE)
    for part in parts:
        first, _, output = part.partition("\n")
        if first.startswith(PROMPT) and "podfence" in first.split():
            yield Command(page, line, first.removeprefix(PROMPT), output)
        line += part.count("\n")


def masked(text: str) -> str:
    """Output without what differs from run to run."""
    return _SECONDS.sub("N s", _REPEATED.sub("", text))


def run(command: str) -> str:
    """What a command prints on both streams, run in the root of the source tree by a plain
    shell."""
    with tempfile.TemporaryDirectory() as directory:
        shim = Path(directory) / "podfence"
        shim.write_text(_SHIM.format(python=sys.executable))
        shim.chmod(0o755)
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=ROOT,
            env={**os.environ, "PATH": f"{directory}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_TIMEOUT,
            check=False,
        )
    text = done.stdout.decode()
    return text if text.endswith("\n") or not text else f"{text}\n"


def rewritten(page: Path) -> str:
    """The page with the present output in every block; output that only differs in timings
    stays."""
    text = page.read_text()
    for item in commands(page):
        output = run(item.command)
        if masked(output) != masked(item.output):
            old = f"{PROMPT}{item.command}\n{item.output}"
            text = text.replace(old, f"{PROMPT}{item.command}\n{output}", 1)
    return text


if __name__ == "__main__":
    for path in [Path(name).resolve() for name in sys.argv[1:]] or pages():
        path.write_text(rewritten(path))
