"""How a lab with an API server ends or does not begin; nothing is left of it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.lab.apilab import (
    POLICIES,
    Lab,
    add_pods,
    allow,
    eventually,
    runtime_directory,
)
from tests.lab.test_commands import becoming

pytestmark = [pytest.mark.apiserver, pytest.mark.kernel, pytest.mark.timeout(300)]


@pytest.mark.parametrize("ending", ["down", "SIGTERM", "SIGKILL", "SIGKILL of the network"])
def test_nothing_is_left_however_it_ends(ending: str) -> None:
    with runtime_directory() as directory:
        lab = Lab(directory)
        lab.ok("up", "--api")
        with lab.client() as admin:
            add_pods(admin, "default", "a")
        first = lab.status["api"]["agents"]["lab-node"]
        background = parent_of(first)
        processes = {background, *children_of(background)}
        assert len(processes) >= 4
        if ending == "down":
            lab.ok("down")
        elif ending == "SIGKILL of the network":
            networks = [p for p in children_of(background) if children_of(p)]
            os.kill(networks[0], signal.SIGKILL)
        else:
            os.kill(background, getattr(signal, ending))
        eventually(lambda: not any(map(lives, processes)))
        lab.ok("down", "--all")
        assert [path.name for path in directory.iterdir()] == ["podfence-0"]
        assert list((directory / "podfence-0").iterdir()) == []


def test_a_server_that_does_not_start_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    for name in ("etcd", "kube-apiserver"):
        (tmp_path / name).write_text("#!/bin/sh\necho no such luck >&2\nexit 7\n")
        (tmp_path / name).chmod(0o755)
    with runtime_directory() as directory:
        lab = Lab(directory)
        done = lab.run("up", "--api", "--api-programs", str(tmp_path))
        assert done.returncode == 2
        assert "etcd ended with status 7 and said: no such luck" in done.stderr
        assert [path.name for path in directory.iterdir()] == ["podfence-0"]
        assert list((directory / "podfence-0").iterdir()) == []


def test_without_root_agents_enforce_in_the_lab_s_user_namespace() -> None:
    with runtime_directory() as directory, becoming("somebody") as user:
        lab = Lab(directory, user)
        lab.ok("up", "--api")
        try:
            assert lab.status["rootless"]
            with lab.client() as admin:
                add_pods(admin, "default", "db", "web")
                admin.create(POLICIES.format("default"), allow({"app": "db"}, {"app": "x"}))
                eventually(lambda: not lab.passes("default/web", "default/db"))
        finally:
            lab.run("down")


# -- processes


def lives(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for yet does not."""
    return stat_of(pid)[:1] not in ([], ["Z"])


def parent_of(pid: int) -> int:
    return int(stat_of(pid)[1])


def children_of(pid: int) -> list[int]:
    every = map(int, filter(str.isdecimal, os.listdir("/proc")))
    return [each for each in every if stat_of(each)[1:2] == [str(pid)]]


def stat_of(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
