"""Charts and kustomizations, rendered by the user's own program.

Rule: nothing is started that was not named or asked for, and nothing that reaches further than its
own directory: no hooks, no post-renderers, no plugins, no network. Errors of the program are shown
in its own words.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import IO, Final

from msgspec import Struct

from podfence.errors import PodfenceError
from podfence.manifests.inputfiles import RENDERED, InputFile, decoded
from podfence.text import printable

SECONDS: Final = 60
MAX_BYTES: Final = 64 << 20
"""Longest output that is read."""
_SHOWN: Final = 12
"""Lines of what a program says when it fails."""
_PIECE: Final = 1 << 16
_PATIENCE: Final = 1.0
_NOWHERE: Final = "http://127.0.0.1:9"
_SOURCE: Final = re.compile(r"^# Source: (\S.*)$", re.MULTILINE)
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,51}[a-z0-9])?")
_LOOKUP: Final = re.compile(r"\{\{[^{}]{0,400}\blookup\s+[\"'(.$]")
_LOGGED: Final = re.compile(
    r"[IWEF]\d{4} [\d:.]+ +\d+ [\w.-]+:\d+\] "
    r"(?P<rest>\"(?:[^\"\\]|\\.)*\" err=\"(?P<error>(?:[^\"\\]|\\.)*)\"|.*)"
)
"""A line of the logger that Kubernetes' programs share, and the error in it, quoted as Go does."""
_UNESCAPED: Final = re.compile(r"\\([\"\\])")
_ERROR: Final = re.compile(r"(?i:error): ")


class RenderError(PodfenceError):
    """A chart or a kustomization cannot be rendered."""

    code = "PF010"


class ChartOptions(Struct, frozen=True):
    """What helm is told. ``values``: files; ``sets``: ``KEY=VALUE``; ``release`` "": the name of
    the chart. ``api_versions``, ``kube_version``: what the cluster has, "" for helm's own idea."""

    values: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    release: str = ""
    namespace: str = "default"
    api_versions: tuple[str, ...] = ()
    kube_version: str = ""


class Rendered(Struct, frozen=True):
    """What a chart or a kustomization gave. ``said``: with what it was made, for people."""

    files: tuple[InputFile, ...]
    said: str


def render_chart(directory: str, name: str, options: ChartOptions) -> Rendered:
    """The objects of a chart, a file for each of its templates. ``name``: that of the chart.

    Raises RenderError."""
    for path in options.values:
        if not os.path.isfile(path):
            raise RenderError(f"{printable(path)}: no such values file")
    helm = _program("helm", directory, f"helm template RELEASE {printable(directory)}")
    release = options.release or (name if _NAME.fullmatch(name) else "release")
    arguments = [
        helm,
        "template",
        release,
        _safe(directory),
        f"--namespace={options.namespace}",
        "--skip-tests",
        *(f"--values={_safe(path)}" for path in options.values),
        *(f"--set={each}" for each in options.sets),
        *(f"--api-versions={each}" for each in options.api_versions),
        *([f"--kube-version={options.kube_version}"] if options.kube_version else []),
    ]
    text = _output(arguments, directory)
    version = _version([helm, "version", "--short"])
    said = f"with helm{version} (release {release}, namespace {options.namespace})"
    if _uses_lookup(directory):
        said += "; it uses lookup, which finds nothing without a cluster"
    return Rendered(tuple(_by_template(directory, text)), said)


def render_kustomization(source: str) -> Rendered:
    """The objects of a kustomization, by ``kustomize`` or else by ``kubectl``. ``source``: its
    file.

    Raises RenderError."""
    directory = os.path.dirname(source) or "."
    found = shutil.which("kustomize")
    if found is not None:
        arguments, said = [found, "build", _safe(directory)], "kustomize"
        said += _version([found, "version"])
    else:
        called = f"kubectl kustomize {printable(directory)}"
        missing = "neither kustomize nor kubectl is"
        as_it_is = "; --render never reads its files as they are"
        program = _program("kubectl", directory, called, missing, as_it_is)
        arguments, said = [program, "kustomize", _safe(directory)], "kubectl kustomize"
    file = InputFile(f"{source}{RENDERED}", _output(arguments, directory))
    return Rendered((file,), f"with {said}")


def _program(name: str, directory: str, called: str, missing: str = "", more: str = "") -> str:
    found = shutil.which(name)
    if found is None:
        text = f"{missing or f'{name} is not'} installed here; render it where it is and pipe in"
        text += f" the result: {called} | podfence ... -f -{more}"
        raise RenderError(f"{printable(directory)}: {text}")
    return found


def _safe(path: str) -> str:
    """A path that no program takes for an option or an address."""
    return path if path.startswith(("/", "./")) else os.path.join(".", path)


