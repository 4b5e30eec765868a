"""A stand-in for a host: runs a lab, ends it in one of several ways, and tells what is left of it.

Started as process 1 of new network, mount and process namespaces, so that what it sees is what the
lab did and nobody else. Prints one JSON object.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from podfence.lab.run import run_lab
from podfence.lab.trial import LabOptions
from tests.lab.clusters import SHOP, scheduled

PODS = """
{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: main}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: b}, spec: {containers: [{name: main}]}}
"""
LOOKS = (
    "ip -o link",
    "ip -o addr",
    "ip -o route show table all",
    "ip rule",
    "ip netns",
    "nft list ruleset",
    "lsns -n -t net -o NS",
    "lsns -n -t user -o NS",
    "findmnt -n",
)


def look() -> dict[str, str]:
    """Everything of the host that a lab could have changed."""
    found = {
        words: subprocess.run(words.split(), capture_output=True, text=True, check=False).stdout
        for words in LOOKS
    }
    found["processes"] = " ".join(sorted(name for name in os.listdir("/proc") if name.isdecimal()))
    return found


def settled(before: dict[str, str]) -> dict[str, str]:
    """What differs from before, once orphans are reaped and the kernel is done."""
    for _ in range(600):
        reap()
        after = look()
        if after == before:
            return {}
        time.sleep(0.05)
    return {words: after[words] for words in after if after[words] != before[words]}


def reap() -> None:
    """The duty of process 1."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                return
        except ChildProcessError:
            return


def lab(timeout: float) -> None:
    """Run a lab and say on stdout how far it is."""
    options = LabOptions(timeout=timeout)
    faulthandler.enable()  # SIGABRT tells where every thread is
    try:
        report = run_lab(scheduled(*SHOP), options, progress=lambda line: print(line, flush=True))
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0 if report.clean else 1)


def host(ending: str, step: str) -> None:
    """``ending``: a signal's name, or "none" to let the lab finish."""
    before = look()
    timeout = "0.2" if ending == "none" else "30"
    arguments = [sys.executable, "-m", "tests.lab.host", "lab", timeout]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if ending != "none" and line.startswith(step):
                during = look()
                running.send_signal(getattr(signal, ending))
                break
        else:
            during = before
        try:
            status = running.wait(60)
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGABRT)
            raise
    changed = sorted(words for words in during if during[words] != before[words])
    print(json.dumps({"status": status, "left": settled(before), "during": changed}))


def session(ending: str, scratch: Path) -> None:
    """``ending``: "down", or the signal that ends a lab that stays; scratch: an empty directory."""
    os.environ["XDG_RUNTIME_DIR"] = str(scratch)
    (scratch / "podfence-0").mkdir(mode=0o700, exist_ok=True)
    files = scratch / "input"
    files.mkdir()
    (files / "pods.yaml").write_text(PODS)
    before = look()
    podfence("up", "-f", str(files), "--nodes", "2")
    (files / "pods.yaml").write_text(PODS.replace("name: b", "name: c"))
    podfence("apply", "-f", str(files))
    podfence("exec", "default/a", "--", "true")
    during = look()
    changed = sorted(words for words in during if during[words] != before[words])
    if ending == "down":
        podfence("down")
    else:
        end_session(ending)
        podfence("down", "--all")
    left = settled(before)
    sockets = [path.name for path in (scratch / "podfence-0").iterdir()]
    print(json.dumps({"status": 0, "left": {**left, **dict.fromkeys(sockets)}, "during": changed}))


def end_session(ending: str) -> None:
    """Signal the process that answers, or, with "-of-the-network", the one that holds the pods."""
    name, _, of = ending.partition("-")
    labs = sorted(
        pid for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))) if is_lab(pid)
    )
    os.kill(labs[1] if of else labs[0], getattr(signal, name))


def is_lab(pid: int) -> bool:
    """Whether a process is one of a lab: they are the only ones that look like the command."""
    try:
        return b"podfence.cli.main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def podfence(*arguments: str) -> None:
    """Run ``podfence lab ...``."""
    code = "from podfence.cli.main import main; main()"
    subprocess.run(
        [sys.executable, "-c", code, "lab", *arguments], check=True, stdout=subprocess.DEVNULL
    )


if __name__ == "__main__":
    if sys.argv[1] == "lab":
        lab(float(sys.argv[2]))
    elif sys.argv[1] == "session":
        session(sys.argv[2], Path(sys.argv[3]))
    else:
        host(sys.argv[1], sys.argv[2])
