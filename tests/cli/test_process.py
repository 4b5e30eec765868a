"""The command line as a process: signals, closed pipes, encodings, files that cannot be read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.cli.session import ROOT, podfence

PROGRAM = [sys.executable, "-c", "from podfence.cli.main import main; main()"]
SHOP = ["-f", str(ROOT / "examples" / "shop")]


def start(*arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*PROGRAM, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def manifest(name: str) -> bytes:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "shop"}}
    return json.dumps(pod).encode()


@pytest.mark.parametrize("arguments", [["map"], ["map", "-o", "json"], ["describe"]], ids=" ".join)
def test_a_reader_that_went_away_is_neither_yes_nor_no_nor_an_error(arguments: list[str]) -> None:
    with start(*arguments, *SHOP) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 128 + signal.SIGPIPE


def test_an_interrupt_ends_it_without_a_traceback() -> None:
    process = start("map", "-f", "-")
    assert process.stdin is not None
    process.stdin.write(b"#" * 1_000_000)  # more than a pipe holds: it is reading its input
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert err == b"\ninterrupted\n"


@pytest.mark.parametrize("arguments", [["map"], ["can", "shop/\u65e5", "shop/\u65e5:80"]], ids=len)
def test_a_name_that_the_terminal_cannot_show_is_an_escape(arguments: list[str]) -> None:
    process = start(*arguments, "-f", "-", PYTHONIOENCODING="latin-1")
    out, err = process.communicate(manifest("\u65e5"), timeout=60)
    assert (process.returncode, err) == (0, b"")
    assert out.decode("utf-8")
    if arguments[0] == "can":
        assert rb"shop/\u65e5 -> shop/\u65e5" in out


@pytest.mark.parametrize("debug", ["", "1"])
def test_an_internal_error_has_its_traceback_on_demand_only(debug: str) -> None:
    broken = (
        "import podfence.cli.map_command as m\n"
        "def compile_cluster(*_): raise ValueError('no \\x1b[31m idea')\n"
        "m.compile_cluster = compile_cluster\n"
        "from podfence.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", broken, "map", *SHOP],
        cwd=ROOT,
        env={**os.environ, "PODFENCE_DEBUG": debug},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert b"error[PF000]: internal error (ValueError: no \\x1b[31m idea)" in done.stderr
    assert (b"Traceback" in done.stderr) is bool(debug)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_file_without_permission_is_an_error_with_its_name() -> None:
    nobody = (
        "import difflib, os, podfence.cli.check_command, podfence.cli.main\n"
        "os.seteuid(65534)\n"  # who may not be allowed to import any more
        "from podfence.cli.main import main; main()"
    )
    with tempfile.TemporaryDirectory() as directory:
        secret = Path(directory) / "secret.yaml"
        secret.write_bytes(manifest("web"))
        secret.chmod(0)
        Path(directory).chmod(0o755)
        done = subprocess.run(
            [sys.executable, "-c", nobody, "check", "-f", directory],
            cwd=ROOT,
            capture_output=True,
            timeout=60,
            check=False,
        )
    assert b"secret.yaml: error[PF106]: cannot read the file: Permission denied" in done.stdout
    assert done.returncode == 2


def test_input_that_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    done = podfence(["check", "-f", "pipe.yaml", "-f", "/dev/zero"], directory=tmp_path)
    assert done.status == 2
    assert done.out.count("not a regular file") == 2


def test_a_binary_file_is_an_error() -> None:
    done = podfence(["check", "-f", "-"], stdin=bytes(range(256)))
    assert (done.status, "binary file" in done.out) == (2, True)


def test_an_empty_directory_is_an_error(tmp_path: Path) -> None:
    done = podfence(["map", "-f", "."], directory=tmp_path)
    assert (done.status, "holds no manifests" in done.err) == (2, True)


def test_it_is_a_module_that_python_runs() -> None:
    command = [sys.executable, "-m", "podfence", "map", "--nope"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(b"Usage: podfence map ")


def test_it_is_called_as_a_plugin_of_kubectl() -> None:
    done = podfence(["map", "--nope"], program="/usr/local/bin/kubectl-podfence")
    assert done.err.startswith("Usage: kubectl podfence map ")


@pytest.mark.parametrize("form", ["json", "yaml", "documents"])
def test_input_as_kubectl_prints_it(form: str) -> None:
    items = [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "shop"}}
        for name in ("web", "db")
    ]
    listed = {
        "apiVersion": "v1",
        "kind": "List",
        "items": items,
        "metadata": {"resourceVersion": ""},
    }
    text = json.dumps(listed)
    if form == "yaml":
        text = "apiVersion: v1\nkind: PodList\nitems:\n" + "".join(
            f"- metadata: {{name: {name}, namespace: shop}}\n" for name in ("web", "db")
        )
    elif form == "documents":
        text = "\n---\n".join(map(json.dumps, items))
    done = podfence(["can", "shop/web", "shop/db:80", "-f", "-"], stdin=text.encode())
    assert (done.status, done.err) == (0, "")


def loaded_by(*words: str) -> set[bytes]:
    """The modules that a command imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", PROGRAM[2], *words],
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        check=True,
    )
    return {line.rpartition(b"|")[2].strip() for line in done.stderr.splitlines()}


def test_help_loads_nothing_heavy() -> None:
    heavy = {b"yaml", b"msgspec", b"pyroaring", b"podfence.policy.compile"}
    assert not heavy & loaded_by("--help")


def test_tests_load_no_other_question() -> None:
    loaded = loaded_by("test", "examples/tests/shop.podfence.yaml", "-f", "examples/shop")
    assert b"podfence.questions.tests.judge" in loaded
    others = b"podfence.questions.suggest", b"podfence.questions.tests.mut", b"podfence.render.plan"
    assert not [name for name in loaded if name.startswith(others)]