def _environment() -> dict[str, str]:
    """What the program gets to know: where programs and settings are, and a network that ends at
    this machine."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), _NOWHERE)
    return {**kept, **proxies, "GIT_ALLOW_PROTOCOL": "none", "GIT_TERMINAL_PROMPT": "0"}


def _output(arguments: Sequence[str], directory: str) -> str:
    """What the program prints. Raises RenderError where it fails, takes too long, or prints too
    much."""
    called = f"{os.path.basename(arguments[0])} {arguments[1]}"
    where = printable(directory)
    try:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(),
            start_new_session=True,
        )
    except OSError as error:
        raise RenderError(f"{where}: {called}: {error.strerror}") from error
    assert process.stdout is not None
    assert process.stderr is not None
    limit, said = _Limit(process), _StderrReader(process.stderr)
    try:
        data = _limited(process.stdout)
        if data is None:
            raise RenderError(f"{where}: {called} printed more than {MAX_BYTES >> 20} MiB")
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    finally:
        limit.end()
    if limit.passed:
        raise RenderError(f"{where}: {called} took longer than {SECONDS} seconds")
    if process.returncode != 0:
        raise RenderError(f"{where}: {called} failed: {_words(said.first())}")
    file = decoded(directory, data)
    if file.error:
        raise RenderError(f"{where}: what {called} printed is {file.error}")
    return file.text


def _limited(stream: IO[bytes]) -> bytes | None:
    """All of a stream; None where that is more than MAX_BYTES."""
    pieces: list[bytes] = []
    size = 0
    while piece := stream.read(_PIECE):
        pieces.append(piece)
        size += len(piece)
        if size > MAX_BYTES:
            return None
    return b"".join(pieces)


class _StderrReader:
    """Reads what a program says beside its output, so that it need not wait, and keeps the
    beginning: nothing is stored of a program that never stops."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._kept = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with self._stream as stream:
            while piece := os.read(stream.fileno(), _PIECE):
                self._kept += piece[: _PIECE - len(self._kept)]

    def first(self) -> bytes:
        """Its first words, once the program has ended. Whom it has left behind, in a session of
        its own, is not waited for."""
        self._thread.join(_PATIENCE)
        return self._kept


class _Limit:
    """Ends a program, and whatever it has started, after SECONDS; ``passed``: whether it did."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.passed = False
        self._process = process
        self._timer = threading.Timer(SECONDS, self._pass)
        self._timer.daemon = True
        self._timer.start()

    def _pass(self) -> None:
        self.passed = True
        self._kill()

    def _kill(self) -> None:
        """The group has the number of the program until that was waited for, so it is nobody
        else's. A program that has ended may have left others, with its output in their hands."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def end(self) -> None:
        """Leaves nothing running."""
        self._timer.cancel()
        self._timer.join()
        self._kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def _words(said: bytes) -> str:
    """What a program says, without how it logs that."""
    text = said.decode("utf-8", "replace")
    lines = [_without_prefix(" ".join(line.split())) for line in text.splitlines()]
    shown = [printable(line) for line in lines if line][:_SHOWN]
    return "; ".join(shown) or "it does not say why"


def _without_prefix(line: str) -> str:
    """kubectl logs its last error (``E0102 03:04:05.678901 7 run.go:72] "command failed"
    err="..."``); others say ``Error:``."""
    found = _LOGGED.fullmatch(line)
    if found is not None:
        inner = found["error"]
        line = found["rest"] if inner is None else _UNESCAPED.sub(r"\1", inner)
    return _ERROR.sub("", line, count=1)


def _version(arguments: Sequence[str]) -> str:
    """`` v3.19.0``; "" where the program does not tell."""
    try:
        done = subprocess.run(
            arguments,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=5,
            check=False,
            env=_environment(),
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(rb"v?\d+\.\d+(\.\d+)?", done.stdout[:200])
    return f" {found[0].decode()}" if done.returncode == 0 and found else ""


def _by_template(directory: str, text: str) -> Iterator[InputFile]:
    """What ``helm template`` printed, a file for each template, in order of first appearance.

    Helm writes ``# Source: chart/templates/x.yaml`` before each document. Lines are counted as in
    the output of ``helm template --show-only templates/x.yaml``."""
    parts: dict[str, list[str]] = {}
    source = ""
    for document in re.split(r"^(?=---\s*$)", text, flags=re.MULTILINE):
        found = _SOURCE.search(document)
        if found is not None:
            source = found[1].rstrip()
        if document.strip():
            parts.setdefault(source, []).append(document)
    for source, documents in parts.items():
        inner = source.partition("/")[2] or source
        path = os.path.join(directory, inner) if inner else directory
        yield InputFile(f"{path}{RENDERED}", "".join(documents))


def _uses_lookup(directory: str) -> bool:
    """Whether a template of the chart asks a cluster."""
    for folder, _, names in os.walk(os.path.join(directory, "templates")):
        for name in names:
            path = os.path.join(folder, name)
            if not os.path.isfile(path):  # a pipe, say, would let us wait
                continue
            try:
                with open(path, "rb") as file:
                    text = file.read(1 << 20).decode("utf-8", "replace")
            except OSError:
                continue
            if _LOOKUP.search(text):
                return True
    return False
