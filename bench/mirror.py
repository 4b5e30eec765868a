"""What a mirror costs: bytes an agent, CPU, memory; and what a change of replica loses.

    python -m bench.mirror [--agents 2000] [--pods 150000] [--rate 25] [--seconds 60]

Rule: mirrors are the real command, two of them; ``mirrorfeed`` is the API server, ``mirroragents``
the agents, each a process of its own. CPU is that of the mirror's process alone. After the seconds
the first mirror is killed, and all agents go on at the second.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from base64 import b64decode
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import yaml

from podfence.mirror.certificate import secret

_PATIENCE = 600.0
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_RECORD, _SEGMENT = 22, 52
"""Bytes of a record of TLS 1.3, and of TCP and IP with time stamps."""


class Mirror:
    """A process of ``podfence mirror``."""

    def __init__(self, stack: ExitStack, folder: Path, number: int, agents: int) -> None:
        self._log = folder / f"mirror-{number}.log"
        command = [sys.executable, "-m", "podfence", "mirror", "--certificate", str(folder)]
        command += ["--kubeconfig", str(folder / "kubeconfig"), "--port", "0", "--http-port", "0"]
        command += ["--agents", str(agents + 10)]
        with self._log.open("wb") as stream:
            self.process = subprocess.Popen(command, stderr=stream)
        stack.callback(self.process.kill)
        self.ready = self._wait("ready")
        self.port = int(self._wait("start")["port"])

    def _wait(self, event: str) -> dict[str, Any]:
        until = time.monotonic() + _PATIENCE
        while True:
            lines = [msgspec.json.decode(line) for line in self._log.read_bytes().splitlines()]
            if found := [line for line in lines if line["event"] == event]:
                return dict(found[0])
            assert time.monotonic() < until, lines
            assert self.process.poll() is None, lines
            time.sleep(0.1)

    def cpu(self) -> float:
        """Seconds so far."""
        text = Path(f"/proc/{self.process.pid}/stat").read_text()
        fields = text.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def resident(self) -> float:
        """MiB."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * _PAGE / 2**20


def wait(path: Path) -> bytes:
    """A file that another process writes."""
    until = time.monotonic() + _PATIENCE
    while not path.exists():
        assert time.monotonic() < until, path
        time.sleep(0.1)
    time.sleep(0.1)
    return path.read_bytes()


def prepare(folder: Path) -> None:
    """The certificate, and a kubeconfig that leads to the feed."""
    made: Any = secret("x", "x", ("localhost",), 1)
    for name, text in made["data"].items():
        (folder / name).write_bytes(b64decode(text))
    server = f"http://127.0.0.1:{wait(folder / 'port').decode()}"
    config = {
        "current-context": "x",
        "clusters": [{"name": "x", "cluster": {"server": server}}],
        "users": [{"name": "x", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(config))


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=2000)
    parser.add_argument("--pods", type=int, default=150_000)
    parser.add_argument("--rate", type=float, default=25)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        feed = [sys.executable, "-m", "bench.mirrorfeed", name]
        feed += ["--pods", str(options.pods), "--rate", str(options.rate)]
        stack.callback(subprocess.Popen(feed).kill)
        prepare(folder)
        first, second = (Mirror(stack, folder, n, options.agents) for n in range(2))
        print(f"load {os.getloadavg()[0]:.0f}; {options.pods} pods")
        print(f"all pods known: {first.cpu():.1f} s of CPU, {first.resident():.0f} MiB")
        follow(stack, folder, first, options.agents)
        count(folder, first, options.seconds)
        change(folder, first, second)


def follow(stack: ExitStack, folder: Path, mirror: Mirror, agents: int) -> None:
    """All agents begin."""
    cpu = mirror.cpu()
    command = [sys.executable, "-m", "bench.mirroragents", str(folder), str(mirror.port)]
    stack.callback(subprocess.Popen([*command, "--agents", str(agents)]).kill)
    megabytes = int(wait(folder / "agents")) / 1e6
    spent = mirror.cpu() - cpu
    print(f"snapshot {megabytes:.2f} MB; {agents} agents follow after {spent:.1f} s of CPU")


def count(folder: Path, mirror: Mirror, seconds: float) -> None:
    """Lives begin and end; bytes and CPU."""
    (folder / "go").touch()
    time.sleep(5)
    cpu, begin = mirror.cpu(), time.monotonic()
    (folder / "count").touch()
    time.sleep(seconds)
    spent = (mirror.cpu() - cpu) / (time.monotonic() - begin)
    (folder / "counted").touch()
    _, least, middle, most, reads = msgspec.json.decode(wait(folder / "bytes"))
    whole = middle + reads * (_RECORD + _SEGMENT)
    print(f"an agent gets {middle:.0f} bytes/s ({least:.0f} to {most:.0f}), {reads:.1f} pieces/s")
    print(f"computed, with TLS and TCP: {whole:.0f} bytes/s")
    print(f"the mirror: {100 * spent:.0f} % of a core, {mirror.resident():.0f} MiB")
    print(f"load {os.getloadavg()[0]:.0f}")


def change(folder: Path, first: Mirror, second: Mirror) -> None:
    """One mirror is killed; in the end what agents know is compared."""
    cpu = second.cpu()
    (folder / "next").write_text(str(second.port))
    first.process.kill()
    seconds, spent = float(wait(folder / "resumed")), second.cpu() - cpu
    print(f"all at the second mirror after {seconds:.1f} s, {spent:.1f} s of its CPU")
    (folder / "stop").touch()
    rate, there = msgspec.json.decode(wait(folder / "pods"))
    equal = wait(folder / "equal").decode()
    print(f"{rate:.1f} lives/s; {len(there)} pods in the end; agents know the same: {equal}")


if __name__ == "__main__":
    main()
