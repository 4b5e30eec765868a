"""`./dev pythons` finds every CPython of a machine, and says which it did not find."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXPECTED = ("3.11", "3.12", "3.13", "3.14")


def python(path: Path, answer: str) -> None:
    """A program that answers as a Python does when it is asked what it is; "": too old."""
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\n[ -n '{answer}' ] || exit 1\necho '{answer}'\n")
    path.chmod(0o755)


def listed(home: Path) -> tuple[list[str], str]:
    environment = {**os.environ, "HOME": str(home), "PATH": f"{home}/bin:/usr/bin:/bin"}
    environment.pop("PYENV_ROOT", None)
    done = subprocess.run(
        ["sh", str(ROOT / "dev"), "pythons", "--list"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.splitlines(), done.stderr


def test_pythons_on_the_path_and_under_pyenv_are_found(tmp_path: Path) -> None:
    versions = tmp_path / ".pyenv" / "versions"
    python(tmp_path / "bin" / "python3.14", "3.14.99 /opt/of path/python3.14")
    python(versions / "3.12.99" / "bin" / "python", "3.12.99 /opt/pyenv/python3.12")
    python(versions / "3.9.1" / "bin" / "python", "")
    found, _ = listed(tmp_path)
    assert {"3.14.99 /opt/of path/python3.14", "3.12.99 /opt/pyenv/python3.12"} <= set(found)
    assert "" not in found


def test_a_version_that_is_found_twice_is_tested_once(tmp_path: Path) -> None:
    versions = tmp_path / ".pyenv" / "versions"
    python(tmp_path / "bin" / "python3", "3.13.99 /opt/first/python3.13")
    python(versions / "3.13.99" / "bin" / "python", "3.13.99 /opt/second/python3.13")
    found, _ = listed(tmp_path)
    assert [line for line in found if line.startswith("3.13.99")] == [
        "3.13.99 /opt/first/python3.13"
    ]


def test_what_was_not_found_is_said_loudly(tmp_path: Path) -> None:
    found, said = listed(tmp_path)
    missing = [v for v in EXPECTED if not any(line.startswith(f"{v}.") for line in found)]
    loud = [line for line in said.splitlines() if "NOTHING WAS TESTED" in line]
    assert [line.split(":")[-1].split() for line in loud] == ([missing] if missing else [])
